// `quire bench kv MODEL --text FILE`: what each way to keep KV costs and what it does to answers.
#include <fmt/format.h>

#include "quire/cli/bar_chart.h"
#include "quire/cli/bench_report.h"
#include "quire/cli/kv_comparison.h"
#include "quire/cli/quality_bench.h"
#include "quire/cli/verb.h"

namespace quire {
namespace {

using nlohmann::ordered_json;

constexpr int kMoreWork = 3;  // times as much, when something seems too good

class BenchKvVerb final : public Verb {
 public:
  Flags MakeFlags() override {
    Flags flags("bench kv", "MODEL --text FILE [flags]",
                "Measures what each way to keep KV takes, how fast it is, and what it does to answers.");
    bench_.AddModelAndText(flags);
    bench_.AddVariants(flags);
    const FlagLimits tokens{.min = 64, .max = 1e6}, count{.min = 0, .max = 1e6};
    flags.Add({"--texts", &work_.texts, "N", "pieces of the text, evenly spread", {.min = 1, .max = 1e5}});
    flags.Add({"--tokens", &work_.tokens, "N", "of each piece", {.min = 2, .max = 1e6}});
    flags.Add({"--samples", &work_.samples, "N", "pass keys, and facts, that are asked; 0: none", count});
    flags.Add({"--pass-key-tokens", &work_.key_tokens, "N", "that hide a pass key", tokens});
    flags.Add({"--fact-tokens", &work_.fact_tokens, "N", "that hide five facts", tokens});
    flags.Add({"-p,--prompt-tokens", &work_.prompt_tokens, "N", "of a prompt that is timed; 0: none", count});
    flags.Add({"-n,--output-tokens", &work_.output_tokens, "N", "decode so many; 0: none", count});
    flags.Add({"-d,--depth", &work_.depth, "N", "tokens there before (random KV)", count});
    flags.Add({"-r,--repetitions", &work_.rounds, "N", "of prompt and decoding", {.min = 1, .max = 1000}});
    flags.Add({"--remeasure", &remeasure_, "", "measure longer what seems to improve everything"});
    bench_.AddMachineAndResults(flags);
    return flags;
  }

  // 1 for a variant that improves context, accuracy and performance at once, until it was measured again.
  Result<int> Run() override {
    QUIRE_TRY(bench_.Open());
    QUIRE_ASSIGN(const std::vector<KvVariant> variants, bench_.Variants());
    QUIRE_TRY(CheckText(work_));
    KvComparison comparison(bench_);
    QUIRE_TRY(comparison.Measure(variants, work_));
    if (remeasure_ && !comparison.TooGood().empty()) QUIRE_TRY(MeasureAgain(comparison));
    const std::vector<KvVariant> too_good = comparison.TooGood();
    std::string table = Heading() + comparison.Table();
    for (const KvVariant& variant : too_good) {
      table += fmt::format(
          "{} seems to improve context, accuracy and performance at once: most likely noise; "
          "--remeasure measures it longer\n",
          variant.name);
    }
    ordered_json json = BenchReport("kv", bench_.model_name(), bench_.pool(), Settings());
    json["results"] = comparison.Results();
    QUIRE_TRY(bench_.WriteResults(table, json, Chart(comparison)));
    return too_good.empty() ? 0 : 1;
  }

 private:
  Status CheckText(const KvWork& work) const {
    QUIRE_TRY(bench_.NeedTokens(work.texts * work.tokens, "--texts times --tokens"));
    if (work.samples == 0) return {};
    QUIRE_TRY(bench_.NeedTokens(work.key_tokens, "--pass-key-tokens"));
    return bench_.NeedTokens(work.fact_tokens, "--fact-tokens");
  }

  Status MeasureAgain(KvComparison& comparison) {
    std::vector<KvVariant> variants = comparison.TooGood();
    variants.insert(variants.begin(), comparison.full().variant);
    KvWork more = work_;
    more.rounds *= kMoreWork;
    more.samples *= kMoreWork;
    const int64_t room = std::ssize(bench_.tasks().filler()) / work_.tokens;
    more.texts = std::max(work_.texts, std::min(room, kMoreWork * work_.texts));
    KvComparison again(bench_);
    QUIRE_TRY(again.Measure(variants, more));
    comparison.Replace(again);
    return {};
  }

  std::string Heading() {
    return fmt::format(
        "{}; {} texts of {} tokens, pass keys in {}, five facts in {}, prompts of {}, decode {} at {}, "
        "medians "
        "of {}\n",
        BenchHeading(bench_.model_name(), bench_.pool()), work_.texts, work_.tokens, work_.key_tokens,
        work_.fact_tokens, work_.prompt_tokens, work_.output_tokens, work_.depth, work_.rounds);
  }

  ordered_json Settings() const {
    return {{"text", bench_.text()},
            {"texts", work_.texts},
            {"tokens", work_.tokens},
            {"samples", work_.samples},
            {"pass_key_tokens", work_.key_tokens},
            {"fact_tokens", work_.fact_tokens},
            {"prompt_tokens", work_.prompt_tokens},
            {"output_tokens", work_.output_tokens},
            {"depth", work_.depth},
            {"repetitions", work_.rounds}};
  }

  std::string Chart(const KvComparison& comparison) const {
    std::vector<Bar> bars;
    for (const KvRow& row : comparison.rows()) {
      AnswerCount all = row.keys;
      all += row.facts;
      bars.push_back({row.variant.name + " kept", 100 * all.kept_share(), 0, 0});
    }
    return RenderBars(bench_.model_name() + ": answers of the full cache that are kept", "%", bars);
  }

  QualityBench bench_;
  KvWork work_;
  bool remeasure_ = false;
};

}  // namespace

std::unique_ptr<Verb> MakeBenchKv() { return std::make_unique<BenchKvVerb>(); }

}  // namespace quire

// `quire bench MODEL`: how fast the model runs here: its forward pass alone, and an engine with many users.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "quire/base/byte_size.h"
#include "quire/base/clock.h"
#include "quire/cli/bar_chart.h"
#include "quire/cli/bench_report.h"
#include "quire/cli/forward_bench.h"
#include "quire/cli/generate.h"
#include "quire/cli/model_path.h"
#include "quire/cli/progress.h"
#include "quire/cli/runtime_flags.h"
#include "quire/cli/serve_bench.h"
#include "quire/cli/text_table.h"
#include "quire/cli/user_folders.h"
#include "quire/cli/verb.h"
#include "quire/engine/memory_report.h"
#include "quire/kernels/kernels.h"
#include "quire/kernels/kv_codec.h"
#include "quire/model/transformer.h"

namespace quire {
namespace {

using nlohmann::ordered_json;

// What was measured: a line of the table.
struct Row {
  std::string test;
  std::vector<double> tokens_per_second;  // by repetition
  ordered_json json;                      // what else the report says of it
  std::string note;                       // below the table; may be empty
};

Row RowOf(const BenchResult& result) {
  return {result.what.Name(),
          result.tokens_per_second,
          {{"batch", result.what.batch},
           {"prompt_tokens", result.what.prompt_tokens},
           {"output_tokens", result.what.output_tokens},
           {"depth", result.what.depth},
           {"shared_tokens", result.what.shared_tokens}},
          ""};
}

Row RowOf(const ServeResult& result) {
  return {result.what.Name(),
          result.tokens_per_second,
          {{"users", result.what.users},
           {"prompt_tokens", result.what.prompt_tokens},
           {"output_tokens", result.what.output_tokens},
           {"first_token_seconds", QuantilesJson(result.first_token_s)},
           {"gap_seconds", QuantilesJson(result.gap_s)}},
          fmt::format("{}: {:.2f} s to the first token (mean), {:.3f} s between tokens (p99)\n",
                      result.what.Name(), result.first_token_s.mean, result.gap_s.p99)};
}

class BenchVerb final : public Verb {
 public:
  Flags MakeFlags() override {
    Flags flags("bench", "MODEL [flags]",
                "Measures prefill, decode, batched decode and serving, in tokens per second.");
    AddModel(flags, &model_);
    const FlagLimits count{.min = 0, .max = 1e7};
    flags.Add({"-p,--prompt-tokens", &prompts_, "N,...", "prefill so many tokens; 0: none", count});
    flags.Add({"-n,--output-tokens", &outputs_, "N,...", "decode so many tokens; 0: none", count});
    flags.Add({"-b,--batch", &batches_, "N,...", "sequences that decode together", {.min = 1, .max = 65536}});
    flags.Add({"-u,--users",
               &users_,
               "N,...",
               "that ask an engine, -p tokens in and -n out; 0: none",
               {.min = 0, .max = 65536}});
    flags.Add({"-d,--depth", &depths_, "N,...", "tokens that each sequence has before (random KV)", count});
    flags.Add({"--shared-tokens", &shared_tokens_, "N",
               "of the depth, so many that a batch has on the same pages", count});
    flags.Add({"-r,--repetitions", &repetitions_, "N", "of every measurement", {.min = 1, .max = 1000}});
    AddThreads(flags, &threads_);
    AddKvType(flags, &kv_types_);
    AddKvLayout(flags, &kv_layout_);
    AddPageTokens(flags, &page_tokens_);
    flags.Add(
        {"--max-step-tokens", &step_tokens_, "N", "largest piece of a prompt", {.min = 1, .max = 65536}});
    flags.Add({"--exact", &exact_, "", "compute with f32 activations"});
    AddFastPrefill(flags, &fast_prefill_, &fast_prefill_copy_);
    flags.Add({"--svg", &svg_, "FILE", "also draw the results there"});
    flags.Add({"--json", &json_, "FILE", "also write the results there; -: only them, to standard output"});
    return flags;
  }

  Result<int> Run() override {
    QUIRE_TRY(CheckPageTokens(page_tokens_));
    const std::vector<BenchCase> cases = Cases();
    const std::vector<ServeCase> serve_cases = ServeCases();
    if (cases.empty()) {
      return Fail(ErrorCode::kInvalidArgument,
                  "there is nothing to measure: give -p or -n more than 0 tokens");
    }
    if (serve_cases.empty() && *std::ranges::max_element(users_) > 0) {
      return Fail(ErrorCode::kInvalidArgument, "users ask with -p tokens and get -n: give both more than 0");
    }
    QUIRE_ASSIGN(const std::string path, ResolveModel(model_, ModelCacheFolder()));
    QUIRE_ASSIGN(auto files, ModelFiles::Open(path));
    ThreadPool pool(threads_ > 0 ? threads_ : UsableProcessors());
    const TimePoint start = Clock::System().Now();
    QUIRE_ASSIGN(const auto model, Load(std::move(files), pool));
    load_s_ = Seconds(Clock::System().Now() - start);
    for (const ServeCase& what : serve_cases) QUIRE_TRY(CheckFits(what, model->info()));
    std::vector<Row> rows;
    {
      QUIRE_ASSIGN(ForwardBench bench, ForwardBench::Create(*model, cases, step_tokens_, kv_layout_));
      bench.Run({.prompt_tokens = 1}, 1, [] {});
      first_token_s_ = Seconds(Clock::System().Now() - start);
      beside_bytes_ = std::max<int64_t>(0, ResidentBytes() - model->info().weight_bytes);
      WarmUp(bench);
      Measure(bench, cases, rows);
    }
    QUIRE_TRY(Serve(*model, pool, serve_cases, rows));
    if (json_ != "-") QUIRE_TRY(WriteOut(Table(*model, pool, rows)));
    if (!json_.empty()) QUIRE_TRY(WriteJson(*model, pool, rows));
    if (!svg_.empty()) QUIRE_TRY(WriteSvg(*model, rows));
    return 0;
  }

 private:
  Result<std::unique_ptr<LanguageModel>> Load(std::shared_ptr<const ModelFiles> files,
                                              ThreadPool& pool) const {
    ProgressBar bar("loading " + model_);
    ModelOptions options;
    options.exact = exact_;
    options.fast_prefill = fast_prefill_;
    options.fast_prefill_copy = fast_prefill_copy_;
    options.kv_types = kv_types_;
    options.page_tokens = page_tokens_;
    options.max_step_tokens = std::max(step_tokens_, *std::ranges::max_element(batches_));
    options.progress = [&bar](double share) { bar.Set(share); };
    return LoadTransformer(std::move(files), options, BestKernels(), pool);
  }

  std::vector<BenchCase> Cases() const {
    std::vector<BenchCase> cases;
    for (const int64_t depth : depths_) {
      for (const int64_t tokens : prompts_) {
        if (tokens > 0) cases.push_back({.prompt_tokens = tokens, .depth = depth});
      }
      for (const int64_t tokens : outputs_) {
        for (const int64_t batch : batches_) {
          if (tokens == 0) continue;
          cases.push_back({.batch = batch,
                           .output_tokens = tokens,
                           .depth = depth,
                           .shared_tokens = std::min(shared_tokens_, depth)});
        }
      }
    }
    return cases;
  }

  std::vector<ServeCase> ServeCases() const {
    std::vector<ServeCase> cases;
    for (const int64_t users : users_) {
      for (const int64_t prompt_tokens : prompts_) {
        for (const int64_t output_tokens : outputs_) {
          if (users == 0 || prompt_tokens == 0 || output_tokens == 0) continue;
          cases.push_back({.users = users, .prompt_tokens = prompt_tokens, .output_tokens = output_tokens});
        }
      }
    }
    return cases;
  }

  // Memory that the largest step touches first, caches and threads.
  void WarmUp(ForwardBench& bench) const {
    const int64_t longest = *std::ranges::max_element(prompts_);
    bench.Run({.prompt_tokens = std::clamp<int64_t>(longest, 1, step_tokens_)}, 1, [] {});
  }

  void Measure(ForwardBench& bench, const std::vector<BenchCase>& cases, std::vector<Row>& rows) const {
    ProgressBar bar("measuring");
    size_t done = 0;
    for (const BenchCase& what : cases) {
      rows.push_back(RowOf(bench.Run(what, repetitions_, [&] {
        bar.Set(static_cast<double>(++done) /
                    static_cast<double>(cases.size() * static_cast<size_t>(repetitions_)),
                what.Name());
      })));
    }
  }

  Status Serve(LanguageModel& model, ThreadPool& pool, const std::vector<ServeCase>& cases,
               std::vector<Row>& rows) const {
    for (const ServeCase& what : cases) {
      ProgressBar bar("serving");
      const auto all = static_cast<double>(repetitions_ * what.users * ServeCase::kTurnsPerUser);
      int64_t done = 0;
      QUIRE_ASSIGN(const ServeResult result,
                   RunServeCase(model, pool, what, step_tokens_, kv_layout_, repetitions_,
                                [&] { bar.Set(static_cast<double>(++done) / all, what.Name()); }));
      rows.push_back(RowOf(result));
    }
    return {};
  }

  std::string Table(const LanguageModel& model, const ThreadPool& pool, const std::vector<Row>& rows) const {
    TextTable table({"test", "tokens/s", "min", "max"});
    std::string notes;
    for (const Row& row : rows) {
      const Spread spread = SpreadOf(row.tokens_per_second);
      table.Add({row.test, fmt::format("{:.1f}", spread.median), fmt::format("{:.1f}", spread.min),
                 fmt::format("{:.1f}", spread.max)});
      notes += row.note;
    }
    return fmt::format("{} ({}), {} kernels, {} threads, {} KV{}; medians of {}\n", model.info().name,
                       model.info().architecture, BestKernels().name, pool.threads(), kv_types_.Name(),
                       ComputingNote(exact_, fast_prefill_, fast_prefill_copy_), repetitions_) +
           table.Render() + notes +
           fmt::format(
               "weights loaded in {:.2f} s, first token after {:.2f} s\n"
               "{} resident beside the weights then; {} at the end, mapped files included\n",
               load_s_, first_token_s_, FormatByteSize(static_cast<uint64_t>(beside_bytes_)),
               FormatByteSize(static_cast<uint64_t>(ResidentBytes())));
  }

  Status WriteSvg(const LanguageModel& model, const std::vector<Row>& rows) const {
    std::vector<Bar> bars;
    for (const Row& row : rows) {
      const Spread spread = SpreadOf(row.tokens_per_second);
      bars.push_back({row.test, spread.median, spread.min, spread.max});
    }
    return WriteBars(svg_, model.info().name, "tokens/s", bars);
  }

  Status WriteJson(const LanguageModel& model, const ThreadPool& pool, const std::vector<Row>& rows) const {
    ordered_json json = BenchReport("", model.info().name, pool,
                                    {{"kv_type", kv_types_.Name()},
                                     {"kv_layout", kv_layout_},
                                     {"exact", exact_},
                                     {"fast_prefill", fast_prefill_},
                                     {"fast_prefill_copy", fast_prefill_copy_},
                                     {"page_tokens", page_tokens_},
                                     {"max_step_tokens", step_tokens_},
                                     {"repetitions", repetitions_}});
    json["architecture"] = model.info().architecture;
    json["parameters"] = model.info().parameters;
    json["weight_bytes"] = model.info().weight_bytes;
    json["load_seconds"] = load_s_;
    json["first_token_seconds"] = first_token_s_;
    json["resident_beside_weights_bytes"] = beside_bytes_;
    json["resident_bytes"] = ResidentBytes();
    for (const Row& row : rows) {
      const Spread spread = SpreadOf(row.tokens_per_second);
      ordered_json of_row{{"test", row.test},
                          {"tokens_per_second", spread.median},
                          {"min", spread.min},
                          {"max", spread.max},
                          {"repetitions", row.tokens_per_second}};
      of_row.update(row.json);
      json["results"].push_back(std::move(of_row));
    }
    return WriteJsonTo(json_, json);
  }

  LayerTypes kv_types_ = DType::kF16;
  std::string model_, kv_layout_ = "paged", json_, svg_;
  double load_s_ = 0, first_token_s_ = 0;  // from the beginning of loading
  int64_t beside_bytes_ = 0;               // resident then, but for the weights
  std::vector<int64_t> prompts_{512}, outputs_{128}, batches_{1, 4, 16}, users_{0}, depths_{0};
  int repetitions_ = 3, threads_ = 0, page_tokens_ = 16;
  int64_t step_tokens_ = 512, shared_tokens_ = 0;
  bool exact_ = false;
  bool fast_prefill_ = false, fast_prefill_copy_ = false;
};

}  // namespace

std::unique_ptr<Verb> MakeBench() { return std::make_unique<BenchVerb>(); }

}  // namespace quire

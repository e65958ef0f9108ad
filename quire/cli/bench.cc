// `quire bench MODEL`: how fast the model runs here, without server and sampler.
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
#include "quire/cli/text_table.h"
#include "quire/cli/user_folders.h"
#include "quire/cli/verb.h"
#include "quire/engine/memory_report.h"
#include "quire/kernels/kernels.h"
#include "quire/kernels/kv_codec.h"
#include "quire/model/transformer.h"

namespace quire {
namespace {

class BenchVerb final : public Verb {
 public:
  Flags MakeFlags() override {
    Flags flags("bench", "MODEL [flags]",
                "Measures prefill, decode and batched decode, in tokens per second.");
    AddModel(flags, &model_);
    const FlagLimits count{.min = 0, .max = 1e7};
    flags.Add({"-p,--prompt-tokens", &prompts_, "N,...", "prefill so many tokens; 0: none", count});
    flags.Add({"-n,--output-tokens", &outputs_, "N,...", "decode so many tokens; 0: none", count});
    flags.Add({"-b,--batch", &batches_, "N,...", "sequences that decode together", {.min = 1, .max = 65536}});
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
    AddFastPrefill(flags, &fast_prefill_);
    flags.Add({"--svg", &svg_, "FILE", "also draw the results there"});
    flags.Add({"--json", &json_, "FILE", "also write the results there; -: only them, to standard output"});
    return flags;
  }

  Result<int> Run() override {
    QUIRE_TRY(CheckPageTokens(page_tokens_));
    const std::vector<BenchCase> cases = Cases();
    if (cases.empty()) {
      return Fail(ErrorCode::kInvalidArgument,
                  "there is nothing to measure: give -p or -n more than 0 tokens");
    }
    QUIRE_ASSIGN(const std::string path, ResolveModel(model_, ModelCacheFolder()));
    QUIRE_ASSIGN(auto files, ModelFiles::Open(path));
    ThreadPool pool(threads_ > 0 ? threads_ : UsableProcessors());
    const TimePoint start = Clock::System().Now();
    QUIRE_ASSIGN(const auto model, Load(std::move(files), pool));
    load_s_ = Seconds(Clock::System().Now() - start);
    QUIRE_ASSIGN(ForwardBench bench, ForwardBench::Create(*model, cases, step_tokens_, kv_layout_));
    const std::vector<BenchResult> results = Measure(bench, cases);
    if (json_ != "-") QUIRE_TRY(WriteOut(Table(*model, pool, results)));
    if (!json_.empty()) QUIRE_TRY(WriteJson(*model, pool, results));
    if (!svg_.empty()) QUIRE_TRY(WriteSvg(*model, results));
    return 0;
  }

 private:
  Result<std::unique_ptr<LanguageModel>> Load(std::shared_ptr<const ModelFiles> files,
                                              ThreadPool& pool) const {
    ProgressBar bar("loading " + model_);
    ModelOptions options;
    options.exact = exact_;
    options.fast_prefill = fast_prefill_;
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

  std::vector<BenchResult> Measure(ForwardBench& bench, const std::vector<BenchCase>& cases) const {
    // Memory, caches and threads are warm afterwards.
    bench.Run({.prompt_tokens = 16}, 1, [] {});
    ProgressBar bar("measuring");
    std::vector<BenchResult> results;
    size_t done = 0;
    for (const BenchCase& what : cases) {
      results.push_back(bench.Run(what, repetitions_, [&] {
        bar.Set(static_cast<double>(++done) /
                    static_cast<double>(cases.size() * static_cast<size_t>(repetitions_)),
                what.Name());
      }));
    }
    return results;
  }

  std::string Table(const LanguageModel& model, const ThreadPool& pool,
                    const std::vector<BenchResult>& results) const {
    TextTable table({"test", "tokens/s", "min", "max"});
    for (const BenchResult& result : results) {
      const Spread spread = SpreadOf(result.tokens_per_second);
      table.Add({result.what.Name(), fmt::format("{:.1f}", spread.median), fmt::format("{:.1f}", spread.min),
                 fmt::format("{:.1f}", spread.max)});
    }
    return fmt::format("{} ({}), {} kernels, {} threads, {} KV{}; medians of {}\n", model.info().name,
                       model.info().architecture, BestKernels().name, pool.threads(), kv_types_.Name(),
                       exact_          ? ", exact"
                       : fast_prefill_ ? ", fast prefill"
                                       : "",
                       repetitions_) +
           table.Render() +
           fmt::format("weights loaded in {:.2f} s; {} resident at the end, mapped files included\n", load_s_,
                       FormatByteSize(static_cast<uint64_t>(ResidentBytes())));
  }

  Status WriteSvg(const LanguageModel& model, const std::vector<BenchResult>& results) const {
    std::vector<Bar> bars;
    for (const BenchResult& result : results) {
      const Spread spread = SpreadOf(result.tokens_per_second);
      bars.push_back({result.what.Name(), spread.median, spread.min, spread.max});
    }
    return WriteBars(svg_, model.info().name, "tokens/s", bars);
  }

  Status WriteJson(const LanguageModel& model, const ThreadPool& pool,
                   const std::vector<BenchResult>& results) const {
    nlohmann::ordered_json json = BenchReport("", model.info().name, pool,
                                              {{"kv_type", kv_types_.Name()},
                                               {"kv_layout", kv_layout_},
                                               {"exact", exact_},
                                               {"fast_prefill", fast_prefill_},
                                               {"page_tokens", page_tokens_},
                                               {"max_step_tokens", step_tokens_},
                                               {"repetitions", repetitions_}});
    json["architecture"] = model.info().architecture;
    json["parameters"] = model.info().parameters;
    json["weight_bytes"] = model.info().weight_bytes;
    json["load_seconds"] = load_s_;
    json["resident_bytes"] = ResidentBytes();
    for (const BenchResult& result : results) {
      const Spread spread = SpreadOf(result.tokens_per_second);
      json["results"].push_back({{"test", result.what.Name()},
                                 {"batch", result.what.batch},
                                 {"prompt_tokens", result.what.prompt_tokens},
                                 {"output_tokens", result.what.output_tokens},
                                 {"depth", result.what.depth},
                                 {"shared_tokens", result.what.shared_tokens},
                                 {"tokens_per_second", spread.median},
                                 {"min", spread.min},
                                 {"max", spread.max},
                                 {"repetitions", result.tokens_per_second}});
    }
    return WriteJsonTo(json_, json);
  }

  LayerTypes kv_types_ = DType::kF16;
  std::string model_, kv_layout_ = "paged", json_, svg_;
  double load_s_ = 0;
  std::vector<int64_t> prompts_{512}, outputs_{128}, batches_{1, 4, 16}, depths_{0};
  int repetitions_ = 3, threads_ = 0, page_tokens_ = 16;
  int64_t step_tokens_ = 512, shared_tokens_ = 0;
  bool exact_ = false;
  bool fast_prefill_ = false;
};

}  // namespace

std::unique_ptr<Verb> MakeBench() { return std::make_unique<BenchVerb>(); }

}  // namespace quire

// `quire tune MODEL`: the batch and the KV memory worth having on this machine, and whether one engine or
// two.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "quire/base/byte_size.h"
#include "quire/cli/generate.h"
#include "quire/cli/model_path.h"
#include "quire/cli/progress.h"
#include "quire/cli/runtime_flags.h"
#include "quire/cli/text_table.h"
#include "quire/cli/tune_bench.h"
#include "quire/cli/user_folders.h"
#include "quire/cli/verb.h"
#include "quire/engine/memory_budget.h"
#include "quire/kernels/kernels.h"
#include "quire/kernels/kv_codec.h"
#include "quire/sim/model_shape.h"

namespace quire {
namespace {

using nlohmann::ordered_json;

struct Advised {
  BatchAdvice batch;
  std::vector<BatchTime> measured;  // by batch
  std::vector<BatchTime> sweep;     // all powers of two, where asked
  std::optional<EngineComparison> engines;

  bool many() const { return engines && engines->many_are_faster(); }
};

std::string Mebibytes(int64_t bytes) { return fmt::format("{}MiB", (bytes + (1 << 20) - 1) >> 20); }

ordered_json TimesJson(const std::vector<BatchTime>& times) {
  auto list = ordered_json::array();
  for (const BatchTime& time : times) {
    list.push_back(
        {{"batch", time.batch}, {"step_seconds", time.step_s}, {"tokens_per_second", time.tokens_per_s()}});
  }
  return list;
}

class TuneVerb final : public Verb {
 public:
  Flags MakeFlags() override {
    Flags flags("tune", "MODEL [flags]",
                "Finds the batch and the KV memory worth having: beyond, throughput hardly grows.");
    AddModel(flags, &model_);
    flags.Add({"--context", &options_.context, "N", "tokens that a sequence has", {.min = 1, .max = 1e7}});
    flags.Add({"--target-itl",
               &target_itl_,
               "TIME",
               "longest time between tokens; 0: any",
               {.min = 0, .max = 3600}});
    flags.Add({"--max-sequences", &options_.most, "N", "largest batch to look at", {.min = 1, .max = 4096}});
    flags.Add({"--kv-memory", &kv_memory_, "SIZE", "at most; default: half of what is free"});
    AddKvType(flags, &options_.kv_types);
    AddThreads(flags, &threads_);
    flags.Add({"--engines",
               &engines_,
               "auto|1",
               "also try two engines of half the threads",
               {.choices = {"auto", "1"}}});
    flags.Add({"-r,--repetitions", &options_.rounds, "N", "of every measurement", {.min = 1, .max = 100}});
    flags.Add({"--sweep", &sweep_, "", "also measure every power of two, to see what advice leaves"});
    flags.Add({"--json", &json_, "", "as one JSON object"});
    return flags;
  }

  Result<int> Run() override {
    QUIRE_ASSIGN(const std::string path, ResolveModel(model_, ModelCacheFolder()));
    QUIRE_ASSIGN(std::shared_ptr<const ModelFiles> files, ModelFiles::Open(path));
    options_.threads = threads_ > 0 ? threads_ : UsableProcessors();
    QUIRE_ASSIGN(const ModelShape shape, ReadModelShape(*files, {.kv_types = options_.kv_types}));
    if (options_.context > shape.context) {
      return Fail(ErrorCode::kInvalidArgument, "--context is {} and the model has {}", options_.context,
                  shape.context);
    }
    sequence_bytes_ = shape.SequenceBytes(options_.context, 512);
    QUIRE_TRY(BoundByMemory(shape));
    QUIRE_ASSIGN(const Advised advised, Tune(files, shape));
    QUIRE_TRY(WriteOut(json_ ? Json(advised) : Text(advised)));
    return 0;
  }

 private:
  Status BoundByMemory(const ModelShape& shape) {
    const uint64_t available = AvailableMemoryBytes();
    const auto weights = static_cast<uint64_t>(shape.weight_bytes + shape.activation_bytes);
    const uint64_t left = available > weights ? available - weights : 0;
    const auto asked = ParseByteSize(kv_memory_.empty() ? "50%" : kv_memory_, left);
    if (!asked) return Fail(asked.error().code, "--kv-memory: {}", asked.error().message);
    const uint64_t most = std::min(*asked, left);
    const auto fit = static_cast<int64_t>(most) / sequence_bytes_;
    if (fit < 1) {
      return Fail(ErrorCode::kResourceExhausted,
                  "a sequence of {} tokens takes {} of KV, and {} may be taken", options_.context,
                  FormatByteSize(static_cast<uint64_t>(sequence_bytes_)), FormatByteSize(most));
    }
    options_.most = std::min(options_.most, fit);
    return {};
  }

  Result<Advised> Tune(const std::shared_ptr<const ModelFiles>& files, const ModelShape& shape) {
    ProgressBar bar("tuning");
    QUIRE_ASSIGN(const auto bench, TuneBench::Load(files, options_));
    const BatchGoal goal{.most = options_.most, .step_s = Seconds(target_itl_)};
    Advised advised;
    double done = 0;
    while (const auto batch = NextBatch(advised.measured, goal)) {
      bar.Set(0.8 * done / (done + 2), fmt::format("batch {}", *batch));
      const auto at = std::ranges::lower_bound(advised.measured, *batch, {}, &BatchTime::batch);
      advised.measured.insert(at, bench->Measure(*batch));
      ++done;
    }
    advised.batch = AdviseBatch(advised.measured, goal);
    for (int64_t batch = 1; sweep_ && batch <= options_.most; batch *= 2) {
      bar.Set(0.8, fmt::format("sweep, batch {}", batch));
      advised.sweep.push_back(bench->Measure(batch));
    }
    // Two further engines have weights of their own, and pages for half the batch each.
    const auto more = static_cast<uint64_t>(2 * (shape.weight_bytes + shape.activation_bytes) +
                                            advised.batch.choice.batch * sequence_bytes_);
    if (engines_ == "auto" && options_.threads > 1 && more < AvailableMemoryBytes()) {
      bar.Set(0.9, "two engines");
      QUIRE_ASSIGN(advised.engines, CompareEngines(*bench, files, options_, advised.batch.choice.batch));
    }
    return advised;
  }

  int64_t KvBytes(int64_t batch) const { return batch * sequence_bytes_; }
  int64_t BatchEach(const Advised& a) const {
    return a.many() ? a.engines->batch_each : a.batch.choice.batch;
  }
  int ThreadsEach(const Advised& a) const { return a.many() ? a.engines->threads_each : options_.threads; }

  std::string ServeFlags(const Advised& a) const {
    return fmt::format("--max-sequences {} --kv-memory {} --threads {}", BatchEach(a),
                       Mebibytes(KvBytes(BatchEach(a))), ThreadsEach(a)) +
           (options_.kv_types.Name() == "f16" ? "" : " --kv-type " + options_.kv_types.Name());
  }

  std::string Text(const Advised& a) const {
    TextTable table({"batch", "ms per step", "tokens/s"});
    for (const BatchTime& time : a.measured) {
      table.Add({fmt::format("{}", time.batch), fmt::format("{:.2f}", 1e3 * time.step_s),
                 fmt::format("{:.1f}", time.tokens_per_s())});
    }
    const BatchTime &choice = a.batch.choice, &peak = a.batch.peak;
    std::string text = fmt::format("decode at {} tokens, {} KV, {} threads, {} kernels\n", options_.context,
                                   options_.kv_types.Name(), options_.threads, BestKernels().name) +
                       table.Render();
    text += fmt::format(
        "plateau  {:.1f} tokens/s at {} sequences; {} reach {:.0f} % of it with {:.0f} % of the KV memory\n",
        peak.tokens_per_s(), peak.batch, choice.batch, 100 * choice.tokens_per_s() / peak.tokens_per_s(),
        100.0 * static_cast<double>(choice.batch) / static_cast<double>(peak.batch));
    if (a.engines) {
      text += fmt::format("engines  one with {} threads {:.1f} tokens/s, two with {} each {:.1f}: {}\n",
                          options_.threads, a.engines->one_tokens_per_s, a.engines->threads_each,
                          a.engines->many_tokens_per_s, a.many() ? "two, as processes of their own" : "one");
    }
    const char* each = a.many() ? " (each of the two)" : "";
    text += fmt::format(
        "\nquire serve {} {}{}\n\n[serve]\nmax-sequences = {}\nkv-memory = \"{}\"\nthreads = {}\n", model_,
        ServeFlags(a), each, BatchEach(a), Mebibytes(KvBytes(BatchEach(a))), ThreadsEach(a));
    if (options_.kv_types.Name() != "f16")
      text += fmt::format("kv-type = \"{}\"\n", options_.kv_types.Name());
    return text;
  }

  std::string Json(const Advised& a) const {
    const auto time = [&](const BatchTime& t) {
      return ordered_json{{"batch", t.batch},
                          {"step_seconds", t.step_s},
                          {"tokens_per_second", t.tokens_per_s()},
                          {"kv_bytes", KvBytes(t.batch)}};
    };
    ordered_json json = {{"context", options_.context},       {"threads", options_.threads},
                         {"kernels", BestKernels().name},     {"target_itl_seconds", Seconds(target_itl_)},
                         {"measured", TimesJson(a.measured)}, {"peak", time(a.batch.peak)},
                         {"choice", time(a.batch.choice)},    {"serve", ServeFlags(a)},
                         {"engines", a.many() ? 2 : 1}};
    if (sweep_) json["sweep"] = TimesJson(a.sweep);
    if (a.engines) {
      json["one_engine_tokens_per_second"] = a.engines->one_tokens_per_s;
      json["two_engines_tokens_per_second"] = a.engines->many_tokens_per_s;
    }
    return json.dump(2) + "\n";
  }

  std::string model_, kv_memory_, engines_ = "auto";
  TuneOptions options_;
  std::chrono::milliseconds target_itl_{500};
  int threads_ = 0;
  int64_t sequence_bytes_ = 1;
  bool sweep_ = false, json_ = false;
};

}  // namespace

std::unique_ptr<Verb> MakeTune() { return std::make_unique<TuneVerb>(); }

}  // namespace quire

// The measurements of `quire tune`: how long a step takes by the sequences that decode in it, on one engine
// or on several that share the machine.
#ifndef QUIRE_CLI_TUNE_BENCH_H_
#define QUIRE_CLI_TUNE_BENCH_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "quire/base/thread_pool.h"
#include "quire/cli/forward_bench.h"
#include "quire/files/model_files.h"
#include "quire/kv/layer_types.h"
#include "quire/policies/batch_advice.h"

namespace quire {

struct TuneOptions {
  int threads = 1;
  int64_t context = 1024;  // tokens of every sequence
  LayerTypes kv_types = DType::kF16;
  int page_tokens = 16;
  int64_t most = 256;  // sequences
  int rounds = 3;
};

// A model with threads and pages of its own, as an engine has them.
class TuneBench {
 public:
  // Errors: those of loading, kResourceExhausted where the pages do not fit.
  static Result<std::unique_ptr<TuneBench>> Load(std::shared_ptr<const ModelFiles> files,
                                                 const TuneOptions& options);

  // Of the fastest of several rounds: others on the machine only ever slow one down.
  BatchTime Measure(int64_t batch);
  const LanguageModel& model() const { return *model_; }

 private:
  TuneBench(const TuneOptions& options) : options_(options), pool_(options.threads) {}

  const TuneOptions options_;
  ThreadPool pool_;
  std::unique_ptr<LanguageModel> model_;
  std::optional<ForwardBench> bench_;
};

struct EngineComparison {
  int engines = 2;
  int threads_each = 1;
  int64_t batch_each = 1;
  double one_tokens_per_s = 0;   // one engine with all threads and the whole batch
  double many_tokens_per_s = 0;  // all together
  double step_s = 0;             // of each, beside the others

  bool many_are_faster() const { return many_tokens_per_s > kWorthwhile * one_tokens_per_s; }
  static constexpr double kWorthwhile = 1.03;  // each has weights of its own in memory
};

// `one` against two engines of half its threads and batch, in alternating rounds. Errors: those of loading.
Result<EngineComparison> CompareEngines(TuneBench& one, std::shared_ptr<const ModelFiles> files,
                                        TuneOptions options, int64_t batch);

}  // namespace quire

#endif  // QUIRE_CLI_TUNE_BENCH_H_

#include "quire/cli/tune_bench.h"

#include <algorithm>
#include <barrier>
#include <thread>

#include "quire/kernels/kernels.h"
#include "quire/model/transformer.h"

namespace quire {
namespace {

constexpr int64_t kSteps = 4;  // of every round

BenchCase CaseOf(const TuneOptions& options, int64_t batch) {
  // The last step is at the whole context.
  return {.batch = batch, .output_tokens = kSteps, .depth = std::max<int64_t>(0, options.context - kSteps)};
}

}  // namespace

Result<std::unique_ptr<TuneBench>> TuneBench::Load(std::shared_ptr<const ModelFiles> files,
                                                   const TuneOptions& options) {
  std::unique_ptr<TuneBench> tune(new TuneBench(options));
  const int64_t step_tokens = std::max<int64_t>(512, options.most);
  QUIRE_ASSIGN(tune->model_, LoadTransformer(std::move(files),
                                             {.kv_types = options.kv_types,
                                              .page_tokens = options.page_tokens,
                                              .max_step_tokens = step_tokens},
                                             BestKernels(), tune->pool_));
  QUIRE_ASSIGN(ForwardBench bench,
               ForwardBench::Create(*tune->model_, {CaseOf(options, options.most)}, step_tokens));
  tune->bench_.emplace(std::move(bench));
  tune->bench_->Run({.output_tokens = 1}, 1, [] {});
  return tune;
}

BatchTime TuneBench::Measure(int64_t batch) {
  const BenchResult result = bench_->Run(CaseOf(options_, batch), options_.rounds, [] {});
  return {batch, static_cast<double>(batch) / SpreadOf(result.tokens_per_second).max};
}

Result<EngineComparison> CompareEngines(TuneBench& one, std::shared_ptr<const ModelFiles> files,
                                        TuneOptions options, int64_t batch) {
  constexpr int kEngines = 2;
  const int rounds = options.rounds;
  options.threads = std::max(1, options.threads / kEngines);
  options.most = std::max<int64_t>(1, (batch + kEngines - 1) / kEngines);
  options.rounds = 1;
  std::vector<std::unique_ptr<TuneBench>> engines(kEngines);
  for (auto& engine : engines) {
    QUIRE_ASSIGN(engine, TuneBench::Load(files, options));
  }

  EngineComparison found{.engines = kEngines, .threads_each = options.threads, .batch_each = options.most};
  for (int round = 0; round < rounds; ++round) {
    found.one_tokens_per_s = std::max(found.one_tokens_per_s, one.Measure(batch).tokens_per_s());
    std::vector<BatchTime> times(kEngines);
    std::vector<std::thread> threads;
    std::barrier start(kEngines);
    for (int i = 0; i < kEngines; ++i) {
      threads.emplace_back([&, i] {
        start.arrive_and_wait();
        times[i] = engines[i]->Measure(options.most);
      });
    }
    double together = 0, slowest = 0;
    for (int i = 0; i < kEngines; ++i) {
      threads[i].join();
      together += times[i].tokens_per_s();
      slowest = std::max(slowest, times[i].step_s);
    }
    if (together <= found.many_tokens_per_s) continue;
    found.many_tokens_per_s = together;
    found.step_s = slowest;
  }
  return found;
}

}  // namespace quire

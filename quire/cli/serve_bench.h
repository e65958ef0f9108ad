// Times an engine that serves many users, in this process and without HTTP: each asks as soon as it has its
// answer. Prompts are random tokens, so that none begins like another.
#ifndef QUIRE_CLI_SERVE_BENCH_H_
#define QUIRE_CLI_SERVE_BENCH_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "quire/base/result.h"
#include "quire/base/thread_pool.h"
#include "quire/model/language_model.h"
#include "quire/sim/replay.h"

namespace quire {

struct ServeCase {
  static constexpr int64_t kTurnsPerUser = 2;

  int64_t users = 0;
  int64_t prompt_tokens = 0;  // of each request
  int64_t output_tokens = 0;  // likewise

  std::string Name() const;  // "16 users, 512 in, 64 out"
  int64_t longest() const { return prompt_tokens + output_tokens; }
};

struct ServeResult {
  ServeCase what;
  std::vector<double> tokens_per_second;  // of output, by repetition
  Quantiles first_token_s, gap_s;         // of the last repetition
};

// Errors: kInvalidArgument for a case beyond the model's context.
Status CheckFits(const ServeCase& what, const ModelInfo& model);

// Serves `repetitions` times what the case says, with pages for all of its users. `done` is called after
// every answer. REQUIRES: the case fits. Errors: kResourceExhausted where memory lacks, kInternal where a
// request failed.
Result<ServeResult> RunServeCase(LanguageModel& model, ThreadPool& pool, const ServeCase& what,
                                 int64_t step_tokens, const std::string& kv_layout, int repetitions,
                                 const std::function<void()>& done);

}  // namespace quire

#endif  // QUIRE_CLI_SERVE_BENCH_H_

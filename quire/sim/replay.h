// Lets an engine serve a workload, in real time or in that of a clock of its own, and writes down when every
// token came.
#ifndef QUIRE_SIM_REPLAY_H_
#define QUIRE_SIM_REPLAY_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "quire/base/clock.h"
#include "quire/engine/engine.h"
#include "quire/sim/workload.h"

namespace quire {

struct ReplayOptions {
  // 0: conversations begin when the workload says (open loop). Else so many are held at any time, one after
  // the other (closed loop).
  int users = 0;
  // Not null: time is this clock, which the engine and its model have too. The replay takes the engine's
  // steps itself, and moves the clock on to the next turn when there is nothing to do.
  ManualClock* clock = nullptr;
  std::function<void(int64_t done, int64_t all)> progress = {};  // in turns
};

enum class TurnEnd { kDone, kLeft, kFailed };

// One request, in seconds after the begin of the replay.
struct TurnRecord {
  double asked_s = 0, first_s = 0, last_s = 0;  // first and last: of its tokens
  std::vector<double> gaps_s;                   // between tokens that came apart
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;
  int64_t shared_tokens = 0;  // what a cache without limits would have had of the prompt
  int64_t output_tokens = 0;
  size_t conversation = 0;  // of the workload
  bool last = false;        // of its conversation
  TurnEnd end = TurnEnd::kDone;
  std::string failure;
};

struct ReplayResult {
  double seconds = 0;
  std::vector<TurnRecord> turns;  // in the order of their ends
};

// REQUIRES: the engine was started, unless there is a clock, and nobody else uses it.
ReplayResult Replay(Engine& engine, const Workload& workload, const ReplayOptions& options = {});

struct Quantiles {
  double mean = 0, p50 = 0, p90 = 0, p99 = 0, max = 0;
};
Quantiles QuantilesOf(std::vector<double> values);

// What one would tell of a replay; of times, only the turns that were done count.
struct ReplaySummary {
  int64_t done = 0, left = 0, failed = 0;
  int64_t prompt_tokens = 0, cached_tokens = 0, shared_tokens = 0, output_tokens = 0;
  double output_tokens_per_s = 0;
  double turns_per_s = 0;
  Quantiles first_token_s, gap_s, turn_s;
  Quantiles
      job_s;  // of conversations that were done: from the first prompt to the last token, pauses included
};
ReplaySummary Summarise(const ReplayResult& result);

}  // namespace quire

#endif  // QUIRE_SIM_REPLAY_H_

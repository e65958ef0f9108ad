// What a trace asks of a server, made to fit the machine at hand: lengths scaled to the model, arrivals to
// its speed, prompts that share what the trace says they share.
#ifndef QUIRE_SIM_WORKLOAD_H_
#define QUIRE_SIM_WORKLOAD_H_

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quire/base/token.h"
#include "quire/sim/trace_file.h"

namespace quire {

struct WorkloadOptions {
  double length_scale = 1;  // of prompts and outputs, and so of what they share
  double speed = 1;         // arrivals come so many times faster
  // Above 0: arrivals at the trace's mean rate, but with gaps of a Gamma distribution that has this
  // coefficient of variation, as BurstGPT (Wang et al., 2024, 3.2) found them; 1 is a Poisson process.
  double burst_cv = 0;
  // Of a conversation that every request begins, where the trace has none. Dialogues that follow each other
  // in the trace are one conversation until it has so many.
  int turns = 1;
  double think_s = 0;       // between an answer and the next turn, divided by speed as well
  double cancel_share = 0;  // of the conversations whose client leaves in the middle of an answer
  int64_t context = 0;      // longest prompt and output of the model; what exceeds it is cut
  int vocab = 0;            // token ids of prompts are below
  uint64_t seed = 1;
  // Makes tokens of what was said in a dialogue, and counts those of the answer. Its length is not scaled.
  std::function<std::vector<Token>(std::string_view)> tokenize = {};
};

struct Turn {
  double pause_s = 0;       // after the answer before it
  std::string tool;         // that ran meanwhile; empty: somebody thought
  std::vector<Token> said;  // behind all that was said and answered before
  int64_t output_tokens = 0;
  int64_t shared_tokens = 0;  // of the prompt: an earlier prompt of the trace began with them
};

struct Conversation {
  double arrival_s = 0;
  std::vector<Turn> turns;
  bool leaves = false;  // its client cancels in the middle of every answer
};

struct Workload {
  std::vector<Conversation> conversations;  // by arrival
  int64_t cut = 0;                          // conversations that did not fit the context whole
};

// The same workload for equal arguments, whatever the machine. REQUIRES: context and vocab of a model; the
// shares in [0, 1], all else positive; tokenize where the trace has dialogues.
Workload MakeWorkload(std::span<const TraceRequest> trace, const WorkloadOptions& options);

}  // namespace quire

#endif  // QUIRE_SIM_WORKLOAD_H_

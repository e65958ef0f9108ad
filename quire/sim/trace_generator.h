// Traces that nobody recorded, but that look like one that was: Gamma gaps of any burstiness, as BurstGPT
// (Wang et al. 2024, section 3.2) found them, the lengths of Azure's conversations or one for all, beginnings
// that all share, further turns, and failures.
#ifndef QUIRE_SIM_TRACE_GENERATOR_H_
#define QUIRE_SIM_TRACE_GENERATOR_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "quire/sim/trace_file.h"

namespace quire {

struct TraceOptions {
  int64_t requests = 1000;
  double rate = 5.53;         // requests a second, on average; Azure's
  double burst_cv = 1;        // coefficient of variation of the gaps; Azure's is 1
  double failure_share = 0;   // of the requests: they have no output
  int64_t prompt_tokens = 0;  // of every prompt; 0: as Azure's
  int64_t output_tokens = 0;  // of every output that is there; likewise
  int64_t shared_tokens = 0;  // before each first prompt, the same for all
  double turns = 1;           // of a conversation, on average; they are geometric
  double think_s = 10;        // before each turn but the first, on average; exponential
  uint64_t seed = 1;
};

// The same trace for equal options. What is new in a further turn is as long as a first prompt. REQUIRES: all
// positive but what may be 0, failure_share in [0, 1], turns at least 1, shared_tokens a multiple of
// kHashTokens.
std::vector<TraceRequest> GenerateTrace(const TraceOptions& options);

// JSON lines, which ParseTrace reads.
std::string TraceLines(std::span<const TraceRequest> trace);

// The largest distance between two distributions: Kolmogorov and Smirnov's statistic, in [0, 1]. REQUIRES:
// neither sample is empty.
double DistributionDistance(std::vector<double> a, std::vector<double> b);

}  // namespace quire

#endif  // QUIRE_SIM_TRACE_GENERATOR_H_

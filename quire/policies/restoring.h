// How much of a sequence to bring back from the tiers below, and how much to compute again: whatever ends
// sooner by what was measured of both.
//
// A sequence that was preempted can be swapped in or recomputed (vLLM, Kwon et al., SOSP 2023, 4.5, which
// asks the user to choose). Here the choice is made for each sequence and may be a part of it: its first
// pages come back, the rest is computed behind them.
//
// Facts: pages below with their tier and bytes, transfer times, step times. Cost: a sum for each page.
// Good when tiers differ in speed, or the disk is slower than the model. Loses nothing when all is fast: then
// all comes back. What it does not know is how busy the machine will be.
#ifndef QUIRE_POLICIES_RESTORING_H_
#define QUIRE_POLICIES_RESTORING_H_

#include <cstddef>
#include <cstdint>
#include <span>

#include "quire/policies/step_time.h"
#include "quire/policies/transfer_time.h"

namespace quire {

// One page of tokens of the sequence.
struct PageBelow {
  size_t tier = 0;    // the slowest that has a part of it: an index into RestoreFacts::tiers
  int64_t bytes = 0;  // to be moved
  bool end = true;    // a sequence can go on behind it; not so inside the gaps of sliding windows
};

// A place that pages come back from.
struct TierFacts {
  TransferTime read_time;
  int64_t bytes_before = 0;  // on their way from there for others
};

struct RestoreFacts {
  int64_t position = 0;  // tokens that the cache has
  int64_t tokens = 0;    // of the whole sequence
  int64_t page_tokens = 0;
  std::span<const PageBelow> pages;  // from page position / page_tokens on, without a gap
  std::span<const TierFacts> tiers;
  int64_t step_tokens = 0;  // that a step computes at most
  const StepTime& computation;
};

// The first so many of `pages` are to be brought back, the rest of the tokens computed. All of them as long
// as it is not known what computing a token takes.
size_t PagesToRestore(const RestoreFacts& facts);

}  // namespace quire

#endif  // QUIRE_POLICIES_RESTORING_H_

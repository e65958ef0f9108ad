// How one step's attention is cut into tasks. Positions are cut at multiples of kAttentionSplit, whatever the
// batch, so a row's partial results and the order of their merging depend on its position alone; how rows are
// grouped into blocks and blocks into tasks is free, and chosen for speed.
#ifndef QUIRE_MODEL_ATTENTION_PLAN_H_
#define QUIRE_MODEL_ATTENTION_PLAN_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "quire/kernels/kernels.h"
#include "quire/model/step_plan.h"

namespace quire {

// Positions [begin, end).
struct PositionRange {
  int64_t begin = 0;
  int64_t end = 0;

  bool empty() const { return begin >= end; }
  int64_t first_split() const { return begin / kAttentionSplit; }
  int64_t last_split() const { return (end - 1) / kAttentionSplit; }
  PositionRange InSplit(int64_t split) const {
    return {std::max(begin, split * kAttentionSplit), std::min(end, (split + 1) * kAttentionSplit)};
  }
};

// What a query at `position` sees. A window of 0 is none.
inline PositionRange VisibleRange(int64_t position, int64_t window) {
  return {window == 0 ? 0 : std::max<int64_t>(0, position + 1 - window), position + 1};
}

// Consecutive tokens of one sequence, which read their keys and values together.
struct AttentionBlock {
  int sequence = 0;
  int64_t first_row = 0;  // in the step
  int64_t tokens = 0;
  int64_t position = 0;  // of the first
  int64_t first_split = 0;
  int64_t splits = 0;
  // How many tasks share the block. With one, partial results stay with the worker; with several they meet in
  // shared memory, from slot `first_slot` on, and the task that finishes last merges them.
  int tasks = 1;
  int64_t first_slot = 0;

  // Partial results per query head.
  int64_t slots() const { return tokens * splits; }
};

// Some splits of a block, for one KV head.
struct AttentionTask {
  int block = 0;
  int64_t split_begin = 0;
  int64_t split_end = 0;
  int64_t cost = 0;  // pairs of query and key
};

struct AttentionPlan {
  int64_t window = 0;
  std::vector<AttentionBlock> blocks;
  std::vector<AttentionTask> tasks;  // the most expensive first
  int64_t shared_slots = 0;          // of all blocks with several tasks
  int64_t most_slots = 0;            // of the largest block with one task

  // Plans `step` for layers of `window`. A block has at most `block_tokens` tokens. With fewer than
  // `enough_blocks` blocks every block is cut at its splits; otherwise only single tokens are.
  void Build(const StepPlan& step, int64_t window, int64_t block_tokens, int64_t enough_blocks);
};

}  // namespace quire

#endif  // QUIRE_MODEL_ATTENTION_PLAN_H_

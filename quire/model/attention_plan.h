// How one step's attention is cut into tasks. Positions are cut at multiples of kAttentionSplit, whatever the
// batch, so a row's partial results and the order of their merging depend on its position alone; how rows are
// grouped into blocks and blocks into tasks is free, and chosen for speed.
//
// Sequences that share a beginning have the same pages there. Where blocks are cut at their splits, those
// that see the same pages of a split go into one task, so that the pages are read once for all of them: what
// ChunkAttention (Ye et al. 2024, section 3.3) and RelayAttention (Zhu et al. 2024, section 3.2) do for
// shared prompts, found by looking at the page tables.
#ifndef QUIRE_MODEL_ATTENTION_PLAN_H_
#define QUIRE_MODEL_ATTENTION_PLAN_H_

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "quire/kernels/kernels.h"
#include "quire/kv/kv_layout.h"
#include "quire/model/step_plan.h"

namespace quire {

// Positions [begin, end).
struct PositionRange {
  int64_t begin = 0;
  int64_t end = 0;

  bool empty() const { return begin >= end; }
  int64_t size() const { return end - begin; }
  int64_t first_split() const { return begin / kAttentionSplit; }
  int64_t last_split() const { return (end - 1) / kAttentionSplit; }
  PositionRange InSplit(int64_t split) const {
    return {std::max(begin, split * kAttentionSplit), std::min(end, (split + 1) * kAttentionSplit)};
  }
};

// Tokens of a block: query rows, over the heads that share a KV head, enough to use each key and value read
// many times, few enough that a prompt gives many tasks.
inline int64_t AttentionBlockTokens(int64_t heads_per_kv) {
  constexpr int64_t kBlockRows = 128;
  return std::max<int64_t>(1, kBlockRows / heads_per_kv);
}

// Blocks that keep all threads busy without cutting them at splits.
inline int64_t EnoughAttentionBlocks(int threads, int64_t kv_heads) {
  constexpr int64_t kTasksPerThread = 4;
  return kTasksPerThread * threads / kv_heads;
}

// What a query at `position` sees. A window of 0 is none.
inline PositionRange VisibleRange(int64_t position, int64_t window) {
  return {FirstVisible(position, window), position + 1};
}

// Consecutive tokens of one sequence, which read their keys and values together.
struct AttentionBlock {
  int sequence = 0;
  int64_t first_row = 0;  // in the step
  int64_t tokens = 0;
  int64_t position = 0;  // of the first
  int64_t first_split = 0;
  int64_t splits = 0;
  // How many tasks share the block. With one, partial results are merged as they come; with several they meet
  // in shared memory, from slot `first_slot` on, and the task that finishes last merges them.
  int tasks = 1;
  int64_t first_slot = 0;

  // Partial results per query head.
  int64_t slots() const { return tokens * splits; }
};

// What the tokens of a block, some or all of them, see in a split.
inline PositionRange VisibleInSplit(const AttentionBlock& block, int64_t split, int64_t window) {
  return PositionRange{VisibleRange(block.position, window).begin, block.position + block.tokens}.InSplit(
      split);
}

// Some splits of a block, for one KV head; or one split of several blocks that have the same pages there.
struct AttentionTask {
  int first_member = 0;  // of AttentionPlan::members
  int member_count = 1;
  int64_t split_begin = 0;
  int64_t split_end = 0;
  int64_t positions = 0;  // whose keys and values it reads
  int64_t cost = 0;       // pairs of query and key
};

class AttentionPlan {
 public:
  // For the layers with `window` of `layouts`, in which sequences have their pages. REQUIRES: all have the
  // same windows. With `leaves_out_selecting`, tokens that select their pages are not in the plan.
  AttentionPlan(std::span<const KvLayout> layouts, int64_t window, bool leaves_out_selecting = false);

  // Plans `step`. A block has at most `block_tokens` tokens, and so have blocks that share a task together.
  // With fewer than `enough_blocks` blocks every block is cut at its splits; otherwise only single tokens
  // are.
  void Build(const StepPlan& step, int64_t block_tokens, int64_t enough_blocks);

  int64_t window() const { return window_; }
  bool leaves_out_selecting() const { return leaves_out_selecting_; }
  const std::vector<AttentionBlock>& blocks() const { return blocks_; }
  const std::vector<AttentionTask>& tasks() const { return tasks_; }  // the most expensive first
  std::span<const int> BlocksOf(const AttentionTask& task) const {
    return {members_.data() + task.first_member, static_cast<size_t>(task.member_count)};
  }
  int64_t shared_slots() const { return shared_slots_; }  // of all blocks with several tasks
  // Of all tasks whose sequences have pages of the layout.
  int64_t positions(int layout = 0) const;

 private:
  // A split of a block that sees all of it, and the last page there, which few others have.
  struct WholeSplit {
    int64_t split;
    PageId page;
    int block;
  };

  void AddBlocks(const SequenceStep& step, int sequence, int64_t first_row, int64_t block_tokens);
  void AddTask(std::span<const int> blocks, int64_t split_begin, int64_t split_end);
  void AddSplits(int block);
  void AddWholeSplits(int64_t block_tokens);
  bool SeesWhole(const AttentionBlock& block, int64_t split) const;
  bool SamePages(const AttentionBlock& a, const AttentionBlock& b, int64_t split) const;
  std::span<const PageId> PagesOf(const AttentionBlock& block, size_t group, int64_t split) const;

  // Of a layout.
  struct Pages {
    int64_t tokens = 0;          // of a page
    std::vector<size_t> groups;  // layer groups of the window
  };
  const PageTable& TableOf(const AttentionBlock& block) const {
    return *step_->sequences[block.sequence].pages;
  }

  int64_t window_;
  bool leaves_out_selecting_;
  std::vector<Pages> pages_;  // by layout
  const StepPlan* step_ = nullptr;
  std::vector<AttentionBlock> blocks_;
  std::vector<AttentionTask> tasks_;
  std::vector<int> members_;  // blocks, task by task
  std::vector<WholeSplit> whole_splits_;
  std::vector<int> sharers_;  // blocks that share one split
  int64_t shared_slots_ = 0;
};

}  // namespace quire

#endif  // QUIRE_MODEL_ATTENTION_PLAN_H_

#include "quire/model/attention_plan.h"

namespace quire {
namespace {

void AddBlocks(const SequenceStep& step, int sequence, int64_t first_row, int64_t block_tokens,
               AttentionPlan& plan) {
  const int64_t tokens = std::ssize(step.tokens);
  for (int64_t t = 0; t < tokens; t += block_tokens) {
    AttentionBlock block;
    block.sequence = sequence;
    block.first_row = first_row + t;
    block.tokens = std::min(block_tokens, tokens - t);
    block.position = step.position + t;
    block.first_split = VisibleRange(block.position, plan.window).first_split();
    block.splits =
        VisibleRange(block.position + block.tokens - 1, plan.window).last_split() + 1 - block.first_split;
    plan.blocks.push_back(block);
  }
}

int64_t Cost(const AttentionBlock& block, int64_t split_begin, int64_t split_end, int64_t window) {
  int64_t cost = 0;
  for (int64_t t = 0; t < block.tokens; ++t) {
    const PositionRange seen = VisibleRange(block.position + t, window);
    const int64_t begin = std::max(seen.begin, split_begin * kAttentionSplit);
    const int64_t end = std::min(seen.end, split_end * kAttentionSplit);
    cost += std::max<int64_t>(0, end - begin);
  }
  return cost;
}

}  // namespace

void AttentionPlan::Build(const StepPlan& step, int64_t layer_window, int64_t block_tokens,
                          int64_t enough_blocks) {
  window = layer_window;
  blocks.clear();
  tasks.clear();
  shared_slots = most_slots = 0;
  int64_t row = 0;
  for (size_t i = 0; i < step.sequences.size(); ++i) {
    AddBlocks(step.sequences[i], static_cast<int>(i), row, block_tokens, *this);
    row += std::ssize(step.sequences[i].tokens);
  }
  const bool cut_all = std::ssize(blocks) < enough_blocks;
  for (size_t b = 0; b < blocks.size(); ++b) {
    AttentionBlock& block = blocks[b];
    const bool cut = block.splits > 1 && (cut_all || block.tokens == 1);
    const int64_t step_splits = cut ? 1 : block.splits;
    block.tasks = cut ? static_cast<int>(block.splits) : 1;
    if (cut) {
      block.first_slot = shared_slots;
      shared_slots += block.slots();
    } else {
      most_slots = std::max(most_slots, block.slots());
    }
    const int64_t end = block.first_split + block.splits;
    for (int64_t split = block.first_split; split < end; split += step_splits) {
      tasks.push_back(
          {static_cast<int>(b), split, split + step_splits, Cost(block, split, split + step_splits, window)});
    }
  }
  std::ranges::stable_sort(tasks, std::greater(), &AttentionTask::cost);
}

}  // namespace quire

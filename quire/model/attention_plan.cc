// Invariant: the splits of a block are all in one task, or each in a task of its own, which the block may
// share with others.
#include "quire/model/attention_plan.h"

#include <tuple>
#include <utility>

namespace quire {
namespace {

// Pairs of query and key in some splits of a block.
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

AttentionPlan::AttentionPlan(std::span<const KvLayout> layouts, int64_t window, bool leaves_out_selecting)
    : window_(window), leaves_out_selecting_(leaves_out_selecting) {
  for (const KvLayout& layout : layouts) {
    Pages& pages = pages_.emplace_back();
    pages.tokens = layout.page_tokens();
    for (size_t g = 0; g < layout.groups().size(); ++g) {
      if (layout.groups()[g].window == window) pages.groups.push_back(g);
    }
  }
}

void AttentionPlan::Build(const StepPlan& step, int64_t block_tokens, int64_t enough_blocks) {
  step_ = &step;
  blocks_.clear();
  tasks_.clear();
  members_.clear();
  whole_splits_.clear();
  shared_slots_ = 0;
  int64_t row = 0;
  for (size_t i = 0; i < step.sequences.size(); ++i) {
    AddBlocks(step.sequences[i], static_cast<int>(i), row, block_tokens);
    row += std::ssize(step.sequences[i].tokens);
  }
  const bool cut_all = std::ssize(blocks_) < enough_blocks;
  for (int b = 0; b < std::ssize(blocks_); ++b) {
    AttentionBlock& block = blocks_[b];
    if (block.splits > 1 && (cut_all || block.tokens == 1)) {
      AddSplits(b);
    } else {
      AddTask({&b, 1}, block.first_split, block.first_split + block.splits);
    }
  }
  AddWholeSplits(block_tokens);
  // Not stable_sort, which takes memory.
  std::ranges::sort(tasks_, {},
                    [](const AttentionTask& task) { return std::pair(-task.cost, task.first_member); });
}

void AttentionPlan::AddBlocks(const SequenceStep& step, int sequence, int64_t first_row,
                              int64_t block_tokens) {
  const int64_t tokens = leaves_out_selecting_ ? step.full_tokens() : std::ssize(step.tokens);
  for (int64_t t = 0; t < tokens; t += block_tokens) {
    AttentionBlock block;
    block.sequence = sequence;
    block.first_row = first_row + t;
    block.tokens = std::min(block_tokens, tokens - t);
    block.position = step.position + t;
    block.first_split = VisibleRange(block.position, window_).first_split();
    block.splits =
        VisibleRange(block.position + block.tokens - 1, window_).last_split() + 1 - block.first_split;
    blocks_.push_back(block);
  }
}

void AttentionPlan::AddTask(std::span<const int> blocks, int64_t split_begin, int64_t split_end) {
  AttentionTask task{.first_member = static_cast<int>(members_.size()),
                     .member_count = static_cast<int>(blocks.size()),
                     .split_begin = split_begin,
                     .split_end = split_end};
  for (int64_t split = split_begin; split < split_end; ++split) {
    task.positions += VisibleInSplit(blocks_[blocks.front()], split, window_).size();
  }
  for (const int b : blocks) task.cost += Cost(blocks_[b], split_begin, split_end, window_);
  members_.insert(members_.end(), blocks.begin(), blocks.end());
  tasks_.push_back(task);
}

int64_t AttentionPlan::positions(int layout) const {
  int64_t positions = 0;
  for (const AttentionTask& task : tasks_) {
    const AttentionBlock& first = blocks_[members_[task.first_member]];
    if (TableOf(first).layout == layout) positions += task.positions;
  }
  return positions;
}

// Cuts a block; splits that others may share wait for AddWholeSplits.
void AttentionPlan::AddSplits(int b) {
  AttentionBlock& block = blocks_[b];
  block.tasks = static_cast<int>(block.splits);
  block.first_slot = shared_slots_;
  shared_slots_ += block.slots();
  for (int64_t split = block.first_split; split < block.first_split + block.splits; ++split) {
    if (SeesWhole(block, split)) {
      const size_t group = pages_[TableOf(block).layout].groups.front();
      whole_splits_.push_back({split, PagesOf(block, group, split).back(), b});
    } else {
      AddTask({&b, 1}, split, split + 1);
    }
  }
}

void AttentionPlan::AddWholeSplits(int64_t block_tokens) {
  std::ranges::sort(whole_splits_, {},
                    [](const WholeSplit& s) { return std::tie(s.split, s.page, s.block); });
  for (size_t i = 0; i < whole_splits_.size();) {
    const int64_t split = whole_splits_[i].split;
    const AttentionBlock& first = blocks_[whole_splits_[i].block];
    sharers_.clear();
    int64_t tokens = 0;
    for (; i < whole_splits_.size() && whole_splits_[i].split == split; ++i) {
      const AttentionBlock& block = blocks_[whole_splits_[i].block];
      if (tokens > 0 && (tokens + block.tokens > block_tokens || !SamePages(first, block, split))) break;
      tokens += block.tokens;
      sharers_.push_back(whole_splits_[i].block);
    }
    AddTask(sharers_, split, split + 1);
  }
}

// Whether every token of the block sees all positions of the split.
bool AttentionPlan::SeesWhole(const AttentionBlock& block, int64_t split) const {
  return VisibleRange(block.position, window_).end >= (split + 1) * kAttentionSplit &&
         VisibleRange(block.position + block.tokens - 1, window_).begin <= split * kAttentionSplit;
}

bool AttentionPlan::SamePages(const AttentionBlock& a, const AttentionBlock& b, int64_t split) const {
  const int layout = TableOf(a).layout;
  if (TableOf(b).layout != layout) return false;
  return std::ranges::all_of(pages_[layout].groups, [&](size_t group) {
    return std::ranges::equal(PagesOf(a, group, split), PagesOf(b, group, split));
  });
}

std::span<const PageId> AttentionPlan::PagesOf(const AttentionBlock& block, size_t group,
                                               int64_t split) const {
  const PageTable& table = TableOf(block);
  const int64_t page_tokens = pages_[table.layout].tokens;
  const int64_t first = split * kAttentionSplit / page_tokens;
  const int64_t end = ((split + 1) * kAttentionSplit + page_tokens - 1) / page_tokens;
  return std::span(table.groups[group]).subspan(first, end - first);
}

}  // namespace quire

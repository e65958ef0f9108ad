#include "quire/model/attention.h"

#include <algorithm>
#include <bit>

namespace quire {
namespace {

// By doubling, so that sequences that get longer page by page take memory a few times in all.
template <typename T>
void GrowTo(std::vector<T>& vector, size_t size) {
  constexpr size_t kLeast = 64;
  if (vector.size() < size) vector.resize(std::bit_ceil(std::max(size, kLeast)));
}

}  // namespace

PagedAttention::PagedAttention(const KernelTable& kernels, ThreadPool& pool, const KvLayout& layout,
                               int64_t heads, AttentionParams params, bool exact)
    : kernels_(kernels),
      pool_(pool),
      layout_(layout),
      heads_per_kv_(heads / layout.kv_heads()),
      params_(params),
      attend_(exact || layout.type() == DType::kF32 ? kernels.attention : kernels.attention_bf16),
      scratch_(pool.threads()) {
  for (const LayerGroup& group : layout.groups()) {
    const auto same = std::ranges::find(plans_, group.window, &AttentionPlan::window);
    plan_of_group_.push_back(same - plans_.begin());
    if (same == plans_.end()) plans_.emplace_back(layout, group.window);
  }
}

void PagedAttention::Prepare(const StepPlan& plan) {
  step_ = &plan;
  const int64_t kv_heads = layout_.kv_heads();
  const int64_t block_tokens = AttentionBlockTokens(heads_per_kv_);
  const int64_t enough_blocks = EnoughAttentionBlocks(pool_.threads(), kv_heads);
  int64_t shared = 0, own = 0;
  size_t counters = 0, pages = 0;
  for (AttentionPlan& p : plans_) {
    p.Build(plan, block_tokens, enough_blocks);
    shared = std::max(shared, p.shared_slots());
    own = std::max(own, p.most_slots());
    counters = std::max(counters, p.blocks().size() * kv_heads);
  }
  for (const SequenceStep& s : plan.sequences) {
    for (const auto& group : s.pages->groups) pages = std::max(pages, group.size());
  }

  const int64_t head_dim = layout_.head_dim();
  GrowTo(shared_outs_, shared * kv_heads * heads_per_kv_ * head_dim);
  GrowTo(shared_lses_, shared * kv_heads * heads_per_kv_);
  for (Scratch& scratch : scratch_) {
    GrowTo(scratch.scores, AttentionScratchFloats(block_tokens * heads_per_kv_, layout_.head_dim()));
    GrowTo(scratch.partial_outs, own * heads_per_kv_ * head_dim);
    GrowTo(scratch.partial_lses, std::max(own, block_tokens) * heads_per_kv_);
    GrowTo(scratch.k_tiles, pages);
    GrowTo(scratch.v_tiles, pages);
    scratch.rows.reserve(block_tokens * heads_per_kv_);
  }
  if (open_tasks_size_ < counters) {
    open_tasks_ = std::make_unique<std::atomic<int>[]>(counters);
    open_tasks_size_ = counters;
  }
}

void PagedAttention::Run(int layer, const PagePool& pages, const AttentionIo& io) {
  const AttentionPlan& plan = PlanOf(layer);
  const int64_t kv_heads = layout_.kv_heads();
  for (size_t b = 0; b < plan.blocks().size(); ++b) {
    for (int64_t head = 0; head < kv_heads; ++head) {
      open_tasks_[b * kv_heads + head].store(plan.blocks()[b].tasks, std::memory_order_relaxed);
    }
  }
  pool_.Run(std::ssize(plan.tasks()) * kv_heads, [&](int64_t index, int worker) {
    RunTask({layer, index % kv_heads, pages, io, plan}, plan.tasks()[index / kv_heads], scratch_[worker]);
  });
}

void PagedAttention::RunTask(const Call& call, const AttentionTask& task, Scratch& scratch) {
  const std::span<const int> members = call.plan.BlocksOf(task);
  FindTiles(call, call.plan.blocks()[members.front()], task, scratch);
  for (int64_t split = task.split_begin; split < task.split_end; ++split) {
    scratch.rows.clear();
    for (const int b : members) AddRows(call, call.plan.blocks()[b], split, scratch);
    Attend(scratch);
  }
  // The last of a block's tasks sees what the others wrote, and merges.
  for (const int b : members) {
    const AttentionBlock& block = call.plan.blocks()[b];
    std::atomic<int>& open = open_tasks_[b * layout_.kv_heads() + call.kv_head];
    if (open.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      Merge(call, block, PartialsOf(call, block, scratch));
    }
  }
}

PagedAttention::Partials PagedAttention::PartialsOf(const Call& call, const AttentionBlock& block,
                                                    Scratch& scratch) {
  if (block.tasks == 1) return {scratch.partial_outs.data(), scratch.partial_lses.data()};
  const int64_t slot = (block.first_slot * layout_.kv_heads() + call.kv_head * block.slots()) * heads_per_kv_;
  return {shared_outs_.data() + slot * layout_.head_dim(), shared_lses_.data() + slot};
}

void PagedAttention::FindTiles(const Call& call, const AttentionBlock& block, const AttentionTask& task,
                               Scratch& scratch) const {
  const PositionRange range{
      std::max(task.split_begin * kAttentionSplit, VisibleRange(block.position, call.plan.window()).begin),
      std::min(task.split_end * kAttentionSplit, block.position + block.tokens)};
  const int kv_head = static_cast<int>(call.kv_head);
  const std::vector<PageId>& table =
      step_->sequences[block.sequence].pages->groups[layout_.group_of(call.layer)];
  const int64_t page_tokens = layout_.page_tokens();
  const size_t k_offset = layout_.KTileOffset(call.layer, kv_head);
  const size_t v_offset = layout_.VTileOffset(call.layer, kv_head);
  for (int64_t page = range.begin / page_tokens; page * page_tokens < range.end; ++page) {
    const std::byte* data = call.pages.data(table[page]);
    scratch.k_tiles[page] = data + k_offset;
    scratch.v_tiles[page] = data + v_offset;
  }
}

float* PagedAttention::Out(const Call& call, const AttentionBlock& block, int64_t token,
                           int64_t head_of_group) const {
  const int64_t head = call.kv_head * heads_per_kv_ + head_of_group;
  return call.io.out + (block.first_row + token) * call.io.out_stride + head * layout_.head_dim();
}

void PagedAttention::AddRows(const Call& call, const AttentionBlock& block, int64_t split, Scratch& scratch) {
  const Partials partials = PartialsOf(call, block, scratch);
  const int64_t head_dim = layout_.head_dim();
  for (int64_t t = 0; t < block.tokens; ++t) {
    const PositionRange seen = VisibleRange(block.position + t, call.plan.window());
    const PositionRange part = seen.InSplit(split);
    if (part.empty()) continue;
    const bool whole = seen.first_split() == seen.last_split();
    const float* q =
        call.io.q + (block.first_row + t) * call.io.q_stride + call.kv_head * heads_per_kv_ * head_dim;
    for (int64_t h = 0; h < heads_per_kv_; ++h) {
      const int64_t slot = (t * heads_per_kv_ + h) * block.splits + (split - block.first_split);
      scratch.rows.push_back({.q = q + h * head_dim,
                              .out = whole ? Out(call, block, t, h) : partials.outs + slot * head_dim,
                              .lse = partials.lses + slot,
                              .begin = part.begin,
                              .end = part.end});
    }
  }
}

void PagedAttention::Attend(Scratch& scratch) const {
  const AttentionPages pages{.type = layout_.type(),
                             .page_tokens = layout_.page_tokens(),
                             .head_dim = layout_.head_dim(),
                             .k_tiles = scratch.k_tiles.data(),
                             .v_tiles = scratch.v_tiles.data()};
  attend_(pages, params_, scratch.rows, scratch.scores.data());
}

void PagedAttention::Merge(const Call& call, const AttentionBlock& block, const Partials& partials) const {
  const int64_t head_dim = layout_.head_dim();
  for (int64_t t = 0; t < block.tokens; ++t) {
    const PositionRange seen = VisibleRange(block.position + t, call.plan.window());
    const int64_t first = seen.first_split(), parts = seen.last_split() + 1 - first;
    if (parts == 1) continue;
    for (int64_t h = 0; h < heads_per_kv_; ++h) {
      const int64_t slot = (t * heads_per_kv_ + h) * block.splits + (first - block.first_split);
      float lse;
      kernels_.merge_partials(partials.outs + slot * head_dim, partials.lses + slot, parts, head_dim,
                              Out(call, block, t, h), &lse);
    }
  }
}

}  // namespace quire

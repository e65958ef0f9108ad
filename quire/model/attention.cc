#include "quire/model/attention.h"

#include <algorithm>
#include <limits>

#include "quire/model/grow_to.h"

namespace quire {
namespace {

template <typename T>
size_t SizeOf(const std::vector<T>& vector) {
  return vector.capacity() * sizeof(T);
}

}  // namespace

PagedAttention::PagedAttention(const KernelTable& kernels, ThreadPool& pool,
                               std::span<const KvLayout> layouts, int64_t heads, AttentionParams params,
                               bool exact)
    : kernels_(kernels),
      pool_(pool),
      layouts_(layouts),
      kv_heads_(layouts.front().kv_heads()),
      head_dim_(layouts.front().head_dim()),
      heads_per_kv_(heads / kv_heads_),
      params_(params),
      exact_(exact),
      scratch_(pool.threads()) {
  const KvLayout& any = layouts.front();
  for (int layer = 0; layer < any.layers(); ++layer) {
    const int64_t window = any.groups()[any.group_of(layer)].window;
    const bool selects = any.has_summaries(layer);
    const auto same = std::ranges::find_if(plans_, [&](const AttentionPlan& plan) {
      return plan.window() == window && plan.leaves_out_selecting() == selects;
    });
    plan_of_layer_.push_back(same - plans_.begin());
    if (same == plans_.end()) plans_.emplace_back(layouts, window, selects);
  }
}

void PagedAttention::Prepare(const StepPlan& plan) {
  step_ = &plan;
  const int64_t block_tokens = AttentionBlockTokens(heads_per_kv_);
  const int64_t enough_blocks = EnoughAttentionBlocks(pool_.threads(), kv_heads_);
  int64_t shared = 0;
  size_t counters = 0;
  for (AttentionPlan& p : plans_) {
    p.Build(plan, block_tokens, enough_blocks);
    shared = std::max(shared, p.shared_slots());
    counters = std::max(counters, p.blocks().size() * kv_heads_);
  }

  GrowTo(shared_outs_, shared * kv_heads_ * heads_per_kv_ * head_dim_);
  GrowTo(shared_lses_, shared * kv_heads_ * heads_per_kv_);
  const int64_t rows = block_tokens * heads_per_kv_;
  for (Scratch& scratch : scratch_) {
    GrowTo(scratch.scores, AttentionScratchFloats(rows, head_dim_));
    GrowTo(scratch.partial_outs, rows * head_dim_);
    GrowTo(scratch.partial_lses, rows);
    GrowTo(scratch.lses, rows);
    scratch.rows.reserve(rows);
    scratch.k_tiles.reserve(kAttentionSplit / kPageLane);
    scratch.v_tiles.reserve(kAttentionSplit / kPageLane);
  }
  if (open_tasks_size_ < counters) {
    open_tasks_ = std::make_unique<std::atomic<int>[]>(counters);
    open_tasks_size_ = counters;
  }
}

void PagedAttention::Run(int layer, const PageArena& kv, const AttentionIo& io) {
  const AttentionPlan& plan = PlanOf(layer);
  for (size_t b = 0; b < plan.blocks().size(); ++b) {
    for (int64_t head = 0; head < kv_heads_; ++head) {
      open_tasks_[b * kv_heads_ + head].store(plan.blocks()[b].tasks, std::memory_order_relaxed);
    }
  }
  pool_.Run(std::ssize(plan.tasks()) * kv_heads_, [&](int64_t index, int worker) {
    RunTask({layer, index % kv_heads_, kv, io, plan}, plan.tasks()[index / kv_heads_], scratch_[worker]);
  });
}

void PagedAttention::RunTask(const Call& call, const AttentionTask& task, Scratch& scratch) {
  const std::span<const int> members = call.plan.BlocksOf(task);
  const AttentionBlock& first = call.plan.blocks()[members.front()];
  for (int64_t split = task.split_begin; split < task.split_end; ++split) {
    scratch.rows.clear();
    for (const int b : members) AddRows(call, call.plan.blocks()[b], split, scratch);
    Attend(call, first, split, scratch);
    if (first.tasks == 1) MergeSplit(call, first, split, scratch);
  }
  if (first.tasks == 1) return;
  // The last of a block's tasks sees what the others wrote, and merges.
  for (const int b : members) {
    std::atomic<int>& open = open_tasks_[b * kv_heads_ + call.kv_head];
    if (open.fetch_sub(1, std::memory_order_acq_rel) == 1) MergeSplits(call, call.plan.blocks()[b]);
  }
}

PagedAttention::Partial PagedAttention::SharedPartial(const Call& call, const AttentionBlock& block,
                                                      int64_t row, int64_t split) {
  const int64_t of_block = (block.first_slot * kv_heads_ + call.kv_head * block.slots()) * heads_per_kv_;
  const int64_t slot = of_block + row * block.splits + (split - block.first_split);
  return {&shared_outs_[slot * head_dim_], &shared_lses_[slot]};
}

float* PagedAttention::Out(const Call& call, const AttentionBlock& block, int64_t token,
                           int64_t head_of_group) const {
  const int64_t head = call.kv_head * heads_per_kv_ + head_of_group;
  return call.io.out + (block.first_row + token) * call.io.out_stride + head * head_dim_;
}

void PagedAttention::AddRows(const Call& call, const AttentionBlock& block, int64_t split, Scratch& scratch) {
  for (int64_t t = 0; t < block.tokens; ++t) {
    const PositionRange seen = VisibleRange(block.position + t, call.plan.window());
    const PositionRange part = seen.InSplit(split);
    if (part.empty()) continue;
    const float* q =
        call.io.q + (block.first_row + t) * call.io.q_stride + call.kv_head * heads_per_kv_ * head_dim_;
    for (int64_t h = 0; h < heads_per_kv_; ++h) {
      const int64_t row = t * heads_per_kv_ + h;
      Partial to{&scratch.partial_outs[row * head_dim_], &scratch.partial_lses[row]};
      if (block.tasks > 1) {
        to = SharedPartial(call, block, row, split);
      } else if (split == seen.first_split()) {
        to = {Out(call, block, t, h), &scratch.lses[row]};
      }
      scratch.rows.push_back(
          {.q = q + h * head_dim_, .out = to.out, .lse = to.lse, .begin = part.begin, .end = part.end});
    }
  }
}

void PagedAttention::Attend(const Call& call, const AttentionBlock& block, int64_t split,
                            Scratch& scratch) const {
  const PositionRange seen = VisibleInSplit(block, split, call.plan.window());
  const PageTable& pages_of = *step_->sequences[block.sequence].pages;
  const KvLayout& layout = layouts_[pages_of.layout];
  const std::vector<PageId>& table = pages_of.groups[layout.group_of(call.layer)];
  const int64_t page_tokens = layout.page_tokens(), first_page = seen.begin / page_tokens;
  const int kv_head = static_cast<int>(call.kv_head);
  const TilePlace k = layout.KTile(call.layer, kv_head), v = layout.VTile(call.layer, kv_head);
  scratch.k_tiles.clear();
  scratch.v_tiles.clear();
  for (int64_t page = first_page; page * page_tokens < seen.end; ++page) {
    scratch.k_tiles.push_back(call.kv.tile(table[page], k));
    scratch.v_tiles.push_back(call.kv.tile(table[page], v));
  }
  const DType type = layout.type(call.layer);
  const AttentionPages pages{.type = type,
                             .page_tokens = layout.page_tokens(),
                             .head_dim = layout.head_dim(),
                             .k_tiles = scratch.k_tiles.data(),
                             .v_tiles = scratch.v_tiles.data(),
                             .first_page = first_page};
  const bool floats = exact_ || type == DType::kF32;
  (floats ? kernels_.attention : kernels_.attention_bf16)(pages, params_, scratch.rows,
                                                          scratch.scores.data());
}

// Merges what a block with one task has of a split with what it has of those before.
void PagedAttention::MergeSplit(const Call& call, const AttentionBlock& block, int64_t split,
                                Scratch& scratch) const {
  for (int64_t t = 0; t < block.tokens; ++t) {
    const PositionRange seen = VisibleRange(block.position + t, call.plan.window());
    if (split <= seen.first_split() || split > seen.last_split()) continue;
    for (int64_t h = 0; h < heads_per_kv_; ++h) {
      const int64_t row = t * heads_per_kv_ + h;
      kernels_.merge_partial(&scratch.partial_outs[row * head_dim_], scratch.partial_lses[row], head_dim_,
                             Out(call, block, t, h), &scratch.lses[row]);
    }
  }
}

// Merges what several tasks left of a block, in the same order.
void PagedAttention::MergeSplits(const Call& call, const AttentionBlock& block) {
  for (int64_t t = 0; t < block.tokens; ++t) {
    const PositionRange seen = VisibleRange(block.position + t, call.plan.window());
    for (int64_t h = 0; h < heads_per_kv_; ++h) {
      const int64_t row = t * heads_per_kv_ + h;
      float* out = Out(call, block, t, h);
      float lse = -std::numeric_limits<float>::infinity();
      for (int64_t split = seen.first_split(); split <= seen.last_split(); ++split) {
        const Partial part = SharedPartial(call, block, row, split);
        if (split == seen.first_split()) {
          std::copy_n(part.out, head_dim_, out);
          lse = *part.lse;
        } else {
          kernels_.merge_partial(part.out, *part.lse, head_dim_, out, &lse);
        }
      }
    }
  }
}

size_t PagedAttention::BytesRead() const {
  size_t bytes = 0;
  for (size_t i = 0; i < layouts_.size(); ++i) {
    for (int layer = 0; layer < layouts_[i].layers(); ++layer) {
      bytes += PlanOf(layer).positions(static_cast<int>(i)) * layouts_[i].LayerBytesPerToken(layer);
    }
  }
  return bytes;
}

size_t PagedAttention::ScratchBytes() const {
  size_t bytes = SizeOf(shared_outs_) + SizeOf(shared_lses_);
  for (const Scratch& s : scratch_) {
    bytes += SizeOf(s.scores) + SizeOf(s.rows) + SizeOf(s.k_tiles) + SizeOf(s.v_tiles) +
             SizeOf(s.partial_outs) + SizeOf(s.partial_lses) + SizeOf(s.lses);
  }
  return bytes;
}

}  // namespace quire

// Attention of all rows of a step over the pages of their sequences, in parallel over sequences, KV heads,
// blocks of query rows and splits of positions. A row's result is bitwise the same whatever else is in the
// step and however many threads there are. Queries that select their pages are SelectedAttention's, in the
// layers whose pages have summaries.
#ifndef QUIRE_MODEL_ATTENTION_H_
#define QUIRE_MODEL_ATTENTION_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "quire/base/thread_pool.h"
#include "quire/kernels/kernels.h"
#include "quire/kv/kv_layout.h"
#include "quire/kv/page_arena.h"
#include "quire/model/attention_plan.h"
#include "quire/model/step_plan.h"

namespace quire {

// Rows of query heads, and where their results go.
struct AttentionIo {
  const float* q = nullptr;  // row r at q + r * q_stride: heads * head_dim floats
  int64_t q_stride = 0;
  float* out = nullptr;  // row r at out + r * out_stride
  int64_t out_stride = 0;
};

class PagedAttention {
 public:
  // The references and layouts outlive the object. REQUIRES: the layouts are of the same layers and heads.
  // `exact` computes with floats; else with bfloats, where the pages hold
  // 16 bits or less and the processor can.
  PagedAttention(const KernelTable& kernels, ThreadPool& pool, std::span<const KvLayout> layouts,
                 int64_t heads, AttentionParams params, bool exact);

  // Plans a step; `plan` must stay as it is until the last Run of the step.
  void Prepare(const StepPlan& plan);

  // REQUIRES: the keys and values of the step are stored.
  void Run(int layer, const PageArena& kv, const AttentionIo& io);

  // Of keys and values that the layers of the planned step read.
  size_t BytesRead() const;
  // Of what is kept beside the results: what a step needs, at its largest so far.
  size_t ScratchBytes() const;

 private:
  // What one thread needs for one split of one task: none of it grows with the length of a sequence.
  struct Scratch {
    std::vector<float> scores;
    std::vector<AttentionRow> rows;
    std::vector<const std::byte*> k_tiles;
    std::vector<const std::byte*> v_tiles;
    // Of a block with one task, by query row: the last partial result, and the log-sum-exp of those before
    // it, which are merged where the result goes.
    std::vector<float> partial_outs;
    std::vector<float> partial_lses;
    std::vector<float> lses;
  };
  // Where a partial result goes.
  struct Partial {
    float* out;
    float* lse;
  };
  struct Call {
    int layer;
    int64_t kv_head;
    const PageArena& kv;
    const AttentionIo& io;
    const AttentionPlan& plan;
  };

  void RunTask(const Call& call, const AttentionTask& task, Scratch& scratch);
  void AddRows(const Call& call, const AttentionBlock& block, int64_t split, Scratch& scratch);
  void Attend(const Call& call, const AttentionBlock& block, int64_t split, Scratch& scratch) const;
  void MergeSplit(const Call& call, const AttentionBlock& block, int64_t split, Scratch& scratch) const;
  void MergeSplits(const Call& call, const AttentionBlock& block);
  Partial SharedPartial(const Call& call, const AttentionBlock& block, int64_t row, int64_t split);
  float* Out(const Call& call, const AttentionBlock& block, int64_t token, int64_t head_of_group) const;
  const AttentionPlan& PlanOf(int layer) const { return plans_[plan_of_layer_[layer]]; }

  const KernelTable& kernels_;
  ThreadPool& pool_;
  const std::span<const KvLayout> layouts_;
  const int64_t kv_heads_, head_dim_;
  const int64_t heads_per_kv_;
  const AttentionParams params_;
  const bool exact_;

  const StepPlan* step_ = nullptr;
  std::vector<AttentionPlan> plans_;  // for every window, with and without what selects
  std::vector<size_t> plan_of_layer_;
  std::vector<Scratch> scratch_;  // by worker
  std::vector<float> shared_outs_, shared_lses_;
  // Tasks still to come, by plan block and KV head; whoever brings one to zero resets it for the next layer.
  // Plans take turns: only one runs at a time, so one array, filled per Run, serves all.
  std::unique_ptr<std::atomic<int>[]> open_tasks_;
  size_t open_tasks_size_ = 0;
};

}  // namespace quire

#endif  // QUIRE_MODEL_ATTENTION_H_

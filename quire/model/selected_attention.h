// Attention of queries that read only some of their sequence's pages: a policy chooses them for each query
// and KV head, by summaries of the keys that lie in the pages. Positions stay those of the text, since keys
// are rotated before they are stored. With all pages chosen results are those of PagedAttention, bit by bit;
// and whatever is chosen, they depend on the query's own sequence only.
#ifndef QUIRE_MODEL_SELECTED_ATTENTION_H_
#define QUIRE_MODEL_SELECTED_ATTENTION_H_

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "quire/base/thread_pool.h"
#include "quire/kernels/kernels.h"
#include "quire/kv/kv_layout.h"
#include "quire/kv/page_arena.h"
#include "quire/model/attention.h"
#include "quire/model/step_plan.h"
#include "quire/policies/selection.h"

namespace quire {

class SelectedAttention {
 public:
  // As PagedAttention has them. REQUIRES: the layers that the policy lets select, and have no window, have
  // summaries in all layouts; others have none.
  SelectedAttention(const KernelTable& kernels, ThreadPool& pool, std::span<const KvLayout> layouts,
                    int64_t heads, AttentionParams params, bool exact,
                    std::shared_ptr<const SelectionPolicy> policy);

  // Plans a step; `plan` must stay as it is until the last Run of the step.
  void Prepare(const StepPlan& plan);

  // Summarizes the keys of the pages that this step fills. REQUIRES: its keys and values are stored.
  void Summarize(int layer, const PageArena& kv);

  // Computes the queries that select, where the layer lets them. REQUIRES: the step's pages are summarized.
  void Run(int layer, const PageArena& kv, const AttentionIo& io);

 private:
  // A query that selects, over all its heads.
  struct Query {
    const PageTable* table;
    int64_t row;  // in the step
    int64_t position;
  };
  struct FullPage {
    const PageTable* table;
    int64_t page;
  };
  struct Scratch {
    std::vector<const std::byte*> summaries;  // of the pages before the query's; extremes one by one
    std::vector<float> page_scores;           // first of the summaries
    std::vector<int64_t> pages;
    std::vector<const std::byte*> k_tiles, v_tiles;
    std::vector<AttentionRow> rows;
    std::vector<float> scores, partial_outs, partial_lses, lses;
    std::vector<float> summarizing;
  };
  struct Call {
    int layer;
    int kv_head;
    const PageArena& kv;
    const AttentionIo& io;
  };

  bool LayerSelects(int layer) const { return layouts_.front().has_summaries(layer); }
  const float* QueriesOf(const Call& call, const Query& query) const;
  void BoundPages(const Call& call, const Query& query, int64_t pages, Scratch& scratch) const;
  void EstimatePages(const Call& call, const Query& query, int64_t pages, Scratch& scratch) const;
  void ChoosePages(const Call& call, const Query& query, Scratch& scratch) const;
  void Attend(const Call& call, const Query& query, Scratch& scratch) const;

  const KernelTable& kernels_;
  ThreadPool& pool_;
  const std::span<const KvLayout> layouts_;
  const int64_t kv_heads_, head_dim_, heads_per_kv_;
  const AttentionParams params_;
  const bool exact_;
  const std::shared_ptr<const SelectionPolicy> policy_;

  std::vector<Query> queries_;
  std::vector<FullPage> full_pages_;
  std::vector<Scratch> scratch_;  // by worker
};

}  // namespace quire

#endif  // QUIRE_MODEL_SELECTED_ATTENTION_H_

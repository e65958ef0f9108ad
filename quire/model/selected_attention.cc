// Invariant: the pages before a query's own are full and summarized, by this step or by one before; so what a
// query chooses does not depend on how its sequence was cut into steps.
#include "quire/model/selected_attention.h"

#include <algorithm>
#include <utility>

#include "quire/kernels/page_summary.h"
#include "quire/model/attention_plan.h"
#include "quire/model/grow_to.h"

namespace quire {
namespace {

const std::vector<PageId>& PagesOf(const PageTable& table, const KvLayout& layout, int layer) {
  return table.groups[layout.group_of(layer)];
}

}  // namespace

SelectedAttention::SelectedAttention(const KernelTable& kernels, ThreadPool& pool,
                                     std::span<const KvLayout> layouts, int64_t heads, AttentionParams params,
                                     bool exact, std::shared_ptr<const SelectionPolicy> policy)
    : kernels_(kernels),
      pool_(pool),
      layouts_(layouts),
      kv_heads_(layouts.front().kv_heads()),
      head_dim_(layouts.front().head_dim()),
      heads_per_kv_(heads / kv_heads_),
      params_(params),
      exact_(exact),
      policy_(std::move(policy)),
      scratch_(pool.threads()) {
  const int most_page_tokens = std::ranges::max_element(layouts_, {}, &KvLayout::page_tokens)->page_tokens();
  for (Scratch& scratch : scratch_) {
    scratch.scores.resize(AttentionScratchFloats(heads_per_kv_, static_cast<int>(head_dim_)));
    scratch.partial_outs.resize(heads_per_kv_ * head_dim_);
    scratch.partial_lses.resize(heads_per_kv_);
    scratch.lses.resize(heads_per_kv_);
    scratch.rows.resize(heads_per_kv_);
    scratch.summarizing.resize(SummaryScratchFloats(most_page_tokens, static_cast<int>(head_dim_)));
  }
}

void SelectedAttention::Prepare(const StepPlan& plan) {
  queries_.clear();
  full_pages_.clear();
  int64_t row = 0, most_pages = 0, most_summaries = 0;
  for (const SequenceStep& step : plan.sequences) {
    const int64_t page_tokens = layouts_[step.pages->layout].page_tokens();
    const int64_t tokens = std::ssize(step.tokens), end = step.position + tokens;
    for (int64_t t = step.full_tokens(); t < tokens; ++t) {
      queries_.push_back({step.pages, row + t, step.position + t});
      most_pages = std::max(most_pages, (step.position + t) / page_tokens);
      most_summaries = std::max(most_summaries, (step.position + t) / kExtremesTokens);
    }
    for (int64_t page = step.position / page_tokens; page < end / page_tokens; ++page) {
      full_pages_.push_back({step.pages, page});
    }
    row += tokens;
  }
  for (Scratch& scratch : scratch_) {
    GrowTo(scratch.summaries, most_summaries);
    GrowTo(scratch.page_scores, most_summaries * heads_per_kv_);
    GrowTo(scratch.k_tiles, most_pages + 1);
    GrowTo(scratch.v_tiles, most_pages + 1);
    scratch.pages.reserve(scratch.k_tiles.size());
  }
}

void SelectedAttention::Summarize(int layer, const PageArena& kv) {
  if (!LayerSelects(layer)) return;
  pool_.Run(std::ssize(full_pages_) * kv_heads_, [&](int64_t task, int worker) {
    const FullPage& full = full_pages_[task / kv_heads_];
    const int head = static_cast<int>(task % kv_heads_);
    const KvLayout& layout = layouts_[full.table->layout];
    const PageId page = PagesOf(*full.table, layout, layer)[full.page];
    const FullPageTiles tiles{layout.type(layer), layout.page_tokens(), layout.head_dim(),
                              kv.tile(page, layout.KTile(layer, head)),
                              kv.tile(page, layout.VTile(layer, head))};
    SummarizeKeys(kernels_, layout.summaries(layer), tiles, scratch_[worker].summarizing.data(),
                  kv.tile(page, layout.Summary(layer, head)));
  });
}

void SelectedAttention::Run(int layer, const PageArena& kv, const AttentionIo& io) {
  if (!LayerSelects(layer)) return;
  pool_.Run(std::ssize(queries_) * kv_heads_, [&](int64_t task, int worker) {
    const Call call{layer, static_cast<int>(task % kv_heads_), kv, io};
    const Query& query = queries_[task / kv_heads_];
    ChoosePages(call, query, scratch_[worker]);
    Attend(call, query, scratch_[worker]);
  });
}

const float* SelectedAttention::QueriesOf(const Call& call, const Query& query) const {
  return call.io.q + query.row * call.io.q_stride + call.kv_head * heads_per_kv_ * head_dim_;
}

void SelectedAttention::ChoosePages(const Call& call, const Query& query, Scratch& scratch) const {
  const int64_t own_page = query.position / layouts_[query.table->layout].page_tokens();
  scratch.pages.clear();
  if (own_page > 0) {
    const bool bounds = layouts_[query.table->layout].summaries(call.layer) == SummaryKind::kExtremes;
    bounds ? BoundPages(call, query, own_page, scratch) : EstimatePages(call, query, own_page, scratch);
    const std::span<float> scores = std::span(scratch.page_scores).first(own_page * heads_per_kv_);
    for (float& score : scores) score *= params_.scale;
    policy_->Select({own_page, scores}, scratch.pages);
  }
  scratch.pages.push_back(own_page);
}

// A page's bound is the largest of its extremes'.
void SelectedAttention::BoundPages(const Call& call, const Query& query, int64_t pages,
                                   Scratch& scratch) const {
  const KvLayout& layout = layouts_[query.table->layout];
  const std::vector<PageId>& table = PagesOf(*query.table, layout, call.layer);
  const TilePlace place = layout.Summary(call.layer, call.kv_head);
  const int64_t parts = layout.page_tokens() / kExtremesTokens, part_bytes = ExtremesBytes(layout.head_dim());
  for (int64_t i = 0; i < pages * parts; ++i) {
    scratch.summaries[i] = call.kv.tile(table[i / parts], place) + i % parts * part_bytes;
  }
  kernels_.bound_scores(std::span(scratch.summaries).first(pages * parts), head_dim_, QueriesOf(call, query),
                        heads_per_kv_, scratch.page_scores.data());
  for (int64_t i = 0; i < pages * heads_per_kv_; ++i) {
    const auto of_page = std::span(scratch.page_scores).subspan(i * parts, parts);
    scratch.page_scores[i] = *std::ranges::max_element(of_page);
  }
}

void SelectedAttention::EstimatePages(const Call& call, const Query& query, int64_t pages,
                                      Scratch& scratch) const {
  const KvLayout& layout = layouts_[query.table->layout];
  const std::vector<PageId>& table = PagesOf(*query.table, layout, call.layer);
  const TilePlace place = layout.Summary(call.layer, call.kv_head);
  for (int64_t i = 0; i < pages; ++i) scratch.summaries[i] = call.kv.tile(table[i], place);
  kernels_.score_keys(std::span(scratch.summaries).first(pages), layout.page_tokens(), layout.head_dim(),
                      QueriesOf(call, query), heads_per_kv_, scratch.scores.data(),
                      scratch.page_scores.data());
}

// The chosen pages as if they were a sequence of their own: what it has at its end is the query's page.
void SelectedAttention::Attend(const Call& call, const Query& query, Scratch& scratch) const {
  const KvLayout& layout = layouts_[query.table->layout];
  const std::vector<PageId>& table = PagesOf(*query.table, layout, call.layer);
  const TilePlace k = layout.KTile(call.layer, call.kv_head), v = layout.VTile(call.layer, call.kv_head);
  for (size_t i = 0; i < scratch.pages.size(); ++i) {
    scratch.k_tiles[i] = call.kv.tile(table[scratch.pages[i]], k);
    scratch.v_tiles[i] = call.kv.tile(table[scratch.pages[i]], v);
  }
  const AttentionPages pages{.type = layout.type(call.layer),
                             .page_tokens = layout.page_tokens(),
                             .head_dim = layout.head_dim(),
                             .k_tiles = scratch.k_tiles.data(),
                             .v_tiles = scratch.v_tiles.data()};
  const auto attention = exact_ || pages.type == DType::kF32 ? kernels_.attention : kernels_.attention_bf16;

  const int64_t last =
      (std::ssize(scratch.pages) - 1) * pages.page_tokens + query.position % pages.page_tokens;
  const PositionRange seen = VisibleRange(last, 0);
  const float* q = QueriesOf(call, query);
  float* out = call.io.out + query.row * call.io.out_stride + call.kv_head * heads_per_kv_ * head_dim_;
  for (int64_t split = 0; split <= seen.last_split(); ++split) {
    const PositionRange part = seen.InSplit(split);
    for (int64_t h = 0; h < heads_per_kv_; ++h) {
      const bool first = split == 0;
      scratch.rows[h] = {.q = q + h * head_dim_,
                         .out = first ? out + h * head_dim_ : &scratch.partial_outs[h * head_dim_],
                         .lse = first ? &scratch.lses[h] : &scratch.partial_lses[h],
                         .begin = part.begin,
                         .end = part.end};
    }
    attention(pages, params_, scratch.rows, scratch.scores.data());
    for (int64_t h = 0; split > 0 && h < heads_per_kv_; ++h) {
      kernels_.merge_partial(&scratch.partial_outs[h * head_dim_], scratch.partial_lses[h], head_dim_,
                             out + h * head_dim_, &scratch.lses[h]);
    }
  }
}

}  // namespace quire

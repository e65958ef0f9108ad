#include "quire/model/transformer.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "quire/base/check.h"
#include "quire/kv/equal_pages.h"
#include "quire/model/attention.h"
#include "quire/model/config.h"
#include "quire/model/linear.h"
#include "quire/model/rope.h"
#include "quire/model/selected_attention.h"
#include "quire/model/step_memory.h"
#include "quire/model/weights.h"

// The forward pass. Rows are the step's tokens in plan order. A layer is a handful of parallel regions over
// rows or over panels of weights:
//
//   normed   = norm(residual)                         rows, with the addition before it
//   qkv      = normed x Wq, Wk, Wv                    panels
//   q, k     = rope(norm(q)), rope(norm(k)); store    rows
//   summaries of the keys of pages that got full      pages, where queries select by them
//   attended = attention                              sequences, heads, splits
//   added    = attended x Wo                          panels
//   residual += norm(added); normed = norm(residual)  rows
//   gated    = act(normed x Wgate) * (normed x Wup)   panels, quantized in place
//   added    = gated x Wdown                          panels
//
// A single row needs no region over rows. After the last layer's attention only rows whose logits are wanted
// go on.

namespace quire {
namespace {

// Panels of the output matrix whose two products are added while they are in the cache.
constexpr int64_t kHeadPanels = 64;
constexpr int64_t kHeadScratchFloats = 2 * kLogitsRows * kHeadPanels * kPanelRows;

// Columns of gate and up that a worker computes at a time, so many that both stay in its second-level cache.
constexpr int64_t kGatedFloats = 128 << 10;

struct StepRow {
  Token token = 0;
  int sequence = 0;
  int64_t position = 0;       // in the page table
  int64_t text_position = 0;  // beyond it by what the table left out
};

class Transformer final : public LanguageModel {
 public:
  Transformer(std::shared_ptr<const ModelFiles> files, ModelConfig config, Weights weights,
              std::vector<KvLayout> layouts, StepMemory memory, AlignedBuffer gated_scratch,
              const ModelOptions& options, const KernelTable& kernels, ThreadPool& pool);

  const ModelInfo& info() const override { return info_; }
  std::span<const KvLayout> kv_layouts() const override { return layouts_; }
  void Forward(const StepPlan& plan, const PageArena& kv, const LogitsSink& sink) override;

 private:
  void ListRows(const StepPlan& plan);
  void Embed();
  void ProjectAndStore(int layer, const StepPlan& plan, const PageArena& kv);
  void RotateAndStore(int layer, int64_t row, const PageTable& table, const PageArena& kv);
  void Attend(int layer, const PageArena& kv);
  void KeepWantedRows();
  void FeedForward(const LayerWeights& layer);
  int64_t GatedPanels(int64_t panels) const;
  void AddAndNorm(const float* post_norm, const float* next_norm, Forms wanted);
  void NormRow(int64_t row, const float* norm, Forms wanted);
  Activations HeadRows(int64_t begin, int64_t count);
  void MultiplyHead(const Activations& x, int64_t count, int64_t panel_begin, int64_t panel_end,
                    float* scratch);
  void Logits(const LogitsSink& sink);

  int64_t rows() const { return std::ssize(rows_); }
  Activations Normed() const { return memory_.normed.Rows(0, rows()); }
  int64_t qkv_stride() const { return config_.q_dim() + 2 * config_.kv_dim(); }

  // What a layer is multiplied with in this step.
  Form FormOf(const Linear& linear) const {
    return wide_ && linear.matrix.HasWideGroups() ? Form::kWide : linear.form;
  }
  Forms FormsOf(std::initializer_list<const Linear*> readers) const {
    Forms forms;
    for (const Linear* linear : readers) forms.Add(FormOf(*linear));
    return forms;
  }
  Forms AttentionWants(const LayerWeights& layer) const { return FormsOf({&layer.q, &layer.k, &layer.v}); }
  Product ProductOf(const Linear& linear, float* y, int64_t y_stride) const {
    return {&linear, FormOf(linear), y, y_stride};
  }

  // Calls fn(row) for all rows, in parallel where they are worth it; `floats` is about what a row touches.
  template <typename Fn>
  void ForEachRow(int64_t floats, Fn fn);

  const std::shared_ptr<const ModelFiles> files_;  // holds the embedding
  const ModelConfig config_;
  const Weights weights_;
  const std::vector<KvLayout> layouts_;
  const KernelTable& kernels_;
  ThreadPool& pool_;
  const int64_t max_rows_;
  const bool fast_prefill_;
  const StepMemory memory_;
  const RopeFrequencies rope_, local_rope_;
  PagedAttention attention_;
  std::optional<SelectedAttention> selected_attention_;
  std::vector<float> head_scratch_;  // kHeadScratchFloats a worker
  const AlignedBuffer gated_scratch_;
  ModelInfo info_;

  // Of the current step.
  std::vector<StepRow> rows_;
  bool wide_ = false;            // weights are multiplied in wide groups where they have such
  std::vector<int64_t> wanted_;  // rows whose logits are wanted
  std::vector<LogitsRow> logits_rows_;
};

// What a worker needs to compute gate and up in: kGatedFloats each, or one group of columns of all rows.
size_t GatedScratchBytes(int64_t rows) {
  return static_cast<size_t>(2 * std::max(kGatedFloats, rows * kWideGroup)) * sizeof(float);
}

AttentionParams AttentionParamsOf(const ModelConfig& config) {
  return {.scale = config.attention_scale, .softcap = config.attention_softcap};
}

int64_t ServedContext(const ModelConfig& config, const ModelOptions& options) {
  return options.context_length > 0 ? options.context_length : config.context_length;
}

Transformer::Transformer(std::shared_ptr<const ModelFiles> files, ModelConfig config, Weights weights,
                         std::vector<KvLayout> layouts, StepMemory memory, AlignedBuffer gated_scratch,
                         const ModelOptions& options, const KernelTable& kernels, ThreadPool& pool)
    : files_(std::move(files)),
      config_(std::move(config)),
      weights_(std::move(weights)),
      layouts_(std::move(layouts)),
      kernels_(kernels),
      pool_(pool),
      max_rows_(options.max_step_tokens),
      fast_prefill_(options.fast_prefill),
      memory_(std::move(memory)),
      rope_(MakeRopeFrequencies(config_.rope, ServedContext(config_, options))),
      local_rope_(MakeRopeFrequencies(config_.local_rope, ServedContext(config_, options))),
      attention_(kernels, pool, layouts_, config_.heads, AttentionParamsOf(config_), options.exact),
      head_scratch_(pool.threads() * kHeadScratchFloats),
      gated_scratch_(std::move(gated_scratch)) {
  info_ = {.name = config_.name,
           .architecture = config_.architecture,
           .vocab_size = static_cast<int>(config_.vocab),
           .context_length = config_.context_length,
           .parameters = weights_.parameters,
           .weight_bytes = weights_.bytes,
           .activation_bytes = memory_.bytes() + static_cast<int64_t>(gated_scratch_.bytes())};
  if (options.selection != nullptr) {
    selected_attention_.emplace(kernels, pool, layouts_, config_.heads, AttentionParamsOf(config_),
                                options.exact, options.selection);
  }
  rows_.reserve(max_rows_);
  wanted_.reserve(max_rows_);
  logits_rows_.reserve(kLogitsRows);
}

template <typename Fn>
void Transformer::ForEachRow(int64_t floats, Fn fn) {
  const int64_t at_once = RowsPerTask(rows(), floats, pool_.threads());
  pool_.ParallelFor(rows(), at_once, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) fn(row);
  });
}

void Transformer::Forward(const StepPlan& plan, const PageArena& kv, const LogitsSink& sink) {
  ListRows(plan);
  if (rows_.empty()) return;
  attention_.Prepare(plan);
  if (selected_attention_) selected_attention_->Prepare(plan);
  Embed();
  const int layers = static_cast<int>(weights_.layers.size());
  for (int i = 0; i < layers; ++i) {
    const LayerWeights& layer = weights_.layers[i];
    ProjectAndStore(i, plan, kv);
    if (selected_attention_) selected_attention_->Summarize(i, kv);
    const bool last = i + 1 == layers;
    if (last && wanted_.empty()) return;
    Attend(i, kv);
    if (last) KeepWantedRows();
    const Activations attended = memory_.attended.Rows(0, rows());
    if (const Forms wanted = FormsOf({&layer.attention_output}); wanted.others()) {
      ForEachRow(config_.q_dim(), [&](int64_t row) {
        Convert(kernels_, attended.row(row), attended, wanted, row, 0, config_.q_dim());
      });
    }
    const Product output = ProductOf(layer.attention_output, memory_.added, config_.hidden);
    MultiplyAll(kernels_, pool_, {&output, 1}, attended);
    AddAndNorm(layer.post_attention_norm, layer.ffn_norm, FormsOf({&layer.gate, &layer.up}));
    FeedForward(layer);
    if (last) {
      AddAndNorm(layer.post_ffn_norm, weights_.output_norm,
                 {.bfloat = weights_.output.form == Form::kBFloat});
    } else {
      const LayerWeights& next = weights_.layers[i + 1];
      AddAndNorm(layer.post_ffn_norm, next.attention_norm, AttentionWants(next));
    }
  }
  Logits(sink);
}

void Transformer::ListRows(const StepPlan& plan) {
  QUIRE_CHECK(plan.tokens() <= max_rows_);
  rows_.clear();
  wanted_.clear();
  wide_ = fast_prefill_ && plan.tokens() >= kFastPrefillTokens;
  for (size_t s = 0; s < plan.sequences.size(); ++s) {
    const SequenceStep& step = plan.sequences[s];
    QUIRE_CHECK(step.pages->tokens >= step.position + std::ssize(step.tokens));
    for (size_t i = 0; i < step.tokens.size(); ++i) {
      const bool last = i + 1 == step.tokens.size();
      if (step.logits == LogitsWanted::kAll || (step.logits == LogitsWanted::kLast && last)) {
        wanted_.push_back(rows());
      }
      const int64_t position = step.position + static_cast<int64_t>(i);
      rows_.push_back({step.tokens[i], static_cast<int>(s), position, position + step.pages->left_out});
    }
  }
}

void Transformer::Embed() {
  const TensorView& table = weights_.embedding;
  const LayerWeights& first = weights_.layers.front();
  ForEachRow(2 * config_.hidden, [&](int64_t row) {
    const StepRow& at = rows_[row];
    QUIRE_CHECK(at.token >= 0 && at.token < config_.vocab);
    float* residual = memory_.residual + row * config_.hidden;
    kernels_.dequantize(table.type, table.row(at.token), residual, config_.hidden);
    if (config_.embedding_scale != 1) kernels_.scale(residual, config_.embedding_scale, config_.hidden);
    NormRow(row, first.attention_norm, AttentionWants(first));
    for (const auto& [rope, angles] :
         {std::pair(&rope_, &memory_.angles), std::pair(&local_rope_, &memory_.local_angles)}) {
      const int64_t offset = row * angles->pairs;
      rope->Angles(at.text_position, angles->cos + offset, angles->sin + offset);
    }
  });
}

void Transformer::ProjectAndStore(int layer, const StepPlan& plan, const PageArena& kv) {
  const LayerWeights& weights = weights_.layers[layer];
  float* k = memory_.qkv + config_.q_dim();
  const Product products[] = {ProductOf(weights.q, memory_.qkv, qkv_stride()),
                              ProductOf(weights.k, k, qkv_stride()),
                              ProductOf(weights.v, k + config_.kv_dim(), qkv_stride())};
  MultiplyAll(kernels_, pool_, products, Normed());
  ForEachRow(2 * qkv_stride(), [&](int64_t row) {
    RotateAndStore(layer, row, *plan.sequences[rows_[row].sequence].pages, kv);
  });
}

void Transformer::RotateAndStore(int layer, int64_t row, const PageTable& table, const PageArena& kv) {
  const LayerWeights& weights = weights_.layers[layer];
  const bool local = config_.layers[layer].local_rope;
  const RopeConfig& rope = local ? config_.local_rope : config_.rope;
  const RopeAngles& angles = local ? memory_.local_angles : memory_.angles;
  const float* cos = angles.cos + row * angles.pairs;
  const float* sin = angles.sin + row * angles.pairs;
  const int64_t head_dim = config_.head_dim;
  const auto rotate = [&](float* head, const float* norm) {
    if (norm != nullptr) kernels_.rms_norm(head, norm, head_dim, config_.norm_epsilon, 0, head);
    kernels_.rope(head, cos, sin, rope.rotary_dim, rope.interleaved);
  };

  float* q = memory_.qkv + row * qkv_stride();
  float* k = q + config_.q_dim();
  const float* v = k + config_.kv_dim();
  for (int64_t h = 0; h < config_.heads; ++h) rotate(q + h * head_dim, weights.q_norm);

  const int64_t position = rows_[row].position;
  const KvLayout& layout = layouts_[table.layout];
  const int64_t page_tokens = layout.page_tokens();
  const PageId page = table.groups[layout.group_of(layer)][position / page_tokens];
  for (int h = 0; h < layout.kv_heads(); ++h) {
    rotate(k + h * head_dim, weights.k_norm);
    kernels_.store_kv(layout.type(layer), layout.page_tokens(), layout.head_dim(),
                      static_cast<int>(position % page_tokens), k + h * head_dim, v + h * head_dim,
                      kv.tile(page, layout.KTile(layer, h)), kv.tile(page, layout.VTile(layer, h)));
  }
}

void Transformer::Attend(int layer, const PageArena& kv) {
  const AttentionIo io{.q = memory_.qkv,
                       .q_stride = qkv_stride(),
                       .out = memory_.attended.values,
                       .out_stride = config_.q_dim()};
  attention_.Run(layer, kv, io);
  if (selected_attention_) selected_attention_->Run(layer, kv, io);
}

// Moves the wanted rows to the front; the others have nothing left to compute.
void Transformer::KeepWantedRows() {
  for (size_t to = 0; to < wanted_.size(); ++to) {
    const int64_t from = wanted_[to];
    if (from == static_cast<int64_t>(to)) continue;
    rows_[to] = rows_[from];
    std::memcpy(memory_.residual + to * config_.hidden, memory_.residual + from * config_.hidden,
                config_.hidden * sizeof(float));
    std::memcpy(memory_.attended.row(to), memory_.attended.row(from), config_.q_dim() * sizeof(float));
  }
  rows_.resize(wanted_.size());
  wide_ = wide_ && rows() >= kFastPrefillTokens;
}

// Gate and up are computed some columns at a time, beside each other, in memory of the worker's own that
// stays in its cache: as floats, all columns would go through memory twice.
void Transformer::FeedForward(const LayerWeights& layer) {
  const Activations normed = Normed();
  const Activations gated = memory_.gated.Rows(0, rows());
  const Forms wanted = FormsOf({&layer.down});
  const int64_t panels = layer.gate.matrix.panels();
  const int64_t at_once = GatedPanels(panels);
  const auto activate = config_.activation == Activation::kSilu ? kernels_.silu_mul : kernels_.gelu_tanh_mul;
  pool_.ParallelFor(panels, at_once, [&](int64_t panel_begin, int64_t panel_end, int worker) {
    const Linear gate = layer.gate.Panels(panel_begin, panel_end),
                 up = layer.up.Panels(panel_begin, panel_end);
    const int64_t n = gate.matrix.rows, begin = panel_begin * kPanelRows, stride = at_once * kPanelRows;
    auto* const gates =
        reinterpret_cast<float*>(gated_scratch_.data() + worker * GatedScratchBytes(max_rows_));
    float* const ups = gates + rows() * stride;
    MultiplyPanels(kernels_, {&gate, FormOf(gate), gates, stride}, normed, 0, panel_end - panel_begin);
    MultiplyPanels(kernels_, {&up, FormOf(up), ups, stride}, normed, 0, panel_end - panel_begin);
    for (int64_t row = 0; row < rows(); ++row) {
      float* g = gates + row * stride;
      activate(g, ups + row * stride, n, wanted.floats ? gated.row(row) + begin : g);
      Convert(kernels_, g, gated, wanted, row, begin, begin + n);
    }
  });
  const Product down = ProductOf(layer.down, memory_.added, config_.hidden);
  MultiplyAll(kernels_, pool_, {&down, 1}, gated);
}

// How many panels of gate and up a task takes at once: its columns are whole groups, so that it can finish
// them.
int64_t Transformer::GatedPanels(int64_t panels) const {
  const int64_t unit = (wide_ ? kWideGroup : kActivationGroup) / kPanelRows;
  const int64_t units = (panels + unit - 1) / unit, tasks = TasksFor(units, pool_.threads());
  const int64_t fair = (units + tasks - 1) / tasks, cached = kGatedFloats / (rows() * unit * kPanelRows);
  return std::clamp<int64_t>(cached, 1, fair) * unit;
}

void Transformer::AddAndNorm(const float* post_norm, const float* next_norm, Forms wanted) {
  const int64_t hidden = config_.hidden;
  ForEachRow(4 * hidden, [&](int64_t row) {
    float* added = memory_.added + row * hidden;
    if (post_norm != nullptr) kernels_.rms_norm(added, post_norm, hidden, config_.norm_epsilon, 0, added);
    kernels_.add(memory_.residual + row * hidden, added, hidden);
    NormRow(row, next_norm, wanted);
  });
}

void Transformer::NormRow(int64_t row, const float* norm, Forms wanted) {
  kernels_.rms_norm(memory_.residual + row * config_.hidden, norm, config_.hidden, config_.norm_epsilon, 0,
                    memory_.normed.row(row));
  Convert(kernels_, memory_.normed.row(row), memory_.normed, wanted, row, 0, config_.hidden);
}

// Rows [begin, begin + count) for the output matrix. As int8 they come twice: rounded, and below that what
// rounding lost, rounded as well. The sum of both products has about 15 bits of activation; an error here
// goes straight into the logits, and the weights, which are what takes time to read, are read once for both.
Activations Transformer::HeadRows(int64_t begin, int64_t count) {
  const Activations normed = Normed().Rows(begin, count);
  if (weights_.output.form != Form::kInt8) return normed;
  const Activations both = memory_.head.Shaped(2 * count, config_.hidden);
  for (int64_t r = 0; r < count; ++r) {
    std::copy_n(normed.row(r), config_.hidden, both.row(r));
    Convert(kernels_, both.row(r), both, {.int8 = true}, r, 0, config_.hidden);
    const int64_t at = r * config_.hidden;
    float* lost = both.row(count + r);
    for (int64_t i = 0; i < config_.hidden; ++i) {
      const float scale = both.int8.scales[(at + i) / kActivationGroup];
      lost[i] = both.values[at + i] - scale * static_cast<float>(both.int8.values[at + i]);
    }
    Convert(kernels_, lost, both, {.int8 = true}, count + r, 0, config_.hidden);
  }
  return both;
}

// The logits of panels [panel_begin, panel_end), at most kHeadPanels, of all rows.
void Transformer::MultiplyHead(const Activations& x, int64_t count, int64_t panel_begin, int64_t panel_end,
                               float* scratch) {
  Linear part = weights_.output.Panels(panel_begin, panel_end);
  part.bias = nullptr;  // comes once, and after the sum of both products
  const int64_t begin = panel_begin * kPanelRows, n = part.matrix.rows;
  const bool twice = x.rows > count;
  float* logits = memory_.logits + begin;
  const Product product{&part, part.form, twice ? scratch : logits, twice ? n : config_.vocab};
  MultiplyPanels(kernels_, product, x, 0, panel_end - panel_begin);
  for (int64_t r = 0; r < count; ++r, logits += config_.vocab) {
    if (twice) {
      std::copy_n(scratch + r * n, n, logits);
      kernels_.add(logits, scratch + (count + r) * n, n);
    }
    if (weights_.output.bias != nullptr) kernels_.add(logits, weights_.output.bias + begin, n);
    if (config_.logit_softcap != 0) kernels_.softcap(logits, config_.logit_softcap, n);
  }
}

void Transformer::Logits(const LogitsSink& sink) {
  const int64_t panels = weights_.output.matrix.panels();
  for (int64_t begin = 0; begin < rows(); begin += kLogitsRows) {
    const int64_t count = std::min(kLogitsRows, rows() - begin);
    const Activations x = HeadRows(begin, count);
    const int64_t tasks = TasksFor(panels, pool_.threads());
    pool_.Run(tasks, [&](int64_t task, int worker) {
      const int64_t end = panels * (task + 1) / tasks;
      for (int64_t panel = panels * task / tasks; panel < end; panel += kHeadPanels) {
        MultiplyHead(x, count, panel, std::min(panel + kHeadPanels, end),
                     head_scratch_.data() + worker * kHeadScratchFloats);
      }
    });
    logits_rows_.clear();
    for (int64_t r = 0; r < count; ++r) {
      const std::span<float> logits(memory_.logits + r * config_.vocab, config_.vocab);
      const StepRow& row = rows_[begin + r];
      logits_rows_.push_back({.sequence = row.sequence, .position = row.position, .logits = logits});
    }
    sink(logits_rows_);
  }
}

}  // namespace

Result<KvLayout> KvLayoutOf(const ModelConfig& config, const LayerTypes& kv_types, int page_tokens,
                            const SelectionPolicy* selection) {
  QUIRE_ASSIGN(std::vector<KvLayout> layouts, KvLayoutsOf(config, {&kv_types, 1}, page_tokens, selection));
  return std::move(layouts.front());
}

Result<std::vector<KvLayout>> KvLayoutsOf(const ModelConfig& config, std::span<const LayerTypes> kv_types,
                                          int page_tokens, const SelectionPolicy* selection) {
  std::vector<std::vector<LayerKv>> choices;
  for (const LayerTypes& kv_type : kv_types) {
    QUIRE_ASSIGN(const std::vector<DType> types, kv_type.Of(static_cast<int>(config.layers.size())));
    std::vector<LayerKv> layers;
    for (size_t i = 0; i < types.size(); ++i) {
      const int64_t window = config.layers[i].window;
      const bool selects = selection != nullptr && window == 0 && selection->Selects(static_cast<int>(i));
      layers.push_back({.window = window,
                        .type = types[i],
                        .summaries = selects ? selection->summaries() : SummaryKind::kNone});
    }
    if (std::ranges::find(choices, layers) != choices.end()) {
      return Fail(ErrorCode::kInvalidArgument, "KV pages of type '{}' are asked for twice; give it once",
                  kv_type.Name());
    }
    choices.push_back(std::move(layers));
  }
  return LayoutsOverEqualPages(choices, static_cast<int>(config.kv_heads), static_cast<int>(config.head_dim),
                               page_tokens);
}

namespace {

// With the copy, where one is wanted.
Result<Weights> ReadWeights(const ModelFiles& files, ModelConfig& config, const ModelOptions& options,
                            const KernelTable& kernels, ThreadPool& pool) {
  const auto progress = [&](double begin, double end) {
    return [&options, begin, end](double done) {
      if (options.progress) options.progress(begin + (end - begin) * done);
    };
  };
  const double packed = options.fast_prefill_copy ? 0.5 : 1;
  QUIRE_ASSIGN(Weights weights,
               LoadWeights(files, config, options.exact, kernels, pool, progress(0, packed)));
  if (options.fast_prefill_copy) QUIRE_TRY(WidenWeights(weights, kernels, pool, progress(packed, 1)));
  return weights;
}

}  // namespace

Result<std::unique_ptr<LanguageModel>> LoadTransformer(std::shared_ptr<const ModelFiles> files,
                                                       const ModelOptions& options,
                                                       const KernelTable& kernels, ThreadPool& pool) {
  if (options.exact && options.fast_prefill) {
    return Fail(ErrorCode::kInvalidArgument, "'exact' computes with floats: it goes without 'fast-prefill'");
  }
  if (options.fast_prefill_copy && !options.fast_prefill) {
    return Fail(ErrorCode::kInvalidArgument, "'fast-prefill-copy' is of no use without 'fast-prefill'");
  }
  if (options.fast_prefill && kernels.matmul_wide == nullptr) {
    return Fail(ErrorCode::kUnsupported,
                "Fast prefill needs a processor with AVX-512 VNNI; these kernels are '{}'.", kernels.name);
  }
  QUIRE_ASSIGN(ModelConfig config, ReadModelConfig(*files));
  std::vector<LayerTypes> kv_types = options.more_kv_types;
  kv_types.insert(kv_types.begin(), options.kv_types);
  QUIRE_ASSIGN(std::vector<KvLayout> layouts,
               KvLayoutsOf(config, kv_types, options.page_tokens, options.selection.get()));
  QUIRE_ASSIGN(Weights weights, ReadWeights(*files, config, options, kernels, pool));
  Forms forms = weights.forms();
  forms.wide = options.fast_prefill;
  QUIRE_ASSIGN(StepMemory memory, StepMemory::Allocate(config, forms, options.max_step_tokens));
  QUIRE_ASSIGN(AlignedBuffer gated,
               AlignedBuffer::Allocate(pool.threads() * GatedScratchBytes(options.max_step_tokens)));
  return std::make_unique<Transformer>(std::move(files), std::move(config), std::move(weights),
                                       std::move(layouts), std::move(memory), std::move(gated), options,
                                       kernels, pool);
}

}  // namespace quire

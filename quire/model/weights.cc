#include "quire/model/weights.h"

#include <algorithm>
#include <array>

#include "quire/files/quoted.h"

// Loading has two passes. The first only looks: it finds every tensor, checks its shape, and lays out the two
// buffers. So memory is asked for only after the files proved to hold what the settings claim, and a buffer
// is never larger than a small multiple of the files. The second pass packs, tensor by tensor, and lets each
// one's source leave this process's memory.

namespace quire {
namespace {

constexpr size_t kAlignment = 64;

size_t Aligned(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// Rows [row, row + matrix.rows) of `source` become `linear`.
struct MatrixJob {
  TensorView source;
  int64_t row = 0;
  Linear* linear = nullptr;
  size_t offset = 0;  // in Weights::packed
};

// Elements [first, first + n) of `source`, plus `added`, become `*to`.
struct VectorJob {
  TensorView source;
  int64_t first = 0;
  int64_t n = 0;
  float added = 0;
  const float** to = nullptr;
  size_t offset = 0;  // in Weights::floats
};

std::string BiasName(const std::string& weight) {
  return weight.substr(0, weight.rfind(".weight")) + ".bias";
}

class WeightLoader {
 public:
  WeightLoader(const ModelFiles& files, const ModelConfig& config, bool exact, const KernelTable& kernels)
      : files_(files), config_(config), exact_(exact), kernels_(kernels) {}

  Status Plan(Weights& weights);
  Status Pack(Weights& weights, ThreadPool& pool, const std::function<void(double)>& progress);

 private:
  Status PlanEmbedding(Weights& weights);
  Status PlanLayer(int64_t layer, LayerWeights& weights);
  struct Rows {
    Linear* linear;
    int64_t rows;
  };

  Result<const TensorView*> Find(const std::string& name) const;
  // One tensor whose rows are those of several layers, one after the other.
  Status PlanMatrices(const std::string& name, int64_t cols, std::span<const Rows> parts, bool bias_required);
  Status PlanMatrix(const std::string& name, int64_t rows, int64_t cols, Linear& linear,
                    bool bias_required = false) {
    const Rows part{&linear, rows};
    return PlanMatrices(name, cols, {&part, 1}, bias_required);
  }
  Status PlanNorm(const std::string& name, int64_t n, const float*& to);
  void AddMatrix(const TensorView& source, int64_t row, int64_t rows, Linear& linear);
  void AddVector(const TensorView& source, int64_t first, int64_t n, float added, const float*& to);

  const ModelFiles& files_;
  const ModelConfig& config_;
  const bool exact_;
  const KernelTable& kernels_;
  std::vector<MatrixJob> matrices_;
  std::vector<VectorJob> vectors_;
  size_t packed_bytes_ = 0;
  size_t float_bytes_ = 0;
  int64_t parameters_ = 0;
};

Result<const TensorView*> WeightLoader::Find(const std::string& name) const {
  const TensorView* tensor = files_.Find(name);
  if (tensor == nullptr) {
    return Fail(ErrorCode::kCorrupt, "{} has no tensor '{}', which a model of family {} needs.",
                files_.path(), name, config_.architecture);
  }
  return tensor;
}

void WeightLoader::AddMatrix(const TensorView& source, int64_t row, int64_t rows, Linear& linear) {
  linear.matrix = {.type = source.type, .rows = rows, .cols = source.cols()};
  linear.form = FormFor(source.type, exact_, kernels_);
  matrices_.push_back({source, row, &linear, packed_bytes_});
  packed_bytes_ += static_cast<size_t>(linear.matrix.panels()) * PanelBytes(source.type, source.cols());
  parameters_ += rows * source.cols();
}

void WeightLoader::AddVector(const TensorView& source, int64_t first, int64_t n, float added,
                             const float*& to) {
  vectors_.push_back({source, first, n, added, &to, float_bytes_});
  float_bytes_ += Aligned(static_cast<size_t>(n) * sizeof(float));
  parameters_ += n;
}

Status WeightLoader::PlanMatrices(const std::string& name, int64_t cols, std::span<const Rows> parts,
                                  bool bias_required) {
  int64_t rows = 0;
  for (const Rows& part : parts) rows += part.rows;
  QUIRE_ASSIGN(const TensorView* tensor, Find(name));
  if (tensor->rank != 2 || tensor->rows() != rows || tensor->cols() != cols) {
    return Fail(ErrorCode::kCorrupt, "Tensor '{}' in {} is {} x {}, but by the model's settings {} x {}.",
                name, files_.path(), tensor->rows(), tensor->cols(), rows, cols);
  }
  const std::string bias_name = BiasName(name);
  const TensorView* bias = files_.Find(bias_name);
  if (bias == nullptr && bias_required) {
    QUIRE_ASSIGN(bias, Find(bias_name));
  }
  if (bias != nullptr && (bias->rows() != 1 || bias->cols() != rows || IsQuantized(bias->type))) {
    return Fail(ErrorCode::kCorrupt, "Tensor '{}' in {} must be {} plain numbers.", bias_name, files_.path(),
                rows);
  }
  int64_t row = 0;
  for (const Rows& part : parts) {
    AddMatrix(*tensor, row, part.rows, *part.linear);
    if (bias != nullptr) AddVector(*bias, row, part.rows, 0, part.linear->bias);
    row += part.rows;
  }
  return {};
}

Status WeightLoader::PlanNorm(const std::string& name, int64_t n, const float*& to) {
  QUIRE_ASSIGN(const TensorView* tensor, Find(name));
  if (tensor->rows() != 1 || tensor->cols() != n || IsQuantized(tensor->type)) {
    return Fail(ErrorCode::kCorrupt, "Tensor '{}' in {} must be {} plain numbers.", name, files_.path(), n);
  }
  AddVector(*tensor, 0, n, config_.norm_weight_offset, to);
  return {};
}

Status WeightLoader::PlanEmbedding(Weights& weights) {
  const WeightNames& names = config_.names;
  weights.embedding = *files_.Find(names.embedding);
  const bool tied = files_.Find(names.output) == nullptr;
  QUIRE_TRY(PlanMatrix(tied ? names.embedding : names.output, config_.vocab, config_.hidden, weights.output));
  if (!tied) parameters_ += config_.vocab * config_.hidden;
  return PlanNorm(names.output_norm, config_.hidden, weights.output_norm);
}

Status WeightLoader::PlanLayer(int64_t layer, LayerWeights& weights) {
  const WeightNames& names = config_.names;
  const auto name = [&](const std::string& pattern) { return fmt::format(fmt::runtime(pattern), layer); };
  const auto norm = [&](const std::string& pattern, int64_t n, const float*& to) -> Status {
    if (pattern.empty()) return {};
    return PlanNorm(name(pattern), n, to);
  };
  const int64_t hidden = config_.hidden, q_dim = config_.q_dim(), kv_dim = config_.kv_dim();

  QUIRE_TRY(norm(names.attention_norm, hidden, weights.attention_norm));
  if (!names.qkv.empty()) {
    const Rows parts[] = {{&weights.q, q_dim}, {&weights.k, kv_dim}, {&weights.v, kv_dim}};
    QUIRE_TRY(PlanMatrices(name(names.qkv), hidden, parts, config_.qkv_bias));
  } else {
    QUIRE_TRY(PlanMatrix(name(names.q), q_dim, hidden, weights.q, config_.qkv_bias));
    QUIRE_TRY(PlanMatrix(name(names.k), kv_dim, hidden, weights.k, config_.qkv_bias));
    QUIRE_TRY(PlanMatrix(name(names.v), kv_dim, hidden, weights.v, config_.qkv_bias));
  }
  QUIRE_TRY(norm(names.q_norm, config_.head_dim, weights.q_norm));
  QUIRE_TRY(norm(names.k_norm, config_.head_dim, weights.k_norm));
  QUIRE_TRY(PlanMatrix(name(names.attention_output), hidden, q_dim, weights.attention_output));
  QUIRE_TRY(norm(names.post_attention_norm, hidden, weights.post_attention_norm));

  QUIRE_TRY(norm(names.ffn_norm, hidden, weights.ffn_norm));
  if (!names.gate_up.empty()) {
    const Rows parts[] = {{&weights.gate, config_.ffn}, {&weights.up, config_.ffn}};
    QUIRE_TRY(PlanMatrices(name(names.gate_up), hidden, parts, /*bias_required=*/false));
  } else {
    QUIRE_TRY(PlanMatrix(name(names.gate), config_.ffn, hidden, weights.gate));
    QUIRE_TRY(PlanMatrix(name(names.up), config_.ffn, hidden, weights.up));
  }
  QUIRE_TRY(PlanMatrix(name(names.down), hidden, config_.ffn, weights.down));
  return norm(names.post_ffn_norm, hidden, weights.post_ffn_norm);
}

Status WeightLoader::Plan(Weights& weights) {
  QUIRE_TRY(PlanEmbedding(weights));
  weights.layers.resize(config_.layers.size());
  for (size_t i = 0; i < weights.layers.size(); ++i) {
    QUIRE_TRY(PlanLayer(static_cast<int64_t>(i), weights.layers[i]));
  }
  weights.parameters = parameters_;
  weights.bytes = static_cast<int64_t>(packed_bytes_ + float_bytes_);
  return {};
}

Status WeightLoader::Pack(Weights& weights, ThreadPool& pool, const std::function<void(double)>& progress) {
  QUIRE_ASSIGN(weights.packed, AlignedBuffer::Allocate(packed_bytes_));
  QUIRE_ASSIGN(weights.floats, AlignedBuffer::Allocate(float_bytes_));
  for (const VectorJob& job : vectors_) {
    float* to = reinterpret_cast<float*>(weights.floats.data() + job.offset);
    kernels_.dequantize(job.source.type, job.source.data.data() + RowBytes(job.source.type, job.first), to,
                        job.n);
    for (int64_t i = 0; i < job.n; ++i) to[i] += job.added;
    *job.to = to;
  }
  for (const MatrixJob& job : matrices_) {
    PackedMatrix& matrix = job.linear->matrix;
    std::byte* to = weights.packed.data() + job.offset;
    constexpr int64_t kPanelsPerTask = 8;
    pool.ParallelFor(matrix.panels(), kPanelsPerTask, [&](int64_t begin, int64_t end, int) {
      kernels_.pack(matrix.type, job.source.row(job.row), matrix.rows, matrix.cols, begin, end, to);
    });
    matrix.data = to;
    files_.Release(job.source);
    const size_t done =
        job.offset + static_cast<size_t>(matrix.panels()) * PanelBytes(matrix.type, matrix.cols);
    if (progress) progress(static_cast<double>(done) / static_cast<double>(packed_bytes_));
  }
  return {};
}

// Of a layer that may be const.
template <class Layer>
auto LinearsOf(Layer& layer) {
  return std::array{&layer.q,    &layer.k,  &layer.v,   &layer.attention_output,
                    &layer.gate, &layer.up, &layer.down};
}

Status CheckEmbedding(const ModelFiles& files, ModelConfig& config) {
  const std::string& name = config.names.embedding;
  const TensorView* embedding = files.Find(name);
  if (embedding == nullptr) {
    return Fail(ErrorCode::kCorrupt, "{} has no tensor '{}', which every language model needs.", files.path(),
                name);
  }
  constexpr int64_t kMostTokens = 1 << 24;
  if (config.vocab == 0) config.vocab = std::min(embedding->rows(), kMostTokens);
  if (embedding->rank != 2 || embedding->rows() != config.vocab || embedding->cols() != config.hidden) {
    return Fail(ErrorCode::kCorrupt, "Tensor '{}' in {} is {} x {}, but by the model's settings {} x {}.",
                name, files.path(), embedding->rows(), embedding->cols(), config.vocab, config.hidden);
  }
  return {};
}

}  // namespace

Forms Weights::forms() const {
  Forms forms;
  forms.Add(output.form);
  for (const LayerWeights& layer : layers) {
    for (const Linear* linear : LinearsOf(layer)) forms.Add(linear->form);
  }
  return forms;
}

Result<Weights> DescribeWeights(const ModelFiles& files, ModelConfig& config, bool exact,
                                const KernelTable& kernels) {
  QUIRE_TRY(CheckEmbedding(files, config));
  Weights weights;
  QUIRE_TRY(WeightLoader(files, config, exact, kernels).Plan(weights));
  return weights;
}

Result<Weights> LoadWeights(const ModelFiles& files, ModelConfig& config, bool exact,
                            const KernelTable& kernels, ThreadPool& pool,
                            const std::function<void(double)>& progress) {
  QUIRE_TRY(CheckEmbedding(files, config));
  Weights weights;
  WeightLoader loader(files, config, exact, kernels);
  QUIRE_TRY(loader.Plan(weights));
  QUIRE_TRY(loader.Pack(weights, pool, progress));
  return weights;
}

Status WidenWeights(Weights& weights, const KernelTable& kernels, ThreadPool& pool,
                    const std::function<void(double)>& progress) {
  std::vector<PackedMatrix*> matrices;
  size_t bytes = 0;
  const auto bytes_of = [](const PackedMatrix& m) {
    return static_cast<size_t>(m.panels()) * WidePanelBytes(m.cols);
  };
  for (LayerWeights& layer : weights.layers) {
    for (Linear* linear : LinearsOf(layer)) {
      if (!linear->matrix.HasWideGroups()) continue;
      matrices.push_back(&linear->matrix);
      bytes += bytes_of(linear->matrix);
    }
  }
  QUIRE_ASSIGN(weights.widened, AlignedBuffer::Allocate(bytes));
  weights.bytes += static_cast<int64_t>(bytes);
  std::byte* to = weights.widened.data();
  for (PackedMatrix* matrix : matrices) {
    constexpr int64_t kPanelsPerTask = 8;
    pool.ParallelFor(matrix->panels(), kPanelsPerTask,
                     [&](int64_t begin, int64_t end, int) { kernels.widen(*matrix, begin, end, to); });
    matrix->wide = to;
    to += bytes_of(*matrix);
    if (progress) progress(static_cast<double>(to - weights.widened.data()) / static_cast<double>(bytes));
  }
  return {};
}

}  // namespace quire

#include "quire/sim/model_shape.h"

#include "quire/kernels/kernels.h"
#include "quire/model/config.h"
#include "quire/model/step_memory.h"
#include "quire/model/transformer.h"
#include "quire/model/weights.h"

namespace quire {
namespace {

MatrixShape ShapeOf(const Linear& linear) {
  return {linear.matrix.type, linear.matrix.rows, linear.matrix.cols};
}

}  // namespace

int64_t MatrixShape::bytes() const {
  return (rows + kPanelRows - 1) / kPanelRows * static_cast<int64_t>(PanelBytes(type, cols));
}

int64_t ModelShape::step_bytes() const {
  int64_t bytes = output.bytes();
  for (const LayerShape& layer : layers) {
    layer.ForEach([&](const MatrixShape& matrix) { bytes += matrix.bytes(); });
  }
  return bytes;
}

int64_t ModelShape::SequenceBytes(int64_t tokens, int64_t chunk_tokens) const {
  return kv.PagesFor(tokens, chunk_tokens) * static_cast<int64_t>(kv.page_bytes());
}

Result<ModelShape> ReadModelShape(const ModelFiles& files, const ShapeOptions& options) {
  QUIRE_ASSIGN(ModelConfig config, ReadModelConfig(files));
  QUIRE_ASSIGN(KvLayout kv, KvLayoutOf(config, options.kv_types, options.page_tokens));
  QUIRE_ASSIGN(const Weights weights, DescribeWeights(files, config, /*exact=*/false, BestKernels()));
  ModelShape shape{.name = config.name,
                   .hidden = config.hidden,
                   .heads = config.heads,
                   .ffn = config.ffn,
                   .vocab = config.vocab,
                   .context = config.context_length,
                   .layers = {},
                   .output = ShapeOf(weights.output),
                   .kv = std::move(kv),
                   .weight_bytes = weights.bytes,
                   .activation_bytes = StepMemory::Bytes(config, weights.forms(), options.max_step_tokens)};
  for (const LayerWeights& layer : weights.layers) {
    shape.layers.push_back({.qkv = {ShapeOf(layer.q), ShapeOf(layer.k), ShapeOf(layer.v)},
                            .attention_output = {ShapeOf(layer.attention_output)},
                            .gate_up = {ShapeOf(layer.gate), ShapeOf(layer.up)},
                            .down = {ShapeOf(layer.down)}});
  }
  return shape;
}

}  // namespace quire

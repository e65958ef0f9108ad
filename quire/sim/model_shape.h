// What of a model decides how long a step takes and what it fits into: the sizes of its matrices and of its
// KV pages. Read from the files' metadata; no weight is loaded.
#ifndef QUIRE_SIM_MODEL_SHAPE_H_
#define QUIRE_SIM_MODEL_SHAPE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "quire/base/result.h"
#include "quire/files/model_files.h"
#include "quire/kernels/dtype.h"
#include "quire/kv/kv_layout.h"
#include "quire/kv/layer_types.h"

namespace quire {

struct MatrixShape {
  DType type = DType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;

  int64_t weights() const { return rows * cols; }
  int64_t bytes() const;  // as packed
};

// Matrices that are multiplied in one parallel region stand together.
struct LayerShape {
  std::vector<MatrixShape> qkv, attention_output, gate_up, down;

  template <typename Fn>
  void ForEach(Fn fn) const {
    for (const auto* matrices : {&qkv, &attention_output, &gate_up, &down}) {
      for (const MatrixShape& matrix : *matrices) fn(matrix);
    }
  }
};

struct ModelShape {
  std::string name;
  int64_t hidden = 0;
  int64_t heads = 0;
  int64_t ffn = 0;
  int64_t vocab = 0;
  int64_t context = 0;  // tokens the model was trained for
  std::vector<LayerShape> layers;
  MatrixShape output;
  KvLayout kv;
  int64_t weight_bytes = 0;
  int64_t activation_bytes = 0;  // of the largest step

  int64_t q_dim() const { return heads * kv.head_dim(); }
  int64_t qkv_dim() const { return (heads + 2 * kv.kv_heads()) * kv.head_dim(); }
  int64_t heads_per_kv() const { return heads / kv.kv_heads(); }
  // Weights that every step reads.
  int64_t step_bytes() const;
  // KV memory of one sequence when it has `tokens` tokens and prompts come in chunks.
  int64_t SequenceBytes(int64_t tokens, int64_t chunk_tokens) const;
};

struct ShapeOptions {
  LayerTypes kv_types = DType::kF16;
  int page_tokens = 16;
  int64_t max_step_tokens = 512;
};

// Errors: those of a model that cannot be loaded, but for memory.
Result<ModelShape> ReadModelShape(const ModelFiles& files, const ShapeOptions& options);

}  // namespace quire

#endif  // QUIRE_SIM_MODEL_SHAPE_H_

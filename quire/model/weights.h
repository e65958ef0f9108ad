// A model's weights in memory: matrices packed once for the products, norms and biases as floats. The
// embedding stays in the mapped file, where rows are looked up.
#ifndef QUIRE_MODEL_WEIGHTS_H_
#define QUIRE_MODEL_WEIGHTS_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "quire/base/aligned_buffer.h"
#include "quire/base/result.h"
#include "quire/base/thread_pool.h"
#include "quire/files/model_files.h"
#include "quire/kernels/kernels.h"
#include "quire/kernels/tensor_view.h"
#include "quire/model/config.h"
#include "quire/model/linear.h"

namespace quire {

// Norms that a family does not have are null.
struct LayerWeights {
  const float* attention_norm = nullptr;
  Linear q, k, v;
  const float* q_norm = nullptr;
  const float* k_norm = nullptr;
  Linear attention_output;
  const float* post_attention_norm = nullptr;

  const float* ffn_norm = nullptr;
  Linear gate, up, down;
  const float* post_ffn_norm = nullptr;
};

struct Weights {
  TensorView embedding;  // in the file
  const float* output_norm = nullptr;
  Linear output;
  std::vector<LayerWeights> layers;

  // Of all that is multiplied.
  Forms forms() const;

  int64_t parameters = 0;
  int64_t bytes = 0;  // resident

  // What the pointers above point into.
  AlignedBuffer packed;
  AlignedBuffer floats;
  AlignedBuffer widened;  // empty but for WidenWeights
};

// Checks that every tensor is there and has its shape, and says what the weights would be, without memory:
// pointers are null. `config.vocab` is filled in from the embedding where the files do not state it. `exact`
// is that of FormFor. Errors: kCorrupt naming file and tensor.
Result<Weights> DescribeWeights(const ModelFiles& files, ModelConfig& config, bool exact,
                                const KernelTable& kernels);

// The same, then packs. Errors: also kResourceExhausted.
Result<Weights> LoadWeights(const ModelFiles& files, ModelConfig& config, bool exact,
                            const KernelTable& kernels, ThreadPool& pool,
                            const std::function<void(double)>& progress);

// Keeps what layers multiply in wide groups, too. REQUIRES: kernels.widen. Errors: kResourceExhausted.
Status WidenWeights(Weights& weights, const KernelTable& kernels, ThreadPool& pool,
                    const std::function<void(double)>& progress);

}  // namespace quire

#endif  // QUIRE_MODEL_WEIGHTS_H_

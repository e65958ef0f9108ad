// Loads a decoder-only transformer from a model's files and runs it. A family (llama, qwen2, gemma3 ...) is
// one file that fills in a ModelConfig and names the weights; the forward pass is shared.
#ifndef QUIRE_MODEL_TRANSFORMER_H_
#define QUIRE_MODEL_TRANSFORMER_H_

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "quire/base/result.h"
#include "quire/base/thread_pool.h"
#include "quire/files/model_files.h"
#include "quire/kernels/kernels.h"
#include "quire/kv/kv_layout.h"
#include "quire/kv/layer_types.h"
#include "quire/model/config.h"
#include "quire/model/language_model.h"
#include "quire/policies/selection.h"

namespace quire {

inline constexpr int64_t kFastPrefillTokens = 128;

struct ModelOptions {
  // f32 activations, no int8: for comparison with references.
  bool exact = false;
  // Steps of kFastPrefillTokens or more multiply weights in wide groups (WideActivations), quantized ones
  // with tiles more than twice as fast, with vectors up to 1.4 times. Results are a little further from those
  // of floats, and depend on whether their step had so many tokens.
  bool fast_prefill = false;
  // With that: weights are kept in wide groups as well, a byte each, instead of being made in every step. The
  // same results, sooner.
  bool fast_prefill_copy = false;
  // Of KV pages: that of the first layout, and of further ones that sequences may have.
  LayerTypes kv_types = DType::kF16;
  std::vector<LayerTypes> more_kv_types = {};
  // Tokens per page: a multiple of kPageLane.
  int page_tokens = 16;
  // Which pages queries read where a step lets them select (SequenceStep::selects_from); null: all. Layers
  // with sliding windows read everything.
  std::shared_ptr<const SelectionPolicy> selection = {};
  // Most tokens in one StepPlan; sizes the activation memory.
  int64_t max_step_tokens = 512;
  // Longest sequence that will be served; 0: what the model was trained for. Models that rotate long contexts
  // otherwise than short ones (Phi 3) choose by it.
  int64_t context_length = 0;
  // Called while weights are packed, with the share done in [0, 1].
  std::function<void(double)> progress = {};
};

// Where the keys and values of a model's tokens lie; with summaries of keys where `selection` selects.
// Errors: those of LayerTypes::Of.
Result<KvLayout> KvLayoutOf(const ModelConfig& config, const LayerTypes& kv_types, int page_tokens,
                            const SelectionPolicy* selection = nullptr);
// Layouts for each of `kv_types`, of pages of equal bytes. REQUIRES: there is one. Errors: also
// kInvalidArgument where two are the same.
Result<std::vector<KvLayout>> KvLayoutsOf(const ModelConfig& config, std::span<const LayerTypes> kv_types,
                                          int page_tokens, const SelectionPolicy* selection = nullptr);

// Errors: kUnsupported for an unknown architecture (listing the known ones), kCorrupt for missing or
// misshapen tensors (naming them), kResourceExhausted for memory. `pool`, `kernels` outlive the model;
// `files` may be closed after it returns only if the model does not keep it (it takes shared ownership for
// row lookups).
Result<std::unique_ptr<LanguageModel>> LoadTransformer(std::shared_ptr<const ModelFiles> files,
                                                       const ModelOptions& options,
                                                       const KernelTable& kernels, ThreadPool& pool);

}  // namespace quire

#endif  // QUIRE_MODEL_TRANSFORMER_H_

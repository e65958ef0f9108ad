// What the Gemma generations share.
#ifndef QUIRE_MODEL_FAMILIES_GEMMA_H_
#define QUIRE_MODEL_FAMILIES_GEMMA_H_

#include "quire/base/result.h"
#include "quire/model/config.h"
#include "quire/model/config_source.h"

namespace quire {

// Scaled embeddings, GELU, norms around 0 in config.json models, a norm before and after attention and
// feed-forward, soft caps. `largest_layers` is the number of layers of the generation's largest model, which
// alone scales attention by its hidden size per head: GGUF files do not say so.
Status ConfigureGemma(const ConfigSource& source, size_t largest_layers, ModelConfig& config);

}  // namespace quire

#endif  // QUIRE_MODEL_FAMILIES_GEMMA_H_

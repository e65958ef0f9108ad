// Gemma 2: soft caps on attention scores and logits, every other layer sees a window only.
#include "quire/model/families/families.h"
#include "quire/model/families/gemma.h"
#include "quire/model/families/sliding_window.h"

namespace quire {

Status ConfigureGemma2(const ConfigSource& source, ModelConfig& config) {
  constexpr size_t kLayersOf27B = 46;
  QUIRE_TRY(ConfigureGemma(source, kLayersOf27B, config));
  // Files that leave the caps out mean the published ones.
  if (source.is_gguf() && config.attention_softcap == 0) config.attention_softcap = 50;
  if (source.is_gguf() && config.logit_softcap == 0) config.logit_softcap = 30;
  return ReadAlternatingWindow(source, /*default_period=*/2, config);
}

}  // namespace quire

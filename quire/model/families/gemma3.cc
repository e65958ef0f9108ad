// Gemma 3 (text): norms of each head of Q and K; five sliding-window layers with a rotation of their own for
// each full-attention layer.
#include "quire/model/families/families.h"
#include "quire/model/families/gemma.h"
#include "quire/model/families/sliding_window.h"
#include "quire/model/rope_config.h"

namespace quire {

Status ConfigureGemma3(const ConfigSource& source, ModelConfig& config) {
  constexpr size_t kLayersOf27B = 62;
  QUIRE_TRY(ConfigureGemma(source, kLayersOf27B, config));
  WeightNames& names = config.names;
  const bool gguf = source.is_gguf();
  const std::string attention = names.q.substr(0, names.q.find("q_proj"));
  names.q_norm = gguf ? "blk.{}.attn_q_norm.weight" : attention + "q_norm.weight";
  names.k_norm = gguf ? "blk.{}.attn_k_norm.weight" : attention + "k_norm.weight";

  QUIRE_TRY(ReadAlternatingWindow(source, /*default_period=*/6, config));
  QUIRE_ASSIGN(config.local_rope, ReadLocalRopeConfig(source, config.head_dim));
  for (LayerConfig& layer : config.layers) layer.local_rope = layer.window > 0;
  return {};
}

}  // namespace quire

// Gemma 3 (text): norms of each head of Q and K; five sliding-window layers with a rotation of their own for
// each full-attention layer.
#include "quire/model/families/families.h"
#include "quire/model/families/gemma.h"
#include "quire/model/families/sliding_window.h"
#include "quire/model/rope_config.h"

namespace quire {

// The config.json of models that also see states only what differs from these.
const char kGemma3Defaults[] = R"({
  "head_dim": 256, "max_position_embeddings": 131072, "num_attention_heads": 8, "num_key_value_heads": 4,
  "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "sliding_window": 4096,
  "vocab_size": 262208})";

Status ConfigureGemma3(const ConfigSource& source, ModelConfig& config) {
  constexpr size_t kLayersOf27B = 62;
  QUIRE_TRY(ConfigureGemma(source, kLayersOf27B, config));
  NameQkNorms(source.is_gguf(), config.names);
  QUIRE_TRY(ReadAlternatingWindow(source, /*default_period=*/6, config));
  QUIRE_ASSIGN(config.local_rope, ReadLocalRopeConfig(source, config.head_dim));
  for (LayerConfig& layer : config.layers) layer.local_rope = layer.window > 0;
  return {};
}

}  // namespace quire

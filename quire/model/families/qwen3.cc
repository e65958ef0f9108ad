// Qwen 3 (dense): norms of each head of Q and K before the rotation.
#include "quire/model/families/families.h"
#include "quire/model/families/sliding_window.h"

namespace quire {

Status ConfigureQwen3(const ConfigSource& source, ModelConfig& config) {
  const bool gguf = source.is_gguf();
  config.names.q_norm = gguf ? "blk.{}.attn_q_norm.weight" : "model.layers.{}.self_attn.q_norm.weight";
  config.names.k_norm = gguf ? "blk.{}.attn_k_norm.weight" : "model.layers.{}.self_attn.k_norm.weight";
  return ReadListedWindow(source, config);
}

}  // namespace quire

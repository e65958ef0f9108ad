// Phi 3 and Phi 4 mini: Q, K and V in one tensor, gate and up in another; long contexts by lists of factors.
#include "quire/model/families/families.h"
#include "quire/model/families/sliding_window.h"

namespace quire {

Status ConfigurePhi3(const ConfigSource& source, ModelConfig& config) {
  const bool gguf = source.is_gguf();
  config.names.qkv = gguf ? "blk.{}.attn_qkv.weight" : "model.layers.{}.self_attn.qkv_proj.weight";
  config.names.gate_up = gguf ? "blk.{}.ffn_up.weight" : "model.layers.{}.mlp.gate_up_proj.weight";
  return ReadUniformWindow(source, config);
}

}  // namespace quire

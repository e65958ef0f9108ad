#include "quire/model/weight_names.h"

namespace quire {

WeightNames GgufWeightNames() {
  WeightNames names;
  names.embedding = "token_embd.weight";
  names.output_norm = "output_norm.weight";
  names.output = "output.weight";
  names.attention_norm = "blk.{}.attn_norm.weight";
  names.q = "blk.{}.attn_q.weight";
  names.k = "blk.{}.attn_k.weight";
  names.v = "blk.{}.attn_v.weight";
  names.attention_output = "blk.{}.attn_output.weight";
  names.ffn_norm = "blk.{}.ffn_norm.weight";
  names.gate = "blk.{}.ffn_gate.weight";
  names.up = "blk.{}.ffn_up.weight";
  names.down = "blk.{}.ffn_down.weight";
  return names;
}

WeightNames HuggingFaceWeightNames(std::string_view prefix) {
  const std::string model(prefix);
  const std::string layer = model + "layers.{}.";
  WeightNames names;
  names.embedding = model + "embed_tokens.weight";
  names.output_norm = model + "norm.weight";
  names.output = "lm_head.weight";
  names.attention_norm = layer + "input_layernorm.weight";
  names.q = layer + "self_attn.q_proj.weight";
  names.k = layer + "self_attn.k_proj.weight";
  names.v = layer + "self_attn.v_proj.weight";
  names.attention_output = layer + "self_attn.o_proj.weight";
  names.ffn_norm = layer + "post_attention_layernorm.weight";
  names.gate = layer + "mlp.gate_proj.weight";
  names.up = layer + "mlp.up_proj.weight";
  names.down = layer + "mlp.down_proj.weight";
  return names;
}

namespace {

// "model.layers.{}.self_attn.q_proj.weight" with q_norm: "model.layers.{}.self_attn.q_norm.weight".
std::string Sibling(const std::string& name, std::string_view part) {
  const size_t end = name.rfind(".weight");
  const size_t begin = name.rfind('.', end - 1) + 1;
  return name.substr(0, begin) + std::string(part) + ".weight";
}

}  // namespace

void NameQkNorms(bool gguf, WeightNames& names) {
  names.q_norm = Sibling(names.q, gguf ? "attn_q_norm" : "q_norm");
  names.k_norm = Sibling(names.k, gguf ? "attn_k_norm" : "k_norm");
}

void NameFusedTensors(bool gguf, WeightNames& names) {
  names.qkv = Sibling(names.q, gguf ? "attn_qkv" : "qkv_proj");
  names.gate_up = Sibling(names.up, gguf ? "ffn_up" : "gate_up_proj");
}

}  // namespace quire

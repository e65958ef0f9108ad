#include "quire/model/families/gemma.h"

#include <cmath>

namespace quire {
namespace {

void NamePostNorms(const ConfigSource& source, WeightNames& names) {
  if (source.is_gguf()) {
    names.post_attention_norm = "blk.{}.post_attention_norm.weight";
    names.post_ffn_norm = "blk.{}.post_ffw_norm.weight";
    return;
  }
  // Here this name is what it says, where other families call the feed-forward's norm so.
  names.post_attention_norm = names.ffn_norm;
  const std::string layer = names.ffn_norm.substr(0, names.ffn_norm.find("post_attention"));
  names.ffn_norm = layer + "pre_feedforward_layernorm.weight";
  names.post_ffn_norm = layer + "post_feedforward_layernorm.weight";
}

Status ReadAttentionScale(const ConfigSource& source, size_t largest_layers, ModelConfig& config) {
  double divisor = static_cast<double>(config.head_dim);
  if (source.is_gguf()) {
    if (config.layers.size() == largest_layers) {
      divisor = static_cast<double>(config.hidden) / static_cast<double>(config.heads);
    }
  } else {
    QUIRE_ASSIGN(const auto stated, source.Number({"", "query_pre_attn_scalar"}, {1e-3, 1e6}));
    if (stated) divisor = *stated;
  }
  config.attention_scale = static_cast<float>(1 / std::sqrt(divisor));
  return {};
}

}  // namespace

Status ConfigureGemma(const ConfigSource& source, size_t largest_layers, ModelConfig& config) {
  config.activation = Activation::kGeluTanh;
  config.embedding_scale = std::sqrt(static_cast<float>(config.hidden));
  config.norm_weight_offset = source.is_gguf() ? 0.0f : 1.0f;
  NamePostNorms(source, config.names);
  QUIRE_TRY(ReadAttentionScale(source, largest_layers, config));

  constexpr NumberRange kCap{.least = 0, .most = 1e6};
  QUIRE_ASSIGN(const auto attention,
               source.Number({"attn_logit_softcapping", "attn_logit_softcapping"}, kCap));
  QUIRE_ASSIGN(const auto logits,
               source.Number({"final_logit_softcapping", "final_logit_softcapping"}, kCap));
  config.attention_softcap = static_cast<float>(attention.value_or(0));
  config.logit_softcap = static_cast<float>(logits.value_or(0));
  return {};
}

}  // namespace quire

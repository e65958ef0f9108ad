// What a model's tensors are called in its files. "{}" stands for the layer number; an empty name means that
// the family has no such tensor. A linear layer's bias carries the same name with ".bias" for ".weight".
#ifndef QUIRE_MODEL_WEIGHT_NAMES_H_
#define QUIRE_MODEL_WEIGHT_NAMES_H_

#include <string>
#include <string_view>

namespace quire {

struct WeightNames {
  std::string embedding;
  std::string output_norm;
  std::string output;  // absent from the files: the embedding is used

  std::string attention_norm;
  std::string q, k, v;
  std::string qkv;  // rows of q, k and v in one tensor; then q, k and v are not read
  std::string q_norm, k_norm;
  std::string attention_output;
  std::string post_attention_norm;

  std::string ffn_norm;
  std::string gate, up;
  std::string gate_up;  // rows of gate and up in one tensor; then gate and up are not read
  std::string down;
  std::string post_ffn_norm;
};

// The names that most families share. Norms of Q and K, post-norms and fused tensors are left to the family.
WeightNames GgufWeightNames();
// `prefix` is what stands before "layers.": "model." for a plain language model.
WeightNames HuggingFaceWeightNames(std::string_view prefix);

// Adds the norms of Q and K.
void NameQkNorms(bool gguf, WeightNames& names);
// Replaces Q, K and V by one tensor, gate and up by another.
void NameFusedTensors(bool gguf, WeightNames& names);

}  // namespace quire

#endif  // QUIRE_MODEL_WEIGHT_NAMES_H_

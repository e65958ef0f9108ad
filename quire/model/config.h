// What a decoder-only transformer is, as numbers: read from a model's files, checked, and complete, so that
// the code behind it never looks at a file or a family's name again.
#ifndef QUIRE_MODEL_CONFIG_H_
#define QUIRE_MODEL_CONFIG_H_

#include <cstdint>
#include <string>
#include <vector>

#include "quire/base/result.h"
#include "quire/files/model_files.h"
#include "quire/model/rope.h"
#include "quire/model/weight_names.h"

namespace quire {

enum class Activation { kSilu, kGeluTanh };

struct LayerConfig {
  int64_t window = 0;  // tokens a query sees, itself included; 0: all of them
  bool local_rope = false;
};

struct ModelConfig {
  std::string name;
  std::string architecture;  // the family's name
  int64_t context_length = 0;

  int64_t hidden = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t ffn = 0;
  std::vector<LayerConfig> layers;

  float norm_epsilon = 1e-5f;
  // Added to every norm's weight as it is loaded: families that write weights around 0 have 1 here.
  float norm_weight_offset = 0.0f;
  float embedding_scale = 1.0f;
  float attention_scale = 0.0f;
  float attention_softcap = 0.0f;  // 0: off
  float logit_softcap = 0.0f;      // 0: off
  Activation activation = Activation::kSilu;
  bool qkv_bias = false;  // required; elsewhere a bias is used where the file has one

  RopeConfig rope;
  RopeConfig local_rope;  // of layers with local_rope

  int64_t vocab = 0;  // 0: not stated; the embedding's rows count
  WeightNames names;

  int64_t q_dim() const { return heads * head_dim; }
  int64_t kv_dim() const { return kv_heads * head_dim; }
  int64_t heads_per_kv() const { return heads / kv_heads; }
};

// Reads GGUF metadata or config.json. Every value is in range afterwards: sizes are positive and bounded,
// kv_heads divides heads. Errors: kUnsupported for an unknown family (listing the known ones) or feature,
// kCorrupt for a missing or impossible value; both name the file and the key.
Result<ModelConfig> ReadModelConfig(const ModelFiles& files);

}  // namespace quire

#endif  // QUIRE_MODEL_CONFIG_H_

// Qwen 2 and 2.5: biases on Q, K and V.
#include "quire/model/families/families.h"
#include "quire/model/families/sliding_window.h"

namespace quire {

Status ConfigureQwen2(const ConfigSource& source, ModelConfig& config) {
  config.qkv_bias = true;
  return ReadListedWindow(source, config);
}

}  // namespace quire

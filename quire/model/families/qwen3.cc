// Qwen 3 (dense): norms of each head of Q and K before the rotation.
#include "quire/model/families/families.h"
#include "quire/model/families/sliding_window.h"

namespace quire {

Status ConfigureQwen3(const ConfigSource& source, ModelConfig& config) {
  NameQkNorms(source.is_gguf(), config.names);
  return ReadListedWindow(source, config);
}

}  // namespace quire

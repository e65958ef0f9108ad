// Phi 3 and Phi 4 mini: Q, K and V in one tensor, gate and up in another; long contexts by lists of factors.
#include "quire/model/families/families.h"
#include "quire/model/families/sliding_window.h"

namespace quire {

Status ConfigurePhi3(const ConfigSource& source, ModelConfig& config) {
  NameFusedTensors(source.is_gguf(), config.names);
  return ReadUniformWindow(source, config);
}

}  // namespace quire

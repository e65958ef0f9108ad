// Reads how a model rotates positions from its settings and, for GGUF, from its tensors of factors.
#ifndef QUIRE_MODEL_ROPE_CONFIG_H_
#define QUIRE_MODEL_ROPE_CONFIG_H_

#include <string>

#include "quire/base/result.h"
#include "quire/model/config_source.h"
#include "quire/model/rope.h"

namespace quire {

// The rotation of all layers, or of full-attention layers where sliding-window layers have their own.
Result<RopeConfig> ReadRopeConfig(const ConfigSource& source, int64_t head_dim);

// The rotation of sliding-window layers that have their own: base 10000 unless the files say otherwise.
Result<RopeConfig> ReadLocalRopeConfig(const ConfigSource& source, int64_t head_dim);

}  // namespace quire

#endif  // QUIRE_MODEL_ROPE_CONFIG_H_

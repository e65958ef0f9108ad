// Which layers of a model see only a window of tokens.
#ifndef QUIRE_MODEL_FAMILIES_SLIDING_WINDOW_H_
#define QUIRE_MODEL_FAMILIES_SLIDING_WINDOW_H_

#include "quire/base/result.h"
#include "quire/model/config.h"
#include "quire/model/config_source.h"

namespace quire {

// Gives every layer the window that the files state, or none.
Status ReadUniformWindow(const ConfigSource& source, ModelConfig& config);

// Gives a window to the layers that "layer_types" of config.json names as sliding; without that list, to all
// but every `default_period`-th layer. The window is required.
Status ReadAlternatingWindow(const ConfigSource& source, int64_t default_period, ModelConfig& config);

// Gives the window to the layers that config.json lists as sliding, or, where it says that the window is
// used, to those from "max_window_layers" on. For families whose window is off by default.
Status ReadListedWindow(const ConfigSource& source, ModelConfig& config);

}  // namespace quire

#endif  // QUIRE_MODEL_FAMILIES_SLIDING_WINDOW_H_

#include "quire/model/families/sliding_window.h"

#include "quire/files/quoted.h"

namespace quire {
namespace {

constexpr ConfigKey kWindow{"attention.sliding_window", "sliding_window"};
constexpr ConfigKey kLayerTypes{"", "layer_types"};
constexpr IntegerRange kWindowRange{.least = 0, .most = int64_t{1} << 40};

Result<std::vector<bool>> SlidingLayers(const ConfigSource& source, const ModelConfig& config) {
  QUIRE_ASSIGN(const auto types, source.Strings(kLayerTypes));
  if (types.empty()) return std::vector<bool>();
  if (types.size() != config.layers.size()) {
    return Fail(ErrorCode::kCorrupt, "Key 'layer_types' in {} lists {} layers, but the model has {}.",
                source.file(), types.size(), config.layers.size());
  }
  std::vector<bool> sliding;
  for (const std::string& type : types) {
    if (type != "sliding_attention" && type != "full_attention") {
      return Fail(ErrorCode::kUnsupported, "Layer type {} in {} is not supported.", Quoted(type),
                  source.file());
    }
    sliding.push_back(type == "sliding_attention");
  }
  return sliding;
}

void SetWindows(const std::vector<bool>& sliding, int64_t window, ModelConfig& config) {
  for (size_t i = 0; i < config.layers.size(); ++i) config.layers[i].window = sliding[i] ? window : 0;
}

}  // namespace

Status ReadUniformWindow(const ConfigSource& source, ModelConfig& config) {
  QUIRE_ASSIGN(const auto window, source.Integer(kWindow, kWindowRange));
  for (LayerConfig& layer : config.layers) layer.window = window.value_or(0);
  return {};
}

Status ReadAlternatingWindow(const ConfigSource& source, int64_t default_period, ModelConfig& config) {
  QUIRE_ASSIGN(const int64_t window, source.RequiredInteger(kWindow, {1, kWindowRange.most}));
  QUIRE_ASSIGN(auto sliding, SlidingLayers(source, config));
  if (sliding.empty()) {
    QUIRE_ASSIGN(const auto stated,
                 source.Integer({"attention.sliding_window_pattern", "sliding_window_pattern"}, {1, 1024}));
    const int64_t period = stated.value_or(default_period);
    for (int64_t i = 0; i < std::ssize(config.layers); ++i) sliding.push_back((i + 1) % period != 0);
  }
  SetWindows(sliding, window, config);
  return {};
}

Status ReadListedWindow(const ConfigSource& source, ModelConfig& config) {
  QUIRE_ASSIGN(auto sliding, SlidingLayers(source, config));
  QUIRE_ASSIGN(const auto window, source.Integer(kWindow, kWindowRange));
  if (sliding.empty()) {
    QUIRE_ASSIGN(const auto used, source.Bool({"", "use_sliding_window"}));
    QUIRE_ASSIGN(const auto first, source.Integer({"", "max_window_layers"}, {0, 1 << 20}));
    if (!used.value_or(false)) return {};
    for (int64_t i = 0; i < std::ssize(config.layers); ++i) sliding.push_back(i >= first.value_or(0));
  }
  if (window) SetWindows(sliding, *window, config);
  return {};
}

}  // namespace quire

// The model families Quire knows. A family is one file: it takes the settings that all share as already read,
// and adds what is its own. To add one: a file here, its row in families.cc, its line in CMakeLists.txt.
#ifndef QUIRE_MODEL_FAMILIES_FAMILIES_H_
#define QUIRE_MODEL_FAMILIES_FAMILIES_H_

#include <array>
#include <span>
#include <string_view>

#include "quire/base/result.h"
#include "quire/model/config.h"
#include "quire/model/config_source.h"

namespace quire {

struct Family {
  std::string_view name;  // general.architecture of GGUF
  // model_type of config.json; unused entries are empty.
  std::array<std::string_view, 2> hf_model_types;
  // JSON object: settings that published config.json files of this family leave out. Null where they are
  // complete.
  const char* hf_defaults;
  // Completes a config whose shared settings and weight names are filled in.
  Status (*configure)(const ConfigSource& source, ModelConfig& config);
};

// Sorted by name.
std::span<const Family> Families();

// Errors: kUnsupported, listing the known ones.
Result<const Family*> FindFamily(const ConfigSource& source);

extern const char kGemma3Defaults[];

Status ConfigureGemma2(const ConfigSource& source, ModelConfig& config);
Status ConfigureGemma3(const ConfigSource& source, ModelConfig& config);
Status ConfigureLlama(const ConfigSource& source, ModelConfig& config);
Status ConfigurePhi3(const ConfigSource& source, ModelConfig& config);
Status ConfigureQwen2(const ConfigSource& source, ModelConfig& config);
Status ConfigureQwen3(const ConfigSource& source, ModelConfig& config);

}  // namespace quire

#endif  // QUIRE_MODEL_FAMILIES_FAMILIES_H_

// One way to ask for a model's settings, whether they are GGUF metadata or the JSON of config.json. The
// values are untrusted: numbers are finite and in the range the caller states, or the error names file and
// key.
#ifndef QUIRE_MODEL_CONFIG_SOURCE_H_
#define QUIRE_MODEL_CONFIG_SOURCE_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "quire/base/result.h"
#include "quire/files/model_files.h"

namespace quire {

// A setting under its two names; an empty name is never present. The GGUF name is without the architecture
// ("block_count"); dots in the config.json name enter objects ("rope_scaling.factor").
struct ConfigKey {
  std::string_view gguf;
  std::string_view hf;
};

struct IntegerRange {
  int64_t least = 1;
  int64_t most = int64_t{1} << 24;
};

struct NumberRange {
  double least = 0;
  double most = 1e12;
};

class ConfigSource {
 public:
  static Result<ConfigSource> Open(const ModelFiles& files);

  bool is_gguf() const { return files_->format() == ModelFiles::Format::kGguf; }
  const ModelFiles& files() const { return *files_; }
  // The file to name in messages.
  const std::string& file() const { return file_; }
  // general.architecture, or model_type of config.json.
  const std::string& architecture() const { return architecture_; }

  // What keys of config.json mean that it leaves out. Does nothing for GGUF.
  void AddDefaults(const nlohmann::json& defaults);

  // Absent (or JSON null) gives nullopt.
  Result<std::optional<int64_t>> Integer(ConfigKey key, IntegerRange range = {}) const;
  Result<std::optional<double>> Number(ConfigKey key, NumberRange range = {}) const;
  Result<std::optional<bool>> Bool(ConfigKey key) const;
  Result<std::optional<std::string>> String(ConfigKey key) const;
  // Absent gives an empty list.
  Result<std::vector<double>> Numbers(ConfigKey key, NumberRange range = {}) const;
  Result<std::vector<std::string>> Strings(ConfigKey key) const;

  // Absent is an error.
  Result<int64_t> RequiredInteger(ConfigKey key, IntegerRange range = {}) const;
  Result<double> RequiredNumber(ConfigKey key, NumberRange range = {}) const;

  // True where config.json has this object.
  bool HasObject(std::string_view hf_path) const;

  // The key as it is written in this model's file, for messages.
  std::string Name(ConfigKey key) const;

 private:
  explicit ConfigSource(const ModelFiles& files) : files_(&files) {}
  const nlohmann::json* FindJson(std::string_view path) const;
  std::unexpected<Error> Absent(ConfigKey key) const;
  std::unexpected<Error> WrongKind(ConfigKey key, std::string_view expected) const;
  template <typename Range, typename T>
  Status Check(ConfigKey key, const Range& range, T value) const;

  const ModelFiles* files_;
  std::string file_;
  std::string architecture_;
  nlohmann::json json_;  // null for GGUF
};

}  // namespace quire

#endif  // QUIRE_MODEL_CONFIG_SOURCE_H_

#include "quire/model/config_source.h"

#include <cmath>

#include "quire/files/quoted.h"

namespace quire {

namespace {

// The metadata knows its keys, but not its file.
template <typename T>
Result<T> In(const std::string& file, Result<T> result) {
  if (result) return result;
  return Fail(result.error().code, "In {}, {}.", file, result.error().message);
}

}  // namespace

Result<ConfigSource> ConfigSource::Open(const ModelFiles& files) {
  ConfigSource source(files);
  if (source.is_gguf()) {
    source.file_ = files.path();
    QUIRE_ASSIGN(auto architecture, In(files.path(), files.gguf().String("general.architecture")));
    if (!architecture) {
      return Fail(ErrorCode::kCorrupt, "{} has no key 'general.architecture', so it is not a language model.",
                  files.path());
    }
    source.architecture_ = *architecture;
    return source;
  }
  source.file_ = files.path() + "/config.json";
  QUIRE_ASSIGN(source.json_, files.Json("config.json"));
  if (!source.json_.is_object()) {
    return Fail(ErrorCode::kNotFound,
                "{} is missing or not an object: a model folder needs the config.json it was published with.",
                source.file_);
  }
  // A model that also sees or hears keeps the settings of its language part in an object of their own.
  if (const auto text = source.json_.find("text_config");
      text != source.json_.end() && text->is_object() && text->contains("hidden_size")) {
    nlohmann::json inner = *text;
    if (!inner.contains("model_type")) inner["model_type"] = source.json_.value("model_type", "");
    source.json_ = std::move(inner);
  }
  QUIRE_ASSIGN(auto model_type, source.String({"", "model_type"}));
  if (!model_type) {
    return Fail(ErrorCode::kCorrupt, "{} has no key 'model_type', which names the model family.",
                source.file_);
  }
  source.architecture_ = *model_type;
  return source;
}

std::string ConfigSource::Name(ConfigKey key) const {
  return is_gguf() ? architecture_ + "." + std::string(key.gguf) : std::string(key.hf);
}

const nlohmann::json* ConfigSource::FindJson(std::string_view path) const {
  const nlohmann::json* at = &json_;
  while (!path.empty()) {
    const size_t dot = path.find('.');
    if (!at->is_object()) return nullptr;
    const auto it = at->find(std::string(path.substr(0, dot)));
    if (it == at->end() || it->is_null()) return nullptr;
    at = &*it;
    path = dot == std::string_view::npos ? std::string_view() : path.substr(dot + 1);
  }
  return at;
}

void ConfigSource::AddDefaults(const nlohmann::json& defaults) {
  if (is_gguf()) return;
  for (const auto& [key, value] : defaults.items()) {
    if (!json_.contains(key)) json_[key] = value;
  }
}

bool ConfigSource::HasObject(std::string_view hf_path) const {
  if (is_gguf()) return false;
  const nlohmann::json* found = FindJson(hf_path);
  return found != nullptr && found->is_object();
}

std::unexpected<Error> ConfigSource::Absent(ConfigKey key) const {
  return Fail(ErrorCode::kCorrupt, "{} has no key '{}', which a model of family {} needs.", file_, Name(key),
              Quoted(architecture_));
}

std::unexpected<Error> ConfigSource::WrongKind(ConfigKey key, std::string_view expected) const {
  return Fail(ErrorCode::kCorrupt, "Key '{}' in {} is not {}: the file is damaged.", Name(key), file_,
              expected);
}

template <typename Range, typename T>
Status ConfigSource::Check(ConfigKey key, const Range& range, T value) const {
  if (value >= range.least && value <= range.most) return {};
  return Fail(ErrorCode::kCorrupt, "Key '{}' in {} is {}, but must be from {} to {}.", Name(key), file_,
              value, range.least, range.most);
}

Result<std::optional<int64_t>> ConfigSource::Integer(ConfigKey key, IntegerRange range) const {
  std::optional<int64_t> value;
  if (is_gguf()) {
    if (key.gguf.empty()) return std::nullopt;
    // Some writers repeat a number for every layer.
    QUIRE_ASSIGN(const auto values, In(file_, files_->gguf().Integers(Name(key))));
    if (!values) return std::nullopt;
    for (const int64_t v : *values) {
      if (v != values->front()) {
        return Fail(ErrorCode::kUnsupported, "Key '{}' in {} differs between layers, which is not supported.",
                    Name(key), file_);
      }
    }
    if (values->empty()) return WrongKind(key, "an integer");
    value = values->front();
  } else {
    const nlohmann::json* found = key.hf.empty() ? nullptr : FindJson(key.hf);
    if (found == nullptr) return std::nullopt;
    if (!found->is_number()) return WrongKind(key, "an integer");
    const double number = found->get<double>();
    if (!(std::abs(number) < 0x1p53) || std::trunc(number) != number) return WrongKind(key, "an integer");
    value = static_cast<int64_t>(number);
  }
  QUIRE_TRY(Check(key, range, *value));
  return value;
}

Result<std::optional<double>> ConfigSource::Number(ConfigKey key, NumberRange range) const {
  std::optional<double> value;
  if (is_gguf()) {
    if (key.gguf.empty()) return std::nullopt;
    QUIRE_ASSIGN(value, In(file_, files_->gguf().Number(Name(key))));
  } else if (const nlohmann::json* found = key.hf.empty() ? nullptr : FindJson(key.hf)) {
    if (!found->is_number()) return WrongKind(key, "a number");
    value = found->get<double>();
  }
  if (value) QUIRE_TRY(Check(key, range, *value));
  return value;
}

Result<std::optional<bool>> ConfigSource::Bool(ConfigKey key) const {
  if (is_gguf()) {
    if (key.gguf.empty()) return std::nullopt;
    return In(file_, files_->gguf().Bool(Name(key)));
  }
  const nlohmann::json* found = key.hf.empty() ? nullptr : FindJson(key.hf);
  if (found == nullptr) return std::nullopt;
  if (!found->is_boolean()) return WrongKind(key, "true or false");
  return found->get<bool>();
}

Result<std::optional<std::string>> ConfigSource::String(ConfigKey key) const {
  if (is_gguf()) {
    if (key.gguf.empty()) return std::nullopt;
    return In(file_, files_->gguf().String(Name(key)));
  }
  const nlohmann::json* found = key.hf.empty() ? nullptr : FindJson(key.hf);
  if (found == nullptr) return std::nullopt;
  if (!found->is_string()) return WrongKind(key, "a string");
  return found->get<std::string>();
}

Result<std::vector<double>> ConfigSource::Numbers(ConfigKey key, NumberRange range) const {
  std::vector<double> values;
  if (is_gguf()) {
    if (key.gguf.empty()) return values;
    QUIRE_ASSIGN(auto held, In(file_, files_->gguf().Numbers(Name(key))));
    if (held) values = std::move(*held);
  } else if (const nlohmann::json* found = key.hf.empty() ? nullptr : FindJson(key.hf)) {
    if (!found->is_array()) return WrongKind(key, "an array of numbers");
    for (const nlohmann::json& element : *found) {
      if (!element.is_number()) return WrongKind(key, "an array of numbers");
      values.push_back(element.get<double>());
    }
  }
  for (const double value : values) QUIRE_TRY(Check(key, range, value));
  return values;
}

Result<std::vector<std::string>> ConfigSource::Strings(ConfigKey key) const {
  std::vector<std::string> values;
  if (is_gguf()) {
    if (key.gguf.empty()) return values;
    QUIRE_ASSIGN(const auto* held, In(file_, files_->gguf().Strings(Name(key))));
    if (held != nullptr) values = *held;
  } else if (const nlohmann::json* found = key.hf.empty() ? nullptr : FindJson(key.hf)) {
    if (!found->is_array()) return WrongKind(key, "an array of strings");
    for (const nlohmann::json& element : *found) {
      if (!element.is_string()) return WrongKind(key, "an array of strings");
      values.push_back(element.get<std::string>());
    }
  }
  return values;
}

Result<int64_t> ConfigSource::RequiredInteger(ConfigKey key, IntegerRange range) const {
  QUIRE_ASSIGN(const auto value, Integer(key, range));
  if (!value) return Absent(key);
  return *value;
}

Result<double> ConfigSource::RequiredNumber(ConfigKey key, NumberRange range) const {
  QUIRE_ASSIGN(const auto value, Number(key, range));
  if (!value) return Absent(key);
  return *value;
}

}  // namespace quire

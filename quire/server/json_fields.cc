#include "quire/server/json_fields.h"

#include <cmath>
#include <limits>

#include "quire/server/json_body.h"

namespace quire {
namespace {

using nlohmann::ordered_json;

// "the string 'abc'", short enough for a message.
std::string Shown(const ordered_json& value) {
  if (value.is_object() || value.is_array()) return fmt::format("an {}", value.type_name());
  std::string text = DumpJson(value);
  if (text.size() > 40) text = text.substr(0, 40) + "...";
  return text;
}

}  // namespace

JsonFields::JsonFields(const ordered_json& object, std::string prefix)
    : object_(object), prefix_(std::move(prefix)) {}

const ordered_json* JsonFields::Find(std::string_view name) const {
  const auto it = object_.find(name);
  return it == object_.end() || it->is_null() ? nullptr : &*it;
}

void JsonFields::Reject(std::string_view name, std::string message, std::optional<std::string> code) {
  if (error_) return;
  const std::string field = prefix_ + std::string(name);
  error_ = BadField(field, fmt::format("{} {}", field, message));
  error_->code = std::move(code);
}

void JsonFields::Adopt(const JsonFields& inner) {
  if (!error_) error_ = inner.error_;
}

void JsonFields::Expected(std::string_view name, const ordered_json& value, std::string_view expected) {
  Reject(name, fmt::format("is {}; it must be {}", Shown(value), expected));
}

bool JsonFields::Bool(std::string_view name, bool otherwise) {
  const ordered_json* value = Find(name);
  if (!value) return otherwise;
  if (!value->is_boolean()) {
    Expected(name, *value, "true or false");
    return otherwise;
  }
  return value->get<bool>();
}

std::optional<double> JsonFields::Number(std::string_view name, double min, double max) {
  const ordered_json* value = Find(name);
  if (!value) return std::nullopt;
  const double number = value->is_number() ? value->get<double>() : NAN;
  if (number >= min && number <= max) return number;
  Expected(name, *value, fmt::format("a number from {} to {}", min, max));
  return std::nullopt;
}

std::optional<int64_t> JsonFields::Integer(std::string_view name, int64_t min, int64_t max) {
  const ordered_json* value = Find(name);
  if (!value) return std::nullopt;
  const std::optional<int64_t> number = AsInteger(*value);
  if (number && *number >= min && *number <= max) return number;
  Expected(name, *value, fmt::format("a whole number from {} to {}", min, max));
  return std::nullopt;
}

std::optional<std::string> JsonFields::String(std::string_view name) {
  const ordered_json* value = Find(name);
  if (!value) return std::nullopt;
  if (value->is_string()) return value->get<std::string>();
  Expected(name, *value, "a string");
  return std::nullopt;
}

std::vector<std::string> JsonFields::Strings(std::string_view name, size_t max_count, size_t max_bytes) {
  const ordered_json* value = Find(name);
  if (!value) return {};
  std::vector<std::string> strings;
  const bool single = value->is_string();
  if (!single && (!value->is_array() || value->size() > max_count)) {
    Expected(name, *value, fmt::format("a string or a list of at most {} strings", max_count));
    return {};
  }
  for (size_t i = 0; i < (single ? 1 : value->size()); ++i) {
    const ordered_json& item = single ? *value : (*value)[i];
    if (!item.is_string() || item.get_ref<const std::string&>().size() > max_bytes) {
      Expected(name, *value,
               fmt::format("a string or a list of strings, each of at most {} bytes", max_bytes));
      return {};
    }
    strings.push_back(item.get<std::string>());
  }
  return strings;
}

std::vector<Token> JsonFields::Tokens(std::string_view name, int vocab_size) {
  const ordered_json* value = Find(name);
  if (!value) return {};
  std::vector<Token> tokens;
  if (!value->is_array()) Expected(name, *value, "a list of token ids");
  for (size_t i = 0; value->is_array() && i < value->size(); ++i) {
    const auto id = AsInteger((*value)[i]);
    if (!id || *id < 0 || *id >= vocab_size) {
      Reject(name, fmt::format("has {} at place {}; the model's token ids are 0 to {}", Shown((*value)[i]), i,
                               vocab_size - 1));
      return {};
    }
    tokens.push_back(static_cast<Token>(*id));
  }
  return tokens;
}

const ordered_json* JsonFields::Object(std::string_view name) {
  const ordered_json* value = Find(name);
  if (value && !value->is_object()) {
    Expected(name, *value, "an object");
    return nullptr;
  }
  return value;
}

const ordered_json* JsonFields::Array(std::string_view name) {
  const ordered_json* value = Find(name);
  if (value && !value->is_array()) {
    Expected(name, *value, "a list");
    return nullptr;
  }
  return value;
}

std::optional<int64_t> AsInteger(const ordered_json& value) {
  if (value.is_number_unsigned()) {
    const auto number = value.get<uint64_t>();
    if (number > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return std::nullopt;
    return static_cast<int64_t>(number);
  }
  if (value.is_number_integer()) return value.get<int64_t>();
  if (!value.is_number_float()) return std::nullopt;
  const double number = value.get<double>();
  // 2^53: beyond it a double does not say which integer is meant.
  if (number != std::floor(number) || std::abs(number) > 9007199254740992.0) return std::nullopt;
  return static_cast<int64_t>(number);
}

}  // namespace quire

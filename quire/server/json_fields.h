// Reads the fields of a JSON object one by one, each with its type and range. The first field that is wrong
// is remembered, and what is read after it does not matter:
//
//   JsonFields fields(body);
//   params.top_p = fields.Number("top_p", 0, 1).value_or(1);
//   if (fields.error()) return std::unexpected(*fields.error());
//
// A field that is null is absent.
#ifndef QUIRE_SERVER_JSON_FIELDS_H_
#define QUIRE_SERVER_JSON_FIELDS_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "quire/base/token.h"
#include "quire/server/api_error.h"

namespace quire {

class JsonFields {
 public:
  // `prefix` goes before names in errors, e.g. "stream_options.". REQUIRES: `object` is an object and
  // outlives this.
  explicit JsonFields(const nlohmann::ordered_json& object, std::string prefix = "");

  // Null when absent.
  const nlohmann::ordered_json* Find(std::string_view name) const;
  bool Has(std::string_view name) const { return Find(name) != nullptr; }

  bool Bool(std::string_view name, bool otherwise);
  std::optional<double> Number(std::string_view name, double min, double max);
  std::optional<int64_t> Integer(std::string_view name, int64_t min, int64_t max);
  std::optional<std::string> String(std::string_view name);
  // A string or a list of them.
  std::vector<std::string> Strings(std::string_view name, size_t max_count, size_t max_bytes);
  // A list of token ids below `vocab_size`.
  std::vector<Token> Tokens(std::string_view name, int vocab_size);
  const nlohmann::ordered_json* Object(std::string_view name);
  const nlohmann::ordered_json* Array(std::string_view name);

  // Remembers that `name` is wrong, unless another field was before it.
  void Reject(std::string_view name, std::string message, std::optional<std::string> code = {});
  // Takes over the error of an object inside this one.
  void Adopt(const JsonFields& inner);
  const std::optional<ApiError>& error() const { return error_; }

 private:
  void Expected(std::string_view name, const nlohmann::ordered_json& value, std::string_view expected);

  const nlohmann::ordered_json& object_;
  std::string prefix_;
  std::optional<ApiError> error_;
};

// A JSON number without a fraction that fits, as an integer.
std::optional<int64_t> AsInteger(const nlohmann::ordered_json& value);

}  // namespace quire

#endif  // QUIRE_SERVER_JSON_FIELDS_H_

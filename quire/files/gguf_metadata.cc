#include <array>
#include <cmath>
#include <type_traits>

#include "quire/files/gguf.h"
#include "quire/files/quoted.h"

namespace quire {
namespace {

// In the order of GgufValue's alternatives.
constexpr std::array<std::string_view, std::variant_size_v<GgufValue>> kKinds = {"a bool",
                                                                                 "an integer",
                                                                                 "an integer",
                                                                                 "a number",
                                                                                 "a string",
                                                                                 "an array of bools",
                                                                                 "an array of integers",
                                                                                 "an array of integers",
                                                                                 "an array of numbers",
                                                                                 "an array of strings"};

std::unexpected<Error> WrongKind(std::string_view key, const GgufValue& value, std::string_view expected) {
  return Fail(ErrorCode::kCorrupt, "metadata key {} is {}, expected {}", Quoted(key), kKinds[value.index()],
              expected);
}

std::optional<int64_t> ToInteger(int64_t value) { return value; }
std::optional<int64_t> ToInteger(uint64_t value) {
  if (value > static_cast<uint64_t>(INT64_MAX)) return std::nullopt;
  return static_cast<int64_t>(value);
}
std::optional<int64_t> ToInteger(double value) {
  if (!(value >= -0x1p63 && value < 0x1p63) || std::trunc(value) != value) return std::nullopt;
  return static_cast<int64_t>(value);
}

template <typename T>
constexpr bool kIsNumber =
    std::is_same_v<T, int64_t> || std::is_same_v<T, uint64_t> || std::is_same_v<T, double>;

// Numbers, and arrays of numbers or bools, as one vector; nullopt for any other kind, or where a number does
// not convert.
template <typename Target, typename Convert>
std::optional<std::vector<Target>> ToVector(const GgufValue& value, Convert convert) {
  return std::visit(
      [&]<typename T>(const T& held) -> std::optional<std::vector<Target>> {
        std::vector<Target> out;
        if constexpr (kIsNumber<T>) {
          const std::optional<Target> one = convert(held);
          if (!one) return std::nullopt;
          out.push_back(*one);
        } else if constexpr (std::is_same_v<T, bool> || std::is_same_v<T, std::string> ||
                             std::is_same_v<T, std::vector<std::string>>) {
          return std::nullopt;
        } else {
          out.reserve(held.size());
          for (const auto element : held) {
            std::optional<Target> one;
            if constexpr (std::is_same_v<T, std::vector<bool>>) {
              one = convert(static_cast<int64_t>(element));
            } else {
              one = convert(element);
            }
            if (!one) return std::nullopt;
            out.push_back(*one);
          }
        }
        return out;
      },
      value);
}

constexpr auto kConvertInteger = [](auto number) { return ToInteger(number); };
constexpr auto kConvertNumber = [](auto number) { return std::optional(static_cast<double>(number)); };

bool IsArray(const GgufValue& value) { return value.index() > 4; }

}  // namespace

const GgufValue* GgufMetadata::Find(std::string_view key) const {
  const auto it = values_.find(key);
  return it == values_.end() ? nullptr : &it->second;
}

Result<std::optional<int64_t>> GgufMetadata::Integer(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::nullopt;
  const auto numbers = IsArray(*value) ? std::nullopt : ToVector<int64_t>(*value, kConvertInteger);
  if (!numbers) return WrongKind(key, *value, "an integer that fits in 64 bits");
  return numbers->front();
}

Result<std::optional<double>> GgufMetadata::Number(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::nullopt;
  const auto numbers = IsArray(*value) ? std::nullopt : ToVector<double>(*value, kConvertNumber);
  if (!numbers) return WrongKind(key, *value, "a number");
  return numbers->front();
}

Result<std::optional<bool>> GgufMetadata::Bool(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::nullopt;
  const bool* held = std::get_if<bool>(value);
  if (held == nullptr) return WrongKind(key, *value, "a bool");
  return *held;
}

Result<std::optional<std::string>> GgufMetadata::String(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::nullopt;
  const std::string* held = std::get_if<std::string>(value);
  if (held == nullptr) return WrongKind(key, *value, "a string");
  return *held;
}

Result<const std::vector<std::string>*> GgufMetadata::Strings(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return nullptr;
  const auto* held = std::get_if<std::vector<std::string>>(value);
  if (held == nullptr) return WrongKind(key, *value, "an array of strings");
  return held;
}

Result<std::optional<std::vector<int64_t>>> GgufMetadata::Integers(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::nullopt;
  auto numbers = ToVector<int64_t>(*value, kConvertInteger);
  if (!numbers) return WrongKind(key, *value, "an integer or an array of integers that fit in 64 bits");
  return numbers;
}

Result<std::optional<std::vector<double>>> GgufMetadata::Numbers(std::string_view key) const {
  const GgufValue* value = Find(key);
  if (value == nullptr) return std::nullopt;
  auto numbers = ToVector<double>(*value, kConvertNumber);
  if (!numbers) return WrongKind(key, *value, "a number or an array of numbers");
  return numbers;
}

}  // namespace quire

// Numbers as text.
#ifndef QUIRE_BASE_PARSE_NUMBER_H_
#define QUIRE_BASE_PARSE_NUMBER_H_

#include <charconv>
#include <optional>
#include <string_view>

namespace quire {

// The number that the whole of `text` is; nothing when it is something else, or out of T's range.
template <typename T>
std::optional<T> ParseNumber(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace quire

#endif  // QUIRE_BASE_PARSE_NUMBER_H_

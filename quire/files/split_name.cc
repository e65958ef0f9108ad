#include "quire/files/split_name.h"

#include <fmt/format.h>

#include "quire/base/parse_number.h"

namespace quire {
namespace {

std::optional<int> FiveDigits(std::string_view text) {
  const auto value = ParseNumber<int>(text);
  return value && *value >= 1 ? value : std::nullopt;
}

}  // namespace

std::string SplitName::Part(int part_number) const {
  return fmt::format("{}-{:05}-of-{:05}.gguf", prefix, part_number, count);
}

std::optional<SplitName> ParseSplitName(std::string_view path) {
  constexpr std::string_view kForm = "-00001-of-00003.gguf";
  if (path.size() < kForm.size()) return std::nullopt;
  const std::string_view tail = path.substr(path.size() - kForm.size());
  if (tail.front() != '-' || tail.substr(6, 4) != "-of-" || tail.substr(15) != ".gguf") return std::nullopt;
  const auto number = FiveDigits(tail.substr(1, 5));
  const auto count = FiveDigits(tail.substr(10, 5));
  if (!number || !count || *number > *count) return std::nullopt;
  return SplitName{std::string(path.substr(0, path.size() - kForm.size())), *number, *count};
}

}  // namespace quire

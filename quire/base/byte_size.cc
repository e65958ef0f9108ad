#include "quire/base/byte_size.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>

namespace quire {
namespace {

struct Unit {
  std::string_view name;
  double bytes;
};
constexpr double kKi = 1024.0;
constexpr std::array<Unit, 14> kUnits = {{{"", 1},
                                          {"b", 1},
                                          {"k", kKi},
                                          {"kb", 1e3},
                                          {"kib", kKi},
                                          {"m", kKi* kKi},
                                          {"mb", 1e6},
                                          {"mib", kKi* kKi},
                                          {"g", kKi* kKi* kKi},
                                          {"gb", 1e9},
                                          {"gib", kKi* kKi* kKi},
                                          {"t", kKi* kKi* kKi* kKi},
                                          {"tb", 1e12},
                                          {"tib", kKi* kKi* kKi* kKi}}};

std::unexpected<Error> BadSize(std::string_view text) {
  return Fail(ErrorCode::kInvalidArgument, "'{}' is not a size: write for example 512MiB, 4GiB or 50%", text);
}

}  // namespace

Result<uint64_t> ParseByteSize(std::string_view text, uint64_t whole_bytes) {
  double number = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || !std::isfinite(number) || number < 0) return BadSize(text);
  std::string unit(rest, text.data() + text.size());
  unit.erase(0, unit.find_first_not_of(' ') == std::string::npos ? unit.size() : unit.find_first_not_of(' '));
  std::ranges::transform(unit, unit.begin(), [](unsigned char c) { return std::tolower(c); });

  double bytes = -1;
  if (unit == "%") {
    if (number > 100) return Fail(ErrorCode::kInvalidArgument, "'{}' is more than all there is", text);
    bytes = number / 100 * static_cast<double>(whole_bytes);
  }
  for (const Unit& known : kUnits) {
    if (unit == known.name) bytes = number * known.bytes;
  }
  if (bytes < 0 || bytes >= 9e18) return BadSize(text);
  return static_cast<uint64_t>(bytes);
}

std::string FormatByteSize(uint64_t bytes) {
  constexpr std::array<const char*, 5> kNames = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < kNames.size()) {
    value /= 1024;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes)
                   : fmt::format("{:.{}f} {}", value, value < 10 ? 2 : 1, kNames[unit]);
}

}  // namespace quire

#include "quire/files/quoted.h"

#include <fmt/format.h>

namespace quire {

std::string Quoted(std::string_view name) {
  constexpr size_t kLongest = 96;
  std::string out = "'";
  for (const unsigned char c : name.substr(0, kLongest)) {
    if (c >= 0x20 && c < 0x7f) {
      out += static_cast<char>(c);
    } else {
      out += fmt::format("\\x{:02x}", c);
    }
  }
  return out + (name.size() > kLongest ? "...'" : "'");
}

}  // namespace quire

#include "quire/cli/text_table.h"

#include <algorithm>
#include <string_view>

namespace quire {

bool TextTable::IsNumeric(size_t column) const {
  constexpr std::string_view kNumberStarts = "0123456789+-.";
  return std::ranges::all_of(rows_.begin() + 1, rows_.end(), [&](const auto& row) {
    return row[column].empty() || kNumberStarts.find(row[column][0]) != std::string_view::npos;
  });
}

std::string TextTable::Render() const {
  const size_t columns = rows_.front().size();
  std::vector<size_t> widths(columns);
  for (const auto& row : rows_) {
    for (size_t c = 0; c < columns; ++c) widths[c] = std::max(widths[c], row[c].size());
  }
  std::string text;
  for (const auto& row : rows_) {
    std::string line;
    for (size_t c = 0; c < columns; ++c) {
      const std::string padding(widths[c] - row[c].size(), ' ');
      line += (c == 0 ? "  " : "   ") + (IsNumeric(c) ? padding + row[c] : row[c] + padding);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

}  // namespace quire

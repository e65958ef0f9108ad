#include "quire/cli/bar_chart.h"

#include <fmt/format.h>

#include <algorithm>

#include "quire/cli/generate.h"

namespace quire {
namespace {

constexpr int kWidth = 720, kLabels = 200, kValues = 130, kRow = 26, kBar = 16, kTop = 44;
constexpr int kSpace = kWidth - kLabels - kValues;  // for the bars

std::string Escaped(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      default:
        escaped += static_cast<unsigned char>(c) < 32 ? ' ' : c;
    }
  }
  return escaped;
}

}  // namespace

std::string RenderBars(const std::string& title, const std::string& unit, const std::vector<Bar>& bars) {
  const int height = kTop + kRow * static_cast<int>(bars.size()) + 10;
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" "
      "font-family=\"sans-serif\" font-size=\"13\">\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
      "<text x=\"10\" y=\"24\" font-size=\"15\" font-weight=\"bold\">{2}</text>\n",
      kWidth, height, Escaped(title));
  double most = 0;
  for (const Bar& bar : bars) most = std::max({most, bar.value, bar.most});
  const auto x = [&](double value) { return kLabels + (most > 0 ? value / most * kSpace : 0); };
  int y = kTop;
  for (const Bar& bar : bars) {
    const int middle = y + kBar / 2;
    svg += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n", kLabels - 8, middle + 5,
                       Escaped(bar.label));
    svg += fmt::format("<rect x=\"{}\" y=\"{}\" width=\"{:.1f}\" height=\"{}\" fill=\"#3b6ea5\"/>\n", kLabels,
                       y, x(bar.value) - kLabels, kBar);
    if (bar.least < bar.most) {
      svg += fmt::format(
          "<line x1=\"{:.1f}\" y1=\"{}\" x2=\"{:.1f}\" y2=\"{}\" stroke=\"#222\" stroke-width=\"2\"/>\n",
          x(bar.least), middle, x(bar.most), middle);
    }
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{}\">{:.4g} {}</text>\n", x(std::max(bar.value, bar.most)) + 8,
                       middle + 5, bar.value, Escaped(unit));
    y += kRow;
  }
  return svg + "</svg>\n";
}

Status WriteBars(const std::string& path, const std::string& title, const std::string& unit,
                 const std::vector<Bar>& bars) {
  return WriteFile(path, "chart", RenderBars(title, unit, bars));
}

}  // namespace quire

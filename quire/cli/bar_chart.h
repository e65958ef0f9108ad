// Measurements as a picture: horizontal bars in an SVG file, which browsers and pages of text can show.
#ifndef QUIRE_CLI_BAR_CHART_H_
#define QUIRE_CLI_BAR_CHART_H_

#include <string>
#include <vector>

#include "quire/base/result.h"

namespace quire {

struct Bar {
  std::string label;
  double value = 0;            // not negative
  double least = 0, most = 0;  // the spread, as a thin line; equal: none
};

// `unit` stands behind every value.
std::string RenderBars(const std::string& title, const std::string& unit, const std::vector<Bar>& bars);

// Errors: kIo.
Status WriteBars(const std::string& path, const std::string& title, const std::string& unit,
                 const std::vector<Bar>& bars);

}  // namespace quire

#endif  // QUIRE_CLI_BAR_CHART_H_

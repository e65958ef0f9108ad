// What `quire top` shows, as text: the answers of a server's /memory and /metrics in, lines for a terminal
// out.
#ifndef QUIRE_CLI_TOP_VIEW_H_
#define QUIRE_CLI_TOP_VIEW_H_

#include <optional>
#include <string>
#include <string_view>

#include "quire/base/result.h"

namespace quire {

// How much the server has done since it started.
struct ServerWork {
  double prompt_tokens = 0;
  double output_tokens = 0;
};
ServerWork ReadWork(std::string_view metrics);

struct TopRates {
  double prompt_tokens_per_s = 0;
  double output_tokens_per_s = 0;
};

struct TopSize {
  int columns = 80;
  int lines = 24;
};

// At most `size.lines` lines that end in '\n', each at most `size.columns` wide. `rates` are known from the
// second look on. Errors: kCorrupt where `memory` is not the JSON of /memory.
Result<std::string> RenderTop(std::string_view memory, std::optional<TopRates> rates, TopSize size);

}  // namespace quire

#endif  // QUIRE_CLI_TOP_VIEW_H_

// What the API needs to know of the model behind it. Everything outlives the server's connections.
#ifndef QUIRE_SERVER_SERVED_MODEL_H_
#define QUIRE_SERVER_SERVED_MODEL_H_

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "quire/engine/runtime.h"
#include "quire/text/chat_template.h"
#include "quire/text/tokenizer.h"

namespace quire {

struct ServedModel {
  Engine* engine = nullptr;
  const Tokenizer* tokenizer = nullptr;
  const ChatTemplate* chat_template = nullptr;  // null when the model has none
  std::string chat_template_missing;            // why
  int64_t context_length = 0;                   // longest prompt plus output
  // A longer text has more tokens than the context, whatever it says.
  size_t max_prompt_bytes = std::numeric_limits<size_t>::max();
  std::vector<std::string> names;  // that requests may use; never empty
  int64_t created = 0;             // Unix time

  bool HasName(std::string_view name) const { return std::ranges::find(names, name) != names.end(); }
};

// `names`: empty for the model's own. REQUIRES: the runtime outlives what is served.
ServedModel ServedFrom(Runtime& runtime, std::vector<std::string> names);

}  // namespace quire

#endif  // QUIRE_SERVER_SERVED_MODEL_H_

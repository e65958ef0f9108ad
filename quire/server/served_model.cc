#include "quire/server/served_model.h"

#include <ctime>
#include <utility>

namespace quire {
namespace {

size_t LongestToken(const Tokenizer& tokenizer) {
  size_t longest = 1;
  for (Token token = 0; token < tokenizer.vocab_size(); ++token) {
    longest = std::max(longest, tokenizer.TokenBytes(token, true).size());
  }
  return longest;
}

}  // namespace

ServedModel ServedFrom(Runtime& runtime, std::vector<std::string> names) {
  ServedModel served;
  served.engine = runtime.engine.get();
  served.tokenizer = runtime.tokenizer.get();
  served.chat_template = runtime.chat_template.get();
  served.chat_template_missing = runtime.chat_template_missing;
  served.context_length = runtime.engine->options().max_context;
  served.max_prompt_bytes = served.context_length * LongestToken(*served.tokenizer);
  served.names = std::move(names);
  if (served.names.empty()) served.names.push_back(runtime.model->info().name);
  served.created = time(nullptr);
  return served;
}

}  // namespace quire

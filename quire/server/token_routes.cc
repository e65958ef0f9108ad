#include "quire/server/token_routes.h"

#include <fmt/format.h>

#include <algorithm>

#include "quire/server/call_fields.h"
#include "quire/server/chat_prompt.h"
#include "quire/server/json_fields.h"
#include "quire/server/logprobs.h"

namespace quire {

using nlohmann::ordered_json;

namespace {

// Texts longer than the context may be counted, but not for many seconds of an I/O thread.
void CheckLength(JsonFields& fields, std::string_view name, size_t bytes, const ServedModel& served) {
  constexpr size_t kAlways = 1 << 20;
  const size_t most = std::max(kAlways, served.max_prompt_bytes);
  if (bytes <= most) return;
  fields.Reject(name, fmt::format("has {} bytes; one call takes at most {}: split it", bytes, most));
}

}  // namespace

ApiResult<ordered_json> Tokenize(const ordered_json& body, const ServedModel& served) {
  JsonFields fields(body);
  if (auto model = ReadModelName(fields, served); !model) return std::unexpected(model.error());
  const bool chat = fields.Has("messages");
  // A chat template writes the special tokens itself.
  const bool add_special = fields.Bool("add_special_tokens", !chat);
  const bool with_texts = fields.Bool("return_token_strs", false);
  ChatPrompt prompt;
  if (chat) {
    prompt = ReadChatPrompt(fields, served);
  } else if (fields.Has("prompt")) {
    prompt.text = fields.String("prompt").value_or("");
  } else {
    fields.Reject("prompt", "is missing; give a text, or messages");
  }
  CheckLength(fields, chat ? "messages" : "prompt", prompt.text.size(), served);
  if (fields.error()) return std::unexpected(*fields.error());

  const auto tokens = prompt.Encode(*served.tokenizer, add_special);
  ordered_json texts = nullptr;
  if (with_texts) {
    texts = ordered_json::array();
    for (Token token : tokens) texts.push_back(TokenLabel(*served.tokenizer, token));
  }
  return ordered_json{{"count", tokens.size()},
                      {"max_model_len", served.context_length},
                      {"tokens", tokens},
                      {"token_strs", std::move(texts)}};
}

ApiResult<ordered_json> Detokenize(const ordered_json& body, const ServedModel& served) {
  JsonFields fields(body);
  if (auto model = ReadModelName(fields, served); !model) return std::unexpected(model.error());
  if (!fields.Has("tokens")) fields.Reject("tokens", "is missing; give a list of token ids");
  const auto tokens = fields.Tokens("tokens", served.tokenizer->vocab_size());
  if (fields.error()) return std::unexpected(*fields.error());
  return ordered_json{{"prompt", served.tokenizer->Decode(tokens, false)}};
}

}  // namespace quire

#include "quire/server/logprobs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "quire/server/json_body.h"

namespace quire {
namespace {

using nlohmann::ordered_json;

// JSON has no infinity; this is what OpenAI's API shows for it.
constexpr double kLeastLogprob = -9999.0;

double Shown(float logprob) { return std::isfinite(logprob) ? logprob : kLeastLogprob; }

ordered_json Bytes(const std::string& text) {
  ordered_json bytes = ordered_json::array();
  for (char c : text) bytes.push_back(static_cast<unsigned char>(c));
  return bytes;
}

ordered_json ChatToken(const Tokenizer& tokenizer, const TokenLogprob& entry) {
  return {{"token", TokenLabel(tokenizer, entry.token)},
          {"logprob", Shown(entry.logprob)},
          {"bytes", Bytes(tokenizer.TokenBytes(entry.token, true))}};
}

// Characters that begin in `bytes`.
int64_t CharactersIn(std::string_view bytes) {
  return std::ranges::count_if(bytes, [](char c) { return (c & 0xC0) != 0x80; });
}

}  // namespace

std::string TokenLabel(const Tokenizer& tokenizer, Token token) {
  std::string bytes = tokenizer.TokenBytes(token, true);
  if (IsUtf8(bytes)) return bytes;
  std::string label = "bytes:";
  for (char c : bytes) fmt::format_to(std::back_inserter(label), "\\x{:02x}", static_cast<unsigned char>(c));
  return label;
}

ordered_json ChatLogprobs(const Tokenizer& tokenizer, std::span<const PositionLogprobs> positions, int top) {
  ordered_json content = ordered_json::array();
  for (const PositionLogprobs& position : positions) {
    ordered_json entry = ChatToken(tokenizer, position.chosen);
    entry["top_logprobs"] = ordered_json::array();
    for (const TokenLogprob& other : position.top) {
      if (std::ssize(entry["top_logprobs"]) == top) break;
      entry["top_logprobs"].push_back(ChatToken(tokenizer, other));
    }
    content.push_back(std::move(entry));
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

CompletionLogprobs::CompletionLogprobs(const Tokenizer& tokenizer, int top, int64_t& text_offset)
    : tokenizer_(tokenizer), top_(top), text_offset_(text_offset) {
  for (const char* key : {"text_offset", "token_logprobs", "tokens", "top_logprobs"}) {
    json_[key] = ordered_json::array();
  }
}

void CompletionLogprobs::AddPrompt(std::span<const Token> tokens,
                                   std::span<const std::optional<PositionLogprobs>> positions) {
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (i < positions.size() && positions[i]) {
      Add(*positions[i]);
      continue;
    }
    AddToken(tokens[i]);
    json_["token_logprobs"].push_back(nullptr);
    json_["top_logprobs"].push_back(nullptr);
  }
}

void CompletionLogprobs::Add(const PositionLogprobs& position) {
  AddToken(position.chosen.token);
  json_["token_logprobs"].push_back(Shown(position.chosen.logprob));
  ordered_json top = ordered_json::object();
  for (const TokenLogprob& other : position.top) {
    if (std::ssize(top) == top_) break;
    top.emplace(TokenLabel(tokenizer_, other.token), Shown(other.logprob));
  }
  top.emplace(TokenLabel(tokenizer_, position.chosen.token), Shown(position.chosen.logprob));
  json_["top_logprobs"].push_back(std::move(top));
}

void CompletionLogprobs::AddToken(Token token) {
  json_["tokens"].push_back(TokenLabel(tokenizer_, token));
  json_["text_offset"].push_back(text_offset_);
  text_offset_ += CharactersIn(tokenizer_.TokenBytes(token, true));
}

ordered_json PromptLogprobs(const Tokenizer& tokenizer,
                            std::span<const std::optional<PositionLogprobs>> positions) {
  ordered_json list = ordered_json::array();
  const auto add = [&](ordered_json& object, const TokenLogprob& entry) {
    object.emplace(std::to_string(entry.token),
                   ordered_json{{"logprob", Shown(entry.logprob)},
                                {"rank", entry.rank},
                                {"decoded_token", TokenLabel(tokenizer, entry.token)}});
  };
  for (const auto& position : positions) {
    if (!position) {
      list.push_back(nullptr);
      continue;
    }
    ordered_json object = ordered_json::object();
    add(object, position->chosen);
    for (const TokenLogprob& other : position->top) add(object, other);
    list.push_back(std::move(object));
  }
  return list;
}

}  // namespace quire

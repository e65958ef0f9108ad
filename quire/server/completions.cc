#include "quire/server/completions.h"

#include "quire/engine/request_limits.h"
#include "quire/server/call_fields.h"
#include "quire/server/json_fields.h"

namespace quire {
namespace {

using nlohmann::ordered_json;

constexpr size_t kMaxPrompts = 1024;
constexpr int64_t kDefaultMaxTokens = 16;

struct Prompt {
  std::string text;  // for echo
  std::vector<Token> tokens;
};

// The text belongs to whoever calls: special tokens in it are meant.
Prompt EncodeText(JsonFields& fields, const std::string& text, bool add_special, const ServedModel& served) {
  if (!MayFitContext(fields, "prompt", text, served)) return {};
  return {text, served.tokenizer->Encode(text, {.add_special = add_special, .parse_special = true})};
}

Prompt FromTokens(std::vector<Token> tokens, const Tokenizer& tokenizer) {
  std::string text = tokenizer.Decode(tokens, false);
  return {std::move(text), std::move(tokens)};
}

bool AllOf(const ordered_json& list, bool (ordered_json::*is)() const noexcept) {
  for (const ordered_json& item : list) {
    if (!(item.*is)()) return false;
  }
  return !list.empty();
}

// Text, a list of texts, token ids, or a list of lists of token ids.
std::vector<Prompt> ReadPrompts(JsonFields& fields, const ServedModel& served) {
  const Tokenizer& tokenizer = *served.tokenizer;
  const bool add_special = fields.Bool("add_special_tokens", true);
  const ordered_json* prompt = fields.Find("prompt");
  std::vector<Prompt> prompts;
  if (!prompt) {
    fields.Reject("prompt", "is missing; give a text or token ids");
  } else if (prompt->is_string()) {
    prompts.push_back(EncodeText(fields, prompt->get<std::string>(), add_special, served));
  } else if (prompt->is_array() && AllOf(*prompt, &ordered_json::is_number)) {
    prompts.push_back(FromTokens(fields.Tokens("prompt", tokenizer.vocab_size()), tokenizer));
  } else if (prompt->is_array() && prompt->size() > kMaxPrompts) {
    fields.Reject("prompt",
                  fmt::format("is a list of {} prompts; send at most {}", prompt->size(), kMaxPrompts));
  } else if (prompt->is_array() && AllOf(*prompt, &ordered_json::is_string)) {
    for (const ordered_json& text : *prompt) {
      prompts.push_back(EncodeText(fields, text.get<std::string>(), add_special, served));
    }
  } else if (prompt->is_array() && AllOf(*prompt, &ordered_json::is_array)) {
    for (const ordered_json& ids : *prompt) {
      const ordered_json one = {{"prompt", ids}};
      JsonFields inner(one);
      prompts.push_back(FromTokens(inner.Tokens("prompt", tokenizer.vocab_size()), tokenizer));
      fields.Adopt(inner);
    }
  } else {
    fields.Reject("prompt", "must be a text, a list of texts, a list of token ids, or a list of such lists");
  }
  for (const Prompt& one : prompts) {
    if (one.tokens.empty()) fields.Reject("prompt", "has no tokens; give at least one");
  }
  return prompts;
}

// How many samples of a prompt are drawn; the n best of them are answered.
int ReadBestOf(JsonFields& fields, const Call& call) {
  const auto best_of = static_cast<int>(fields.Integer("best_of", 1, kMaxSamples).value_or(call.n));
  if (best_of < call.n) {
    fields.Reject("best_of", fmt::format("is {}; it must not be below n, which is {}", best_of, call.n));
  } else if (best_of > call.n && call.stream) {
    fields.Reject("best_of",
                  fmt::format("is {} and n is {}; the best are known at the end, so leave stream out",
                              best_of, call.n));
  }
  return best_of;
}

}  // namespace

ApiResult<Call> ReadCompletion(const ordered_json& body, const ServedModel& served) {
  JsonFields fields(body);
  Call call;
  call.kind = Call::Kind::kCompletion;
  call.id = NewId("cmpl-");
  if (auto model = ReadModelName(fields, served)) {
    call.model = *model;
  } else {
    return std::unexpected(model.error());
  }
  RejectUnsupported(fields);
  SamplingParams sampling = ReadSampling(fields, served);
  ReadDelivery(fields, call);
  call.n = sampling.n;
  call.echo = fields.Bool("echo", false);
  call.samples = sampling.n = ReadBestOf(fields, call);
  const auto max_tokens = fields.Integer("max_tokens", 0, served.context_length);
  if (auto count = fields.Integer("logprobs", 0, kMaxLogprobs)) {
    call.logprobs = sampling.logprobs = static_cast<int>(*count);
    if (call.echo) sampling.prompt_logprobs = std::max(sampling.prompt_logprobs.value_or(0), *call.logprobs);
  }
  ReadBeams(fields, sampling, served, call);
  // What is best is judged by log-probabilities.
  if (call.samples > call.n && !sampling.logprobs) sampling.logprobs = 0;
  Request common;
  common.id = call.id;
  common.priority = static_cast<int>(fields.Integer("priority", -1'000'000, 1'000'000).value_or(0));
  common.tenant = fields.String("user").value_or("");
  common.cache_salt = ReadCacheSalt(fields);
  common.kv_type = ReadKvType(fields, served);
  const bool keeps_prompt = ReadRetention(fields, common);
  if (fields.error()) return std::unexpected(*fields.error());

  for (Prompt& prompt : ReadPrompts(fields, served)) {
    const int64_t room = std::max<int64_t>(served.context_length - std::ssize(prompt.tokens), 1);
    sampling.max_tokens = max_tokens.value_or(std::min(kDefaultMaxTokens, room));
    Request& request = call.requests.emplace_back(common);
    request.prompt = std::move(prompt.tokens);
    request.sampling = sampling;
    if (keeps_prompt) request.kept.push_back({std::ssize(request.prompt), kKeptForADay_s});
    call.prompt_texts.push_back(std::move(prompt.text));
  }
  if (fields.error()) return std::unexpected(*fields.error());
  return call;
}

}  // namespace quire

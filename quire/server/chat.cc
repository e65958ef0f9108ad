#include "quire/server/chat.h"

#include <algorithm>

#include "quire/engine/request_limits.h"
#include "quire/server/call_fields.h"
#include "quire/server/chat_prompt.h"
#include "quire/server/json_fields.h"

namespace quire {
namespace {

using nlohmann::ordered_json;

// logprobs: true, and top_logprobs for the alternatives.
std::optional<int> ReadLogprobs(JsonFields& fields) {
  const bool wanted = fields.Bool("logprobs", false);
  const int64_t top = fields.Integer("top_logprobs", 0, kMaxLogprobs).value_or(0);
  if (top > 0 && !wanted) fields.Reject("top_logprobs", "needs logprobs to be true");
  if (!wanted) return std::nullopt;
  return static_cast<int>(top);
}

// The new name wins where both are given. Without either the context is the limit.
std::optional<int64_t> ReadMaxTokens(JsonFields& fields, int64_t context_length) {
  const auto old_name = fields.Integer("max_tokens", 1, context_length);
  const auto new_name = fields.Integer("max_completion_tokens", 1, context_length);
  return new_name ? new_name : old_name;
}

// Of the functions that the answer may call.
std::vector<std::string> ToolNames(const JsonFields& fields) {
  std::vector<std::string> names;
  const ordered_json* tools = fields.Find("tools");
  if (tools == nullptr || !tools->is_array()) return names;
  for (const ordered_json& tool : *tools) {
    if (!tool.is_object() || !tool.contains("function") || !tool["function"].is_object()) continue;
    const ordered_json& function = tool["function"];
    if (function.contains("name") && function["name"].is_string()) names.push_back(function["name"]);
  }
  return names;
}

int64_t AgreementOf(const std::vector<Token>& a, const std::vector<Token>& b) {
  return std::ranges::mismatch(a, b).in1 - a.begin();
}

void CheckModalities(JsonFields& fields) {
  for (const std::string& modality : fields.Strings("modalities", 8, 64)) {
    if (modality != "text") fields.Reject("modalities", "may only be [\"text\"]; this model gives only text");
  }
}

}  // namespace

ApiResult<Call> ReadChat(const ordered_json& body, const ServedModel& served) {
  JsonFields fields(body);
  Call call;
  call.kind = Call::Kind::kChat;
  call.id = NewId("chatcmpl-");
  if (auto model = ReadModelName(fields, served)) {
    call.model = *model;
  } else {
    return std::unexpected(model.error());
  }
  RejectUnsupported(fields);
  CheckModalities(fields);
  Request request;
  request.id = call.id;
  request.sampling = ReadSampling(fields, served);
  ReadDelivery(fields, call);
  call.n = call.samples = request.sampling.n;
  call.logprobs = request.sampling.logprobs = ReadLogprobs(fields);
  ReadBeams(fields, request.sampling, served, call);
  request.sampling.max_tokens = ReadMaxTokens(fields, served.context_length);
  request.priority = static_cast<int>(fields.Integer("priority", -1'000'000, 1'000'000).value_or(0));
  request.tenant = fields.String("user").value_or("");
  request.cache_salt = ReadCacheSalt(fields);
  request.kv_type = ReadKvType(fields, served);
  const bool keeps_prompt = ReadRetention(fields, request);
  request.session.tools = ToolNames(fields);
  const bool add_special = fields.Bool("add_special_tokens", false);
  if (fields.error()) return std::unexpected(*fields.error());

  const ChatPrompt prompt = ReadChatPrompt(fields, served);
  if (fields.error() || !MayFitContext(fields, "messages", prompt.text, served))
    return std::unexpected(*fields.error());
  request.prompt = prompt.Encode(*served.tokenizer, add_special);
  if (request.prompt.empty()) {
    return std::unexpected(BadField("messages", "messages give an empty prompt; send some text"));
  }
  for (const CacheMark& mark : ReadCacheMarks(fields, served)) {
    const int64_t tokens = AgreementOf(mark.prompt.Encode(*served.tokenizer, add_special), request.prompt);
    request.kept.push_back({tokens, mark.ttl_s});
    call.kept_tokens = std::max(call.kept_tokens.value_or(0), tokens);
  }
  if (fields.error()) return std::unexpected(*fields.error());
  if (keeps_prompt) request.kept.push_back({std::ssize(request.prompt), kKeptForADay_s});
  call.requests.push_back(std::move(request));
  return call;
}

}  // namespace quire

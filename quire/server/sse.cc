#include "quire/server/sse.h"

#include "quire/server/json_body.h"

namespace quire {
namespace {

using nlohmann::ordered_json;

constexpr std::string_view kEnd = "data: [DONE]\n\n";

}  // namespace

SseWriter::SseWriter(Answer& answer) : answer_(answer), chat_(answer.call.kind == Call::Kind::kChat) {
  const ordered_json fields = {{"id", answer.call.id},
                               {"object", chat_ ? "chat.completion.chunk" : "text_completion"},
                               {"created", answer.call.created},
                               {"model", answer.call.model},
                               {"system_fingerprint", SystemFingerprint()}};
  head_ = "data: " + DumpJson(fields);
  head_.pop_back();
  head_ += ",\"choices\":[";
}

void SseWriter::AppendEvent(std::string& out, Choice& choice, const OutputEvent& event) const {
  choice.output_tokens = event.output_tokens;
  if (!choice.begun) Begin(out, choice);
  if (IsPlain(event)) {
    if (event.text.empty() && !answer_.call.continuous_usage) return;
    std::string json =
        fmt::format(R"({{"index":{},{})", choice.index, chat_ ? R"("delta":{"content":)" : R"("text":)");
    AppendJsonString(json, event.text);
    json +=
        chat_ ? R"(},"logprobs":null,"finish_reason":null})" : R"(,"logprobs":null,"finish_reason":null})";
    return AppendChoice(out, choice, json);
  }
  Choice part(choice.index, choice.prompt);
  part.text_offset = choice.text_offset;
  part.Take(event);
  const ordered_json json =
      chat_ ? ChatChoice(answer_, part, "delta") : CompletionChoice(answer_, part, false);
  choice.text_offset = part.text_offset;
  choice.finish = part.finish;
  AppendChoice(out, choice, DumpJson(json));
}

// Only text: nothing else of the event is to be shown.
bool SseWriter::IsPlain(const OutputEvent& event) const {
  return !event.finish && !answer_.call.logprobs && !answer_.call.return_token_ids;
}

// The chat role, or the prompt that is to be echoed.
void SseWriter::Begin(std::string& out, Choice& choice) const {
  choice.begun = true;
  if (chat_) {
    AppendChoice(out, choice,
                 fmt::format(R"({{"index":{},"delta":{{"role":"assistant","content":""}},"logprobs":null,)"
                             R"("finish_reason":null}})",
                             choice.index));
  } else if (answer_.call.echo) {
    Choice nothing(choice.index, choice.prompt);
    ordered_json json = CompletionChoice(answer_, nothing, true);
    if (answer_.call.return_token_ids) json["prompt_token_ids"] = answer_.prompts[choice.prompt].tokens;
    choice.text_offset = nothing.text_offset;
    AppendChoice(out, choice, DumpJson(json));
  }
}

void SseWriter::AppendChoice(std::string& out, const Choice& choice, std::string_view json) const {
  out += head_;
  out += json;
  out += ']';
  AppendUsage(out, choice);
  out += "}\n\n";
}

// Every chunk has a usage where usage was asked for: null before the last, unless it is wanted all the time.
void SseWriter::AppendUsage(std::string& out, const Choice& choice) const {
  if (answer_.call.continuous_usage) {
    const int64_t prompt = answer_.prompts[choice.prompt].token_count;
    fmt::format_to(std::back_inserter(out),
                   R"(,"usage":{{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{}}})", prompt,
                   choice.output_tokens, prompt + choice.output_tokens);
  } else if (answer_.call.include_usage) {
    out += R"(,"usage":null)";
  }
}

void SseWriter::AppendEnd(std::string& out) const {
  if (answer_.call.include_usage) {
    out += head_;
    out += R"(],"usage":)";
    out += DumpJson(Usage(answer_));
    out += "}\n\n";
  }
  out += kEnd;
}

void SseWriter::AppendError(std::string& out, const ApiError& error) {
  out += "data: ";
  out += ErrorBody(error);
  out += "\n\n";
  out += kEnd;
}

}  // namespace quire

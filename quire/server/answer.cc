#include "quire/server/answer.h"

#include <algorithm>

#include "quire/server/json_body.h"
#include "quire/server/logprobs.h"

namespace quire {
namespace {

using nlohmann::ordered_json;

template <typename T>
void Append(std::vector<T>& to, const std::vector<T>& from) {
  to.insert(to.end(), from.begin(), from.end());
}

// What vLLM adds to a choice: which stop ended it, and its ids.
void AddExtras(ordered_json& json, const Answer& answer, const Choice& choice) {
  json["stop_reason"] = choice.stop_string  ? ordered_json(*choice.stop_string)
                        : choice.stop_token ? ordered_json(*choice.stop_token)
                                            : ordered_json(nullptr);
  if (answer.call.return_token_ids) json["token_ids"] = choice.tokens;
}

ordered_json FinishJson(const Choice& choice) {
  return choice.finish ? ordered_json(FinishName(*choice.finish)) : ordered_json(nullptr);
}

}  // namespace

void Choice::Take(const OutputEvent& event) {
  text += event.text;
  Append(tokens, event.tokens);
  Append(logprobs, event.logprobs);
  output_tokens = event.output_tokens;
  if (event.finish) finish = event.finish;
  if (event.stop_string) stop_string = event.stop_string;
  if (event.stop_token) stop_token = event.stop_token;
}

void KeepBest(Answer& answer) {
  const int n = answer.call.n, samples = answer.call.samples;
  if (samples == n) return;
  const auto score = [](const Choice& choice) {
    double sum = 0;
    for (const PositionLogprobs& position : choice.logprobs) sum += position.chosen.logprob;
    return choice.logprobs.empty() ? 0 : sum / static_cast<double>(choice.logprobs.size());
  };
  std::vector<Choice> best;
  for (auto of_prompt = answer.choices.begin(); of_prompt != answer.choices.end(); of_prompt += samples) {
    std::stable_sort(of_prompt, of_prompt + samples,
                     [&](const Choice& a, const Choice& b) { return score(a) > score(b); });
    for (int i = 0; i < samples; ++i) {
      if (i >= n) {
        answer.dropped_tokens += of_prompt[i].output_tokens;
        continue;
      }
      best.push_back(std::move(of_prompt[i]));
      best.back().index = static_cast<int>(best.size()) - 1;
    }
  }
  answer.choices = std::move(best);
}

const char* FinishName(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "abort";
    case FinishReason::kError:
      break;
  }
  return "error";
}

std::string SystemFingerprint() { return "quire-" QUIRE_VERSION; }

ordered_json Usage(const Answer& answer) {
  int64_t prompt = 0, cached = 0, output = answer.dropped_tokens;
  for (const PromptFacts& facts : answer.prompts) {
    prompt += facts.token_count;
    cached += facts.cached_tokens;
  }
  for (const Choice& choice : answer.choices) output += choice.output_tokens;
  ordered_json usage = {{"prompt_tokens", prompt},
                        {"completion_tokens", output},
                        {"total_tokens", prompt + output},
                        {"prompt_tokens_details", {{"cached_tokens", cached}}}};
  // In the words of the API that cache_control comes from.
  if (const auto kept = answer.call.kept_tokens) {
    usage["cache_creation_input_tokens"] = std::max<int64_t>(0, *kept - cached);
    usage["cache_read_input_tokens"] = cached;
  }
  return usage;
}

ordered_json CompletionChoice(const Answer& answer, Choice& choice, bool echo) {
  const PromptFacts& prompt = answer.prompts[choice.prompt];
  ordered_json logprobs = nullptr;
  if (answer.call.logprobs) {
    CompletionLogprobs list(*answer.tokenizer, *answer.call.logprobs, choice.text_offset);
    if (echo) list.AddPrompt(prompt.tokens, prompt.logprobs);
    for (const PositionLogprobs& position : choice.logprobs) list.Add(position);
    logprobs = list.Take();
  }
  ordered_json json = {{"index", choice.index},
                       {"text", echo ? prompt.text + choice.text : choice.text},
                       {"logprobs", std::move(logprobs)},
                       {"finish_reason", FinishJson(choice)}};
  AddExtras(json, answer, choice);
  return json;
}

ordered_json ChatChoice(const Answer& answer, const Choice& choice, const char* message_key) {
  ordered_json message = ordered_json::object();
  if (message_key == std::string_view("message")) {
    message = {{"role", "assistant"}, {"content", choice.text}, {"refusal", nullptr}};
  } else if (!choice.text.empty()) {
    message["content"] = choice.text;
  }
  ordered_json logprobs = nullptr;
  if (answer.call.logprobs)
    logprobs = ChatLogprobs(*answer.tokenizer, choice.logprobs, *answer.call.logprobs);
  ordered_json json = {{"index", choice.index},
                       {message_key, std::move(message)},
                       {"logprobs", std::move(logprobs)},
                       {"finish_reason", FinishJson(choice)}};
  AddExtras(json, answer, choice);
  return json;
}

std::string AnswerBody(const Answer& answer) {
  const bool chat = answer.call.kind == Call::Kind::kChat;
  ordered_json choices = ordered_json::array();
  for (Choice choice : answer.choices) {
    choice.text_offset = 0;
    ordered_json json =
        chat ? ChatChoice(answer, choice, "message") : CompletionChoice(answer, choice, answer.call.echo);
    const PromptFacts& prompt = answer.prompts[choice.prompt];
    if (!chat && answer.call.show_prompt_logprobs) {
      json["prompt_logprobs"] = PromptLogprobs(*answer.tokenizer, prompt.logprobs);
    }
    if (!chat && answer.call.return_token_ids) json["prompt_token_ids"] = prompt.tokens;
    choices.push_back(std::move(json));
  }
  ordered_json body = {{"id", answer.call.id},
                       {"object", chat ? "chat.completion" : "text_completion"},
                       {"created", answer.call.created},
                       {"model", answer.call.model},
                       {"choices", std::move(choices)},
                       {"usage", Usage(answer)},
                       {"system_fingerprint", SystemFingerprint()}};
  if (chat && answer.call.show_prompt_logprobs) {
    body["prompt_logprobs"] = PromptLogprobs(*answer.tokenizer, answer.prompts[0].logprobs);
  }
  if (chat && answer.call.return_token_ids) body["prompt_token_ids"] = answer.prompts[0].tokens;
  return DumpJson(body);
}

}  // namespace quire

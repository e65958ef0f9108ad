// What a call has given so far: one choice per sample of every prompt.
#ifndef QUIRE_SERVER_ANSWER_H_
#define QUIRE_SERVER_ANSWER_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "quire/engine/token_sink.h"
#include "quire/server/call.h"
#include "quire/text/tokenizer.h"

namespace quire {

struct PromptFacts {
  std::string text;           // where echo wants it
  std::vector<Token> tokens;  // where the answer shows them
  int64_t token_count = 0;
  int64_t cached_tokens = 0;  // of them: the prefix cache had them
  std::vector<std::optional<PositionLogprobs>> logprobs;
};

struct Choice {
  Choice(int index, int prompt) : index(index), prompt(prompt) {}

  int index = 0;
  int prompt = 0;
  std::string text;
  std::vector<Token> tokens;
  std::vector<PositionLogprobs> logprobs;
  int64_t output_tokens = 0;
  std::optional<FinishReason> finish;
  std::optional<std::string> stop_string;
  std::optional<Token> stop_token;
  // While streaming: characters of the text that earlier log-probabilities covered.
  int64_t text_offset = 0;
  bool begun = false;

  // Adds one step's results.
  void Take(const OutputEvent& event);
};

struct Answer {
  Call call;  // its requests and prompt texts were given away
  const Tokenizer* tokenizer = nullptr;
  std::vector<PromptFacts> prompts;
  std::vector<Choice> choices;
  int64_t dropped_tokens = 0;  // sampled for choices that are not answered
};

// Leaves of every prompt's choices the n of the highest log-probability per token, the best first.
void KeepBest(Answer& answer);

// {"prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details"}
nlohmann::ordered_json Usage(const Answer& answer);

// The body of an answer in one piece.
std::string AnswerBody(const Answer& answer);

// One entry of "choices". A chat delta has "delta" in place of "message".
nlohmann::ordered_json CompletionChoice(const Answer& answer, Choice& choice, bool echo);
nlohmann::ordered_json ChatChoice(const Answer& answer, const Choice& choice, const char* message_key);

// "stop", "length"; "abort" for what was cancelled.
const char* FinishName(FinishReason reason);

// Names the server and its version: equal values, equal numbers.
std::string SystemFingerprint();

}  // namespace quire

#endif  // QUIRE_SERVER_ANSWER_H_

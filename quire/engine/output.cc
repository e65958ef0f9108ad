#include "quire/engine/output.h"

#include <algorithm>
#include <utility>

namespace quire {
namespace {

TextStreamOptions TextOptions(const SamplingParams& params, bool watch_stop_strings) {
  // Output continues a prompt, so its first space belongs to it.
  return {.stop = watch_stop_strings ? params.stop : std::vector<std::string>{},
          .include_stop = params.include_stop_in_output,
          .skip_special = params.skip_special_tokens,
          .at_start = false};
}

// Stop strings count from the first character that begins after min_tokens tokens. So the watching stream
// takes over when the plain one holds no half character.
void WatchStopStrings(Sequence& sequence, const Tokenizer& tokenizer) {
  const SamplingParams& params = sequence.owner->request.sampling;
  if (sequence.watches_stop_strings || sequence.output_tokens() < params.min_tokens) return;
  TextStream held = *sequence.text;
  if (!held.Finish().empty()) return;
  sequence.text.emplace(tokenizer, TextOptions(params, true));
  sequence.watches_stop_strings = true;
}

}  // namespace

void StartText(Sequence& sequence, const Tokenizer* tokenizer) {
  if (tokenizer == nullptr) return;
  const SamplingParams& params = sequence.owner->request.sampling;
  sequence.watches_stop_strings = params.min_tokens == 0 || params.stop.empty();
  sequence.text.emplace(*tokenizer, TextOptions(params, sequence.watches_stop_strings));
}

std::vector<Token> StopTokens(const SamplingParams& params, const Tokenizer* tokenizer) {
  std::vector<Token> tokens = params.stop_token_ids;
  if (tokenizer != nullptr && !params.ignore_eos) {
    tokens.insert(tokens.end(), tokenizer->stop_tokens().begin(), tokenizer->stop_tokens().end());
  }
  return tokens;
}

OutputEvent FinishEvent(const Sequence& sequence, int sample, FinishReason reason,
                        std::optional<Error> error) {
  OutputEvent event;
  event.index = sample;
  event.finish = reason;
  event.prompt_tokens = sequence.owner->prompt_tokens();
  event.cached_tokens = sequence.cached;
  event.output_tokens = sequence.output_tokens();
  event.error = std::move(error);
  return event;
}

OutputEvent AppendToken(Sequence& sequence, SampledToken sampled, const Tokenizer* tokenizer) {
  const LiveRequest& owner = *sequence.owner;
  if (sequence.text) WatchStopStrings(sequence, *tokenizer);
  sequence.tokens.push_back(sampled.token);
  if (TokenCounts::Needed(owner.request.sampling)) sequence.seen.AddOutput(sampled.token);

  OutputEvent event;
  event.index = sequence.sample;
  event.tokens = {sampled.token};
  event.prompt_tokens = owner.prompt_tokens();
  event.cached_tokens = sequence.cached;
  event.output_tokens = sequence.output_tokens();
  if (owner.request.sampling.logprobs) event.logprobs.push_back(std::move(sampled.logprobs));

  const bool stop_token = std::ranges::find(owner.stop_tokens, sampled.token) != owner.stop_tokens.end();
  if (stop_token) {
    event.finish = FinishReason::kStop;
    event.stop_token = sampled.token;
  } else if (sequence.text) {
    event.text = sequence.text->Push(sampled.token);
    event.stop_string = sequence.text->stopped_by();
    if (event.stop_string) event.finish = FinishReason::kStop;
  }
  if (!event.finish && event.output_tokens >= owner.max_output_tokens) event.finish = FinishReason::kLength;
  if (event.finish && sequence.text && !event.stop_string) event.text += sequence.text->Finish();
  return event;
}

}  // namespace quire

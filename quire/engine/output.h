// What a sampled token means to its sequence: it is appended, gives visible text, and may be the last one.
#ifndef QUIRE_ENGINE_OUTPUT_H_
#define QUIRE_ENGINE_OUTPUT_H_

#include <optional>
#include <vector>

#include "quire/engine/sequence.h"
#include "quire/text/tokenizer.h"

namespace quire {

// The text stream a new sequence starts with; nothing without a tokenizer.
void StartText(Sequence& sequence, const Tokenizer* tokenizer);

// Appends the token to the sequence and returns the event for its sink, with `finish` set where a stop token,
// a stop string or the limit ends it.
OutputEvent AppendToken(Sequence& sequence, SampledToken sampled, const Tokenizer* tokenizer);

// The last event of a sample that ends without a further token.
OutputEvent FinishEvent(const Sequence& sequence, int sample, FinishReason reason,
                        std::optional<Error> error = std::nullopt);

// The tokens that end generation for a request: the model's own, unless ignored, and the request's.
std::vector<Token> StopTokens(const SamplingParams& params, const Tokenizer* tokenizer);

}  // namespace quire

#endif  // QUIRE_ENGINE_OUTPUT_H_

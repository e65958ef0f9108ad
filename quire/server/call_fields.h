// The fields that /v1/completions and /v1/chat/completions have in common.
#ifndef QUIRE_SERVER_CALL_FIELDS_H_
#define QUIRE_SERVER_CALL_FIELDS_H_

#include "quire/server/api_error.h"
#include "quire/server/call.h"
#include "quire/server/json_fields.h"
#include "quire/server/served_model.h"

namespace quire {

// A 404 when the body names a model that is not served; otherwise the name to answer with.
ApiResult<std::string> ReadModelName(JsonFields& fields, const ServedModel& served);

// Everything but prompt, max_tokens and logprobs, which the two endpoints read in their own way.
SamplingParams ReadSampling(JsonFields& fields, const ServedModel& served);

// How the answer is wanted: stream, stream_options, return_token_ids.
void ReadDelivery(JsonFields& fields, Call& call);

// Beam search, where it is asked for: `call.samples` beams are followed, and the `call.n` best are answered.
void ReadBeams(JsonFields& fields, const SamplingParams& sampling, const ServedModel& served, Call& call);

// A text of at most `most` characters; empty when the field is absent.
std::string ReadShortText(JsonFields& fields, std::string_view name, int64_t most);
// In UTF-8.
int64_t CountCharacters(std::string_view text);

// Whose cached prefixes the request shares: those of equal salt. Empty when the field is absent.
std::string ReadCacheSalt(JsonFields& fields);

// The type of the request's KV pages, as Request has it: one that the server offers.
std::string ReadKvType(JsonFields& fields, const ServedModel& served);

// The session that the request belongs to, the tool that the client runs next, and how long its prompt is to
// stay cached: session_id, expected_tool, prompt_cache_key, prompt_cache_retention. True: for a day.
bool ReadRetention(JsonFields& fields, Request& request);
inline constexpr double kKeptForADay_s = 86400;

// Rejects fields that would change the output if they were understood, which they are not.
void RejectUnsupported(JsonFields& fields);

// False, and `name` is rejected, when `text` is too long to be worth tokenizing: that takes seconds of an I/O
// thread for texts of many megabytes.
bool MayFitContext(JsonFields& fields, std::string_view name, std::string_view text,
                   const ServedModel& served);

// `prefix` and 24 random hexadecimal digits.
std::string NewId(std::string_view prefix);

}  // namespace quire

#endif  // QUIRE_SERVER_CALL_FIELDS_H_

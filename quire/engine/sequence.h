// One sample of a request while it runs, and what the samples of a request share. Only the engine thread
// touches either.
#ifndef QUIRE_ENGINE_SEQUENCE_H_
#define QUIRE_ENGINE_SEQUENCE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "quire/base/clock.h"
#include "quire/engine/request.h"
#include "quire/engine/sampler.h"
#include "quire/engine/token_sink.h"
#include "quire/kv/page_table.h"
#include "quire/text/text_stream.h"

namespace quire {

// A request inside the engine.
struct LiveRequest {
  uint64_t id = 0;
  Request request;
  std::shared_ptr<TokenSink> sink;
  TimePoint arrival;
  double session_s = 0;  // when its session began, on the clock of arrival
  uint64_t seed = 0;
  int kv_layout = 0;  // of its pages
  int64_t max_output_tokens = 0;
  std::vector<Token> stop_tokens;  // the model's, unless ignored, and the request's own
  int samples_left = 0;            // that have not finished
  std::vector<std::optional<PositionLogprobs>> prompt_logprobs;  // known so far, by position

  int64_t prompt_tokens() const { return static_cast<int64_t>(request.prompt.size()); }
  bool wants_prompt_logprobs() const {
    return request.sampling.prompt_logprobs && std::ssize(prompt_logprobs) < prompt_tokens();
  }
};

struct Sequence {
  uint64_t id = 0;  // request id and sample: grows with arrival
  std::shared_ptr<LiveRequest> owner;
  int sample = 0;
  int forks_due = 0;  // further samples that begin when the prompt is computed

  std::vector<Token> tokens;  // prompt and output
  int64_t computed = 0;       // tokens whose K and V are in the pages
  int64_t scheduled = 0;      // tokens that this step computes
  int64_t cached = 0;         // prompt tokens that others had computed for it
  PageTable pages;
  bool sought_below = false;  // the tier below was asked for it since it began to wait

  TokenCounts seen;
  std::optional<TextStream> text;  // absent without a tokenizer
  bool watches_stop_strings = false;
  int preemptions = 0;
  std::string called_tool;  // that its session waits for from now on; empty: it ended otherwise
  std::optional<TimePoint> first_step, first_token, last_token;

  int64_t tokens_due() const { return static_cast<int64_t>(tokens.size()) - computed; }
  int64_t output_tokens() const { return static_cast<int64_t>(tokens.size()) - owner->prompt_tokens(); }
  int places() const { return 1 + forks_due; }  // sequences it runs as, or will
  // True when this step computes its last token, so that the next one can be sampled.
  bool reaches_end() const { return scheduled > 0 && scheduled == tokens_due(); }
};

}  // namespace quire

#endif  // QUIRE_ENGINE_SEQUENCE_H_

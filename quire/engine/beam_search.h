// Beam search: the likeliest continuations of a prompt, where sampling draws random ones. A client of the
// engine like any other: every round asks for the next token of each beam, as a request whose prompt is the
// beam so far, and the prefix cache makes that one token's work. So beams share all pages up to where they
// part (the sharing of vLLM, section 4.4, "beam search"), and are scheduled and preempted like everybody
// else.
#ifndef QUIRE_ENGINE_BEAM_SEARCH_H_
#define QUIRE_ENGINE_BEAM_SEARCH_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "quire/base/result.h"
#include "quire/engine/engine.h"
#include "quire/engine/request.h"
#include "quire/engine/token_sink.h"
#include "quire/text/tokenizer.h"

namespace quire {

inline constexpr int kMaxBeams = 10;  // the engine tells the 20 likeliest tokens, twice as many

struct BeamParams {
  int width = 1;  // beams that are followed
  int best = 1;   // hypotheses that are answered, at most `width`
  // A hypothesis counts (sum of log-probabilities) / (tokens ^ length_penalty): above 0 favours long ones.
  double length_penalty = 1;
  // Ends with the first `width` complete hypotheses. Otherwise when no beam can become one of the best.
  bool early_stopping = false;
};

// The beams of one prompt, and what has become of them.
class Beams {
 public:
  struct Beam {
    std::vector<Token> tokens;
    std::vector<PositionLogprobs> logprobs;
    double sum = 0;                     // of the log-probabilities
    std::optional<Token> stopped_by{};  // the last token, where it is a stop token
  };

  Beams(BeamParams params, std::vector<Token> stop_tokens, int64_t min_tokens, int64_t max_tokens);

  const std::vector<Beam>& live() const { return live_; }
  // Extends the beams: `next[i]` are the likeliest tokens after live()[i], the best first.
  void Extend(const std::vector<std::vector<TokenLogprob>>& next);
  bool done() const;
  // The `best` hypotheses, the best first.
  std::vector<Beam> Best() const;

 private:
  double Score(const Beam& beam) const;

  BeamParams params_;
  std::vector<Token> stop_tokens_;
  int64_t min_tokens_, max_tokens_;
  std::vector<Beam> live_ = {Beam{}};
  std::vector<Beam> complete_;  // the best first
};

class BeamSearch : public std::enable_shared_from_this<BeamSearch> {
 public:
  // Of the request's sampling, limits, stop tokens and what is to be shown count. The sink gets one event per
  // hypothesis, all at the end; or one for each that says why there is none. `tokenizer` may be null. Errors:
  // those of Engine::Submit. REQUIRES: engine and tokenizer outlive the search; 1 <= best <= width <=
  // kMaxBeams.
  static Result<std::shared_ptr<BeamSearch>> Start(Engine& engine, const Tokenizer* tokenizer,
                                                   Request request, const BeamParams& params,
                                                   std::shared_ptr<TokenSink> sink);
  // Thread-safe. The sink gets kCancelled, unless the search ended before.
  void Cancel();

 private:
  class StepSink;
  BeamSearch(Engine& engine, const Tokenizer* tokenizer, Request request, const BeamParams& params,
             int64_t max_tokens, std::shared_ptr<TokenSink> sink);
  Status Round();
  Request NextTokenOf(const Beams::Beam& beam) const;
  void Take(size_t beam, const OutputEvent& event);
  void Finish();
  void End(FinishReason reason, const std::optional<Error>& error);
  OutputEvent EventOf(const Beams::Beam& beam) const;

  Engine& engine_;
  const Tokenizer* const tokenizer_;
  const Request request_;
  const BeamParams params_;
  std::shared_ptr<TokenSink> sink_;  // null when the search has ended
  Beams beams_;
  std::vector<std::vector<TokenLogprob>> next_;  // by live beam
  size_t missing_ = 0;                           // of next_
  std::optional<int64_t> cached_tokens_;         // of the prompt

  std::mutex mutex_;  // guards what follows
  std::vector<RequestId> ids_;
  bool cancelled_ = false;
};

}  // namespace quire

#endif  // QUIRE_ENGINE_BEAM_SEARCH_H_

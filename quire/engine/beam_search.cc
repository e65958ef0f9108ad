#include "quire/engine/beam_search.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "quire/base/check.h"
#include "quire/engine/output.h"
#include "quire/text/text_stream.h"

// Invariants: a round's results come one after the other on the engine's thread, and the next round starts
// when the last one is there. Only ids_ and cancelled_ are touched by others.

namespace quire {

// -- The beams ----------------------------------------------------------------------------------------------

Beams::Beams(BeamParams params, std::vector<Token> stop_tokens, int64_t min_tokens, int64_t max_tokens)
    : params_(params),
      stop_tokens_(std::move(stop_tokens)),
      min_tokens_(min_tokens),
      max_tokens_(max_tokens) {}

double Beams::Score(const Beam& beam) const {
  return beam.sum / std::pow(static_cast<double>(beam.tokens.size()), params_.length_penalty);
}

void Beams::Extend(const std::vector<std::vector<TokenLogprob>>& next) {
  QUIRE_CHECK(next.size() == live_.size());
  struct Candidate {
    size_t beam;
    const TokenLogprob* token;
    double sum;
  };
  std::vector<Candidate> candidates;
  for (size_t i = 0; i < next.size(); ++i) {
    for (const TokenLogprob& token : next[i]) {
      candidates.push_back({i, &token, live_[i].sum + static_cast<double>(token.logprob)});
    }
  }
  std::ranges::stable_sort(candidates, std::greater(), &Candidate::sum);

  std::vector<Beam> live;
  for (const Candidate& candidate : candidates) {
    const Token token = candidate.token->token;
    const bool stops = std::ranges::find(stop_tokens_, token) != stop_tokens_.end();
    const Beam& parent = live_[candidate.beam];
    if (stops && std::ssize(parent.tokens) < min_tokens_) continue;
    if (!stops && std::ssize(live) == params_.width) continue;
    Beam& beam = (stops ? complete_ : live).emplace_back(parent);
    beam.tokens.push_back(token);
    beam.logprobs.push_back({.chosen = *candidate.token, .top = next[candidate.beam]});
    beam.sum = candidate.sum;
    if (stops) beam.stopped_by = token;
  }
  live_ = std::move(live);
  std::ranges::stable_sort(complete_, std::greater(), [&](const Beam& beam) { return Score(beam); });
  if (std::ssize(complete_) > params_.width) complete_.resize(params_.width);
}

// A beam's sum only falls. So with a positive penalty it counts most at the greatest length, otherwise now.
bool Beams::done() const {
  if (live_.empty() || std::ssize(live_[0].tokens) >= max_tokens_) return true;
  if (std::ssize(complete_) < (params_.early_stopping ? params_.width : params_.best)) return false;
  if (params_.early_stopping) return true;
  const auto length = params_.length_penalty > 0 ? max_tokens_ : std::ssize(live_[0].tokens);
  const double most = live_[0].sum / std::pow(static_cast<double>(length), params_.length_penalty);
  return Score(complete_[params_.best - 1]) >= most;
}

std::vector<Beams::Beam> Beams::Best() const {
  std::vector<Beam> all = complete_;
  if (std::ssize(complete_) < params_.best || !params_.early_stopping) {
    all.insert(all.end(), live_.begin(), live_.end());
  }
  std::ranges::stable_sort(all, std::greater(), [&](const Beam& beam) { return Score(beam); });
  all.resize(std::min(all.size(), static_cast<size_t>(params_.best)));
  return all;
}

// -- The search ---------------------------------------------------------------------------------------------

// Where the next token of one beam goes.
class BeamSearch::StepSink final : public TokenSink {
 public:
  StepSink(std::shared_ptr<BeamSearch> search, size_t beam) : search_(std::move(search)), beam_(beam) {}
  void OnPromptLogprobs(std::vector<std::optional<PositionLogprobs>>) override {}
  void OnOutput(OutputEvent event) override { search_->Take(beam_, event); }

 private:
  const std::shared_ptr<BeamSearch> search_;
  const size_t beam_;
};

BeamSearch::BeamSearch(Engine& engine, const Tokenizer* tokenizer, Request request, const BeamParams& params,
                       int64_t max_tokens, std::shared_ptr<TokenSink> sink)
    : engine_(engine),
      tokenizer_(tokenizer),
      request_(std::move(request)),
      params_(params),
      sink_(std::move(sink)),
      beams_(params, StopTokens(request_.sampling, tokenizer), request_.sampling.min_tokens, max_tokens) {}

Result<std::shared_ptr<BeamSearch>> BeamSearch::Start(Engine& engine, const Tokenizer* tokenizer,
                                                      Request request, const BeamParams& params,
                                                      std::shared_ptr<TokenSink> sink) {
  QUIRE_CHECK(1 <= params.best && params.best <= params.width && params.width <= kMaxBeams);
  QUIRE_ASSIGN(const int64_t max_tokens, engine.OutputLimit(request));
  if (max_tokens == 0) {
    return Fail(ErrorCode::kInvalidArgument, "max_tokens is 0; beam search needs at least one");
  }
  const std::shared_ptr<BeamSearch> search(
      new BeamSearch(engine, tokenizer, std::move(request), params, max_tokens, std::move(sink)));
  QUIRE_TRY(search->Round());
  return search;
}

// Asks for the next token of every live beam. With the last request submitted the engine may be in the next
// round already: nothing of the search is touched after that but what the mutex guards.
Status BeamSearch::Round() {
  std::vector<Request> requests;
  for (const Beams::Beam& beam : beams_.live()) requests.push_back(NextTokenOf(beam));
  next_.assign(requests.size(), {});
  missing_ = requests.size();
  {
    const std::lock_guard lock(mutex_);
    ids_.clear();
  }
  for (size_t i = 0; i < requests.size(); ++i) {
    const auto id = engine_.Submit(std::move(requests[i]), std::make_shared<StepSink>(shared_from_this(), i));
    if (!id) {
      Cancel();
      return std::unexpected(id.error());
    }
    std::unique_lock lock(mutex_);
    ids_.push_back(*id);
    const bool cancelled = cancelled_;
    lock.unlock();
    if (cancelled) engine_.Cancel(*id);
  }
  return {};
}

Request BeamSearch::NextTokenOf(const Beams::Beam& beam) const {
  Request step = request_;
  step.prompt.insert(step.prompt.end(), beam.tokens.begin(), beam.tokens.end());
  step.sampling = SamplingParams();
  step.sampling.temperature = 0;
  step.sampling.ignore_eos = true;
  step.sampling.max_tokens = 1;
  step.sampling.logprobs = 2 * params_.width;
  return step;
}

void BeamSearch::Cancel() {
  std::vector<RequestId> ids;
  {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    ids = ids_;
  }
  for (const RequestId id : ids) engine_.Cancel(id);
}

void BeamSearch::Take(size_t beam, const OutputEvent& event) {
  if (sink_ == nullptr) return;
  if (event.logprobs.empty()) return End(*event.finish, event.error);
  if (!cached_tokens_) cached_tokens_ = event.cached_tokens;
  next_[beam] = event.logprobs[0].top;
  if (--missing_ > 0) return;
  beams_.Extend(next_);
  if (beams_.done()) return Finish();
  if (const Status status = Round(); !status) End(FinishReason::kError, status.error());
}

void BeamSearch::Finish() {
  const std::vector<Beams::Beam> best = beams_.Best();
  const auto sink = std::exchange(sink_, nullptr);
  for (int i = 0; i < params_.best; ++i) {
    // A vocabulary of fewer tokens than beams has no more hypotheses than these.
    OutputEvent event = EventOf(best[std::min<size_t>(i, best.size() - 1)]);
    event.index = i;
    sink->OnOutput(std::move(event));
  }
}

OutputEvent BeamSearch::EventOf(const Beams::Beam& beam) const {
  OutputEvent event;
  event.tokens = beam.tokens;
  if (const std::optional<int> shown = request_.sampling.logprobs) {
    event.logprobs = beam.logprobs;
    for (PositionLogprobs& position : event.logprobs) {
      position.top.resize(std::min(position.top.size(), static_cast<size_t>(*shown)));
    }
  }
  if (tokenizer_ != nullptr) {
    TextStream text(*tokenizer_, {.skip_special = request_.sampling.skip_special_tokens, .at_start = false});
    const size_t shown = beam.tokens.size() - (beam.stopped_by ? 1 : 0);
    for (size_t i = 0; i < shown; ++i) event.text += text.Push(beam.tokens[i]);
    event.text += text.Finish();
  }
  event.finish = beam.stopped_by ? FinishReason::kStop : FinishReason::kLength;
  event.stop_token = beam.stopped_by;
  event.prompt_tokens = std::ssize(request_.prompt);
  event.cached_tokens = cached_tokens_.value_or(0);
  event.output_tokens = std::ssize(beam.tokens);
  return event;
}

// Without a result. The other beams of the round are of no use any more.
void BeamSearch::End(FinishReason reason, const std::optional<Error>& error) {
  Cancel();
  const auto sink = std::exchange(sink_, nullptr);
  for (int i = 0; i < params_.best; ++i) {
    OutputEvent event;
    event.index = i;
    event.finish = reason;
    event.error = error;
    event.prompt_tokens = std::ssize(request_.prompt);
    sink->OnOutput(std::move(event));
  }
}

}  // namespace quire

#include "quire/server/generation.h"

#include <mutex>
#include <variant>
#include <vector>

#include "quire/server/answer.h"
#include "quire/server/api_error.h"
#include "quire/server/sse.h"

// Invariants: everything but Push runs on the exchange's executor. exchange_ becomes null, under the mutex,
// when the answer is complete or the client is gone: the engine may hold sinks longer than the server lives,
// and must not reach a connection through them. Work is posted when the inbox stops being empty, so a slow
// executor gets several events at once.

namespace quire {
namespace {

struct PromptLogprobsEvent {
  std::vector<std::optional<PositionLogprobs>> logprobs;
};

struct Event {
  int prompt = 0;
  std::variant<OutputEvent, PromptLogprobsEvent> what;
};

class Generation : public std::enable_shared_from_this<Generation> {
 public:
  Generation(const ServedModel& served, Call call, std::shared_ptr<HttpExchange> exchange)
      : engine_(*served.engine),
        context_length_(served.context_length),
        exchange_(std::move(exchange)),
        answer_(MakeAnswer(served, std::move(call))),
        sse_(answer_) {}

  void Start();

  // From the engine thread.
  void Push(Event event) {
    std::lock_guard lock(mutex_);
    if (!exchange_) return;
    inbox_.push_back(std::move(event));
    if (inbox_.size() == 1) exchange_->Post([self = shared_from_this()] { self->Drain(); });
  }

 private:
  static Answer MakeAnswer(const ServedModel& served, Call call);
  Status Submit(Request request, std::shared_ptr<TokenSink> sink);
  ApiError SubmitError(const Error& error, int64_t least_tokens) const;
  void Drain();
  void Take(const Event& event, std::string& out);
  void TakeOutput(int prompt, const OutputEvent& event, std::string& out);
  void Finish();
  void FailWith(const ApiError& error);
  std::shared_ptr<HttpExchange> GiveUpExchange() {
    std::lock_guard lock(mutex_);
    return std::move(exchange_);
  }
  void CancelAll() {
    for (RequestId id : ids_) engine_.Cancel(id);
    for (const auto& search : searches_) search->Cancel();
  }

  Engine& engine_;
  const int64_t context_length_;
  std::mutex mutex_;  // guards exchange_ and inbox_
  std::shared_ptr<HttpExchange> exchange_;
  std::vector<Event> inbox_;

  std::vector<RequestId> ids_;
  std::vector<std::shared_ptr<BeamSearch>> searches_;
  Answer answer_;
  SseWriter sse_;
  size_t choices_left_ = 0;
};

class PromptSink final : public TokenSink {
 public:
  PromptSink(std::shared_ptr<Generation> generation, int prompt)
      : generation_(std::move(generation)), prompt_(prompt) {}

  // `record` gets `tokens` with the first answer behind them, when it is complete.
  void Record(std::vector<Token> tokens, std::function<void(std::vector<Token>)> record) {
    said_ = std::move(tokens);
    record_ = std::move(record);
  }

  void OnPromptLogprobs(std::vector<std::optional<PositionLogprobs>> logprobs) override {
    generation_->Push({prompt_, PromptLogprobsEvent{std::move(logprobs)}});
  }
  void OnOutput(OutputEvent event) override {
    if (record_ && event.index == 0) {
      said_.insert(said_.end(), event.tokens.begin(), event.tokens.end());
      if (event.finish == FinishReason::kStop || event.finish == FinishReason::kLength)
        record_(std::move(said_));
    }
    generation_->Push({prompt_, std::move(event)});
  }

 private:
  const std::shared_ptr<Generation> generation_;
  const int prompt_;
  std::vector<Token> said_;
  std::function<void(std::vector<Token>)> record_;
};

Answer Generation::MakeAnswer(const ServedModel& served, Call call) {
  Answer answer;
  answer.tokenizer = served.tokenizer;
  const bool shows_tokens = call.return_token_ids || (call.echo && call.logprobs);
  for (size_t i = 0; i < call.requests.size(); ++i) {
    PromptFacts facts;
    facts.token_count = std::ssize(call.requests[i].prompt);
    if (shows_tokens) facts.tokens = call.requests[i].prompt;
    if (call.echo) facts.text = std::move(call.prompt_texts[i]);
    answer.prompts.push_back(std::move(facts));
    for (int sample = 0; sample < call.samples; ++sample) {
      answer.choices.emplace_back(static_cast<int>(answer.choices.size()), static_cast<int>(i));
    }
  }
  answer.call = std::move(call);
  return answer;
}

void Generation::Start() {
  std::vector<Request> requests = std::move(answer_.call.requests);
  choices_left_ = answer_.choices.size();
  for (size_t i = 0; i < requests.size(); ++i) {
    const int64_t least_tokens = std::ssize(requests[i].prompt) + requests[i].sampling.max_tokens.value_or(1);
    auto sink = std::make_shared<PromptSink>(shared_from_this(), static_cast<int>(i));
    if (answer_.call.record) sink->Record(requests[i].prompt, answer_.call.record);
    if (const Status status = Submit(std::move(requests[i]), std::move(sink)); !status) {
      CancelAll();
      return GiveUpExchange()->Respond(ErrorResponse(SubmitError(status.error(), least_tokens)));
    }
  }
  if (answer_.call.stream) {
    exchange_->BeginStream({.content_type = "text/event-stream; charset=utf-8",
                            .body = {},
                            .headers = {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}}});
  }
  exchange_->OnClosed([self = shared_from_this()] {
    self->GiveUpExchange();
    self->CancelAll();
  });
}

Status Generation::Submit(Request request, std::shared_ptr<TokenSink> sink) {
  if (const auto& beams = answer_.call.beams) {
    QUIRE_ASSIGN(searches_.emplace_back(),
                 BeamSearch::Start(engine_, answer_.tokenizer, std::move(request), *beams, std::move(sink)));
  } else {
    QUIRE_ASSIGN(ids_.emplace_back(), engine_.Submit(std::move(request), std::move(sink)));
  }
  return {};
}

// `least_tokens` is what the refused request needs of the context.
ApiError Generation::SubmitError(const Error& error, int64_t least_tokens) const {
  ApiError result = FromError(error);
  if (result.status != 400 || least_tokens <= context_length_) return result;
  result.code = "context_length_exceeded";
  result.param = answer_.call.kind == Call::Kind::kChat ? "messages" : "prompt";
  return result;
}

void Generation::Drain() {
  std::vector<Event> events;
  std::shared_ptr<HttpExchange> exchange;
  {
    std::lock_guard lock(mutex_);
    events.swap(inbox_);
    exchange = exchange_;
  }
  std::string out;
  for (const Event& event : events) {
    if (exchange_) Take(event, out);
  }
  if (!exchange_) return;
  if (answer_.call.stream) exchange->Write(out);
  if (choices_left_ == 0) Finish();
}

void Generation::Take(const Event& event, std::string& out) {
  if (const auto* logprobs = std::get_if<PromptLogprobsEvent>(&event.what)) {
    answer_.prompts[event.prompt].logprobs = logprobs->logprobs;
  } else {
    TakeOutput(event.prompt, std::get<OutputEvent>(event.what), out);
  }
}

void Generation::TakeOutput(int prompt, const OutputEvent& event, std::string& out) {
  if (event.finish == FinishReason::kError || event.finish == FinishReason::kCancelled) {
    if (answer_.call.stream) exchange_->Write(out);
    out.clear();
    return FailWith(event.error
                        ? FromError(*event.error)
                        : ErrorWithStatus(503, "the server stopped before the answer was complete; try again",
                                          "stopped"));
  }
  answer_.prompts[prompt].cached_tokens = event.cached_tokens;
  Choice& choice = answer_.choices[prompt * answer_.call.samples + event.index];
  if (answer_.call.stream) {
    sse_.AppendEvent(out, choice, event);
  } else {
    choice.Take(event);
  }
  if (event.finish) --choices_left_;
}

void Generation::Finish() {
  const std::shared_ptr<HttpExchange> exchange = GiveUpExchange();
  if (!answer_.call.stream) {
    KeepBest(answer_);
    exchange->Respond({.body = AnswerBody(answer_), .headers = {{"X-Request-Id", answer_.call.id}}});
    return;
  }
  std::string out;
  sse_.AppendEnd(out);
  exchange->Write(out);
  exchange->End();
}

void Generation::FailWith(const ApiError& error) {
  const std::shared_ptr<HttpExchange> exchange = GiveUpExchange();
  CancelAll();
  if (!answer_.call.stream) return exchange->Respond(ErrorResponse(error));
  std::string out;
  SseWriter::AppendError(out, error);
  exchange->Write(out);
  exchange->End();
}

}  // namespace

void StartGeneration(const ServedModel& served, Call call, std::shared_ptr<HttpExchange> exchange) {
  std::make_shared<Generation>(served, std::move(call), std::move(exchange))->Start();
}

}  // namespace quire

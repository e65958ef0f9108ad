#include "quire/sim/replay.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <numeric>
#include <optional>
#include <queue>
#include <utility>

#include "quire/base/clock.h"
#include "quire/base/waiting_queue.h"

// Invariants: the engine's thread only writes into the sink of a turn and puts what happened into the inbox
// of the replay; the caller's thread does all else. It reads a sink after the turn's end has come.

namespace quire {
namespace {

struct News {
  size_t conversation = 0;
  bool over = false;  // else: the moment has come at which its client leaves
};

using NewsQueue = WaitingQueue<News>;  // from the engine's thread to the caller's

class TurnSink final : public TokenSink {
 public:
  TurnSink(size_t conversation, const Clock& clock, TimePoint begin, int64_t leaves_after, NewsQueue& news)
      : conversation_(conversation), clock_(clock), begin_(begin), leaves_after_(leaves_after), news_(news) {}

  void OnPromptLogprobs(std::vector<std::optional<PositionLogprobs>>) override {}
  void OnOutput(OutputEvent event) override {
    const double now = Seconds(clock_.Now() - begin_);
    if (!event.tokens.empty()) {
      if (answer.empty()) {
        record.first_s = now;
      } else {
        record.gaps_s.push_back(now - record.last_s);
      }
      record.last_s = now;
      answer.insert(answer.end(), event.tokens.begin(), event.tokens.end());
    }
    record.cached_tokens = event.cached_tokens;
    if (event.finish) {
      if (event.finish == FinishReason::kCancelled) record.end = TurnEnd::kLeft;
      if (event.error) {
        record.end = TurnEnd::kFailed;
        record.failure = event.error->message;
      }
      record.output_tokens = std::ssize(answer);
      news_.Put({conversation_, true});
    } else if (leaves_after_ > 0 && std::ssize(answer) == leaves_after_) {
      news_.Put({conversation_, false});
    }
  }

  TurnRecord record;
  std::vector<Token> answer;

 private:
  const size_t conversation_;
  const Clock& clock_;
  const TimePoint begin_;
  const int64_t leaves_after_;  // 0: never
  NewsQueue& news_;
};

class Player {
 public:
  Player(Engine& engine, const Workload& workload, const ReplayOptions& options)
      : engine_(engine),
        workload_(workload),
        options_(options),
        clock_(options.clock != nullptr ? *options.clock : Clock::System()),
        talks_(workload.conversations.size()) {
    for (const Conversation& conversation : workload.conversations) turns_ += std::ssize(conversation.turns);
  }

  ReplayResult Play() {
    begin_ = clock_.Now();
    const size_t first = options_.users > 0 ? options_.users : talks_.size();
    while (next_ < std::min(first, talks_.size())) StartNext();
    while (over_ < turns_) {
      while (!due_.empty() && due_.top().first <= Now()) {
        const size_t conversation = due_.top().second;
        due_.pop();
        Ask(conversation);
      }
      const auto news = NextNews();
      if (!news) continue;
      if (news->over) {
        Finish(news->conversation);
      } else {
        engine_.Cancel(talks_[news->conversation].request);
      }
    }
    result_.seconds = Now();
    return std::move(result_);
  }

 private:
  double Now() const { return Seconds(clock_.Now() - begin_); }

  // Nothing when it is time for the next turn.
  std::optional<News> NextNews() {
    constexpr double kLong = 3600;
    const double wait = std::max(0.0, due_.empty() ? kLong : due_.top().first - Now());
    if (options_.clock == nullptr) return news_.Take(wait);
    const auto news = news_.Take(0);
    if (!news && !engine_.Step()) {
      options_.clock->Advance(std::chrono::nanoseconds(1 + static_cast<int64_t>(wait * 1e9)));
    }
    return news;
  }

  struct Talk {
    size_t turn = 0;
    std::vector<Token> history;  // the prompt of its turn, and then the answer
    RequestId request = 0;
    std::shared_ptr<TurnSink> sink;
  };
  using Due = std::pair<double, size_t>;  // when, and which conversation goes on

  void StartNext() {
    const size_t at = next_++;
    due_.emplace(options_.users > 0 ? Now() : workload_.conversations[at].arrival_s, at);
  }

  void Ask(size_t at) {
    Talk& talk = talks_[at];
    const Conversation& conversation = workload_.conversations[at];
    const Turn& turn = conversation.turns[talk.turn];
    const auto history = std::ssize(talk.history);
    talk.history.insert(talk.history.end(), turn.said.begin(), turn.said.end());
    const int64_t leaves_after = conversation.leaves ? (turn.output_tokens + 1) / 2 : 0;
    talk.sink = std::make_shared<TurnSink>(at, clock_, begin_, leaves_after, news_);
    TurnRecord& record = talk.sink->record;
    record.asked_s = Now();
    record.conversation = at;
    record.last = talk.turn + 1 == conversation.turns.size();
    record.prompt_tokens = std::ssize(talk.history);
    // The last token of an answer is sampled, but nothing is computed for it.
    record.shared_tokens =
        std::min(talk.turn > 0 ? history - 1 : turn.shared_tokens, record.prompt_tokens - 1);

    Request request;
    request.id = fmt::format("replay-{}-{}", at, talk.turn);
    request.prompt = talk.history;
    request.sampling.temperature = 0;
    request.sampling.max_tokens = turn.output_tokens;
    request.sampling.ignore_eos = true;
    request.session.id = fmt::format("replay-{}", at);
    if (!record.last) request.session.next_tool = conversation.turns[talk.turn + 1].tool;
    const auto submitted = engine_.Submit(std::move(request), talk.sink);
    if (submitted) {
      talk.request = *submitted;
    } else {
      record.end = TurnEnd::kFailed;
      record.failure = submitted.error().message;
      Finish(at);
    }
  }

  void Finish(size_t at) {
    Talk& talk = talks_[at];
    const Conversation& conversation = workload_.conversations[at];
    const TurnEnd end = talk.sink->record.end;
    talk.history.insert(talk.history.end(), talk.sink->answer.begin(), talk.sink->answer.end());
    result_.turns.push_back(std::move(talk.sink->record));
    talk.sink.reset();
    ++talk.turn;
    ++over_;
    if (end == TurnEnd::kFailed) {  // nobody goes on from no answer
      over_ += std::ssize(conversation.turns) - static_cast<int64_t>(talk.turn);
      talk.turn = conversation.turns.size();
    }
    if (talk.turn < conversation.turns.size()) {
      due_.emplace(Now() + conversation.turns[talk.turn].pause_s, at);
    } else {
      talk.history = {};
      if (options_.users > 0 && next_ < talks_.size()) StartNext();
    }
    if (options_.progress) options_.progress(over_, turns_);
  }

  Engine& engine_;
  const Workload& workload_;
  const ReplayOptions& options_;
  const Clock& clock_;
  NewsQueue news_;
  std::vector<Talk> talks_;
  std::priority_queue<Due, std::vector<Due>, std::greater<>> due_;
  TimePoint begin_;
  size_t next_ = 0;  // conversation to begin
  int64_t turns_ = 0, over_ = 0;
  ReplayResult result_;
};

}  // namespace

ReplayResult Replay(Engine& engine, const Workload& workload, const ReplayOptions& options) {
  return Player(engine, workload, options).Play();
}

Quantiles QuantilesOf(std::vector<double> values) {
  if (values.empty()) return {};
  std::ranges::sort(values);
  const auto at = [&](double share) {
    return values[static_cast<size_t>(share * static_cast<double>(values.size() - 1) + 0.5)];
  };
  const double sum = std::accumulate(values.begin(), values.end(), 0.0);
  return {.mean = sum / static_cast<double>(values.size()),
          .p50 = at(0.5),
          .p90 = at(0.9),
          .p99 = at(0.99),
          .max = values.back()};
}

ReplaySummary Summarise(const ReplayResult& result) {
  ReplaySummary summary;
  std::vector<double> first, gaps, whole, jobs;
  std::map<size_t, double> begun;  // by conversation
  for (const TurnRecord& turn : result.turns) {
    const double begin = begun.try_emplace(turn.conversation, turn.asked_s).first->second;
    ++(turn.end == TurnEnd::kDone   ? summary.done
       : turn.end == TurnEnd::kLeft ? summary.left
                                    : summary.failed);
    summary.output_tokens += turn.output_tokens;
    if (turn.end == TurnEnd::kFailed) continue;
    summary.prompt_tokens += turn.prompt_tokens;
    summary.cached_tokens += turn.cached_tokens;
    summary.shared_tokens += turn.shared_tokens;
    if (turn.end != TurnEnd::kDone) continue;
    first.push_back(turn.first_s - turn.asked_s);
    whole.push_back(turn.last_s - turn.asked_s);
    if (turn.last) jobs.push_back(turn.last_s - begin);
    gaps.insert(gaps.end(), turn.gaps_s.begin(), turn.gaps_s.end());
  }
  if (result.seconds > 0) {
    summary.output_tokens_per_s = static_cast<double>(summary.output_tokens) / result.seconds;
    summary.turns_per_s = static_cast<double>(summary.done) / result.seconds;
  }
  summary.first_token_s = QuantilesOf(std::move(first));
  summary.gap_s = QuantilesOf(std::move(gaps));
  summary.turn_s = QuantilesOf(std::move(whole));
  summary.job_s = QuantilesOf(std::move(jobs));
  return summary;
}

}  // namespace quire

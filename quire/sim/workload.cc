#include "quire/sim/workload.h"

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "quire/base/split_mix.h"
#include "quire/sim/random_numbers.h"

namespace quire {
namespace {

int64_t Scaled(int64_t tokens, double scale) {
  return std::max<int64_t>(1, std::llround(static_cast<double>(tokens) * scale));
}

void AppendText(uint64_t seed, int64_t tokens, int vocab, std::vector<Token>& text) {
  RandomNumbers numbers(seed);
  for (int64_t i = 0; i < tokens; ++i) text.push_back(numbers.Id(vocab));
}

// The texts that hash ids stand for, and what later prompts share of earlier ones.
class Texts {
 public:
  explicit Texts(const WorkloadOptions& options)
      : options_(options), hash_tokens_(Scaled(kHashTokens, options.length_scale)) {}

  Turn FirstTurn(const TraceRequest& request, uint64_t own_seed) {
    Turn turn;
    const int64_t tokens = Scaled(request.prompt_tokens, options_.length_scale);
    turn.output_tokens = Scaled(request.output_tokens, options_.length_scale);
    uint64_t chain = 0;
    for (const int64_t id : request.hash_ids) {
      const int64_t left = tokens - std::ssize(turn.said);
      if (left <= 0) break;
      const int64_t n = std::min(left, hash_tokens_);
      AppendText(options_.seed * 31 + static_cast<uint64_t>(id), n, options_.vocab, turn.said);
      chain = SplitMix(chain ^ static_cast<uint64_t>(id));
      const bool seen = !prefixes_.insert(chain).second;
      const bool all_seen = turn.shared_tokens == std::ssize(turn.said) - n;
      if (seen && all_seen) turn.shared_tokens += n;
    }
    AppendText(own_seed, tokens - std::ssize(turn.said), options_.vocab, turn.said);
    return turn;
  }

 private:
  const WorkloadOptions& options_;
  const int64_t hash_tokens_;
  std::unordered_set<uint64_t> prefixes_;
};

// Of the answers that came.
int64_t MeanOutput(std::span<const TraceRequest> trace) {
  int64_t tokens = 0, answers = 0;
  for (const TraceRequest& request : trace) {
    tokens += request.output_tokens;
    answers += request.output_tokens > 0;
  }
  return answers > 0 ? tokens / answers : 0;
}

// Shortens the conversation to what the context takes; true when something had to go.
bool Cut(Conversation& conversation, int64_t context) {
  int64_t room = context;
  for (size_t i = 0; i < conversation.turns.size(); ++i) {
    Turn& turn = conversation.turns[i];
    if (std::ssize(turn.said) + turn.output_tokens <= room) {
      room -= std::ssize(turn.said) + turn.output_tokens;
      continue;
    }
    if (i > 0) {
      conversation.turns.resize(i);
      return true;
    }
    turn.output_tokens = std::min(turn.output_tokens, std::max<int64_t>(1, context / 2));
    turn.said.resize(std::min(std::ssize(turn.said), context - turn.output_tokens));
    conversation.turns.resize(1);
    return true;
  }
  return false;
}

// The turns after the first: those of the trace, or more of its kind.
std::vector<TraceTurn> Later(const TraceRequest& request, const WorkloadOptions& options) {
  if (!request.turns.empty()) return request.turns;
  return std::vector<TraceTurn>(options.turns - 1, {.pause_s = options.think_s,
                                                    .tool = "",
                                                    .prompt_tokens = request.prompt_tokens,
                                                    .output_tokens = request.output_tokens});
}

// Whether a dialogue goes on in the last conversation.
bool Continues(const Workload& workload, int turns) {
  return !workload.conversations.empty() && std::ssize(workload.conversations.back().turns) < turns;
}

void AppendDialogue(const TraceRequest& request, const WorkloadOptions& options, Conversation& conversation) {
  for (const TraceTexts& texts : request.dialogue) {
    const int64_t answer = std::ssize(options.tokenize(texts.answered));
    Turn next{.pause_s = options.think_s / options.speed,
              .tool = "",
              .said = options.tokenize(texts.said),
              .output_tokens = std::max<int64_t>(1, answer)};
    if (next.said.empty()) next.said.push_back(0);
    conversation.turns.push_back(std::move(next));
  }
}

}  // namespace

Workload MakeWorkload(std::span<const TraceRequest> trace, const WorkloadOptions& options) {
  Workload workload;
  RandomNumbers numbers(options.seed);
  Texts texts(options);
  const double mean_gap =
      trace.size() < 2 ? 0 : trace.back().arrival_s / options.speed / static_cast<double>(trace.size() - 1);
  const int64_t mean_output = MeanOutput(trace);
  double arrival = 0;
  for (const TraceRequest& request : trace) {
    if (!request.dialogue.empty() && Continues(workload, options.turns)) {
      AppendDialogue(request, options, workload.conversations.back());
      continue;
    }
    Conversation& conversation = workload.conversations.emplace_back();
    if (options.burst_cv > 0) {
      conversation.arrival_s = arrival;
      arrival += mean_gap * numbers.Gamma(options.burst_cv);
    } else {
      conversation.arrival_s = request.arrival_s / options.speed;
    }
    if (!request.dialogue.empty()) {
      conversation.leaves = numbers.Uniform() < options.cancel_share;
      AppendDialogue(request, options, conversation);
      continue;
    }
    conversation.leaves = request.output_tokens == 0 || numbers.Uniform() < options.cancel_share;
    conversation.turns.push_back(texts.FirstTurn(request, numbers.Next()));
    if (request.output_tokens == 0) {  // what it would have had is not known
      conversation.turns.back().output_tokens = Scaled(mean_output, options.length_scale);
    }
    for (const TraceTurn& turn : Later(request, options)) {
      Turn next{.pause_s = turn.pause_s / options.speed,
                .tool = turn.tool,
                .said = {},
                .output_tokens = Scaled(turn.output_tokens, options.length_scale)};
      AppendText(numbers.Next(), Scaled(turn.prompt_tokens, options.length_scale), options.vocab, next.said);
      conversation.turns.push_back(std::move(next));
    }
  }
  for (Conversation& conversation : workload.conversations) {
    workload.cut += Cut(conversation, options.context);
  }
  return workload;
}

}  // namespace quire

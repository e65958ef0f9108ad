#include "quire/cli/serve_bench.h"

#include <fmt/format.h>

#include <algorithm>

#include "quire/cli/forward_bench.h"
#include "quire/engine/engine.h"
#include "quire/sim/random_numbers.h"

namespace quire {
namespace {

// One turn a conversation.
Workload RandomPrompts(const ServeCase& what, int vocab, uint64_t seed) {
  RandomNumbers random(seed);
  Workload workload;
  workload.conversations.resize(static_cast<size_t>(what.users * ServeCase::kTurnsPerUser));
  for (Conversation& conversation : workload.conversations) {
    Turn turn;
    turn.output_tokens = what.output_tokens;
    turn.said.resize(static_cast<size_t>(what.prompt_tokens));
    std::ranges::generate(turn.said, [&] { return random.Id(vocab); });
    conversation.turns.push_back(std::move(turn));
  }
  return workload;
}

Result<std::unique_ptr<Engine>> MakeEngine(LanguageModel& model, ThreadPool& pool, const ServeCase& what,
                                           int64_t step_tokens, const std::string& kv_layout) {
  const int64_t pages = what.users * model.kv_layout().PagesFor(what.longest(), step_tokens);
  QUIRE_ASSIGN(auto cache, MakeBenchCache(model, kv_layout, pages, what.longest(), what.users));
  return Engine::Create(model, nullptr, std::move(cache), pool,
                        {.max_step_tokens = step_tokens,
                         .max_sequences = what.users,
                         .max_context = what.longest(),
                         .prefix_caching = false});
}

}  // namespace

std::string ServeCase::Name() const {
  return fmt::format("{} users, {} in, {} out", users, prompt_tokens, output_tokens);
}

Status CheckFits(const ServeCase& what, const ModelInfo& model) {
  if (what.longest() > model.context_length) {
    return Fail(ErrorCode::kInvalidArgument,
                "{} need {} tokens each and the model has a context of {}; measure less", what.Name(),
                what.longest(), model.context_length);
  }
  return {};
}

Result<ServeResult> RunServeCase(LanguageModel& model, ThreadPool& pool, const ServeCase& what,
                                 int64_t step_tokens, const std::string& kv_layout, int repetitions,
                                 const std::function<void()>& done) {
  QUIRE_ASSIGN(const auto engine, MakeEngine(model, pool, what, step_tokens, kv_layout));
  engine->Start();
  ServeResult result;
  result.what = what;
  for (int i = 0; i < repetitions; ++i) {
    const Workload workload = RandomPrompts(what, model.info().vocab_size, static_cast<uint64_t>(i));
    const ReplayResult replay =
        Replay(*engine, workload,
               {.users = static_cast<int>(what.users), .progress = [&](int64_t, int64_t) { done(); }});
    const ReplaySummary summary = Summarise(replay);
    if (const auto failed = std::ranges::find(replay.turns, TurnEnd::kFailed, &TurnRecord::end);
        failed != replay.turns.end()) {
      return Fail(ErrorCode::kInternal, "{}: a request failed: {}", what.Name(), failed->failure);
    }
    result.tokens_per_second.push_back(summary.output_tokens_per_s);
    result.first_token_s = summary.first_token_s;
    result.gap_s = summary.gap_s;
  }
  engine->Drain();
  return result;
}

}  // namespace quire

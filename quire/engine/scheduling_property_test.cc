// What must hold of every scheduling policy, for each row of the table: nobody starves whatever others do,
// and a small pool serves many users without failing, leaking or changing an id.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "quire/engine/engine.h"
#include "quire/engine/hash_model.h"
#include "quire/policies/scheduling.h"

namespace quire {
namespace {

struct User {
  Request request;
  std::shared_ptr<CollectingSink> sink = std::make_shared<CollectingSink>();
  double comes_s = 0;
};

// In the ways that policies look at: who asks, how urgently, how much, and what it shares with others.
Request RandomRequest(std::mt19937& random, int64_t room, uint64_t seed) {
  Request request;
  const int64_t prompt = 1 + random() % (room / 2);
  const auto text = static_cast<int64_t>(random() % 3);
  const int64_t shared = random() % (prompt + 1);
  for (int64_t i = 0; i < prompt; ++i) {
    request.prompt.push_back(static_cast<Token>(i < shared ? (i * 7 + text * 13) % 61 : random() % 61));
  }
  request.sampling.max_tokens = 1 + random() % (room - prompt);
  request.sampling.temperature = random() % 2 == 0 ? 0 : 1;
  request.sampling.seed = seed;
  if (random() % 3 == 0) request.sampling.stop_token_ids = {static_cast<Token>(random() % 61)};
  request.priority = static_cast<int>(random() % 5) - 2;
  request.tenant = std::string(1, static_cast<char>('a' + random() % 20));
  if (random() % 3 == 0) request.session.id = request.tenant;
  return request;
}

class EveryPolicy : public testing::TestWithParam<const SchedulingRow*> {
 protected:
  void MakeEngine(int64_t pages, int64_t sequences) {
    engine_ =
        Engine::Create(
            model_, nullptr, model_.MakeCache(pages), pool_,
            {.max_step_tokens = 32, .max_sequences = sequences, .scheduling = std::string(GetParam()->name)},
            clock_)
            .value();
  }
  // A step takes a tenth of a second.
  bool Step() {
    const bool worked = engine_->Step();
    if (worked) clock_.Advance(std::chrono::milliseconds(100));
    return worked;
  }
  void Submit(User& user) {
    const auto id = engine_->Submit(user.request, user.sink);
    ASSERT_TRUE(id.has_value()) << id.error().message;
  }
  void CheckIds(const User& user) const {
    ASSERT_TRUE(user.sink->finished());
    ASSERT_EQ(user.sink->at(0).tokens,
              ExpectedTokens(model_, user.request, 0, *user.request.sampling.max_tokens));
  }

  HashModel model_;
  ThreadPool pool_{1};
  ManualClock clock_;
  std::unique_ptr<Engine> engine_;
};

// Eight pages of 16 tokens, 500 users in an hour, who come alone and in crowds.
TEST_P(EveryPolicy, EightPagesServeFiveHundredUsersForAnHour) {
  constexpr int kUsers = 500;
  MakeEngine(8, 6);
  std::mt19937 random(21);
  std::vector<User> users(kUsers);
  double at = 0;
  for (int i = 0; i < kUsers; ++i) {
    users[i].request = RandomRequest(random, 120, i);
    users[i].comes_s = at;
    if (random() % 10 > 3) at += static_cast<double>(random() % 2400) / 100;
  }
  ASSERT_GT(at, 3000);
  ASSERT_LT(at, 4200);
  const TimePoint begin = clock_.Now();
  double longest = 0;
  std::map<int, double> open;  // by user: since when
  for (int next = 0; next < kUsers || !open.empty();) {
    const double now = Seconds(clock_.Now() - begin);
    for (; next < kUsers && users[next].comes_s <= now; ++next) {
      Submit(users[next]);
      open.emplace(next, now);
    }
    if (!Step()) clock_.Advance(std::chrono::milliseconds(100));
    const KvUsage usage = engine_->kv_usage();
    ASSERT_EQ(usage.used + usage.cached + usage.free, usage.total);
    std::erase_if(open, [&](const auto& entry) {
      if (!users[entry.first].sink->finished()) return false;
      longest = std::max(longest, Seconds(clock_.Now() - begin) - entry.second);
      return true;
    });
    ASSERT_LT(now, 10 * 3600) << "somebody starves";
  }
  engine_->Step();
  EXPECT_EQ(engine_->kv_usage().used, 0) << "pages leaked";
  EXPECT_LT(longest, 600) << "a user waited for " << longest << " s";
  for (const User& user : users) CheckIds(user);
}

// Somebody sees the queue and always adds what is most in the way of one request: as urgent, short, large or
// alike as can be, under many names, and so that others always wait.
TEST_P(EveryPolicy, NobodyStarvesWhateverComes) {
  for (const uint32_t seed : {1, 2, 3}) {
    SCOPED_TRACE(seed);
    MakeEngine(8, 4);
    std::mt19937 random(seed);
    User victim;
    victim.request.prompt.assign(seed == 1 ? 2 : 60, 5);
    victim.request.sampling.max_tokens = 40;
    victim.request.sampling.temperature = 0;
    victim.request.priority = 2;
    victim.request.tenant = "victim";
    std::vector<User> rivals;
    int64_t steps = 0;
    for (; steps < 30'000 && !victim.sink->finished(); ++steps) {
      if (steps == 20) Submit(victim);
      int64_t waiting = std::ranges::count_if(rivals, [](const User& u) { return !u.sink->finished(); });
      for (; waiting < 8; ++waiting) {
        User& rival = rivals.emplace_back();
        rival.request = RandomRequest(random, random() % 2 == 0 ? 16 : 120, rivals.size());
        rival.request.priority = -2;
        Submit(rival);
      }
      Step();
      if (rivals.size() > 64) {
        for (const User& user : rivals) {
          if (user.sink->finished()) CheckIds(user);
        }
        std::erase_if(rivals, [](const User& u) { return u.sink->finished(); });
      }
    }
    ASSERT_TRUE(victim.sink->finished()) << "starved for " << steps << " steps";
    CheckIds(victim);
    engine_->Drain();
    for (const User& rival : rivals) CheckIds(rival);
    EXPECT_EQ(engine_->kv_usage().used, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Table, EveryPolicy, testing::ValuesIn(SchedulingTable()),
                         [](const auto& info) { return std::string(info.param->name); });

}  // namespace
}  // namespace quire

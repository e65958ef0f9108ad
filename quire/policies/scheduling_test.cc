// The contract of the scheduling family, for every row of the table; then what is special about each.
#include "quire/policies/scheduling.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <random>
#include <set>
#include <string>

namespace quire {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<SequenceFacts> RandomFacts(std::mt19937& random, size_t count, uint64_t* next_id) {
  static const std::vector<Token> prompt(64, 1);
  std::vector<SequenceFacts> facts(count);
  for (SequenceFacts& f : facts) {
    f.id = (*next_id)++;
    f.arrival_s = static_cast<double>(f.id) * 0.5;
    f.session_s = f.arrival_s - (random() % 2 ? 0.5 * static_cast<double>(random() % 16) : 0);
    f.priority = static_cast<int>(random() % 5) - 2;
    f.tenant = random() % 2 ? "a" : "b";
    f.prompt = std::span(prompt).first(1 + random() % 64);
    f.max_output_tokens = 1 + random() % 100;
    f.output_tokens = static_cast<int64_t>(random()) % f.max_output_tokens;
    f.tokens_due = 1 + random() % 64;
    f.pages_held = random() % 5;
    f.pages_to_admit = 1 + random() % 5;
  }
  std::shuffle(facts.begin(), facts.end(), random);
  return facts;
}

bool IsPermutation(std::vector<int> order, size_t count) {
  std::ranges::sort(order);
  for (size_t i = 0; i < order.size(); ++i) {
    if (order[i] != static_cast<int>(i)) return false;
  }
  return order.size() == count;
}

class SchedulingContract : public testing::TestWithParam<const SchedulingRow*> {
 protected:
  std::unique_ptr<SchedulingPolicy> Make() const {
    return MakeSchedulingPolicy(std::string(GetParam()->name)).value();
  }
};

TEST_P(SchedulingContract, OrdersEverybodyOnce) {
  auto policy = Make();
  std::mt19937 random(1);
  uint64_t id = 1;
  for (int i = 0; i < 200; ++i) {
    const auto waiting = RandomFacts(random, random() % 20, &id);
    const auto running = RandomFacts(random, random() % 20, &id);
    const StepOrder order = policy->Order(waiting, running,
                                          {.now_s = 0.5 * static_cast<double>(id),
                                           .tokens = 64,
                                           .free_pages = static_cast<int64_t>(random() % 10),
                                           .free_sequences = static_cast<int64_t>(random() % 3)});
    EXPECT_TRUE(IsPermutation(order.waiting, waiting.size()));
    EXPECT_TRUE(IsPermutation(order.running, running.size()));
    const std::set<int> give_way(order.give_way.begin(), order.give_way.end());
    EXPECT_EQ(give_way.size(), order.give_way.size());
    for (int i : give_way) EXPECT_TRUE(i >= 0 && i < static_cast<int>(running.size()));
  }
}

TEST_P(SchedulingContract, DoesNotFlipWhenNothingHappened) {
  std::mt19937 random(2);
  uint64_t id = 1;
  auto policy = Make();
  const auto waiting = RandomFacts(random, 12, &id);
  const auto running = RandomFacts(random, 12, &id);
  const StepBudget budget{.now_s = 20, .tokens = 64, .free_pages = 8, .free_sequences = 4};
  const StepOrder first = policy->Order(waiting, running, budget);
  const StepOrder second = policy->Order(waiting, running, budget);
  EXPECT_EQ(first.waiting, second.waiting);
  EXPECT_EQ(first.running, second.running);
}

// Two places, and somebody new as soon as one waits too few: a stream of rivals never stops the first comer.
TEST_P(SchedulingContract, NobodyStarves) {
  auto policy = Make();
  std::mt19937 random(3);
  uint64_t id = 1;
  std::vector<SequenceFacts> waiting = RandomFacts(random, 8, &id), running;
  const std::set<uint64_t> firstcomers = [&] {
    std::set<uint64_t> ids;
    for (const auto& f : waiting) ids.insert(f.id);
    return ids;
  }();
  std::set<uint64_t> done;
  double now = 4;
  for (int step = 0; step < 20000 && !std::ranges::includes(done, firstcomers); ++step, now += 0.5) {
    while (waiting.size() < 8) {
      SequenceFacts f = RandomFacts(random, 1, &id)[0];
      f.arrival_s = f.session_s = now;
      f.output_tokens = 0;
      waiting.push_back(f);
    }
    const StepOrder order = policy->Order(
        waiting, running,
        {.now_s = now, .tokens = 2, .free_pages = 100, .free_sequences = 2 - std::ssize(running)});
    std::vector<SequenceFacts> next_waiting, next_running;
    const std::set<int> give_way(order.give_way.begin(), order.give_way.end());
    for (int i : order.running) (give_way.contains(i) ? next_waiting : next_running).push_back(running[i]);
    for (int i : order.waiting) (next_running.size() < 2 ? next_running : next_waiting).push_back(waiting[i]);
    for (SequenceFacts& f : next_running) ++f.output_tokens;
    std::erase_if(next_running, [&](const SequenceFacts& f) {
      if (f.output_tokens < std::min<int64_t>(f.max_output_tokens, 20)) return false;
      policy->Finished(f);
      done.insert(f.id);
      return true;
    });
    waiting = std::move(next_waiting);
    running = std::move(next_running);
  }
  EXPECT_TRUE(std::ranges::includes(done, firstcomers));
}

TEST_P(SchedulingContract, DescribesItself) {
  const SchedulingRow& row = *GetParam();
  EXPECT_FALSE(row.summary.empty());
  for (const PolicyParam& param : row.params) {
    EXPECT_FALSE(param.help.empty()) << param.name;
    EXPECT_GE(param.default_value, param.min) << param.name;
    EXPECT_LE(param.default_value, param.max) << param.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Table, SchedulingContract, testing::ValuesIn(SchedulingTable()),
                         [](const auto& info) { return std::string(info.param->name); });

TEST(SchedulingTable, IsSortedAndWithoutDoubles) {
  EXPECT_TRUE(std::ranges::is_sorted(SchedulingTable(), std::ranges::less_equal{}, &SchedulingRow::name));
}

TEST(MakeSchedulingPolicy, AnswersMistakesWithWhatIsKnown) {
  const auto message = [](std::string_view spec) { return MakeSchedulingPolicy(spec).error().message; };
  EXPECT_THAT(message("fifo"), HasSubstr("fair, fcfs, lottery, mlfq, offline, priority, program, spf"));
  EXPECT_THAT(message(""), HasSubstr("fair, fcfs, lottery, mlfq, offline, priority, program, spf"));
  EXPECT_THAT(message("priority:age=3"), HasSubstr("age_s, preempt"));
  EXPECT_THAT(message("fcfs:age=3"), HasSubstr("it has: none"));
  EXPECT_THAT(message("priority:age_s=soon"), HasSubstr("[0, 1000000000]"));
  EXPECT_THAT(message("priority:preempt=2"), HasSubstr("[0, 1]"));
  EXPECT_THAT(message("priority:age_s=nan"), HasSubstr("age_s=nan"));
  EXPECT_THAT(message("priority:preempt"), HasSubstr("key=value"));
  EXPECT_THAT(message("priority:preempt=1,preempt=0"), HasSubstr("twice"));
  EXPECT_TRUE(MakeSchedulingPolicy("priority:age_s=1.5,preempt=1").has_value());
}

SequenceFacts Facts(uint64_t id, int priority, double arrival_s) {
  return {.id = id, .arrival_s = arrival_s, .priority = priority, .tenant = {}, .prompt = {}};
}

TEST(Fcfs, TheOldestIsFirst) {
  auto policy = MakeSchedulingPolicy("fcfs").value();
  const SequenceFacts waiting[] = {Facts(5, 0, 5), Facts(3, 9, 3), Facts(4, -9, 4)};
  EXPECT_THAT(policy->Order(waiting, {}, {}).waiting, ElementsAre(1, 2, 0));
  EXPECT_THAT(policy->Order({}, waiting, {}).running, ElementsAre(1, 2, 0));
}

TEST(Program, WhoHasBegunGoesOnBeforeOthersBegin) {
  SequenceFacts waiting[] = {Facts(1, 0, 10), Facts(2, 0, 20), Facts(3, 0, 900)};
  for (SequenceFacts& f : waiting) f.session_s = f.arrival_s;
  waiting[1].session_s = 5;
  waiting[2].session_s = 0;  // begun long ago: it counts from 900 - 600
  EXPECT_THAT(MakeSchedulingPolicy("program").value()->Order(waiting, {}, {}).waiting, ElementsAre(1, 0, 2));
  EXPECT_THAT(MakeSchedulingPolicy("program:head_start_s=1000").value()->Order({}, waiting, {}).running,
              ElementsAre(2, 1, 0));
}

TEST(Priority, UrgentFirstUntilOthersHaveWaitedLongEnough) {
  auto policy = MakeSchedulingPolicy("priority:age_s=10").value();
  const SequenceFacts waiting[] = {Facts(1, 1, 0), Facts(2, 0, 5), Facts(3, 0, 15), Facts(4, 0, 5)};
  EXPECT_THAT(policy->Order(waiting, {}, {}).waiting, ElementsAre(1, 3, 0, 2));
}

TEST(Priority, PreemptsOnlyWhenAskedAndOnlyAsManyAsNeeded) {
  SequenceFacts urgent = Facts(9, -1, 9);
  urgent.pages_to_admit = 5;
  SequenceFacts running[] = {Facts(1, 0, 1), Facts(2, 0, 2), Facts(3, 0, 3)};
  for (SequenceFacts& f : running) f.pages_held = 3;
  const StepBudget budget{.now_s = 9, .tokens = 64, .free_pages = 1, .free_sequences = 4};
  const std::span waiting(&urgent, 1);
  EXPECT_THAT(MakeSchedulingPolicy("priority").value()->Order(waiting, running, budget).give_way, IsEmpty());
  auto policy = MakeSchedulingPolicy("priority:preempt=1").value();
  EXPECT_THAT(policy->Order(waiting, running, budget).give_way, ElementsAre(2, 1));
  urgent.pages_to_admit = 11;  // more than they all have
  EXPECT_THAT(policy->Order(waiting, running, budget).give_way, IsEmpty());
  urgent.pages_to_admit = 5;
  urgent.priority = 0;  // an equal takes nobody's place
  EXPECT_THAT(policy->Order(waiting, running, budget).give_way, IsEmpty());
}

}  // namespace
}  // namespace quire

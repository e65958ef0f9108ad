// What each policy is for, on a machine with a few places that gives everybody in one a token per step.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <random>
#include <string>

#include "quire/policies/scheduling.h"

namespace quire {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

struct Job {
  double arrival_s = 0;
  std::string tenant;
  int64_t length = 1;  // tokens of output; nobody knows it beforehand
  int priority = 0;
};

struct Ran {
  std::vector<double> finished_s;  // by job
  std::map<std::string, int64_t> tokens;
};

constexpr double kStep = 0.1;
constexpr int64_t kMostOutput = 1000;

// A job keeps its output when it is preempted, as the engine does.
Ran Simulate(const std::string& policy_name, const std::vector<Job>& jobs, int64_t places, double seconds) {
  static const std::vector<Token> prompt(32, 1);
  const auto policy = MakeSchedulingPolicy(policy_name).value();
  Ran ran{std::vector<double>(jobs.size(), seconds), {}};
  std::vector<SequenceFacts> waiting, running;
  size_t next = 0;
  for (double now = 0; now < seconds; now += kStep) {
    for (; next < jobs.size() && jobs[next].arrival_s <= now; ++next) {
      waiting.push_back({.id = next,
                         .arrival_s = jobs[next].arrival_s,
                         .priority = jobs[next].priority,
                         .tenant = jobs[next].tenant,
                         .prompt = prompt,
                         .max_output_tokens = kMostOutput,
                         .tokens_due = 32});
    }
    const StepOrder order = policy->Order(
        waiting, running,
        {.now_s = now, .tokens = 512, .free_pages = 1000, .free_sequences = places - std::ssize(running)});
    std::vector<SequenceFacts> still_waiting, now_running;
    for (int i : order.running) {
      (std::ranges::count(order.give_way, i) ? still_waiting : now_running).push_back(running[i]);
    }
    for (int i : order.waiting) {
      (std::ssize(now_running) < places ? now_running : still_waiting).push_back(waiting[i]);
    }
    for (SequenceFacts& f : now_running) {
      ++f.output_tokens;
      f.tokens_due = 1;
      ++ran.tokens[std::string(f.tenant)];
    }
    std::erase_if(now_running, [&](const SequenceFacts& f) {
      if (f.output_tokens < jobs[f.id].length) return false;
      policy->Finished(f);
      ran.finished_s[f.id] = now + kStep;
      return true;
    });
    waiting = std::move(still_waiting);
    running = std::move(now_running);
  }
  return ran;
}

double MeanCompletion(const Ran& ran, const std::vector<Job>& jobs) {
  double sum = 0;
  for (size_t i = 0; i < jobs.size(); ++i) sum += ran.finished_s[i] - jobs[i].arrival_s;
  return sum / static_cast<double>(jobs.size());
}

// Nine short answers to one long, at 90 % load of two places.
std::vector<Job> MixedJobs(int count) {
  std::mt19937 random(7);
  std::vector<Job> jobs;
  double at = 0;
  for (int i = 0; i < count; ++i) {
    const bool is_long = random() % 10 == 0;
    jobs.push_back({at, is_long ? "reports" : "chat", is_long ? 400 : 12});
    at += std::exponential_distribution(1 / 2.8)(random);
  }
  return jobs;
}

TEST(Mlfq, ShortAnswersDoNotQueueBehindLongOnes) {
  const auto jobs = MixedJobs(300);
  const Ran fcfs = Simulate("fcfs", jobs, 2, 4000), mlfq = Simulate("mlfq:prompt_cost=0.1", jobs, 2, 4000);
  EXPECT_LT(MeanCompletion(mlfq, jobs) * 2, MeanCompletion(fcfs, jobs));
  EXPECT_LT(std::ranges::max(mlfq.finished_s), 4000);  // and everybody finishes
}

TEST(Mlfq, ALongPromptBeginsLower) {
  const auto policy = MakeSchedulingPolicy("mlfq:quantum=16,prompt_cost=0.1").value();
  const std::vector<Token> prompt(4000, 1);
  SequenceFacts waiting[] = {{.id = 1, .prompt = prompt}, {.id = 2, .prompt = std::span(prompt).first(20)}};
  EXPECT_THAT(policy->Order(waiting, {}, {}).waiting, ElementsAre(1, 0));
}

TEST(Mlfq, WaitingLiftsToTheTop) {
  const auto policy = MakeSchedulingPolicy("mlfq:quantum=16,age_s=10").value();
  const SequenceFacts waiting[] = {{.id = 1, .output_tokens = 500}, {.id = 2}};
  EXPECT_THAT(policy->Order(waiting, {}, {.now_s = 0}).waiting, ElementsAre(1, 0));
  EXPECT_THAT(policy->Order(waiting, {}, {.now_s = 9}).waiting, ElementsAre(1, 0));
  EXPECT_THAT(policy->Order(waiting, {}, {.now_s = 10}).waiting, ElementsAre(0, 1));
}

TEST(Mlfq, OnlyLowerLevelsGiveWay) {
  const auto policy = MakeSchedulingPolicy("mlfq:quantum=16").value();
  const SequenceFacts waiting[] = {{.id = 9, .pages_to_admit = 4}};
  SequenceFacts running[] = {{.id = 1, .output_tokens = 100, .pages_held = 8},
                             {.id = 2, .output_tokens = 3, .pages_held = 8}};
  const StepBudget budget{.now_s = 1, .tokens = 64, .free_pages = 0, .free_sequences = 1};
  EXPECT_THAT(policy->Order(waiting, running, budget).give_way, ElementsAre(0));
  running[0].output_tokens = 5;
  EXPECT_THAT(policy->Order(waiting, running, budget).give_way, IsEmpty());
}

TEST(Mlfq, GivesWayOnlyAfterAsMuchAsItCostsToComputeAgain) {
  const auto policy = MakeSchedulingPolicy("mlfq:quantum=16,prompt_cost=0.5").value();
  const std::vector<Token> prompt(100, 1);
  const SequenceFacts next[] = {{.id = 9, .pages_to_admit = 4}};
  SequenceFacts runs[] = {
      {.id = 1, .prompt = prompt, .output_tokens = 99, .pages_held = 8, .preemptions = 1}};
  const StepBudget budget{.now_s = 1, .tokens = 64, .free_pages = 0, .free_sequences = 1};
  EXPECT_THAT(policy->Order(next, runs, budget).give_way, IsEmpty());
  runs[0].output_tokens = 100;  // half of 100 and 100
  EXPECT_THAT(policy->Order(next, runs, budget).give_way, ElementsAre(0));
  policy->Order(runs, {}, budget);  // so it waits, and comes in again
  runs[0].output_tokens = 101;
  EXPECT_THAT(policy->Order(next, runs, budget).give_way, IsEmpty());
}

TEST(ShortestFirst, LearnsWhoIsShort) {
  const auto jobs = MixedJobs(600);
  const Ran fcfs = Simulate("fcfs", jobs, 2, 6000), shortest = Simulate("spf", jobs, 2, 6000);
  EXPECT_LT(MeanCompletion(shortest, jobs) * 1.5, MeanCompletion(fcfs, jobs));
  EXPECT_LT(std::ranges::max(shortest.finished_s), 6000);
}

TEST(ShortestFirst, WaitingMakesUpForLength) {
  const auto policy = MakeSchedulingPolicy("spf:age_tokens_per_s=10").value();
  const SequenceFacts waiting[] = {{.id = 1, .arrival_s = 0, .max_output_tokens = 500},
                                   {.id = 2, .arrival_s = 30, .max_output_tokens = 100},
                                   {.id = 3, .arrival_s = 60, .max_output_tokens = 100}};
  EXPECT_THAT(policy->Order(waiting, {}, {}).waiting, ElementsAre(1, 0, 2));
}

TEST(Fair, AFloodDelaysOnlyItsSender) {
  std::vector<Job> jobs;
  for (int i = 0; i < 300; ++i) jobs.push_back({0, "flood", 20});
  for (int i = 0; i < 30; ++i) jobs.push_back({1.0 * i, "calm", 20});
  std::ranges::stable_sort(jobs, {}, &Job::arrival_s);
  const auto calm_mean = [&](const std::string& policy) {
    const Ran ran = Simulate(policy, jobs, 4, 400);
    double sum = 0;
    for (size_t i = 0; i < jobs.size(); ++i) {
      if (jobs[i].tenant == "calm") sum += ran.finished_s[i] - jobs[i].arrival_s;
    }
    return sum / 30;
  };
  EXPECT_GT(calm_mean("fcfs"), 60);
  EXPECT_LT(calm_mean("fair"), 5);  // two seconds of its own, and a place to come free
}

TEST(Fair, EqualSharesForEqualDemandAndDoubleForALevelOfPriority) {
  std::vector<Job> jobs;
  for (int i = 0; i < 400; ++i) {
    jobs.push_back({0, "a", 10});
    if (i % 4 == 0) jobs.push_back({0, "b", 40});  // the same tokens in fewer requests
  }
  Ran ran = Simulate("fair", jobs, 4, 80);
  EXPECT_NEAR(static_cast<double>(ran.tokens["a"]) / static_cast<double>(ran.tokens["b"]), 1, 0.5);
  for (Job& job : jobs) job = {0, job.tenant, 10, job.tenant == "a" ? -1 : 0};
  ran = Simulate("fair", jobs, 4, 20);
  EXPECT_NEAR(static_cast<double>(ran.tokens["a"]) / static_cast<double>(ran.tokens["b"]), 2, 0.3);
}

TEST(Fair, WhoWasAwayHasNoSavings) {
  std::vector<Job> jobs;
  for (int i = 0; i < 400; ++i) jobs.push_back({0, "early", 10});
  for (int i = 0; i < 400; ++i) jobs.push_back({50, "late", 10});
  const Ran ran = Simulate("fair", jobs, 2, 70);
  // 1000 tokens alone, then half of the last 400.
  EXPECT_NEAR(static_cast<double>(ran.tokens.at("late")), 200, 30);
}

TEST(Lottery, DrawsAnewEveryPeriodAndAPriorityDoublesTheOdds) {
  const auto policy = MakeSchedulingPolicy("lottery:period_s=2").value();
  std::vector<SequenceFacts> waiting(2);
  waiting[0].id = 1;
  waiting[0].priority = 1;
  waiting[1].id = 2;
  int second_first = 0, changes = 0, last = -1;
  for (int i = 0; i < 3000; ++i) {
    const int first = policy->Order(waiting, {}, {.now_s = static_cast<double>(i)}).waiting[0];
    second_first += first == 1;
    if (i % 2 == 1) {
      EXPECT_EQ(first, last) << "within a period";
    }
    changes += i > 0 && first != last;
    last = first;
  }
  EXPECT_NEAR(second_first / 3000.0, 2.0 / 3, 0.05);
  EXPECT_GT(changes, 300);
}

// Prompts that begin with the given texts, in this order.
class OfflineTest : public testing::Test {
 protected:
  uint64_t Add(std::vector<std::pair<Token, int>> parts, int64_t max_output = 8) {
    auto& prompt = prompts_.emplace_back();
    for (const auto& [token, count] : parts) prompt.insert(prompt.end(), count, token);
    prompt.push_back(static_cast<Token>(1000 + prompts_.size()));  // its own
    facts_.push_back({.id = ++id_, .prompt = prompt, .max_output_tokens = max_output});
    return id_;
  }
  std::vector<uint64_t> WaitingIds() {
    std::vector<uint64_t> ids;
    for (int i : policy_->Order(facts_, {}, {}).waiting) ids.push_back(facts_[i].id);
    return ids;
  }

  std::unique_ptr<SchedulingPolicy> policy_ = MakeSchedulingPolicy("offline").value();
  std::deque<std::vector<Token>> prompts_;
  std::vector<SequenceFacts> facts_;
  uint64_t id_ = 0;
};

TEST_F(OfflineTest, SharersStandTogetherTheMostSharedFirst) {
  const auto a1 = Add({{1, 100}}), b1 = Add({{2, 300}}), lone = Add({{3, 500}}), a2 = Add({{1, 100}}),
             b2 = Add({{2, 300}}), a3 = Add({{1, 100}});
  EXPECT_THAT(WaitingIds(), ElementsAre(b1, b2, a1, a2, a3, lone));
}

TEST_F(OfflineTest, WhatAllShareDoesNotHideWhatSomeShare) {
  const auto a1 = Add({{9, 200}, {1, 50}}), b1 = Add({{9, 200}, {2, 90}}), a2 = Add({{9, 200}, {1, 50}}),
             b2 = Add({{9, 200}, {2, 90}});
  EXPECT_THAT(WaitingIds(), ElementsAre(b1, b2, a1, a2));
}

TEST_F(OfflineTest, AmongEqualsThoseThatGenerateMuchComeFirst) {
  const auto little = Add({{1, 64}}, 4), much = Add({{1, 64}}, 400), some = Add({{1, 64}}, 40),
             alone = Add({{2, 200}}, 10), talker = Add({{3, 20}}, 300);
  EXPECT_THAT(WaitingIds(), ElementsAre(much, some, little, talker, alone));
}

TEST_F(OfflineTest, WhoComesLaterIsTheNextCohort) {
  const auto first = Add({{1, 64}});
  EXPECT_THAT(WaitingIds(), ElementsAre(first));
  const auto b1 = Add({{2, 64}}), c1 = Add({{3, 640}}), b2 = Add({{2, 64}}), c2 = Add({{3, 640}});
  EXPECT_THAT(WaitingIds(), ElementsAre(first, b1, c1, b2, c2));  // as they came, while the first waits
  facts_.erase(facts_.begin());
  EXPECT_THAT(WaitingIds(), ElementsAre(c1, c2, b1, b2));
  const auto big1 = Add({{4, 6400}}), big2 = Add({{4, 6400}});
  EXPECT_THAT(WaitingIds(), ElementsAre(c1, c2, b1, b2, big1, big2));
}

}  // namespace
}  // namespace quire

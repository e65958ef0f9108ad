#include "quire/sim/workload.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace quire {
namespace {

std::vector<TraceRequest> Steady(int n, double gap) {
  std::vector<TraceRequest> trace;
  for (int i = 0; i < n; ++i) trace.push_back({i * gap, 100, 20});
  return trace;
}

int64_t Agreement(const std::vector<Token>& a, const std::vector<Token>& b) {
  return std::ranges::mismatch(a, b).in1 - a.begin();
}

TEST(Workload, ScalesLengthsAndArrivals) {
  const Workload workload =
      MakeWorkload(Steady(3, 4),
                   {.length_scale = 0.5, .speed = 2, .turns = 2, .think_s = 3, .context = 1000, .vocab = 50});
  ASSERT_EQ(workload.conversations.size(), 3u);
  EXPECT_EQ(workload.conversations[2].arrival_s, 4);
  EXPECT_EQ(workload.conversations[2].turns.at(1).pause_s, 1.5);
  const Turn& turn = workload.conversations[2].turns.at(0);
  EXPECT_EQ(turn.said.size(), 50u);
  EXPECT_EQ(turn.output_tokens, 10);
  EXPECT_LT(*std::ranges::max_element(turn.said), 50);
  EXPECT_LT(Agreement(turn.said, workload.conversations[1].turns[0].said), 5) << "texts of their own";
  EXPECT_EQ(workload.cut, 0);
}

TEST(Workload, TurnsOfTheTraceComeBeforeThoseThatAreAskedFor) {
  std::vector<TraceRequest> trace = Steady(2, 4);
  trace[1].turns = {{3, "search", 40, 20}, {5, "", 60, 30}};
  const Workload workload =
      MakeWorkload(trace, {.length_scale = 0.5, .speed = 2, .turns = 2, .context = 1000, .vocab = 50});
  EXPECT_EQ(workload.conversations[0].turns.size(), 2u);
  const std::vector<Turn>& turns = workload.conversations[1].turns;
  ASSERT_EQ(turns.size(), 3u);
  EXPECT_EQ(turns[1].pause_s, 1.5);
  EXPECT_EQ(turns[1].tool, "search");
  EXPECT_EQ(turns[1].said.size(), 20u);
  EXPECT_EQ(turns[1].output_tokens, 10);
  EXPECT_EQ(turns[2].tool, "");
}

TEST(Workload, EqualHashesAreEqualText) {
  const std::vector<TraceRequest> trace = {
      {0, 1300, 5, {1, 2, 3}}, {1, 1200, 5, {1, 2, 4}, {}}, {2, 600, 5, {2, 1}}, {3, 1536, 5, {1, 2, 3}}};
  const Workload workload = MakeWorkload(trace, {.length_scale = 0.25, .context = 1000, .vocab = 1000});
  const auto said = [&](int i) -> const std::vector<Token>& {
    return workload.conversations[i].turns[0].said;
  };
  EXPECT_EQ(Agreement(said(0), said(1)), 256) << "two hashes of 512 / 4 tokens";
  EXPECT_EQ(workload.conversations[1].turns[0].shared_tokens, 256);
  EXPECT_EQ(workload.conversations[0].turns[0].shared_tokens, 0);
  EXPECT_EQ(workload.conversations[2].turns[0].shared_tokens, 0) << "known text, but not as a beginning";
  EXPECT_EQ(workload.conversations[3].turns[0].shared_tokens, 384);
  EXPECT_EQ(Agreement(said(0), said(3)), 325);
}

TEST(Workload, BurstsHaveTheirVariation) {
  for (const double cv : {0.5, 1.0, 3.0}) {
    const Workload workload =
        MakeWorkload(Steady(20'000, 2), {.burst_cv = cv, .context = 1000, .vocab = 10, .seed = 4});
    double sum = 0, squares = 0;
    const auto n = static_cast<double>(workload.conversations.size() - 1);
    for (size_t i = 1; i < workload.conversations.size(); ++i) {
      const double gap = workload.conversations[i].arrival_s - workload.conversations[i - 1].arrival_s;
      ASSERT_GE(gap, 0);
      sum += gap;
      squares += gap * gap;
    }
    const double mean = sum / n;
    EXPECT_NEAR(mean, 2, 0.15) << cv;
    EXPECT_NEAR(std::sqrt(squares / n - mean * mean) / mean, cv, 0.1 * cv) << cv;
  }
}

TEST(Workload, ConversationsFitTheContext) {
  const Workload workload = MakeWorkload(Steady(1, 1), {.turns = 8, .context = 400, .vocab = 10});
  EXPECT_EQ(workload.conversations[0].turns.size(), 3u) << "120 tokens each";
  EXPECT_EQ(workload.cut, 1);
  const std::vector<TraceRequest> large = {{0, 5000, 900}};
  const Turn turn = MakeWorkload(large, {.context = 400, .vocab = 10}).conversations[0].turns.at(0);
  EXPECT_EQ(std::ssize(turn.said) + turn.output_tokens, 400);
}

TEST(Workload, ClientsLeave) {
  const auto leaving = [](const Workload& workload) {
    return std::ranges::count_if(workload.conversations, &Conversation::leaves);
  };
  EXPECT_EQ(leaving(MakeWorkload(Steady(1000, 1), {.context = 1000, .vocab = 10})), 0);
  EXPECT_NEAR(static_cast<double>(leaving(
                  MakeWorkload(Steady(1000, 1), {.cancel_share = 0.3, .context = 1000, .vocab = 10}))),
              300, 50);
  const std::vector<TraceRequest> failing = {{.prompt_tokens = 5, .output_tokens = 30},
                                             {.prompt_tokens = 5, .output_tokens = 0}};
  EXPECT_EQ(MakeWorkload(failing, {.context = 100, .vocab = 10}).conversations[1].turns.at(0).output_tokens,
            30)
      << "long enough to be left in the middle";
  EXPECT_EQ(leaving(MakeWorkload({{{0, 5, 0}}}, {.context = 100, .vocab = 10})), 1)
      << "a failure of the trace";
}

TEST(Workload, DialoguesKeepTheirTextsAndMayBeJoined) {
  std::vector<TraceRequest> trace(3);
  for (int i = 0; i < 3; ++i) trace[i] = {.arrival_s = 1.0 * i, .dialogue = {{"abc", "de"}, {"", ""}}};
  const auto letters = [](std::string_view text) { return std::vector<Token>(text.begin(), text.end()); };
  WorkloadOptions options{.context = 1000, .vocab = 256, .tokenize = letters};
  Workload workload = MakeWorkload(trace, options);
  ASSERT_EQ(workload.conversations.size(), 3u);
  ASSERT_EQ(workload.conversations[1].turns.size(), 2u);
  EXPECT_EQ(workload.conversations[1].turns[0].said, (std::vector<Token>{'a', 'b', 'c'}));
  EXPECT_EQ(workload.conversations[1].turns[0].output_tokens, 2);
  EXPECT_EQ(workload.conversations[1].turns[1].said.size(), 1u) << "a prompt is never empty";
  EXPECT_EQ(workload.conversations[1].turns[1].output_tokens, 1);
  EXPECT_FALSE(workload.conversations[1].leaves);
  EXPECT_EQ(workload.conversations[2].arrival_s, 2);
  options.turns = 3;
  workload = MakeWorkload(trace, options);
  ASSERT_EQ(workload.conversations.size(), 2u);
  EXPECT_EQ(workload.conversations[0].turns.size(), 4u);
  EXPECT_EQ(workload.conversations[1].arrival_s, 2);
}

}  // namespace
}  // namespace quire

#include "quire/sim/trace_generator.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

namespace quire {
namespace {

std::vector<double> Lengths(const std::vector<TraceRequest>& trace, int64_t TraceRequest::* length) {
  std::vector<double> lengths;
  for (const TraceRequest& request : trace) lengths.push_back(static_cast<double>(request.*length));
  return lengths;
}

std::vector<double> Gaps(const std::vector<TraceRequest>& trace) {
  std::vector<double> gaps;
  for (size_t i = 1; i < trace.size(); ++i) gaps.push_back(trace[i].arrival_s - trace[i - 1].arrival_s);
  return gaps;
}

TEST(DistributionDistance, IsTheLargestGapBetweenTwoSteps) {
  EXPECT_EQ(DistributionDistance({1, 2, 3, 4}, {4, 3, 2, 1}), 0);
  EXPECT_EQ(DistributionDistance({1, 2}, {3, 4}), 1);
  EXPECT_EQ(DistributionDistance({1, 1, 1, 5}, {1, 5, 5, 5}), 0.5);
  EXPECT_DOUBLE_EQ(DistributionDistance({0, 1, 2, 3, 4}, {1.5}), 0.6);
}

// 200 requests: their own distribution is known to about 0.1 only.
TEST(TraceGenerator, HasTheLengthsOfASampleOfAzure) {
  std::ifstream file(std::string(QUIRE_SOURCE_DIR) + "/tests/traces/azure_conversation_lengths.csv");
  std::vector<double> prompts, outputs;
  for (std::string line; std::getline(file, line);) {
    double prompt = 0, output = 0;
    if (std::sscanf(line.c_str(), "%lf,%lf", &prompt, &output) != 2) continue;
    prompts.push_back(prompt);
    outputs.push_back(output);
  }
  ASSERT_EQ(prompts.size(), 200u);
  const auto trace = GenerateTrace({.requests = 5000});
  EXPECT_LE(DistributionDistance(prompts, Lengths(trace, &TraceRequest::prompt_tokens)), 0.12);
  EXPECT_LE(DistributionDistance(outputs, Lengths(trace, &TraceRequest::output_tokens)), 0.12);
}

TEST(TraceGenerator, HasTheLengthsAndGapsOfAzure) {
  const std::string path =
      std::string(QUIRE_SOURCE_DIR) + "/../shared/workloads/AzureLLMInferenceTrace_conv_2023.csv";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "the whole trace is not here: " << path;
  const auto azure = ReadTrace(path, 0);
  ASSERT_TRUE(azure) << azure.error().message;
  const auto trace = GenerateTrace({.requests = 20'000, .seed = 3});
  const double prompt = DistributionDistance(Lengths(*azure, &TraceRequest::prompt_tokens),
                                             Lengths(trace, &TraceRequest::prompt_tokens));
  const double output = DistributionDistance(Lengths(*azure, &TraceRequest::output_tokens),
                                             Lengths(trace, &TraceRequest::output_tokens));
  const double gaps = DistributionDistance(Gaps(*azure), Gaps(trace));
  std::printf("distances to Azure: prompts %.3f, outputs %.3f, gaps %.3f\n", prompt, output, gaps);
  EXPECT_LE(prompt, 0.1);
  EXPECT_LE(output, 0.1);
  EXPECT_LE(gaps, 0.1);
  EXPECT_GT(DistributionDistance(Gaps(*azure), Gaps(GenerateTrace({.requests = 20'000, .burst_cv = 3}))), 0.2)
      << "burstier gaps are told apart";
}

TEST(TraceGenerator, IsReadBackAsItIs) {
  const auto trace = GenerateTrace(
      {.requests = 300, .burst_cv = 2, .failure_share = 0.2, .turns = 2.5, .think_s = 4, .seed = 9});
  const auto read = ParseTrace(TraceLines(trace));
  ASSERT_TRUE(read) << read.error().message;
  ASSERT_EQ(read->size(), trace.size());
  int failures = 0;
  size_t turns = trace.size();
  double pauses = 0;
  for (size_t i = 0; i < trace.size(); ++i) {
    EXPECT_EQ((*read)[i].prompt_tokens, trace[i].prompt_tokens);
    EXPECT_EQ((*read)[i].output_tokens, trace[i].output_tokens);
    EXPECT_NEAR((*read)[i].arrival_s, trace[i].arrival_s, 1e-9);
    failures += trace[i].output_tokens == 0;
    ASSERT_EQ((*read)[i].turns.size(), trace[i].turns.size());
    turns += trace[i].turns.size();
    for (size_t t = 0; t < trace[i].turns.size(); ++t) {
      EXPECT_EQ((*read)[i].turns[t].prompt_tokens, trace[i].turns[t].prompt_tokens);
      pauses += trace[i].turns[t].pause_s;
    }
  }
  EXPECT_NEAR(failures, 60, 20);
  EXPECT_NEAR(static_cast<double>(turns) / 300, 2.5, 0.4);
  EXPECT_NEAR(pauses / static_cast<double>(turns - 300), 4, 0.6);
}

TEST(TraceGenerator, LengthsMayBeGivenAndBeginningsShared) {
  const auto trace = GenerateTrace({.requests = 50,
                                    .failure_share = 0.3,
                                    .prompt_tokens = 64,
                                    .output_tokens = 7,
                                    .shared_tokens = 2 * kHashTokens,
                                    .turns = 2});
  const auto read = ParseTrace(TraceLines(trace));
  ASSERT_TRUE(read) << read.error().message;
  int failures = 0;
  for (const TraceRequest& request : *read) {
    EXPECT_EQ(request.prompt_tokens, 2 * kHashTokens + 64);
    EXPECT_EQ(request.hash_ids, (std::vector<int64_t>{0, 1}));
    EXPECT_TRUE(request.output_tokens == 7 || request.output_tokens == 0);
    failures += request.output_tokens == 0;
    for (const TraceTurn& turn : request.turns) EXPECT_EQ(turn.prompt_tokens, 64);
  }
  EXPECT_GT(failures, 0);
}

TEST(TraceGenerator, KeepsTheRateWhateverTheBursts) {
  for (const double cv : {0.5, 1.0, 2.0, 4.0}) {
    const std::vector<double> gaps =
        Gaps(GenerateTrace({.requests = 50'000, .rate = 4, .burst_cv = cv, .seed = 2}));
    double sum = 0, squares = 0;
    for (const double gap : gaps) sum += gap, squares += gap * gap;
    const double mean = sum / static_cast<double>(gaps.size());
    EXPECT_NEAR(mean, 0.25, 0.25 * 0.06) << cv;
    EXPECT_NEAR(std::sqrt(squares / static_cast<double>(gaps.size()) - mean * mean) / mean, cv, 0.08 * cv);
  }
}

}  // namespace
}  // namespace quire

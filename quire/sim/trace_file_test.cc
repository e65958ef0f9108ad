#include "quire/sim/trace_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

namespace quire {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(TraceFile, ReadsAzure) {
  const auto trace = ParseTrace(
      "TIMESTAMP,ContextTokens,GeneratedTokens\r\n"
      "2023-11-16 18:15:50.5000000,396,109\r\n"
      "2023-11-16 18:15:46.2500000,374,44\r\n"
      "2023-11-17 00:00:00.0,1,2");
  ASSERT_TRUE(trace) << trace.error().message;
  ASSERT_EQ(trace->size(), 3u);
  EXPECT_EQ((*trace)[0].prompt_tokens, 374);
  EXPECT_EQ((*trace)[0].output_tokens, 44);
  EXPECT_EQ((*trace)[0].arrival_s, 0);
  EXPECT_NEAR((*trace)[1].arrival_s, 4.25, 1e-6);
  EXPECT_NEAR((*trace)[2].arrival_s, 5 * 3600 + 44 * 60 + 13.75, 1e-6);
}

TEST(TraceFile, ReadsBurstGpt) {
  const auto trace = ParseTrace(
      "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
      "5,ChatGPT,472,18,490,Conversation log\n"
      "45,GPT-4,1087,0,1087,API log\n");
  ASSERT_TRUE(trace) << trace.error().message;
  EXPECT_EQ((*trace)[1].arrival_s, 40);
  EXPECT_EQ((*trace)[1].prompt_tokens, 1087);
  EXPECT_EQ((*trace)[1].output_tokens, 0) << "a failure";
}

TEST(TraceFile, ReadsMooncake) {
  const auto trace =
      ParseTrace(R"({"timestamp": 1000, "input_length": 700, "output_length": 6, "hash_ids": [3, 9]})"
                 "\n"
                 R"({"timestamp": 3500, "input_length": 5, "output_length": 1})"
                 "\n");
  ASSERT_TRUE(trace) << trace.error().message;
  EXPECT_THAT((*trace)[0].hash_ids, ElementsAre(3, 9));
  EXPECT_EQ((*trace)[1].arrival_s, 2.5);
}

TEST(TraceFile, ReadsTheTurnsOfAgents) {
  const auto trace =
      ParseTrace(R"({"timestamp": 0, "input_length": 100, "output_length": 20, "turns": )"
                 R"([{"input_length": 30, "output_length": 10, "pause": 1500, "tool": "search"},)"
                 R"( {"input_length": 5, "output_length": 6, "pause": 0}]})");
  ASSERT_TRUE(trace.has_value()) << trace.error().message;
  ASSERT_EQ(trace->at(0).turns.size(), 2u);
  EXPECT_EQ(trace->at(0).turns[0].pause_s, 1.5);
  EXPECT_EQ(trace->at(0).turns[0].tool, "search");
  EXPECT_EQ(trace->at(0).turns[1].output_tokens, 6);
  EXPECT_EQ(trace->at(0).turns[1].tool, "");
  for (const char* turns : {"[{}]", "[1]", R"([{"input_length": -1, "output_length": 1, "pause": 1}])",
                            R"([{"input_length": 1, "output_length": 1, "pause": -1}])",
                            R"([{"input_length": 1, "output_length": 1, "pause": 1, "tool": 5}])"}) {
    const std::string line = R"({"timestamp": 0, "input_length": 1, "output_length": 1, "turns": )";
    EXPECT_FALSE(ParseTrace(line + turns + "}").has_value()) << turns;
  }
}

TEST(TraceFile, ReadsDialogues) {
  const auto trace = ParseTrace(
      R"({"task": "GR", "id": 1, "history": [{"user": "Who?", "bot": "A."}, {"user": "Why?", "bot": "So."}]})"
      "\n"
      R"({"history": [{"user": "Hi", "bot": ""}]})");
  ASSERT_TRUE(trace) << trace.error().message;
  ASSERT_EQ(trace->size(), 2u);
  ASSERT_EQ((*trace)[0].dialogue.size(), 2u);
  EXPECT_EQ((*trace)[0].dialogue[1].said, "Why?");
  EXPECT_EQ((*trace)[0].dialogue[1].answered, "So.");
  EXPECT_EQ((*trace)[1].arrival_s, 1);
  for (const char* wrong : {R"({"history": 5})", R"({"history": [{"user": "x"}]})", R"({"history": ["x"]})",
                            R"({"history": [{"user": 1, "bot": "x"}]})"}) {
    ASSERT_FALSE(ParseTrace(wrong)) << wrong;
    EXPECT_THAT(ParseTrace(wrong).error().message, HasSubstr("line 1"));
  }
}

TEST(TraceFile, SaysWhatIsWrongAndWhere) {
  const std::string header = "TIMESTAMP,ContextTokens,GeneratedTokens\n";
  for (const auto& [text, part] :
       {std::pair<std::string, const char*>{"", "neither JSON nor a header"},
        {"\x1f\x8b\x08", "must be unpacked"},
        {header, "no request"},
        {header + "1,2\n", "line 2: 2 fields instead of 3"},
        {header + "1,2,3\n1,-2,3\n", "line 3: a time and two counts"},
        {header + "1,2,99999999999999999999\n", "line 2"},
        {header + "inf,2,3\n", "line 2"},
        {header + "nan,2,3\n", "line 2"},
        {header + "2023-99,2,3\n", "line 2"},
        {"{", "line 1: no JSON object"},
        {"{}", "line 1: no JSON object"},
        {R"({"timestamp": 0, "input_length": -1, "output_length": 1})", "out of range"},
        {R"({"timestamp": 0, "input_length": 1, "output_length": "a"})", "line 1"}}) {
    const auto trace = ParseTrace(text);
    ASSERT_FALSE(trace) << text;
    EXPECT_THAT(trace.error().message, HasSubstr(part)) << text;
  }
  EXPECT_THAT(ReadTrace("/no/such", 0).error().message, HasSubstr("/no/such"));
}

TEST(TraceFile, ReadsRealOnes) {
  const std::filesystem::path folder = std::filesystem::path(QUIRE_SOURCE_DIR) / "../shared/workloads";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << folder << " is not there";
  const auto azure = ReadTrace(folder / "AzureLLMInferenceTrace_conv_2023.csv", 0);
  ASSERT_TRUE(azure) << azure.error().message;
  EXPECT_EQ(azure->size(), 19366u);
  const auto mooncake = ReadTrace(folder / "mooncake_synthetic_trace.jsonl", 500);
  ASSERT_TRUE(mooncake) << mooncake.error().message;
  EXPECT_EQ(mooncake->size(), 500u);
  EXPECT_FALSE(mooncake->front().hash_ids.empty());
}

}  // namespace
}  // namespace quire

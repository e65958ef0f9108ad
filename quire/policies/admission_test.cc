#include "quire/policies/admission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace quire {
namespace {

constexpr int64_t kContext = 8192;

SequenceFacts Facts(std::span<const Token> prompt, int64_t output_tokens, int64_t max_output_tokens) {
  return {.prompt = prompt, .output_tokens = output_tokens, .max_output_tokens = max_output_tokens};
}

// The contract: never less than what there is, never more than the context, for a sequence that fits it.
TEST(Admission, IsBetweenWhatThereIsAndTheContext) {
  for (const AdmissionRow* row : AdmissionTable()) {
    const auto policy = MakeAdmissionPolicy(row->name).value();
    std::mt19937 random(1);
    for (int i = 0; i < 500; ++i) {
      const std::vector<Token> prompt(1 + random() % 4000, 7);
      const auto most = static_cast<int64_t>(1 + random() % 4000);
      const SequenceFacts facts = Facts(prompt, static_cast<int64_t>(random() % most), most);
      const int64_t room = policy->RoomFor(facts, kContext);
      EXPECT_GE(room, std::ssize(prompt) + facts.output_tokens) << row->name;
      EXPECT_LE(room, kContext) << row->name;
      if (i % 2 == 0) policy->Finished(facts);
    }
  }
}

TEST(Admission, Now) {
  const std::vector<Token> prompt(100, 1);
  EXPECT_EQ(MakeAdmissionPolicy("now").value()->RoomFor(Facts(prompt, 7, 500), kContext), 107);
}

TEST(Admission, Longest) {
  const std::vector<Token> prompt(100, 1);
  EXPECT_EQ(MakeAdmissionPolicy("longest").value()->RoomFor(Facts(prompt, 7, 500), kContext), kContext);
}

TEST(Admission, PredictedLearns) {
  const std::vector<Token> prompt(100, 1);
  const auto policy = MakeAdmissionPolicy("predicted").value();
  EXPECT_EQ(policy->RoomFor(Facts(prompt, 0, 500), kContext), 600) << "nothing is known";
  for (int i = 0; i < 50; ++i) policy->Finished(Facts(prompt, 64, 500));
  EXPECT_EQ(policy->RoomFor(Facts(prompt, 0, 500), kContext), 164);
  EXPECT_EQ(policy->RoomFor(Facts(prompt, 40, 500), kContext), 164);
  EXPECT_EQ(policy->RoomFor(Facts(prompt, 0, 20), kContext), 120);
  EXPECT_EQ(policy->RoomFor(Facts(prompt, 90, 500), kContext), 600) << "longer than all before";
  const auto half = MakeAdmissionPolicy("predicted:share=0.5").value();
  EXPECT_EQ(half->RoomFor(Facts(prompt, 0, 500), kContext), 350);
}

TEST(Admission, NamesTheKnownOnes) {
  EXPECT_THAT(MakeAdmissionPolicy("soon").error().message,
              testing::HasSubstr("there is no admission policy 'soon'; use one of: longest, now, predicted"));
  EXPECT_THAT(MakeAdmissionPolicy("now:x=1").error().message, testing::HasSubstr("x"));
}

}  // namespace
}  // namespace quire

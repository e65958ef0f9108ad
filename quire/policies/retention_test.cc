// The contract of the retention family, for every row of the table; then what is special about each.
#include "quire/policies/retention.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace quire {
namespace {

using testing::HasSubstr;

class RetentionContract : public testing::TestWithParam<const RetentionRow*> {
 protected:
  std::unique_ptr<RetentionPolicy> Make() const {
    return MakeRetentionPolicy(std::string(GetParam()->name)).value();
  }
};

TEST_P(RetentionContract, TimesAreFiniteAndNotNegative) {
  const auto policy = Make();
  std::mt19937 random(1);
  const char* const names[] = {"", "search", "compile"};
  for (int i = 0; i < 2000; ++i) {
    const PauseFacts pause{.tenant = names[random() % 3],
                           .tool = names[random() % 3],
                           .recompute_s = std::ldexp(1.0, static_cast<int>(random() % 20) - 10),
                           .pool_share = static_cast<double>(random() % 100) / 100,
                           .contended = random() % 2 == 0};
    const double ttl_s = policy->TimeToLive(pause);
    EXPECT_TRUE(std::isfinite(ttl_s) && ttl_s >= 0) << ttl_s;
    policy->Returned(pause, std::ldexp(1.0, static_cast<int>(random() % 40) - 20));
  }
}

TEST_P(RetentionContract, SomebodyYieldsAndWhoWasPredictedFirst) {
  const auto policy = Make();
  std::mt19937 random(2);
  for (int i = 0; i < 500; ++i) {
    std::vector<PinFacts> pins(1 + random() % 20);
    for (PinFacts& pin : pins) {
      pin.asked = random() % 2 == 0;
      pin.pages = random() % 100;
      pin.begin_s = static_cast<double>(random() % 100);
      pin.expiry_s = pin.begin_s + static_cast<double>(random() % 100);
      pin.recompute_s = static_cast<double>(random() % 10);
    }
    const size_t which = policy->Yields(pins, 100);
    ASSERT_LT(which, pins.size());
    if (pins[which].asked) {
      EXPECT_TRUE(std::ranges::all_of(pins, &PinFacts::asked));
    }
    EXPECT_EQ(policy->Yields(pins, 100), which);
  }
}

TEST_P(RetentionContract, DescribesItself) {
  EXPECT_FALSE(GetParam()->summary.empty());
  for (const PolicyParam& param : GetParam()->params) {
    EXPECT_FALSE(param.help.empty()) << param.name;
    EXPECT_GE(param.default_value, param.min) << param.name;
    EXPECT_LE(param.default_value, param.max) << param.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Table, RetentionContract, testing::ValuesIn(RetentionTable()),
                         [](const auto& info) { return std::string(info.param->name); });

TEST(RetentionTable, IsSortedAndAnswersMistakes) {
  EXPECT_TRUE(std::ranges::is_sorted(RetentionTable(), std::ranges::less_equal{}, &RetentionRow::name));
  EXPECT_THAT(MakeRetentionPolicy("forever").error().message, HasSubstr("fixed, learned, none"));
  EXPECT_THAT(MakeRetentionPolicy("fixed:s=1").error().message, HasSubstr("ttl_s"));
  EXPECT_TRUE(MakeRetentionPolicy(kDefaultRetention).has_value());
}

PauseFacts Pause(std::string_view tool, double recompute_s, bool contended = true) {
  return {.tenant = "", .tool = tool, .recompute_s = recompute_s, .pool_share = 0.05, .contended = contended};
}

std::unique_ptr<RetentionPolicy> Taught() {
  auto policy = MakeRetentionPolicy("learned").value();
  for (int i = 0; i < 60; ++i) {
    policy->Returned(Pause("quick", 1), 0.5);
    policy->Returned(Pause("slow", 1), 100);
    policy->Returned(Pause("mixed", 1), i % 2 == 0 ? 0.5 : 200);
  }
  return policy;
}

TEST(LearnedRetention, PinsWhatPays) {
  const auto policy = Taught();
  EXPECT_NEAR(policy->TimeToLive(Pause("quick", 1)), 0.5, 0.25);
  EXPECT_EQ(policy->TimeToLive(Pause("slow", 1)), 0) << "five seconds of the machine to save one";
  EXPECT_GE(policy->TimeToLive(Pause("slow", 20)), 100);
  EXPECT_GE(policy->TimeToLive(Pause("slow", 1, false)), 100) << "nobody waits for the room";
  EXPECT_NEAR(policy->TimeToLive(Pause("mixed", 1)), 0.5, 0.25)
      << "the quick half pays, waiting for the rest does not";
}

TEST(LearnedRetention, ThePinThatIsWorthLeastYields) {
  const auto policy = Taught();
  const PinFacts quick{
      .owner = "", .tool = "quick", .pages = 10, .begin_s = 10, .expiry_s = 10.7, .recompute_s = 1};
  PinFacts larger = quick, overdue = quick, cheap = quick;
  larger.pages = 40;
  cheap.recompute_s = 0.1;
  overdue.tool = "mixed";
  overdue.begin_s = 9;
  overdue.expiry_s = 20;
  const auto yields = [&](std::vector<PinFacts> pins) { return policy->Yields(pins, 10); };
  EXPECT_EQ(yields({quick, larger}), 1u);
  EXPECT_EQ(yields({cheap, quick}), 0u);
  EXPECT_EQ(yields({quick, overdue}), 1u) << "it is not one of the quick ones, and will not be back in time";
}

}  // namespace
}  // namespace quire

#include "quire/engine/memory_budget.h"

#include <gtest/gtest.h>

namespace quire {
namespace {

constexpr uint64_t kGiB = 1ull << 30;

KvDemand Demand() {
  return {.available_bytes = 16 * kGiB,
          .bytes_per_token = 32 << 10,
          .page_bytes = 512 << 10,
          .context_tokens = 8192,
          .sequences = 4,
          .least_bytes = kGiB / 4};
}

TEST(MemoryBudget, TakesAllThatCanBeUsedWhenItIsFree) {
  EXPECT_EQ(BudgetKvMemory("", Demand())->bytes, kGiB);
}

TEST(MemoryBudget, TakesHalfOfWhatIsFreeOtherwise) {
  KvDemand demand = Demand();
  demand.sequences = 256;
  EXPECT_EQ(BudgetKvMemory("", demand)->bytes, 8 * kGiB);
}

TEST(MemoryBudget, FollowsTheSettingAndSaysSo) {
  const auto fixed = BudgetKvMemory("2GiB", Demand());
  EXPECT_EQ(fixed->bytes, 2 * kGiB);
  EXPECT_NE(fixed->reason.find("65536 tokens"), std::string::npos) << fixed->reason;
  EXPECT_EQ(BudgetKvMemory("25%", Demand())->bytes, 4 * kGiB);
}

TEST(MemoryBudget, RefusesWhatIsNoSizeOrHoldsNoPage) {
  for (const char* setting : {"lots", "-1GiB", "120%", "100KiB"}) {
    const auto budget = BudgetKvMemory(setting, Demand());
    ASSERT_FALSE(budget) << setting;
    EXPECT_NE(budget.error().message.find("--kv-memory"), std::string::npos) << budget.error().message;
  }
}

TEST(MemoryBudget, TheSystemTellsWhatIsFree) { EXPECT_GT(AvailableMemoryBytes(), 0u); }

}  // namespace
}  // namespace quire

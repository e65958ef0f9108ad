#include "quire/tiers/compressed_tier.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "quire/tiers/tier_stack.h"
#include "quire/tiers/tier_testing.h"

namespace quire {
namespace {

const PageShape kShape{.type = DType::kF16, .page_tokens = 16, .head_dim = 64, .heads = 2};

PageKey Key(int number) { return ChildKey(RootKey("test"), std::vector<Token>{number}); }

std::vector<std::byte> Page(int number) {
  std::mt19937 random(number);
  std::vector<std::byte> page(kShape.bytes());
  for (std::byte& byte : page) byte = static_cast<std::byte>(random());
  return page;
}

std::unique_ptr<CompressedTier> MakeTier(int64_t pages, int threads = 2, int depth = 256) {
  // Random bytes get no shorter: a page takes its bytes, two lengths of planes, and the entry.
  const auto cost = static_cast<int64_t>(kShape.bytes()) + 8 + 200;
  std::vector<std::unique_ptr<PageCodec>> codecs;
  codecs.push_back((*FindPageCodec("lossless"))->make(kShape));
  return std::make_unique<CompressedTier>(CompressedTierOptions{.quota_bytes = pages * cost + 100,
                                                                .page_bytes = kShape.bytes(),
                                                                .threads = threads,
                                                                .depth = depth},
                                          std::move(codecs));
}

PageTier::Completion Wait(PageTier& tier) {
  std::vector<PageTier::Completion> completed;
  while (completed.empty()) tier.TakeCompleted(completed);
  EXPECT_EQ(completed.size(), 1u);
  return completed.at(0);
}

bool Write(PageTier& tier, int number, Moment moment = Moment::kEvicted) {
  if (!tier.Wants(Key(number), moment)) return false;
  const std::vector<std::byte> page = Page(number);
  if (!tier.StartWrite(Key(number), moment, page, 0, number)) return false;
  return Wait(tier).ok;
}

// Whether the page is there; then it must be right.
bool Read(PageTier& tier, int number) {
  std::vector<std::byte> page(kShape.bytes());
  if (!tier.StartRead(Key(number), page, 7) || !Wait(tier).ok) return false;
  EXPECT_EQ(page, Page(number)) << number;
  return true;
}

TierUsage UsageOf(const PageTier& tier, size_t place = 0) {
  std::vector<TierUsage> places;
  tier.AddUsage(places);
  return places.at(place);
}

TEST(CompressedTier, GivesBackWhatItTook) {
  const auto tier = MakeTier(10);
  EXPECT_FALSE(tier->Contains(Key(1)));
  EXPECT_FALSE(Read(*tier, 1));
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(Write(*tier, i));
  EXPECT_FALSE(tier->Wants(Key(1), Moment::kEvicted)) << "it is there already";
  EXPECT_FALSE(tier->Wants(Key(11), Moment::kPublished)) << "the pool has it";
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(Read(*tier, i));
  const TierUsage usage = UsageOf(*tier);
  EXPECT_EQ(usage.pages, 10);
  EXPECT_EQ(usage.pages_written, 10);
  EXPECT_EQ(usage.pages_read, 10);
  EXPECT_EQ(usage.bytes_moved, 20 * static_cast<int64_t>(kShape.bytes()));
  EXPECT_GT(usage.read_time.Seconds(static_cast<int64_t>(kShape.bytes())), 0) << "reads were timed";
}

TEST(CompressedTier, TheLeastRecentlyUsedLeave) {
  const auto tier = MakeTier(4);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(Write(*tier, i));
  EXPECT_TRUE(Read(*tier, 0));
  EXPECT_TRUE(Write(*tier, 4));
  EXPECT_FALSE(tier->Contains(Key(1)));
  EXPECT_TRUE(tier->Contains(Key(0)));
  EXPECT_LE(UsageOf(*tier).bytes, UsageOf(*tier).limit);
}

TEST(CompressedTier, APageThatDoesNotFitAloneIsNotKept) {
  const auto tier = MakeTier(0);
  EXPECT_TRUE(Write(*tier, 1));
  EXPECT_FALSE(tier->Contains(Key(1)));
  EXPECT_EQ(UsageOf(*tier).bytes, 0);
}

TEST(CompressedTier, NoMoreMovesThanItsDepth) {
  const auto tier = MakeTier(10, 0, 2);
  const std::vector<std::byte> page = Page(1);
  EXPECT_TRUE(tier->StartWrite(Key(1), Moment::kEvicted, page, 0, 1));
  EXPECT_FALSE(tier->Contains(Key(1))) << "it is on its way";
  EXPECT_FALSE(tier->Wants(Key(1), Moment::kEvicted));
  EXPECT_TRUE(tier->StartWrite(Key(2), Moment::kEvicted, page, 0, 2));
  EXPECT_FALSE(tier->StartWrite(Key(3), Moment::kEvicted, page, 0, 3));
  std::vector<PageTier::Completion> completed;
  tier->TakeCompleted(completed);
  EXPECT_EQ(completed.size(), 2u);
  EXPECT_TRUE(tier->StartWrite(Key(3), Moment::kEvicted, page, 0, 3));
}

// A page may leave while it is read.
TEST(CompressedTier, RandomLives) {
  std::mt19937 random(5);
  for (const int threads : {0, 1, 3}) {
    const auto tier = MakeTier(20, threads);
    std::map<uint64_t, std::pair<int, std::vector<std::byte>>> moves;  // by tag: which page
    int read = 0;
    for (uint64_t tag = 0; tag < 4000; ++tag) {
      const int number = static_cast<int>(random() % 40);
      if (tier->Contains(Key(number))) {
        auto& page = moves[2 * tag] = {number, std::vector<std::byte>(kShape.bytes())};
        if (!tier->StartRead(Key(number), page.second, 2 * tag)) moves.erase(2 * tag);
      } else if (tier->Wants(Key(number), Moment::kEvicted)) {
        auto& page = moves[2 * tag + 1] = {number, Page(number)};
        if (!tier->StartWrite(Key(number), Moment::kEvicted, page.second, 0, 2 * tag + 1)) {
          moves.erase(2 * tag + 1);
        }
      }
      std::vector<PageTier::Completion> completed;
      if (random() % 3 == 0) tier->TakeCompleted(completed);
      // However little of a processor the tier's threads get.
      while (moves.size() > completed.size() + 64) tier->TakeCompleted(completed);
      for (const PageTier::Completion& completion : completed) {
        EXPECT_TRUE(completion.ok);
        const auto move = moves.extract(completion.tag);
        ASSERT_FALSE(move.empty());
        read += completion.tag % 2 == 0;
        ASSERT_EQ(move.mapped().second, Page(move.mapped().first));
      }
      ASSERT_LE(UsageOf(*tier).bytes, UsageOf(*tier).limit);
    }
    EXPECT_GT(read, 500);
    std::vector<PageTier::Completion> completed;
    while (completed.size() < moves.size()) tier->TakeCompleted(completed);
  }
}

TEST(TierStack, TheUpperOneIsAskedFirst) {
  MapTierState disk;
  const auto stack = Stacked(MakeTier(2), std::make_unique<MapTier>(disk));
  EXPECT_TRUE(Write(*stack, 1, Moment::kPublished));  // as it is computed, to disk
  EXPECT_EQ(stack->Find(Key(1)), 1u);
  EXPECT_TRUE(Write(*stack, 1));  // as it leaves the pool, to memory too
  EXPECT_EQ(stack->Find(Key(1)), 0u);
  EXPECT_TRUE(Read(*stack, 1));
  EXPECT_EQ(disk.reads, 0);
  for (int i = 2; i < 4; ++i) {
    EXPECT_TRUE(Write(*stack, i, Moment::kPublished));
    EXPECT_TRUE(Write(*stack, i));
  }
  EXPECT_EQ(stack->Find(Key(1)), 1u) << "what memory gave up is on disk";
  EXPECT_TRUE(Read(*stack, 1));
  EXPECT_EQ(disk.reads, 1);
  EXPECT_EQ(UsageOf(*stack, 0).name, "compressed");
  EXPECT_EQ(UsageOf(*stack, 1).pages, 3);
  EXPECT_EQ(stack->Find(Key(9)), std::nullopt);
}

TEST(TierStack, OfOneIsThatOne) {
  EXPECT_EQ(Stacked(nullptr, nullptr), nullptr);
  MapTierState disk;
  auto tier = std::make_unique<MapTier>(disk);
  PageTier* const one = tier.get();
  EXPECT_EQ(Stacked(nullptr, std::move(tier)).get(), one);
}

// Pages of two forms: what is coded one way is decoded that way.
TEST(CompressedTier, KnowsTheFormOfItsPages) {
  PageShape int4 = kShape;
  int4.type = DType::kInt4;
  std::vector<std::unique_ptr<PageCodec>> codecs;
  codecs.push_back((*FindPageCodec("lossless"))->make(kShape));
  codecs.push_back(MakePageCodec(**FindPageCodec("lossless"), {&int4, 1}, kShape.bytes()));
  CompressedTier tier({.quota_bytes = 1 << 20, .page_bytes = kShape.bytes(), .threads = 0},
                      std::move(codecs));
  for (int number = 0; number < 6; ++number) {
    const std::vector<std::byte> page = Page(number);
    ASSERT_TRUE(tier.StartWrite(Key(number), Moment::kEvicted, page, number % 2, number));
    EXPECT_TRUE(Wait(tier).ok);
  }
  for (int number = 0; number < 6; ++number) {
    std::vector<std::byte> page(kShape.bytes());
    ASSERT_TRUE(tier.StartRead(Key(number), page, 1));
    EXPECT_TRUE(Wait(tier).ok);
    std::vector<std::byte> expected = Page(number);
    if (number % 2 == 1) std::fill(expected.begin() + int4.bytes(), expected.end(), std::byte{0});
    EXPECT_EQ(page, expected) << number;
  }
}

}  // namespace
}  // namespace quire

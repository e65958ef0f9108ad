// Pins through PageCache: what stays, for how long, and that nobody is ever kept from running.
#include "quire/kv/page_pins.h"

#include <gtest/gtest.h>

#include <random>

#include "quire/kv/cache_testing.h"

namespace quire {
namespace {

// Computes `tokens`, chunk by chunk, and leaves them cached.
void Leave(PageCache& cache, std::span<const Token> tokens, std::string_view salt = "") {
  PageTable table;
  cache.Match(table, salt, tokens);
  while (table.tokens < std::ssize(tokens)) {
    cache.TrimWindows(table, table.tokens);
    ASSERT_EQ(cache.Reserve(table, std::min<int64_t>(kPageTokens, std::ssize(tokens) - table.tokens)),
              Verdict::kGranted);
    cache.Publish(table, salt, tokens.first(table.tokens));
  }
  cache.Release(table, salt, tokens);
}

int64_t HitOf(PageCache& cache, std::span<const Token> tokens, std::string_view salt = "") {
  PageTable table;
  const int64_t hit = cache.Match(table, salt, tokens);
  cache.Release(table);
  return hit;
}

int64_t PinText(PageCache& cache, const std::string& name, std::span<const Token> tokens, PinFacts facts) {
  PageTable table;
  cache.Match(table, "", tokens);
  const int64_t pinned = cache.Pin(name, table, std::ssize(tokens), std::move(facts));
  cache.Release(table);
  return pinned;
}

PinFacts Until(double expiry_s, bool asked = true, const std::string& owner = "") {
  return {.owner = owner, .asked = asked, .expiry_s = expiry_s};
}

TEST(PagePins, StaysWhileAnythingElseCanGo) {
  PageCache cache = MakeCache({0}, 8);
  Leave(cache, Text(48));
  EXPECT_EQ(PinText(cache, "a", Text(48), Until(100)), 48);
  Leave(cache, Text(32, 1));
  Leave(cache, Text(64, 2));  // what is free, and one page of the other
  EXPECT_EQ(HitOf(cache, Text(48)), 48);
  EXPECT_EQ(HitOf(cache, Text(32, 1)), 16);
  Leave(cache, Text(80, 3));
  EXPECT_EQ(HitOf(cache, Text(48)), 48);
  EXPECT_EQ(HitOf(cache, Text(32, 1)), 0);
  EXPECT_EQ(cache.pins().counts().yielded, 0);
  EXPECT_EQ(cache.available_pages(), 8) << "a pin keeps nobody from running";
}

TEST(PagePins, GivesWayWhenNothingElseIsLeft) {
  PageCache cache = MakeCache({0}, 8);
  Leave(cache, Text(64));
  PinText(cache, "a", Text(64), Until(100));
  Leave(cache, Text(64, 1));
  PinText(cache, "b", Text(64, 1), Until(50));
  PageTable table;
  ASSERT_EQ(cache.Reserve(table, 3 * kPageTokens), Verdict::kGranted);
  EXPECT_EQ(cache.pins().Find("b"), nullptr) << "it would have been over first";
  EXPECT_NE(cache.pins().Find("a"), nullptr);
  EXPECT_EQ(HitOf(cache, Text(64, 1)), 16) << "from its end, and only as far as room was needed";
  EXPECT_EQ(HitOf(cache, Text(64)), 64);
  ASSERT_EQ(cache.Reserve(table, 5 * kPageTokens), Verdict::kGranted);
  EXPECT_EQ(cache.pins().counts().yielded, 2);
  EXPECT_TRUE(cache.pins().empty());
  cache.Release(table);
}

TEST(PagePins, WhatWasPredictedGivesWayBeforeWhatWasAskedFor) {
  PageCache cache = MakeCache({0}, 4);
  Leave(cache, Text(32));
  PinText(cache, "asked", Text(32), Until(1));
  Leave(cache, Text(32, 1));
  PinText(cache, "predicted", Text(32, 1), Until(100, false));
  EXPECT_EQ(cache.index().held_back_pages(), 2);
  PageTable table;
  ASSERT_EQ(cache.Reserve(table, 1), Verdict::kGranted);
  EXPECT_NE(cache.pins().Find("asked"), nullptr);
  EXPECT_EQ(cache.pins().Find("predicted"), nullptr);
  EXPECT_EQ(cache.index().held_back_pages(), 0);
  cache.Release(table);
}

TEST(PagePins, EndsWhenItsTimeIsUp) {
  PageCache cache = MakeCache({0}, 4);
  Leave(cache, Text(32));
  PinText(cache, "a", Text(32), Until(10));
  PinText(cache, "b", Text(16), Until(20));
  cache.ExpirePins(9.9);
  EXPECT_EQ(cache.pins().size(), 2);
  EXPECT_TRUE(cache.RenewPin("a", 15));
  cache.ExpirePins(14);
  EXPECT_EQ(cache.pins().size(), 2);
  cache.ExpirePins(15);
  EXPECT_EQ(cache.pins().Find("a"), nullptr);
  EXPECT_EQ(cache.pins().counts().expired, 1);
  EXPECT_EQ(HitOf(cache, Text(32)), 32) << "it is cached as everything else";
  Leave(cache, Text(48, 1));
  EXPECT_EQ(HitOf(cache, Text(32)), 16) << "the other still holds the first page";
  cache.ExpirePins(20);
  EXPECT_TRUE(cache.pins().empty());
  EXPECT_FALSE(cache.RenewPin("b", 30));
  EXPECT_FALSE(cache.Unpin("b"));
}

TEST(PagePins, ANewOneTakesThePlaceOfTheOldOneOfItsName) {
  PageCache cache = MakeCache({0}, 8);
  Leave(cache, Text(64));
  EXPECT_EQ(PinText(cache, "a", Text(32), Until(10)), 32);
  EXPECT_EQ(PinText(cache, "a", Text(64), Until(20)), 64);
  EXPECT_EQ(cache.pins().size(), 1);
  EXPECT_EQ(cache.index().pinned_pages(), 4);
  EXPECT_EQ(PinText(cache, "a", Text(64, 1), Until(20)), 0) << "nothing is cached of it";
  EXPECT_TRUE(cache.pins().empty());
  EXPECT_EQ(PinText(cache, "a", Text(15), Until(20)), 0) << "less than a page";
}

TEST(PagePins, TellsWhoseTheyAre) {
  PageCache cache = MakeCache({0}, 16);
  Leave(cache, Text(64));
  Leave(cache, Text(32, 1));
  PinText(cache, "1", Text(64), Until(10, true, "anna"));
  PinText(cache, "2", Text(32), Until(10, true, "anna"));
  PinText(cache, "3", Text(32), Until(10, true, "ben"));
  PinText(cache, "4", Text(32, 1), Until(10, true, "ben"));
  EXPECT_EQ(cache.index().pinned_pages(), 6);
  const auto owners = cache.pins().ByOwner();
  EXPECT_EQ(owners.at("anna").pages, 4);
  EXPECT_EQ(owners.at("anna").pins, 2);
  EXPECT_EQ(owners.at("ben").pages, 4);
  EXPECT_EQ(cache.pins().PagesOf("anna", "1"), 2);
  EXPECT_EQ(cache.pins().PagesOf("nobody", ""), 0);
}

// Of a sliding window only what its end needs is pinned.
TEST(PagePins, HoldsTheWindowThatAReturnNeeds) {
  PageCache cache = MakeCache({0, 32}, 32);
  Leave(cache, Text(160));
  ASSERT_EQ(PinText(cache, "a", Text(160), Until(10)), 160);
  EXPECT_EQ(cache.index().pinned_pages(), 10 + 2);
  for (int salt = 1; salt < 8; ++salt) Leave(cache, Text(64, salt));
  EXPECT_EQ(HitOf(cache, Text(160)), 160);
  EXPECT_EQ(cache.pins().counts().yielded, 0);
}

// Going on from a hit inside a page when there is no room to copy it: the pin of that page gives way.
TEST(PagePins, GivesUpThePageThatIsWritten) {
  PageCache cache = MakeCache({0}, 3);
  Leave(cache, Text(48));
  PinText(cache, "a", Text(48), Until(10));
  PageTable table;
  ASSERT_EQ(cache.Match(table, "", Text(40)), 40);
  ASSERT_EQ(cache.Reserve(table, 1), Verdict::kGranted);
  EXPECT_TRUE(cache.pins().empty());
  EXPECT_EQ(cache.pins().counts().yielded, 1);
  cache.Release(table);
  EXPECT_EQ(HitOf(cache, Text(48)), 32);
}

// Whatever happens: what is available can be reserved, every page is somewhere, and nothing is left at the
// end.
class PagePinsProperty : public testing::TestWithParam<std::vector<int64_t>> {};

TEST_P(PagePinsProperty, NothingLeaksAndNothingStandsStill) {
  std::mt19937 random(7);
  for (int round = 0; round < 40; ++round) {
    const int64_t pages = 6 + random() % 40;
    PageCache cache = MakeCache(GetParam(), pages);
    const auto groups = std::ssize(cache.layout().groups());
    struct Live {
      PageTable table;
      std::vector<Token> text;
    };
    std::vector<Live> live;
    double now = 0;
    for (int step = 0; step < 300; ++step) {
      const int salt = random() % 4;
      const int64_t length = 1 + random() % 120;
      const std::string name(1, static_cast<char>('a' + random() % 6));
      switch (random() % 6) {
        case 0: {
          Live next{.table = {}, .text = Text(length, salt)};
          cache.Match(next.table, "", std::span(next.text).first(next.text.size() - 1));
          live.push_back(std::move(next));
          break;
        }
        case 1:
        case 2:
          if (!live.empty()) {
            Live& some = live[random() % live.size()];
            const int64_t due =
                std::min<int64_t>(std::ssize(some.text) - some.table.tokens, 1 + random() % 40);
            if (due == 0) break;
            cache.TrimWindows(some.table, some.table.tokens);
            const bool fits = cache.PagesToReserve(some.table, due) <= cache.available_pages();
            const Verdict verdict = cache.Reserve(some.table, due);
            ASSERT_TRUE(!fits || verdict == Verdict::kGranted);
            if (verdict == Verdict::kGranted) {
              cache.Publish(some.table, "", std::span(some.text).first(some.table.tokens));
            }
          }
          break;
        case 3:
          if (!live.empty()) {
            const size_t which = random() % live.size();
            Live& some = live[which];
            if (random() % 2)
              cache.Pin(name, some.table, some.table.tokens, Until(now + random() % 50, random() % 2));
            cache.Release(some.table, "", std::span(some.text).first(some.table.tokens));
            live.erase(live.begin() + static_cast<int64_t>(which));
          }
          break;
        case 4:
          random() % 2 ? (void)cache.Unpin(name)
                       : (void)PinText(cache, name, Text(length, salt), Until(now + 20));
          break;
        case 5:
          cache.ExpirePins(now += random() % 5);
          break;
      }
      const KvUsage usage = cache.Usage();
      ASSERT_EQ(usage.free + usage.cached + usage.used, usage.total);
      ASSERT_LE(cache.index().held_back_pages(), cache.index().idle_pages());
      ASSERT_LE(cache.index().pinned_pages(), pages);
    }
    for (Live& some : live) cache.Release(some.table);
    ASSERT_EQ(cache.Usage().used, 0);
    ASSERT_EQ(cache.available_pages(), pages);
    PageTable all;  // pinned or not, everything can be had
    ASSERT_EQ(cache.Reserve(all, pages / groups * kPageTokens), Verdict::kGranted);
    cache.Release(all);
    cache.ExpirePins(1e9);
    ASSERT_TRUE(cache.pins().empty());
    ASSERT_EQ(cache.index().pinned_pages(), 0);
    ASSERT_EQ(cache.index().held_back_pages(), 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Layouts, PagePinsProperty,
                         testing::Values(std::vector<int64_t>{0}, std::vector<int64_t>{0, 32},
                                         std::vector<int64_t>{24}));

}  // namespace
}  // namespace quire

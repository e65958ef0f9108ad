// Sharing pages among sequences with equal prefixes: what PageCache finds is what was computed, whoever came
// and went meanwhile.
#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "quire/kv/cache_testing.h"

namespace quire {
namespace {

// Computes `tokens` from where the table is on, in one chunk.
void Compute(PageCache& cache, PageTable& table, std::span<const Token> tokens, std::string_view salt = "") {
  cache.TrimWindows(table, table.tokens);
  ASSERT_EQ(cache.Reserve(table, std::ssize(tokens) - table.tokens), Verdict::kGranted);
  cache.Publish(table, salt, tokens);
}

// What a sequence that computed `tokens` leaves behind.
void Leave(PageCache& cache, std::span<const Token> tokens, std::string_view salt = "",
           int64_t chunk = 1000) {
  PageTable table;
  while (table.tokens < std::ssize(tokens)) {
    Compute(cache, table, tokens.first(std::min(table.tokens + chunk, std::ssize(tokens))), salt);
  }
  cache.Release(table, salt, tokens);
}

int64_t HitOf(PageCache& cache, std::span<const Token> tokens, std::string_view salt = "") {
  PageTable table;
  const int64_t hit = cache.Match(table, salt, tokens);
  EXPECT_EQ(hit, table.tokens);
  cache.Release(table);
  return hit;
}

TEST(PrefixCache, WhatIsReleasedStaysUntilItIsNeeded) {
  PageCache cache = MakeCache({0}, 8);
  Leave(cache, Text(40));
  EXPECT_EQ(cache.Usage().used, 0);
  EXPECT_EQ(cache.Usage().filled, 0);
  EXPECT_EQ(cache.Usage().cached, 3 * static_cast<int64_t>(cache.layout().page_bytes()));
  EXPECT_EQ(cache.available_pages(), 8);
  EXPECT_EQ(HitOf(cache, Text(40)), 40);
  EXPECT_EQ(HitOf(cache, Text(100)), 40);
  EXPECT_EQ(HitOf(cache, Text(33)), 33);
  EXPECT_EQ(HitOf(cache, Text(7)), 7);
  EXPECT_EQ(HitOf(cache, Text(40, 1)), 0);
  EXPECT_EQ(HitOf(cache, Text(40), "salt"), 0);
  PageTable other;
  ASSERT_EQ(cache.Reserve(other, 7 * kPageTokens), Verdict::kGranted);
  EXPECT_EQ(HitOf(cache, Text(40)), 16);  // from the end
  ASSERT_EQ(cache.Reserve(other, 1), Verdict::kGranted);
  EXPECT_EQ(HitOf(cache, Text(40)), 0);
  EXPECT_EQ(cache.Usage().cached, 0);
  cache.Release(other);
  EXPECT_EQ(cache.Usage().free, cache.Usage().total);
}

TEST(PrefixCache, AHitInTheMiddleOfAPageIsCopiedWhenItIsWritten) {
  PageCache cache = MakeCache({0}, 8);
  PageTable a;
  Compute(cache, a, Text(48));
  PageTable b;
  EXPECT_EQ(cache.Match(b, "", Text(41)), 41);
  EXPECT_EQ(cache.pool().used_pages(), 3);
  EXPECT_EQ(cache.PagesToReserve(b, 1), 1);
  const PageId shared = b.groups[0][2];
  std::memset(cache.pool().data(shared), 0x5a, cache.pool().page_bytes());
  ASSERT_EQ(cache.Reserve(b, 1), Verdict::kGranted);
  EXPECT_NE(b.groups[0][2], shared);
  EXPECT_EQ(b.groups[0][1], a.groups[0][1]);
  EXPECT_EQ(std::memcmp(cache.pool().data(shared), cache.pool().data(b.groups[0][2]), 64), 0);
  EXPECT_EQ(HitOf(cache, Text(48)), 48);  // the origin is as it was
  cache.Release(a);
  cache.Release(b);
  EXPECT_EQ(cache.Usage().cached, 3 * static_cast<int64_t>(cache.layout().page_bytes()));
}

TEST(PrefixCache, AMatchGoesOnFromWhatTheTableHas) {
  PageCache cache = MakeCache({0}, 16);
  PageTable a, b;
  Compute(cache, a, Text(100));
  ASSERT_EQ(cache.Reserve(b, 20), Verdict::kGranted);  // computed by itself, and not published
  EXPECT_EQ(cache.Match(b, "", Text(90)), 70);
  EXPECT_EQ(b.tokens, 90);
  EXPECT_EQ(b.groups[0][0], a.groups[0][0]);
  EXPECT_EQ(cache.pool().used_pages(), 7);  // its own two are free again
  EXPECT_EQ(cache.Match(b, "", Text(90)), 0);
  EXPECT_EQ(cache.Match(b, "", Text(200)), 6);  // full pages alone: the tail of `a` is not published yet
  cache.Release(a, "", Text(100));
  EXPECT_EQ(cache.Match(b, "", Text(200)), 4);
  cache.Release(b);
  EXPECT_EQ(cache.Usage().used, 0);
}

TEST(PrefixCache, WhoComputesTheSameKeepsOneCopy) {
  PageCache cache = MakeCache({0, 64}, 64);
  PageTable a, b;
  ASSERT_EQ(cache.Reserve(a, 50), Verdict::kGranted);
  ASSERT_EQ(cache.Reserve(b, 50), Verdict::kGranted);
  EXPECT_EQ(cache.pool().used_pages(), 16);
  cache.Publish(a, "", Text(50));
  cache.Publish(b, "", Text(50));
  EXPECT_EQ(cache.pool().used_pages(), 10);  // three full pages in each of two groups, and two tails
  for (size_t g = 0; g < 2; ++g) {
    for (int i = 0; i < 3; ++i) EXPECT_EQ(a.groups[g][i], b.groups[g][i]);
    EXPECT_NE(a.groups[g][3], b.groups[g][3]);
  }
  EXPECT_EQ(a.pages_held, 8);
  EXPECT_EQ(b.pages_held, 8);
  cache.Release(a, "", Text(50));
  cache.Release(b, "", Text(50));
  EXPECT_EQ(cache.pool().used_pages(), 8);
  EXPECT_EQ(cache.Usage().used, 0);
}

TEST(PrefixCache, OnlyWhatWasComputedIsPublished) {
  PageCache cache = MakeCache({0}, 8);
  PageTable table;
  ASSERT_EQ(cache.Reserve(table, 100), Verdict::kGranted);
  cache.Release(table, "", std::span<const Token>(Text(37)));  // the step that reserved the rest failed
  EXPECT_EQ(HitOf(cache, Text(100)), 37);
  EXPECT_EQ(cache.pool().used_pages(), 3);
}

TEST(PrefixCache, EvictionSparesWhatIsMatched) {
  PageCache cache = MakeCache({0}, 6);
  Leave(cache, Text(40, 1));
  Leave(cache, Text(40, 2));
  PageTable hit, other;
  EXPECT_EQ(cache.Match(hit, "", Text(40, 1)), 40);  // the older one
  EXPECT_EQ(cache.available_pages(), 3);
  EXPECT_EQ(cache.Reserve(other, 64), Verdict::kWait);
  EXPECT_EQ(cache.index().idle_pages(), 3) << "a refusal evicted something";
  ASSERT_EQ(cache.Reserve(other, 48), Verdict::kGranted);
  EXPECT_EQ(HitOf(cache, Text(40, 2)), 0);
  EXPECT_EQ(HitOf(cache, Text(40, 1)), 40);
  EXPECT_EQ(cache.Reserve(hit, 9), Verdict::kWait);
  // The page that it writes into is nobody else's, so it leaves the index instead of being copied.
  const PageId tail = hit.groups[0][2];
  ASSERT_EQ(cache.Reserve(hit, 8), Verdict::kGranted);
  EXPECT_EQ(hit.groups[0][2], tail);
  EXPECT_EQ(HitOf(cache, Text(40, 1)), 32);
  cache.Release(hit);
  cache.Release(other);
  EXPECT_EQ(cache.Usage().used, 0);
}

TEST(PrefixCache, ForksHoldWhatTheyShare) {
  PageCache cache = MakeCache({0}, 6);
  PageTable a;
  Compute(cache, a, Text(40));
  PageTable b = cache.Fork(a);
  cache.Release(a);
  PageTable other;
  EXPECT_EQ(cache.Reserve(other, 64), Verdict::kWait);
  cache.Release(b, "", Text(40));
  EXPECT_EQ(HitOf(cache, Text(40)), 40);
  EXPECT_EQ(cache.Reserve(other, 64), Verdict::kGranted);
  cache.Release(other);
}

// A hit is where the whole window before it is there, and nowhere else.
TEST(PrefixCache, WindowsNeedTheirLastPages) {
  PageCache cache = MakeCache({0, 32}, 64);
  Leave(cache, Text(320), "", 16);
  EXPECT_EQ(HitOf(cache, Text(320)), 320);
  EXPECT_EQ(HitOf(cache, Text(319)), 319);
  // 20 full pages, and 4 of the window at the end: the other 16 are the first to go.
  PageTable other;
  ASSERT_EQ(cache.Reserve(other, 16 * (64 - 40 + 14) / 2), Verdict::kGranted);
  EXPECT_EQ(HitOf(cache, Text(320)), 320);
  EXPECT_EQ(HitOf(cache, Text(305)), 305) << "anywhere on the last page";
  EXPECT_EQ(HitOf(cache, Text(100)), 0);
  EXPECT_EQ(HitOf(cache, Text(320, 1)), 0);
  PageTable hit;
  ASSERT_EQ(cache.Match(hit, "", Text(320)), 320);
  const size_t windowed = cache.layout().groups()[0].window > 0 ? 0 : 1;
  for (int64_t i = 0; i < 20; ++i) {
    EXPECT_NE(hit.groups[1 - windowed][i], kNoPage);
    EXPECT_EQ(hit.groups[windowed][i] != kNoPage, i >= 18) << i;  // position 320 sees from 289 on
  }
  EXPECT_EQ(hit.pages_held, 22);
  cache.Release(hit);
  cache.Release(other);
}

// Where a hit ended, another one may: the pages that it needed are as good as those of an end.
TEST(PrefixCache, WindowsKeepWhereHitsEnded) {
  PageCache cache = MakeCache({0, 32}, 64);
  Leave(cache, Text(320), "", 16);
  EXPECT_EQ(HitOf(cache, Text(100)), 100) << "nobody needed the room yet";
  PageTable other;
  ASSERT_EQ(cache.Reserve(other, 16 * 18), Verdict::kGranted);
  EXPECT_EQ(HitOf(cache, Text(100)), 100);
  EXPECT_EQ(HitOf(cache, Text(200)), 112);  // to the end of its page, which is there
  EXPECT_EQ(HitOf(cache, Text(320)), 320);
  cache.Release(other);
}

// Whoever computes a stretch again that has lost its window pages makes it whole.
TEST(PrefixCache, RecomputingHealsWindows) {
  PageCache cache = MakeCache({0, 32}, 44);
  Leave(cache, Text(320), "", 16);
  PageTable other;
  ASSERT_EQ(cache.Reserve(other, 16 * 9), Verdict::kGranted);
  cache.Release(other);
  EXPECT_EQ(HitOf(cache, Text(100)), 0);
  Leave(cache, Text(96), "", 16);
  EXPECT_EQ(HitOf(cache, Text(100)), 96);
  EXPECT_EQ(HitOf(cache, Text(320)), 320);
}

// Nobody expects the pages behind a window: they go first, however long the sequence that has them runs.
TEST(PrefixCache, WindowPagesOfARunningSequenceGoFirst) {
  PageCache cache = MakeCache({0, 32}, 24);
  PageTable table;
  Compute(cache, table, Text(160));  // ten pages a group
  cache.TrimWindows(table, 160);
  EXPECT_EQ(cache.available_pages(), 24 - 10 - 2);
  PageTable other;
  ASSERT_EQ(cache.Reserve(other, 6 * kPageTokens), Verdict::kGranted);
  EXPECT_EQ(cache.available_pages(), 0);
  EXPECT_EQ(table.pages_held, 10 + 2);
}

TEST(PrefixCache, AHitThatAWindowCannotSeeEndsEarlier) {
  PageCache cache = MakeCache({32}, 12);
  PageTable table, other;
  while (table.tokens < 160) Compute(cache, table, Text(table.tokens + 16));
  cache.TrimWindows(table, 160);
  ASSERT_EQ(cache.Reserve(other, 10 * kPageTokens), Verdict::kGranted);  // takes all but the window's pages
  EXPECT_EQ(HitOf(cache, Text(100)), 0);
  EXPECT_EQ(HitOf(cache, Text(160)), 160);
}

// Random lives of sequences over few texts: every page that a table got by Match or Publish holds what its
// tokens demand, which is written into it, and the books are right.
TEST(PrefixCache, RandomLivesFindWhatWasWritten) {
  std::mt19937 random(3);
  int64_t hits = 0;
  for (int round = 0; round < 200; ++round) {
    const std::vector<std::vector<int64_t>> kinds = {{0}, {0, 24}, {20}, {0, 5, 40}};
    const std::vector<int64_t> windows = kinds[round % kinds.size()];
    PageCache cache = MakeCache(windows, 12 * std::ssize(windows));
    struct Life {
      std::vector<Token> tokens;
      std::string salt;
      PageTable table;
      int64_t computed = 0;
    };
    std::vector<Life> lives;
    // The mark of a position: its token and all before it, and the salt.
    const auto mark = [](const Life& life, int64_t position) {
      uint32_t hash = life.salt.empty() ? 1 : 2;
      for (int64_t i = 0; i <= position; ++i) hash = hash * 31 + static_cast<uint32_t>(life.tokens[i]) + 1;
      return hash;
    };
    const auto place = [&](const Life& life, size_t g, int64_t position) {
      const PageId page = life.table.groups[g][position / kPageTokens];
      return reinterpret_cast<uint32_t*>(cache.pool().data(page)) + position % kPageTokens;
    };
    for (int op = 0; op < 300; ++op) {
      if (lives.size() < 5) {
        Life life;
        const int64_t length = 1 + random() % 120;
        life.tokens = Text(length, static_cast<int>(random() % 2));
        if (random() % 2) life.tokens[random() % length] = 98;
        if (random() % 4 == 0) life.salt = "s";
        lives.push_back(std::move(life));
      }
      const size_t at = random() % lives.size();
      if (lives.size() < 7 && random() % 8 == 0) {  // a fork goes on in its own way
        Life fork = lives[at];
        fork.table = cache.Fork(lives[at].table);
        fork.computed = fork.table.tokens;
        fork.tokens.resize(fork.computed);
        for (size_t i = 1 + random() % 30; i > 0; --i)
          fork.tokens.push_back(static_cast<Token>(random() % 97));
        lives.push_back(std::move(fork));
      }
      Life& life = lives[at];
      if (random() % 6 == 0 || life.computed == std::ssize(life.tokens)) {
        const std::span<const Token> done = std::span(life.tokens).first(life.computed);
        random() % 4 ? cache.Release(life.table, life.salt, done) : cache.Release(life.table);
        lives.erase(lives.begin() + static_cast<int64_t>(at));
      } else {
        const auto all_but_last = std::span(life.tokens).first(life.tokens.size() - 1);
        if (random() % 2) hits += cache.Match(life.table, life.salt, all_but_last);
        life.computed = std::max(life.computed, life.table.tokens);
        const int64_t chunk = std::min<int64_t>(1 + random() % 40, std::ssize(life.tokens) - life.computed);
        cache.TrimWindows(life.table, life.computed);
        if (cache.Reserve(life.table, chunk) != Verdict::kGranted) {
          cache.Release(life.table, life.salt, std::span(life.tokens).first(life.computed));
          lives.erase(lives.begin() + static_cast<int64_t>(at));
          continue;
        }
        for (size_t g = 0; g < windows.size(); ++g) {
          for (int64_t p = life.computed; p < life.computed + chunk; ++p) {
            ASSERT_EQ(cache.pool().RefCount(life.table.groups[g][p / kPageTokens]), 1);
            *place(life, g, p) = mark(life, p);
          }
          const int64_t window = cache.layout().groups()[g].window;
          const int64_t from = window == 0 ? 0 : std::max<int64_t>(0, life.computed - window + 1);
          for (int64_t p = from; p < life.computed; ++p) {
            ASSERT_NE(life.table.groups[g][p / kPageTokens], kNoPage);
            ASSERT_EQ(*place(life, g, p), mark(life, p))
                << "round " << round << " group " << g << " at " << p;
          }
        }
        life.computed += chunk;
        cache.Publish(life.table, life.salt, std::span(life.tokens).first(life.computed));
      }
      std::map<PageId, int> owners;
      for (const Life& other : lives) {
        int64_t held = 0;
        for (const auto& group : other.table.groups) {
          for (PageId page : group) {
            if (page != kNoPage) ++owners[page], ++held;
          }
        }
        ASSERT_EQ(other.table.pages_held, held);
      }
      ASSERT_EQ(cache.Usage().used, std::ssize(owners) * static_cast<int64_t>(cache.layout().page_bytes()));
      for (const auto& [page, count] : owners) {
        ASSERT_EQ(cache.pool().RefCount(page), count + cache.index().Holds(page));
      }
      ASSERT_LE(cache.Usage().filled, cache.Usage().used);
      ASSERT_GE(cache.Usage().filled, 0);
    }
    for (Life& life : lives) cache.Release(life.table);
    EXPECT_EQ(cache.Usage().used, 0);
    EXPECT_EQ(cache.Usage().filled, 0);
    // All that is cached can be had.
    PageTable all;
    EXPECT_EQ(cache.Reserve(all, 12 * kPageTokens), Verdict::kGranted);
    EXPECT_EQ(cache.index().nodes(), 0);
    cache.Release(all);
  }
  EXPECT_GT(hits, 10'000);
}

}  // namespace
}  // namespace quire

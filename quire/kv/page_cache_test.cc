#include "quire/kv/page_cache.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "quire/kv/cache_testing.h"

namespace quire {
namespace {

TEST(PageCache, ReservesPagesAsTokensNeedThem) {
  PageCache cache = MakeCache({0}, 8);
  PageTable table;
  EXPECT_EQ(cache.Reserve(table, 1), Verdict::kGranted);
  EXPECT_EQ(cache.pool().used_pages(), 1);
  EXPECT_EQ(cache.Reserve(table, 15), Verdict::kGranted);
  EXPECT_EQ(cache.pool().used_pages(), 1);
  EXPECT_EQ(cache.Reserve(table, 1), Verdict::kGranted);
  EXPECT_EQ(cache.pool().used_pages(), 2);
  EXPECT_EQ(table.tokens, 17);
  cache.Release(table);
  EXPECT_TRUE(table.empty());
  EXPECT_EQ(cache.pool().used_pages(), 0);
}

TEST(PageCache, RunningOutChangesNothing) {
  PageCache cache = MakeCache({0, 64}, 8);  // two groups
  PageTable a, b;
  ASSERT_EQ(cache.Reserve(a, 40), Verdict::kGranted);
  EXPECT_EQ(cache.pool().free_pages(), 2);
  EXPECT_EQ(cache.Reserve(b, 17), Verdict::kWait);
  EXPECT_EQ(b.tokens, 0);
  EXPECT_EQ(cache.pool().free_pages(), 2);
  EXPECT_EQ(cache.Reserve(a, 40), Verdict::kNever);
  EXPECT_EQ(a.tokens, 40);
  EXPECT_EQ(cache.Reserve(b, 16), Verdict::kGranted);
  cache.Release(a);
  cache.Release(b);
  EXPECT_EQ(cache.pool().free_pages(), 8);
}

TEST(PageCache, AForkSharesPagesUntilOneOfThemWrites) {
  PageCache cache = MakeCache({0}, 8);
  PageTable a;
  ASSERT_EQ(cache.Reserve(a, 20), Verdict::kGranted);
  std::memset(cache.pool().data(a.groups[0][1]), 0x5a, cache.pool().page_bytes());
  PageTable b = cache.Fork(a);
  EXPECT_EQ(cache.pool().used_pages(), 2);
  EXPECT_EQ(cache.PagesToReserve(b, 1), 1);

  ASSERT_EQ(cache.Reserve(b, 1), Verdict::kGranted);
  EXPECT_EQ(cache.pool().used_pages(), 3);
  EXPECT_EQ(a.groups[0][0], b.groups[0][0]);
  EXPECT_NE(a.groups[0][1], b.groups[0][1]);
  EXPECT_EQ(std::memcmp(cache.pool().data(a.groups[0][1]), cache.pool().data(b.groups[0][1]),
                        cache.pool().page_bytes()),
            0);
  // The last owner writes in place.
  const PageId tail = a.groups[0][1];
  ASSERT_EQ(cache.Reserve(a, 1), Verdict::kGranted);
  EXPECT_EQ(a.groups[0][1], tail);
  EXPECT_EQ(cache.pool().used_pages(), 3);
  cache.Release(a);
  EXPECT_EQ(cache.pool().used_pages(), 2);
  cache.Release(b);
  EXPECT_EQ(cache.pool().used_pages(), 0);
}

TEST(PageCache, ATableGoesOnWithoutPagesThatItLeftOut) {
  PageCache cache = MakeCache({0}, 12);
  PageTable table;
  ASSERT_EQ(cache.Reserve(table, 5 * kPageTokens + 3), Verdict::kGranted);
  const std::vector<PageId> before = table.groups[0];
  PageTable fork = cache.Fork(table);
  cache.LeaveOut(fork, 1, 4);
  EXPECT_EQ(fork.groups[0], (std::vector<PageId>{before[0], before[4], before[5]}));
  EXPECT_EQ(fork.tokens, 2 * kPageTokens + 3);
  EXPECT_EQ(fork.left_out, 3 * kPageTokens);
  EXPECT_EQ(fork.pages_held, 3);
  EXPECT_EQ(cache.pool().used_pages(), 6) << "the other table has them";
  EXPECT_EQ(table.groups[0], before);

  ASSERT_EQ(cache.Reserve(fork, kPageTokens), Verdict::kGranted);
  EXPECT_EQ(fork.groups[0].size(), 4u);
  cache.Release(table);
  EXPECT_EQ(cache.pool().used_pages(), 4);
  EXPECT_EQ(cache.Usage().filled, (3 * kPageTokens + 3) * cache.Usage().used / (4 * kPageTokens));
  cache.LeaveOut(fork, 2, 2);
  cache.LeaveOut(fork, 0, 3);
  EXPECT_EQ(fork.left_out, 6 * kPageTokens);
  EXPECT_EQ(fork.tokens, 3);
  cache.Release(fork);
  EXPECT_EQ(cache.pool().used_pages(), 0);
  EXPECT_EQ(cache.Usage().filled, 0);
}

TEST(PageCache, AForkOfFullPagesCopiesNothing) {
  PageCache cache = MakeCache({0}, 4);
  PageTable a;
  ASSERT_EQ(cache.Reserve(a, 32), Verdict::kGranted);
  PageTable b = cache.Fork(a);
  ASSERT_EQ(cache.Reserve(a, 1), Verdict::kGranted);
  ASSERT_EQ(cache.Reserve(b, 1), Verdict::kGranted);
  EXPECT_EQ(a.groups[0][1], b.groups[0][1]);
  EXPECT_NE(a.groups[0][2], b.groups[0][2]);
  EXPECT_EQ(cache.pool().free_pages(), 0);
}

TEST(PageCache, WindowsGiveBackWhatNobodySees) {
  PageCache cache = MakeCache({0, 32}, 64);
  const int windowed = cache.layout().groups()[0].window > 0 ? 0 : 1;
  PageTable table;
  for (int64_t position = 0; position < 200; ++position) {
    cache.TrimWindows(table, position);
    ASSERT_EQ(cache.Reserve(table, 1), Verdict::kGranted);
    int64_t kept = 0;
    for (size_t i = 0; i < table.groups[windowed].size(); ++i) {
      const bool visible = static_cast<int64_t>(i + 1) * kPageTokens > position - 31;
      EXPECT_EQ(table.groups[windowed][i] != kNoPage, visible) << position << " page " << i;
      kept += visible;
    }
    EXPECT_LE(kept, 3);
    EXPECT_EQ(cache.pool().used_pages(), kept + position / kPageTokens + 1);
  }
  cache.Release(table);
  EXPECT_EQ(cache.pool().used_pages(), 0);
}

// The most pages in use while `tokens` tokens are computed in chunks.
int64_t PeakPages(PageCache& cache, int64_t tokens, int64_t chunk) {
  PageTable table;
  int64_t peak = 0;
  while (table.tokens < tokens) {
    cache.TrimWindows(table, table.tokens);
    EXPECT_EQ(cache.Reserve(table, std::min(chunk, tokens - table.tokens)), Verdict::kGranted);
    peak = std::max(peak, cache.pool().used_pages());
  }
  cache.Release(table);
  return peak;
}

TEST(PageCache, PagesForIsTheLargestMoment) {
  for (int64_t window : {1, 5, 16, 17, 40, 64}) {
    for (int64_t chunk : {1, 7, 16, 33, 100}) {
      for (int64_t tokens : {1, 16, 17, 100, 333}) {
        SCOPED_TRACE(testing::Message() << window << " " << chunk << " " << tokens);
        PageCache windowed = MakeCache({window}, 256), full = MakeCache({0}, 256),
                  both = MakeCache({0, window}, 256);
        const int64_t peak = PeakPages(windowed, tokens, chunk);
        EXPECT_LE(peak, windowed.PagesFor(tokens, chunk));
        EXPECT_GE(peak + 1, windowed.PagesFor(tokens, chunk));
        EXPECT_EQ(PeakPages(full, tokens, chunk), full.PagesFor(tokens, chunk));
        EXPECT_LE(PeakPages(both, tokens, chunk), both.PagesFor(tokens, chunk));
      }
    }
  }
}

TEST(PageCache, CountsWhatIsFilled) {
  PageCache cache = MakeCache({0}, 8);
  const auto slot = static_cast<int64_t>(cache.layout().page_bytes()) / kPageTokens;
  PageTable a;
  ASSERT_EQ(cache.Reserve(a, 20), Verdict::kGranted);
  EXPECT_EQ(cache.Usage().filled, 20 * slot);
  EXPECT_EQ(cache.Usage().used, 32 * slot);
  PageTable b = cache.Fork(a);
  EXPECT_EQ(cache.Usage().filled, 20 * slot);  // shared pages once
  ASSERT_EQ(cache.Reserve(b, 2), Verdict::kGranted);
  EXPECT_EQ(cache.Usage().filled, 26 * slot);
  cache.Release(a);
  EXPECT_EQ(cache.Usage().filled, 22 * slot);
  cache.Release(b);
  EXPECT_EQ(cache.Usage().filled, 0);
  EXPECT_EQ(cache.Usage().free, cache.Usage().total);
}

// Random reserves, forks, trims and releases against a model that knows every table: reference counts are
// the number of tables that hold a page, shared tails are copied, refusals change nothing.
TEST(PageCache, RandomOperationsKeepTheBooks) {
  std::mt19937 random(7);
  for (int round = 0; round < 60; ++round) {
    PageCache cache = MakeCache(round % 2 ? std::vector<int64_t>{0, 24} : std::vector<int64_t>{0}, 20);
    std::vector<PageTable> tables(1);
    for (int op = 0; op < 300; ++op) {
      const size_t at = random() % tables.size();
      const int what = static_cast<int>(random() % 10);
      if (what < 6) {
        const int64_t before = tables[at].tokens, free_before = cache.pool().free_pages();
        const int64_t tokens = 1 + random() % 20;
        cache.TrimWindows(tables[at], before);
        const int64_t free_trimmed = cache.pool().free_pages();
        EXPECT_GE(free_trimmed, free_before);
        const int64_t cost = cache.PagesToReserve(tables[at], tokens);
        const bool granted = cache.Reserve(tables[at], tokens) == Verdict::kGranted;
        EXPECT_EQ(granted, cost <= free_trimmed);
        EXPECT_EQ(cache.pool().free_pages(), free_trimmed - (granted ? cost : 0));
        EXPECT_EQ(tables[at].tokens, before + (granted ? tokens : 0));
      } else if (what < 8 && tables.size() < 6) {
        tables.push_back(cache.Fork(tables[at]));
      } else {
        cache.Release(tables[at]);
        if (tables.size() > 1) tables.erase(tables.begin() + static_cast<int64_t>(at));
      }
      std::map<PageId, int> owners;
      for (const PageTable& table : tables) {
        int64_t held = 0;
        for (const auto& group : table.groups) {
          for (PageId page : group) {
            if (page != kNoPage) ++owners[page], ++held;
          }
        }
        EXPECT_EQ(table.pages_held, held);
      }
      EXPECT_EQ(cache.pool().used_pages(), std::ssize(owners));
      for (const auto& [page, count] : owners) ASSERT_EQ(cache.pool().RefCount(page), count);
      EXPECT_LE(cache.Usage().filled, cache.Usage().used);
    }
    for (PageTable& table : tables) cache.Release(table);
    EXPECT_EQ(cache.pool().used_pages(), 0);
    EXPECT_EQ(cache.Usage().filled, 0);
  }
}

TEST(PageCacheOfTwoLayouts, HasEqualPagesForBoth) {
  PageCache cache = MakeMixedCache({0}, 6);
  PageTable wide, narrow{.layout = 1};
  ASSERT_EQ(cache.Reserve(wide, 33), Verdict::kGranted);
  ASSERT_EQ(cache.Reserve(narrow, 33), Verdict::kGranted);
  EXPECT_EQ(wide.pages_held, 3);
  EXPECT_EQ(narrow.pages_held, 2);
  const auto page = static_cast<int64_t>(cache.pool().page_bytes());
  EXPECT_EQ(cache.UsageOf(0).used, 3 * page);
  EXPECT_EQ(cache.UsageOf(1).used, 2 * page);
  EXPECT_EQ(cache.Usage().filled, 33 * 2 * 16 * 4 + 33 * 2 * 16 * 2);  // of f32, and of f16
  EXPECT_EQ(cache.Reserve(wide, 16), Verdict::kGranted);
  EXPECT_EQ(cache.Reserve(narrow, 32), Verdict::kWait);
  cache.Release(wide);
  EXPECT_EQ(cache.UsageOf(0).used, 0);
  EXPECT_EQ(cache.Reserve(narrow, 32), Verdict::kGranted);
  cache.Release(narrow);
  EXPECT_EQ(narrow.layout, 1);
  EXPECT_EQ(cache.Usage().free, 6 * page);
}

TEST(PageCacheOfTwoLayouts, NeverMatchesAnothersPages) {
  PageCache cache = MakeMixedCache({0, 40}, 40);
  const std::vector<Token> text = Text(100);
  for (const int layout : {0, 1}) {
    PageTable table{.layout = layout};
    EXPECT_EQ(cache.Match(table, "", text), 0) << "of the other layout";
    ASSERT_EQ(cache.Reserve(table, 100), Verdict::kGranted);
    cache.Release(table, "", text);
  }
  const auto page = static_cast<int64_t>(cache.pool().page_bytes());
  EXPECT_EQ(cache.UsageOf(0).cached + cache.UsageOf(1).cached, cache.Usage().cached);
  EXPECT_GT(cache.UsageOf(0).cached, cache.UsageOf(1).cached);
  for (const int layout : {0, 1}) {
    PageTable table{.layout = layout};
    EXPECT_EQ(cache.Match(table, "", text), 100);
    EXPECT_EQ(cache.PagesToReserve(table, 1), std::ssize(cache.layouts()[layout].groups()));  // copies
    cache.Release(table);
  }
  PageTable all;
  ASSERT_EQ(cache.Reserve(all, 20 * 16), Verdict::kGranted) << "cached pages of either layout give way";
  EXPECT_EQ(cache.UsageOf(0).used, 40 * page);
  EXPECT_EQ(cache.UsageOf(1).cached, 0);
  cache.Release(all);
}

}  // namespace
}  // namespace quire

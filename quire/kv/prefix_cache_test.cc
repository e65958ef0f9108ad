// Sharing pages among sequences with equal prefixes: what PageCache finds is what was computed, whoever came
// and went meanwhile.
#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <random>
#include <vector>

#include "quire/kv/page_cache.h"

namespace quire {
namespace {

constexpr int64_t kPage = 16;

PageCache MakeCache(std::vector<int64_t> windows, int64_t pages) {
  std::vector<LayerKv> layers;
  for (int64_t window : windows) layers.push_back({.window = window});
  KvLayout layout(layers, 1, 16, DType::kF16, kPage);
  const size_t page_bytes = layout.page_bytes();
  return PageCache(std::move(layout), PagePool::Create(pages * page_bytes, page_bytes).value());
}

std::vector<Token> Count(Token first, int64_t n) {
  std::vector<Token> tokens(n);
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

// "Computes" tokens: each slot of each group gets a number that tells of all tokens up to it.
class Writer {
 public:
  explicit Writer(PageCache& cache) : cache_(cache) {}

  static uint64_t StateAt(std::span<const Token> tokens, int64_t position) {
    uint64_t state = 1469598103934665603;
    for (const Token token : tokens.first(position + 1))
      state = (state ^ static_cast<uint32_t>(token)) * 1099511628211;
    return state;
  }
  // Positions [begin, end) of a reserved table.
  void Write(const PageTable& table, std::span<const Token> tokens, int64_t begin, int64_t end) {
    for (const auto& pages : table.groups) {
      for (int64_t p = begin; p < end; ++p) {
        const uint64_t state = StateAt(tokens, p);
        std::memcpy(Slot(pages[p / kPage], p), &state, sizeof(state));
      }
    }
  }
  // Every slot that a query at position table.tokens sees.
  void Check(const PageTable& table, std::span<const Token> tokens) {
    for (size_t g = 0; g < table.groups.size(); ++g) {
      const int64_t window = cache_.layout().groups()[g].window;
      for (int64_t p = window == 0 ? 0 : std::max<int64_t>(0, table.tokens - window + 1); p < table.tokens;
           ++p) {
        ASSERT_NE(table.groups[g][p / kPage], kNoPage) << "group " << g << " position " << p;
        uint64_t state = 0;
        std::memcpy(&state, Slot(table.groups[g][p / kPage], p), sizeof(state));
        ASSERT_EQ(state, StateAt(tokens, p)) << "group " << g << " position " << p;
      }
    }
  }

 private:
  std::byte* Slot(PageId page, int64_t position) { return cache_.pool().data(page) + position % kPage * 8; }
  PageCache& cache_;
};

class PrefixCache : public testing::Test {
 protected:
  // Computes all of `tokens`, from what is found of them; how many were found.
  int64_t Compute(PageCache& cache, PageTable& table, std::span<const Token> tokens,
                  std::string_view salt = "") {
    const int64_t found = cache.Match(table, salt, tokens.first(tokens.size() - 1));
    Writer(cache).Check(table, tokens);
    EXPECT_EQ(cache.Reserve(table, std::ssize(tokens) - found), Verdict::kGranted);
    Writer(cache).Write(table, tokens, found, std::ssize(tokens));
    cache.Publish(table, salt, tokens);
    return found;
  }
};

TEST_F(PrefixCache, ASecondSequenceSharesWhileTheFirstStillRuns) {
  PageCache cache = MakeCache({0}, 16);
  const auto tokens = Count(0, 50);
  PageTable a, b;
  EXPECT_EQ(Compute(cache, a, tokens), 0);
  EXPECT_EQ(Compute(cache, b, tokens), 48);  // full pages; the last part is published when it ends
  EXPECT_EQ(cache.pool().used_pages(), 3 + 2);
  EXPECT_EQ(a.groups[0][2], b.groups[0][2]);
  EXPECT_NE(a.groups[0][3], b.groups[0][3]);
  cache.Release(a, "", tokens);
  cache.Release(b, "", tokens);
  EXPECT_EQ(cache.Usage().used, 0);
  EXPECT_EQ(cache.Usage().filled, 0);
  EXPECT_EQ(cache.Usage().cached, 4 * static_cast<int64_t>(cache.pool().page_bytes()));
}

TEST_F(PrefixCache, AHitMayEndInsideAPage) {
  PageCache cache = MakeCache({0}, 16);
  const auto tokens = Count(0, 42);
  PageTable a, b;
  Compute(cache, a, tokens);
  cache.Release(a, "", tokens);
  auto other = tokens;
  other[38] = 900;
  EXPECT_EQ(Compute(cache, b, other), 38);
  Writer(cache).Check(b, other);
  cache.Release(b, "", other);
  EXPECT_EQ(Compute(cache, a, tokens), 41);  // the first is unharmed
  Writer(cache).Check(a, tokens);
}

TEST_F(PrefixCache, OtherSaltsFindNothing) {
  PageCache cache = MakeCache({0}, 32);
  const auto tokens = Count(0, 40);
  PageTable a, b;
  Compute(cache, a, tokens, "alice");
  EXPECT_EQ(Compute(cache, b, tokens, "bob"), 0);
  cache.Release(a, "alice", tokens);
  PageTable c;
  EXPECT_EQ(Compute(cache, c, tokens, ""), 0);
}

TEST_F(PrefixCache, EqualPagesComputedAtOnceBecomeOne) {
  PageCache cache = MakeCache({0}, 16);
  const auto tokens = Count(0, 32);
  PageTable a, b;
  for (PageTable* table : {&a, &b}) {
    ASSERT_EQ(cache.Reserve(*table, 32), Verdict::kGranted);
    Writer(cache).Write(*table, tokens, 0, 32);
  }
  EXPECT_EQ(cache.pool().used_pages(), 4);
  cache.Publish(a, "", tokens);
  cache.Publish(b, "", tokens);
  EXPECT_EQ(cache.pool().used_pages(), 2);
  EXPECT_EQ(a.groups, b.groups);
  Writer(cache).Check(b, tokens);
}

TEST_F(PrefixCache, CachedPagesGiveWayOldestFirst) {
  PageCache cache = MakeCache({0}, 8);
  const auto first = Count(0, 48), second = Count(1000, 48);
  PageTable table;
  Compute(cache, table, first);
  cache.Release(table, "", first);
  Compute(cache, table, second);
  cache.Release(table, "", second);
  EXPECT_EQ(cache.available_pages(), 8);
  PageTable big;
  ASSERT_EQ(cache.Reserve(big, 4 * kPage), Verdict::kGranted);  // two pages of `first` have to go
  PageTable found_first, found_second;
  EXPECT_EQ(cache.Match(found_first, "", first), kPage);
  EXPECT_EQ(cache.Match(found_second, "", second), 3 * kPage);
}

TEST_F(PrefixCache, PagesInUseAreNeverEvicted) {
  PageCache cache = MakeCache({0}, 4);
  const auto tokens = Count(0, 48);
  PageTable a, b;
  Compute(cache, a, tokens);
  ASSERT_EQ(cache.Reserve(b, 16), Verdict::kGranted);
  EXPECT_EQ(cache.Reserve(b, 1), Verdict::kWait);
  Writer(cache).Check(a, tokens);
}

TEST_F(PrefixCache, WindowsNeedOnlyTheirPages) {
  PageCache cache = MakeCache({0, 32}, 64);
  const auto tokens = Count(0, 160);
  PageTable table;
  Compute(cache, table, tokens);
  cache.TrimWindows(table, 160);
  cache.Release(table, "", tokens);
  auto longer = tokens;
  longer.resize(200, 7);
  EXPECT_EQ(Compute(cache, table, longer), 160);
  EXPECT_EQ(table.groups[1][0], kNoPage);  // behind the window: not taken
  Writer(cache).Check(table, longer);
}

TEST_F(PrefixCache, WindowPagesThatNobodyUsesGoFirstOfALongSequence) {
  PageCache cache = MakeCache({0, 32}, 24);
  const auto tokens = Count(0, 160);
  PageTable table;
  Compute(cache, table, tokens);  // ten pages a group
  cache.TrimWindows(table, 160);
  EXPECT_EQ(cache.available_pages(), 24 - 10 - 2);
  PageTable other;
  ASSERT_EQ(cache.Reserve(other, 6 * kPage), Verdict::kGranted);
  Writer(cache).Check(table, tokens);
  EXPECT_EQ(cache.available_pages(), 0);
}

TEST_F(PrefixCache, AHitThatAWindowCannotSeeEndsEarlier) {
  PageCache cache = MakeCache({32}, 12);
  const auto tokens = Count(0, 160);
  PageTable table;
  for (int64_t done = 0; done < 160; done += 16) {  // pages behind the window are had again at once
    cache.TrimWindows(table, done);
    ASSERT_EQ(cache.Reserve(table, 16), Verdict::kGranted);
    Writer(cache).Write(table, tokens, done, done + 16);
    cache.Publish(table, "", std::span(tokens).first(done + 16));
  }
  PageTable big;
  cache.TrimWindows(table, 160);
  ASSERT_EQ(cache.Reserve(big, 10 * kPage), Verdict::kGranted);  // takes all but the window's pages
  PageTable part, whole;
  EXPECT_EQ(cache.Match(part, "", std::span(tokens).first(100)), 0);
  EXPECT_EQ(cache.Match(whole, "", tokens), 160);
  Writer(cache).Check(whole, tokens);
}

// Random sequences that branch off each other, in a pool that is always too small.
TEST_F(PrefixCache, FindsOnlyWhatIsRight) {
  for (uint32_t seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const std::vector<std::vector<int64_t>> layouts = {{0}, {0, 24}, {20, 0, 20, 20}, {40}};
    PageCache cache = MakeCache(layouts[seed % 4], 24 + static_cast<int64_t>(random() % 60));
    Writer writer(cache);
    struct Live {
      std::vector<Token> tokens;
      PageTable table;
      std::string salt;
      int64_t computed = 0;
    };
    std::vector<Live> live;
    std::vector<std::vector<Token>> seen{Count(0, 100)};
    int64_t found = 0;
    for (int step = 0; step < 400; ++step) {
      const size_t what = random() % 10;
      if (what < 3 && live.size() < 6) {
        Live next;
        const auto& base = seen[random() % seen.size()];
        next.tokens.assign(base.begin(), base.begin() + static_cast<int64_t>(random() % base.size()));
        for (size_t i = 1 + random() % 30; i > 0; --i)
          next.tokens.push_back(static_cast<Token>(random() % 20));
        next.salt = random() % 5 == 0 ? "x" : "";
        next.computed =
            cache.Match(next.table, next.salt, std::span(next.tokens).first(next.tokens.size() - 1));
        found += next.computed;
        writer.Check(next.table, next.tokens);
        seen.push_back(next.tokens);
        live.push_back(std::move(next));
      } else if (what < 8 && !live.empty()) {
        Live& one = live[random() % live.size()];
        if (one.computed == std::ssize(one.tokens)) one.tokens.push_back(static_cast<Token>(random() % 20));
        const int64_t n = 1 + static_cast<int64_t>(random() % (one.tokens.size() - one.computed));
        cache.TrimWindows(one.table, one.computed);
        if (cache.Reserve(one.table, n) != Verdict::kGranted) continue;
        writer.Write(one.table, one.tokens, one.computed, one.computed + n);
        one.computed += n;
        cache.Publish(one.table, one.salt, std::span(one.tokens).first(one.computed));
        writer.Check(one.table, one.tokens);
      } else if (what == 8 && !live.empty() && live.size() < 6) {
        Live& one = live[random() % live.size()];
        Live fork = one;
        fork.table = cache.Fork(one.table);
        fork.tokens.resize(fork.computed);
        if (fork.computed > 0) live.push_back(std::move(fork));
      } else if (!live.empty()) {
        const size_t at = random() % live.size();
        Live& one = live[at];
        cache.Release(one.table, one.salt, std::span(one.tokens).first(one.computed));
        live.erase(live.begin() + static_cast<int64_t>(at));
      }
      const KvUsage usage = cache.Usage();
      ASSERT_EQ(usage.used + usage.cached + usage.free, usage.total);
      ASSERT_LE(usage.filled, usage.used);
      for (const Live& one : live) writer.Check(one.table, one.tokens);
    }
    EXPECT_GT(found, 0);
    for (Live& one : live) cache.Release(one.table, one.salt, std::span(one.tokens).first(one.computed));
    EXPECT_EQ(cache.Usage().used, 0);
    EXPECT_EQ(cache.Usage().filled, 0);
    PageTable all;
    const auto groups = std::ssize(cache.layout().groups());
    ASSERT_EQ(cache.Reserve(all, cache.pool().pages() / groups * kPage), Verdict::kGranted);
  }
}

}  // namespace
}  // namespace quire

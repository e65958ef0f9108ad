#include "quire/kv/region_cache.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <random>
#include <utility>
#include <vector>

namespace quire {
namespace {

constexpr int kPageTokens = 16, kHeads = 2, kHeadDim = 64;
constexpr int64_t kLongest = 4096;

// A layer for each window. In f16 a tile is half a page of the system, in int8 a bit more than a quarter.
std::unique_ptr<RegionCache> MakeCache(const std::vector<int64_t>& windows, int64_t pages,
                                       DType type = DType::kF16, int64_t sequences = 8) {
  std::vector<LayerKv> layers;
  for (const int64_t window : windows) layers.push_back({.window = window, .type = type});
  KvLayout layout(layers, kHeads, kHeadDim, kPageTokens);
  const size_t bytes = pages * layout.page_bytes();
  return RegionCache::Create(
             std::move(layout),
             {.kv_bytes = bytes, .most_bytes = 2 * bytes, .longest_tokens = kLongest, .sequences = sequences})
      .value();
}

// Of the arena, in main memory.
int64_t ResidentBytes(const RegionCache& cache) {
  const size_t bytes = cache.arena().page_bytes() * cache.arena().pages(), system = SystemPageBytes();
  std::vector<unsigned char> resident((bytes + system - 1) / system);
  EXPECT_EQ(mincore(cache.arena().tile(0, {}), bytes, resident.data()), 0);
  return static_cast<int64_t>(system) *
         std::ranges::count_if(resident, [](unsigned char r) { return (r & 1) != 0; });
}

TEST(RegionCache, PagesOfASequenceFollowEachOther) {
  const auto cache = MakeCache({0, 0, 0}, 100);
  PageTable a, b;
  ASSERT_EQ(cache->Reserve(a, 40), Verdict::kGranted);
  ASSERT_EQ(cache->Reserve(b, 100), Verdict::kGranted);
  ASSERT_EQ(cache->Reserve(a, 100), Verdict::kGranted);
  for (const PageTable* table : {&a, &b}) {
    const std::vector<PageId>& pages = table->groups[0];
    for (size_t i = 1; i < pages.size(); ++i) EXPECT_EQ(pages[i], pages[i - 1] + 1);
  }
  EXPECT_EQ(a.groups[0].size(), 9u);
  EXPECT_EQ(a.pages_held, 9);
}

TEST(RegionCache, CountsWhatHasMainMemory) {
  for (const DType type : {DType::kF16, DType::kInt8}) {
    const auto cache = MakeCache({0, 0}, 1000, type);
    std::vector<PageTable> tables(5);
    for (size_t i = 0; i < tables.size(); ++i) {
      ASSERT_EQ(cache->Reserve(tables[i], 33 + 100 * static_cast<int64_t>(i)), Verdict::kGranted);
    }
    EXPECT_EQ(cache->Usage().used, ResidentBytes(*cache));
    EXPECT_GE(cache->Usage().committed, ResidentBytes(*cache)) << "with huge pages that wait";
    EXPECT_GE(cache->Usage().used, cache->Usage().filled);
    for (PageTable& table : tables) cache->Release(table);
    EXPECT_EQ(cache->Usage().used, 0);
    EXPECT_EQ(cache->Usage().filled, 0);
    ASSERT_TRUE(cache->Resize(cache->arena().page_bytes()));
    EXPECT_EQ(ResidentBytes(*cache), 0);
    EXPECT_LE(cache->Usage().committed, static_cast<int64_t>(kHugePageBytes)) << "one may be on its way";
  }
}

TEST(RegionCache, HugePagesOfASequenceThatLeftAreTakenAgain) {
  const auto cache = MakeCache(std::vector<int64_t>(8, 0), 1000);
  PageTable a, b;
  ASSERT_EQ(cache->Reserve(a, kLongest / 4), Verdict::kGranted);
  const int64_t committed = cache->Usage().committed;
  cache->Release(a);
  EXPECT_GT(cache->Usage().committed, committed / 2);
  ASSERT_EQ(cache->Reserve(b, kLongest / 4), Verdict::kGranted);
  EXPECT_LE(cache->Usage().used, ResidentBytes(*cache));
}

// While a sequence generates, its next page gets memory before it is needed.
TEST(RegionCache, CommitsAhead) {
  const auto cache = MakeCache({0}, 1000);
  PageTable table;
  ASSERT_EQ(cache->Reserve(table, 32), Verdict::kGranted);
  for (int64_t tokens = 32; tokens < 320; ++tokens) {
    ASSERT_EQ(cache->Reserve(table, 1), Verdict::kGranted);
    ASSERT_GE(cache->Usage().committed, ResidentBytes(*cache));
    if ((tokens + 1) % kPageTokens > 0) continue;
    EXPECT_GE(cache->Usage().committed,
              cache->Usage().used + static_cast<int64_t>(cache->arena().page_bytes()));
  }
}

TEST(RegionCache, SaysWhenThereIsNoRoom) {
  const auto cache = MakeCache({0}, 20);
  PageTable a, b;
  EXPECT_EQ(cache->Reserve(a, 21 * kPageTokens), Verdict::kNever);
  EXPECT_EQ(cache->Reserve(a, 12 * kPageTokens), Verdict::kGranted);
  EXPECT_EQ(cache->Reserve(b, 12 * kPageTokens), Verdict::kWait);
  EXPECT_TRUE(b.empty());
  EXPECT_EQ(cache->available_pages(), 8);
  EXPECT_EQ(cache->Reserve(b, 12 * kPageTokens, Room::kBeyondSize), Verdict::kGranted);
  EXPECT_TRUE(cache->OverSize());
  EXPECT_EQ(cache->Usage().total, cache->Usage().used);
  cache->Release(a);
  EXPECT_FALSE(cache->OverSize());
  EXPECT_EQ(cache->Reserve(a, 8 * kPageTokens), Verdict::kGranted);
  EXPECT_EQ(cache->Reserve(a, kLongest), Verdict::kNever);
}

TEST(RegionCache, WhatLeavesAWindowGoesBack) {
  const auto cache = MakeCache({128}, 1000);
  PageTable table;
  int64_t most = 0;
  for (int64_t tokens = 0; tokens < 3000; ++tokens) {
    cache->TrimWindows(table, tokens);
    ASSERT_EQ(cache->Reserve(table, 1), Verdict::kGranted);
    most = std::max(most, cache->Usage().used);
    if (tokens % 100 == 0) {
      ASSERT_GE(cache->Usage().committed, ResidentBytes(*cache));
    }
  }
  EXPECT_LE(most, cache->PagesFor(3000, 1) * static_cast<int64_t>(cache->arena().page_bytes()));
  EXPECT_LE(cache->PagesFor(3000, 1), 32);
  cache->Release(table);
  EXPECT_EQ(cache->Usage().used, 0);
}

TEST(RegionCache, AForkIsACopy) {
  const auto cache = MakeCache({0, 0}, 60);
  PageTable table;
  ASSERT_EQ(cache->Reserve(table, 100), Verdict::kGranted);
  const TilePlace tile = cache->layout().VTile(1, 1);
  std::memset(cache->arena().tile(table.groups[0][6], tile), 0x5a, tile.bytes);
  PageTable fork = cache->Fork(table);
  ASSERT_EQ(fork.tokens, 100);
  EXPECT_NE(fork.groups[0][6], table.groups[0][6]);
  EXPECT_EQ(cache->arena().tile(fork.groups[0][6], tile)[tile.bytes - 1], std::byte{0x5a});
  ASSERT_EQ(cache->Reserve(table, 600), Verdict::kGranted);
  EXPECT_TRUE(cache->Fork(table).empty()) << "there is no room";
  EXPECT_TRUE(cache->Fork({}).empty());
}

// What is written stays, whoever comes and goes, and main memory is what is counted.
TEST(RegionCache, LosesNothingInRandomLives) {
  struct Life {
    PageTable table;
    std::map<int64_t, std::byte> written;  // by page
  };
  std::mt19937 random(11);
  for (const auto& [windows, type] : std::vector<std::pair<std::vector<int64_t>, DType>>{
           {{0}, DType::kF16}, {{0, 40}, DType::kF16}, {{0, 0}, DType::kInt4}, {{300}, DType::kInt8}}) {
    const auto cache = MakeCache(windows, 100, type, 6);
    const TilePlace tile = cache->layout().KTile(0, 1);
    const size_t group = cache->layout().group_of(0);
    std::vector<Life> lives;
    for (int step = 0; step < 4000; ++step) {
      if (lives.size() < 6 && random() % 8 == 0) lives.emplace_back();
      if (random() % 100 == 0) {
        ASSERT_TRUE(cache->Resize((20 + random() % 100) * cache->arena().page_bytes()));
      }
      if (lives.empty()) continue;
      const size_t at = random() % lives.size();
      Life& life = lives[at];
      cache->TrimWindows(life.table, life.table.tokens);
      const int64_t tokens = random() % 4 == 0 ? 1 + random() % 200 : 1;
      if (cache->Reserve(life.table, tokens) == Verdict::kGranted) {
        for (size_t i = 0; i < life.table.groups[group].size(); ++i) {
          const PageId page = life.table.groups[group][i];
          if (page == kNoPage || life.written.contains(i)) continue;
          life.written[i] = static_cast<std::byte>(random());
          std::memset(cache->arena().tile(page, tile), static_cast<int>(life.written[i]), tile.bytes);
        }
      }
      for (const auto& [i, value] : life.written) {
        const PageId page = life.table.groups[group][i];
        if (page == kNoPage) continue;
        ASSERT_EQ(cache->arena().tile(page, tile)[0], value);
        ASSERT_EQ(cache->arena().tile(page, tile)[tile.bytes - 1], value);
      }
      const KvUsage usage = cache->Usage();
      ASSERT_LE(usage.committed, std::max(usage.limit, usage.used));
      ASSERT_LE(usage.filled, usage.used);
      if (step % 50 == 0) {
        ASSERT_LE(ResidentBytes(*cache), usage.committed);
      }
      if (random() % 40 == 0 || life.table.tokens > 3000) {
        cache->Release(life.table);
        lives.erase(lives.begin() + static_cast<int64_t>(at));
      }
    }
    for (Life& life : lives) cache->Release(life.table);
    EXPECT_EQ(cache->Usage().used, 0);
    EXPECT_EQ(cache->Usage().filled, 0);
  }
}

}  // namespace
}  // namespace quire

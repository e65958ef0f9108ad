// Pages that go down to a tier and come back: what PageCache matches afterwards is what was computed, in this
// pool or in another one.
#include "quire/kv/page_archive.h"

#include <gtest/gtest.h>

#include <cstring>

#include "quire/kv/cache_testing.h"
#include "quire/tiers/tier_testing.h"

namespace quire {
namespace {

// A process: a pool, and an archive over a disk that outlives it.
struct Process {
  Process(MapTierState& disk, int64_t pages, std::vector<int64_t> windows = {0})
      : cache(MakeCache(windows, pages)), archive(cache, std::make_unique<MapTier>(disk), 4) {}
  Process(MapTierState& disk, PageCache (*make)())
      : cache(make()), archive(cache, std::make_unique<MapTier>(disk), 4) {}

  // Computes `tokens` in chunks, each page filled with bytes that follow from what it is about.
  void Compute(const std::vector<Token>& tokens, std::string_view salt = "") {
    PageTable table{.layout = layout};
    cache.Match(table, salt, tokens);
    while (table.tokens < std::ssize(tokens)) {
      const int64_t first = table.tokens / page_tokens();
      cache.TrimWindows(table, table.tokens);
      const int64_t end = std::min<int64_t>((first + 2) * page_tokens(), std::ssize(tokens));
      ASSERT_EQ(cache.Reserve(table, end - table.tokens), Verdict::kGranted);
      for (int64_t i = first; i * page_tokens() < end; ++i) {
        for (size_t g = 0; g < table.groups.size(); ++g) Fill(table.groups[g][i], Mark(tokens, i, g));
      }
      cache.Publish(table, salt, std::span(tokens).first(end));
      archive.Advance();
    }
    cache.Release(table, salt, tokens);
    Settle();
  }
  void Settle() {
    for (int i = 0; i < 100; ++i) archive.Advance();
  }
  bool Begin(uint64_t id, const std::vector<Token>& tokens, std::string_view salt = "") {
    PageTable matched{.layout = layout};
    cache.Match(matched, salt, tokens);
    const auto all = [](auto pages, auto) { return pages.size(); };
    const bool begun = archive.Restore(id, salt, tokens, matched, all);
    cache.Release(matched);
    return begun;
  }
  bool Restore(const std::vector<Token>& tokens, std::string_view salt = "") {
    const bool begun = Begin(1, tokens, salt);
    Settle();
    EXPECT_FALSE(archive.Restoring(1));
    return begun;
  }
  // The tokens that match, all of whose visible pages hold what was computed.
  int64_t Hit(const std::vector<Token>& tokens, std::string_view salt = "") {
    PageTable table{.layout = layout};
    const int64_t hit = cache.Match(table, salt, tokens);
    for (size_t g = 0; g < table.groups.size(); ++g) {
      for (int64_t i = cache.LayoutOf(table).FirstVisiblePage(g, hit); i < std::ssize(table.groups[g]); ++i) {
        EXPECT_EQ(*reinterpret_cast<const uint32_t*>(cache.pool().data(table.groups[g][i])),
                  Mark(tokens, i, g));
      }
    }
    cache.Release(table);
    return hit;
  }
  uint32_t Mark(const std::vector<Token>& tokens, int64_t index, size_t group) const {
    const int64_t end = std::min<int64_t>((index + 1) * page_tokens(), std::ssize(tokens));
    auto mark = static_cast<uint32_t>(group) + 100 * static_cast<uint32_t>(layout);
    for (int64_t i = 0; i < end; ++i) mark = mark * 31 + static_cast<uint32_t>(tokens[i]);
    return mark;
  }
  void Fill(PageId page, uint32_t mark) {
    auto* const words = reinterpret_cast<uint32_t*>(cache.pool().data(page));
    std::fill(words, words + cache.layout().page_bytes() / sizeof(mark), mark);
  }

  int64_t page_tokens() const { return cache.layouts()[layout].page_tokens(); }

  PageCache cache;
  PageArchive archive;
  int layout = 0;  // of the pages that it computes and looks for
};

TEST(PageArchive, WhatIsPublishedIsWrittenOnce) {
  MapTierState disk;
  Process process(disk, 16);
  process.Compute(Text(100));
  EXPECT_EQ(disk.pages.size(), 6);  // the full ones
  process.Compute(Text(100));
  process.Compute(Text(130));
  EXPECT_EQ(disk.pages.size(), 8);
  EXPECT_EQ(disk.writes, 8);
  EXPECT_EQ(disk.writes, 8);
}

TEST(PageArchive, KeepsWhatTheTierLost) {
  MapTierState disk;
  Process process(disk, 16);
  process.Compute(Text(70), "s");
  EXPECT_EQ(disk.pages.size(), 4u);
  disk.pages.erase(disk.pages.begin());
  process.archive.Keep("s", 0, Text(70));
  process.archive.Keep("", 0, Text(70));  // nothing is cached of it
  process.Settle();
  EXPECT_EQ(disk.pages.size(), 4u);
  EXPECT_EQ(disk.writes, 5);
  EXPECT_EQ(process.cache.Usage().used, 0);
}

TEST(PageArchive, AnotherProcessGoesOnFromIt) {
  MapTierState disk;
  Process(disk, 16).Compute(Text(100));
  Process second(disk, 16);
  EXPECT_EQ(second.Hit(Text(100)), 0);
  EXPECT_TRUE(second.Restore(Text(100)));
  EXPECT_EQ(second.Hit(Text(100)), 96);
  EXPECT_EQ(second.Hit(Text(300)), 96);
  EXPECT_EQ(disk.writes, 6) << "what came from the tier went there again";
  EXPECT_FALSE(second.Restore(Text(100))) << "all of it is here";
  EXPECT_FALSE(second.Restore(Text(100), "salt"));
  EXPECT_FALSE(second.Restore(Text(100, 1)));
}

TEST(PageArchive, OnlyWhatIsMissingComesBack) {
  MapTierState disk;
  Process(disk, 16).Compute(Text(160));
  Process second(disk, 16);
  second.Compute(Text(70));
  EXPECT_TRUE(second.Restore(Text(160)));
  EXPECT_EQ(disk.reads, 6);
  EXPECT_EQ(second.Hit(Text(160)), 160);
}

TEST(PageArchive, WindowsBringBackWhatIsVisible) {
  for (const std::vector<int64_t>& windows : {std::vector<int64_t>{0, 24}, {24, 0, 24, 24}, {40}}) {
    MapTierState disk;
    Process(disk, 64, windows).Compute(Text(160));
    Process second(disk, 64, windows);
    EXPECT_TRUE(second.Restore(Text(160)));
    EXPECT_EQ(second.Hit(Text(160)), 160);
    const auto all = 10 * std::ssize(second.cache.layout().groups());
    EXPECT_LT(disk.reads, all);
  }
}

TEST(PageArchive, WhatLeftThePoolComesBack) {
  MapTierState disk;
  Process process(disk, 8);
  process.Compute(Text(112, 1));
  process.Compute(Text(112, 2));
  EXPECT_LE(process.Hit(Text(112, 1)), 16);
  EXPECT_TRUE(process.Restore(Text(112, 1)));
  EXPECT_EQ(process.Hit(Text(112, 1)), 112);
}

TEST(PageArchive, APageThatFailsIsComputedAgain) {
  MapTierState disk;
  Process(disk, 16).Compute(Text(160));
  disk.pages.erase(std::next(disk.pages.begin(), 3));
  Process second(disk, 16);
  second.Restore(Text(160));
  const int64_t hit = second.Hit(Text(160));
  EXPECT_LT(hit, 160);
  disk.fails_reads = true;
  Process third(disk, 16);
  third.Restore(Text(160));
  EXPECT_EQ(third.Hit(Text(160)), 0);
  disk.fails_reads = false;
  third.Compute(Text(160));
  EXPECT_EQ(disk.pages.size(), 10) << "what was lost is written anew";
  EXPECT_EQ(third.Hit(Text(160)), 160);
}

TEST(PageArchive, AFullDiskLosesPagesAndNothingElse) {
  MapTierState disk;
  disk.refuses_writes = true;
  Process process(disk, 16);
  process.Compute(Text(100));
  EXPECT_EQ(process.Hit(Text(100)), 100);
  EXPECT_EQ(disk.pages.size(), 0);
  EXPECT_EQ(process.archive.pages_lost(), 6);
  disk.refuses_writes = false;
  process.Compute(Text(130));
  EXPECT_EQ(disk.pages.size(), 2);
}

TEST(PageArchive, ARestoreThatHasNoRoomIsNone) {
  MapTierState disk;
  Process(disk, 16).Compute(Text(160));
  Process small(disk, 12);
  PageTable busy;
  ASSERT_EQ(small.cache.Reserve(busy, 64), Verdict::kGranted);
  EXPECT_FALSE(small.Restore(Text(160)));
  EXPECT_EQ(small.cache.available_pages(), 8);
  small.cache.Release(busy);
  EXPECT_TRUE(small.Restore(Text(160)));
}

TEST(PageArchive, AnAbandonedRestoreLeavesNothing) {
  MapTierState disk;
  Process(disk, 16).Compute(Text(160));
  Process second(disk, 16);
  disk.holds_moves = true;
  EXPECT_TRUE(second.Begin(1, Text(160)));
  EXPECT_TRUE(second.Begin(2, Text(80)));
  EXPECT_TRUE(second.archive.AbandonYoungest());
  EXPECT_TRUE(second.archive.Restoring(1));
  EXPECT_FALSE(second.archive.Restoring(2));
  second.archive.Abandon(1);
  EXPECT_FALSE(second.archive.AbandonYoungest());
  EXPECT_EQ(second.cache.Usage().used, 0);
  EXPECT_EQ(second.cache.pool().free_pages(), 16);
  // Reads of the first life that end in a second one are not taken for its own.
  EXPECT_TRUE(second.Begin(1, Text(160)));
  disk.holds_moves = false;
  second.Settle();
  EXPECT_EQ(second.Hit(Text(160)), 160);
}

// One disk for pages of both layouts of a pool, the same texts in each.
TEST(PageArchiveOfTwoLayouts, BringsBackEachOfItsOwn) {
  MapTierState disk;
  const auto mixed = [] { return MakeMixedCache({0, 64}, 80); };
  Process first(disk, mixed);
  for (first.layout = 0; first.layout < 2; ++first.layout) first.Compute(Text(160));
  EXPECT_EQ(disk.pages.size(), 2u * 10 + 2u * 5);
  Process second(disk, mixed);
  second.layout = 1;
  EXPECT_TRUE(second.Restore(Text(160)));
  EXPECT_EQ(second.Hit(Text(160)), 160);
  second.layout = 0;
  EXPECT_EQ(second.Hit(Text(160)), 0) << "only the other layout's pages are here";
  EXPECT_TRUE(second.Restore(Text(160)));
  EXPECT_EQ(second.Hit(Text(160)), 160);
  second.archive.Keep("", 1, Text(160));
  second.Settle();
  EXPECT_EQ(disk.pages.size(), 30u);
}

}  // namespace
}  // namespace quire

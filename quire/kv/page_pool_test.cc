#include "quire/kv/page_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <random>
#include <set>
#include <vector>

namespace quire {
namespace {

TEST(PagePool, HandsOutEveryPageOnce) {
  PagePool pool = PagePool::Create(10 * 4096 + 100, 4096).value();
  EXPECT_EQ(pool.pages(), 10);
  std::set<PageId> taken;
  std::set<std::byte*> places;
  for (int i = 0; i < 10; ++i) {
    const PageId page = pool.Allocate();
    taken.insert(page);
    places.insert(pool.data(page));
    EXPECT_EQ(pool.RefCount(page), 1);
  }
  EXPECT_EQ(taken.size(), 10u);
  EXPECT_EQ(places.size(), 10u);
  EXPECT_EQ(pool.free_pages(), 0);
  EXPECT_EQ(pool.used_pages(), 10);
}

TEST(PagePool, APageIsFreeWhenItsLastReferenceGoes) {
  PagePool pool = PagePool::Create(4096, 4096).value();
  const PageId page = pool.Allocate();
  pool.AddRef(page);
  pool.Release(page);
  EXPECT_EQ(pool.free_pages(), 0);
  pool.Release(page);
  EXPECT_EQ(pool.free_pages(), 1);
  EXPECT_EQ(pool.Allocate(), page);
}

TEST(PagePool, PrefersThePageThatWasReleasedLast) {
  PagePool pool = PagePool::Create(8 * 4096, 4096).value();
  const PageId a = pool.Allocate();
  const PageId b = pool.Allocate();
  pool.Release(a);
  pool.Release(b);
  EXPECT_EQ(pool.Allocate(), b);
  EXPECT_EQ(pool.Allocate(), a);
}

// Of the page's bytes, those that have main memory.
size_t ResidentBytes(const PagePool& pool, PageId page) {
  const size_t system = SystemPageBytes();
  const auto begin = reinterpret_cast<uintptr_t>(pool.data(page)) / system * system;
  const size_t bytes = reinterpret_cast<uintptr_t>(pool.data(page)) + pool.page_bytes() - begin;
  std::vector<unsigned char> resident((bytes + system - 1) / system);
  EXPECT_EQ(mincore(reinterpret_cast<void*>(begin), bytes, resident.data()), 0);
  return system * std::ranges::count_if(resident, [](unsigned char r) { return (r & 1) != 0; });
}

TEST(PagePool, GivesTheMemoryBackOfWhatIsBeyondItsSize) {
  constexpr size_t kPage = 40960;
  PagePool pool = PagePool::Create(8 * kPage, kPage, 16 * kPage).value();
  std::vector<PageId> pages;
  for (int i = 0; i < 8; ++i) {
    pages.push_back(pool.Allocate());
    std::memset(pool.data(pages[i]), 1, kPage);
  }
  for (int i = 0; i < 6; ++i) pool.Release(pages[i]);
  EXPECT_EQ(pool.committed_pages(), 8);
  EXPECT_EQ(ResidentBytes(pool, pages[0]), kPage) << "kept for the next one";
  ASSERT_TRUE(pool.Resize(4 * kPage));
  EXPECT_EQ(pool.pages(), 4);
  EXPECT_EQ(pool.free_pages(), 2);
  EXPECT_EQ(pool.committed_pages(), 4);
  size_t resident = 0;
  for (const PageId page : pages) resident += ResidentBytes(pool, page);
  EXPECT_EQ(resident, 4 * kPage);
  EXPECT_EQ(pool.data(pages[7])[kPage - 1], std::byte{1}) << "in use";

  ASSERT_TRUE(pool.Resize(kPage));
  EXPECT_EQ(pool.free_pages(), 0);
  EXPECT_EQ(pool.used_pages(), 2) << "they stay";
  pool.Release(pages[7]);
  EXPECT_EQ(ResidentBytes(pool, pages[7]), 0u);
  EXPECT_EQ(pool.committed_pages(), 1);
}

TEST(PagePool, GrowsUpToTheAddressesThatItHas) {
  PagePool pool = PagePool::Create(2 * 4096, 4096, 5 * 4096).value();
  EXPECT_EQ(pool.most_pages(), 5);
  const PageId first = pool.Allocate();
  pool.data(first)[0] = std::byte{7};
  ASSERT_TRUE(pool.Resize(5 * 4096));
  EXPECT_EQ(pool.free_pages(), 4);
  EXPECT_EQ(pool.data(first)[0], std::byte{7});
  const auto more = pool.Resize(6 * 4096);
  EXPECT_EQ(more.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(more.error().message, testing::HasSubstr("20.0 KiB"));
  EXPECT_FALSE(pool.Resize(100));
  EXPECT_EQ(pool.pages(), 5);
}

// Pages of any size, also ones that share pages of the system: what is in use keeps what was written.
TEST(PagePool, LosesNothingInRandomLives) {
  std::mt19937 random(3);
  for (const size_t page_bytes : {size_t{64}, size_t{1024}, size_t{4096}, size_t{5000}, size_t{40000}}) {
    PagePool pool = PagePool::Create(10 * page_bytes, page_bytes, 40 * page_bytes).value();
    std::map<PageId, int> live;
    for (int step = 0; step < 3000; ++step) {
      if (random() % 8 == 0) {
        ASSERT_TRUE(pool.Resize((1 + random() % 40) * page_bytes));
      }
      if (random() % 2 == 0 && pool.free_pages() > 0) {
        const PageId page = pool.Allocate();
        ASSERT_FALSE(live.contains(page));
        std::memset(pool.data(page), step % 200, page_bytes);
        live[page] = step % 200;
      } else if (!live.empty()) {
        const auto page = std::next(live.begin(), random() % live.size());
        for (const size_t at : {size_t{0}, page_bytes - 1}) {
          ASSERT_EQ(pool.data(page->first)[at], static_cast<std::byte>(page->second));
        }
        pool.Release(page->first);
        live.erase(page);
      }
      ASSERT_EQ(pool.used_pages(), std::ssize(live));
      ASSERT_LE(pool.committed_pages(), std::max(pool.pages(), pool.used_pages()));
    }
  }
}

TEST(PagePool, SaysThatTheMemoryIsTooSmall) {
  const auto pool = PagePool::Create(1000, 4096);
  ASSERT_FALSE(pool.has_value());
  EXPECT_EQ(pool.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(pool.error().message.find("--kv-memory"), std::string::npos);
}

TEST(PagePoolDeathTest, ReleasingAFreePageIsABug) {
  PagePool pool = PagePool::Create(4096, 4096).value();
  EXPECT_DEATH(pool.Release(0), "");
  EXPECT_DEATH(pool.AddRef(0), "");
}

}  // namespace
}  // namespace quire

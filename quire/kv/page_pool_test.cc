#include "quire/kv/page_pool.h"

#include <gtest/gtest.h>

#include <set>

namespace quire {
namespace {

TEST(PagePool, HandsOutEveryPageOnce) {
  PagePool pool = PagePool::Create(10 * 4096 + 100, 4096).value();
  EXPECT_EQ(pool.pages(), 10);
  std::set<PageId> taken;
  std::set<std::byte*> places;
  for (int i = 0; i < 10; ++i) {
    const PageId page = pool.Allocate().value();
    taken.insert(page);
    places.insert(pool.data(page));
    EXPECT_EQ(pool.RefCount(page), 1);
  }
  EXPECT_EQ(taken.size(), 10u);
  EXPECT_EQ(places.size(), 10u);
  EXPECT_EQ(pool.free_pages(), 0);
  EXPECT_EQ(pool.used_pages(), 10);
  EXPECT_FALSE(pool.Allocate().has_value());
}

TEST(PagePool, APageIsFreeWhenItsLastReferenceGoes) {
  PagePool pool = PagePool::Create(4096, 4096).value();
  const PageId page = pool.Allocate().value();
  pool.AddRef(page);
  pool.Release(page);
  EXPECT_FALSE(pool.Allocate().has_value());
  pool.Release(page);
  EXPECT_EQ(pool.free_pages(), 1);
  EXPECT_EQ(pool.Allocate(), page);
}

TEST(PagePool, PrefersThePageThatWasReleasedLast) {
  PagePool pool = PagePool::Create(8 * 4096, 4096).value();
  const PageId a = pool.Allocate().value();
  const PageId b = pool.Allocate().value();
  pool.Release(a);
  pool.Release(b);
  EXPECT_EQ(pool.Allocate(), b);
  EXPECT_EQ(pool.Allocate(), a);
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

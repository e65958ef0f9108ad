#include "quire/base/bskip_list.h"

#include <gtest/gtest.h>

#include <compare>
#include <map>
#include <random>
#include <thread>

namespace quire {
namespace {

// The words of a page's name, as an example of a key that is more than a number.
struct Name {
  uint64_t high = 0, low = 0;
  auto operator<=>(const Name&) const = default;
};

template <typename List>
auto ContentOf(const List& list) {
  std::vector<std::pair<uint64_t, uint64_t>> content;
  list.ForEach([&](uint64_t key, uint64_t value) {
    content.emplace_back(key, value);
    return true;
  });
  return content;
}

// Random changes, with the answers of std::map.
template <int kCapacity>
void CompareWithMap(uint64_t seed, uint64_t keys, int changes) {
  SCOPED_TRACE(testing::Message() << "capacity " << kCapacity << ", seed " << seed);
  BSkipList<uint64_t, uint64_t, kCapacity> list(seed);
  std::map<uint64_t, uint64_t> map;
  std::mt19937_64 random(seed);
  for (int i = 0; i < changes; ++i) {
    const uint64_t key = random() % keys, value = random();
    switch (random() % 4) {
      case 0:
      case 1:
        ASSERT_EQ(list.Put(key, value), map.insert_or_assign(key, value).second);
        break;
      case 2:
        ASSERT_EQ(list.Remove(key), map.erase(key) == 1);
        break;
      default:
        const auto found = map.find(key);
        ASSERT_EQ(list.Find(key), found == map.end() ? std::nullopt : std::optional(found->second));
    }
    if (i % 64 != 0) continue;
    auto next = map.lower_bound(key);
    list.ForEachFrom(key, [&](uint64_t at, uint64_t with) {
      EXPECT_TRUE(next != map.end() && next->first == at && next->second == with);
      return ++next != map.end();
    });
    ASSERT_TRUE(next == map.end());
  }
  ASSERT_EQ(ContentOf(list), (std::vector<std::pair<uint64_t, uint64_t>>(map.begin(), map.end())));
}

TEST(BSkipList, AnswersLikeAMap) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    CompareWithMap<4>(seed, 40, 2000);
    CompareWithMap<8>(seed, 1000, 4000);
    CompareWithMap<128>(seed, 5000, 12000);
  }
}

TEST(BSkipList, IsEmptyAtFirst) {
  BSkipList<uint64_t, int> list;
  EXPECT_EQ(list.Find(0), std::nullopt);
  EXPECT_EQ(list.First(), std::nullopt);
  EXPECT_FALSE(list.Remove(0));
  EXPECT_TRUE(list.Put(0, -5));
  EXPECT_EQ(list.First(), (std::pair<uint64_t, int>(0, -5)));
}

TEST(BSkipList, OrdersKeysOfSeveralWords) {
  BSkipList<Name, bool, 8> list;
  for (uint64_t i = 0; i < 500; ++i) EXPECT_TRUE(list.Put({i * 7919 % 23, i}, i % 2 == 0));
  std::vector<Name> names;
  list.ForEachFrom({11, 0}, [&](const Name& name, bool even) {
    EXPECT_EQ(even, name.low % 2 == 0);
    names.push_back(name);
    return name.high < 13;
  });
  EXPECT_TRUE(std::ranges::is_sorted(names));
  EXPECT_EQ(names.front().high, 11u);
  EXPECT_EQ(names.back().high, 13u);
}

// As an order of eviction is used: in at one end, out at the other. Nodes must be used again.
TEST(BSkipList, IsAQueue) {
  BSkipList<uint64_t, uint64_t, 16> list;
  for (uint64_t i = 0; i < 200'000; ++i) {
    EXPECT_TRUE(list.Put(i, i));
    if (i < 1000) continue;
    const auto first = list.First();
    ASSERT_EQ(first, std::pair(i - 1000, i - 1000));
    ASSERT_TRUE(list.Remove(first->first));
  }
  EXPECT_EQ(ContentOf(list).size(), 1000u);
}

// Every thread has keys of its own, side by side with those of the others in the same nodes.
template <int kCapacity>
void ChangeTogether(int threads, int changes) {
  BSkipList<uint64_t, uint64_t, kCapacity> list;
  std::vector<std::map<uint64_t, uint64_t>> maps(threads);
  std::vector<std::thread> running;
  for (int t = 0; t < threads; ++t) {
    running.emplace_back([&, t] {
      std::mt19937_64 random(t);
      for (int i = 0; i < changes; ++i) {
        const uint64_t key = random() % 200 * threads + t, value = random();
        const auto found = maps[t].find(key);
        ASSERT_EQ(list.Find(key), found == maps[t].end() ? std::nullopt : std::optional(found->second));
        if (random() % 2 == 0) {
          ASSERT_EQ(list.Put(key, value), maps[t].insert_or_assign(key, value).second);
        } else {
          ASSERT_EQ(list.Remove(key), maps[t].erase(key) == 1);
        }
      }
    });
  }
  for (std::thread& thread : running) thread.join();
  std::map<uint64_t, uint64_t> all;
  for (const auto& map : maps) all.insert(map.begin(), map.end());
  EXPECT_EQ(ContentOf(list), (std::vector<std::pair<uint64_t, uint64_t>>(all.begin(), all.end())));
}

TEST(BSkipList, ThreadsChangeItTogether) {
  ChangeTogether<4>(4, 20'000);
  ChangeTogether<16>(3, 20'000);
  ChangeTogether<64>(2, 20'000);
}

// All threads want the same few keys: what one puts in, exactly one takes out.
TEST(BSkipList, ThreadsQuarrelAboutKeys) {
  BSkipList<uint64_t, uint64_t, 4> list;
  std::atomic<int64_t> balance = 0;
  std::vector<std::thread> running;
  for (int t = 0; t < 4; ++t) {
    running.emplace_back([&, t] {
      std::mt19937_64 random(100 + t);
      for (int i = 0; i < 20'000; ++i) {
        const uint64_t key = random() % 30;
        if (random() % 2 == 0) {
          balance += list.Put(key, key + 1000);
        } else {
          balance -= list.Remove(key);
        }
      }
    });
  }
  for (std::thread& thread : running) thread.join();
  EXPECT_EQ(std::ssize(ContentOf(list)), balance.load());
}

// Who walks while others change sees every key that stays, in order, with a value that belongs to it.
TEST(BSkipList, IsWalkedWhileItChanges) {
  BSkipList<uint64_t, uint64_t, 8> list;
  for (uint64_t key = 0; key < 3000; key += 3) list.Put(key, key * 10);
  std::atomic<bool> done = false;
  std::thread changer([&] {
    std::mt19937_64 random(1);
    while (!done) {
      const uint64_t key = random() % 1000 * 3 + 1;
      list.Put(key, key * 10);
      list.Remove(random() % 1000 * 3 + 1);
    }
  });
  for (int walk = 0; walk < 50; ++walk) {
    uint64_t stays = 0;
    int64_t last = -1;
    list.ForEach([&](uint64_t key, uint64_t value) {
      EXPECT_EQ(value, key * 10);
      EXPECT_GT(static_cast<int64_t>(key), last);
      last = static_cast<int64_t>(key);
      stays += key % 3 == 0;
      return true;
    });
    EXPECT_EQ(stays, 1000u);
  }
  done = true;
  changer.join();
}

}  // namespace
}  // namespace quire

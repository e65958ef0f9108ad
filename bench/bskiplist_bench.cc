// How a BSkipList does beside a skip list with one key per node and a B-tree behind a shared lock, on mixes
// like those of YCSB (Cooper et al., SoCC 2010): all are filled and then asked in turn, by processor
// time, and the medians of the rounds count.
//
//   bskiplist_bench [KEYS [OPERATIONS [THREADS]]]       10,000,000 keys, 1,000,000 operations each, 2 threads
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <map>
#include <shared_mutex>
#include <thread>

#include "quire/base/bskip_list.h"
#ifdef QUIRE_HAS_ABSL
#include <absl/container/btree_map.h>
#endif

namespace quire {
namespace {

constexpr int kRounds = 3;
constexpr int kLongestScan = 100;

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 7919) {}
  uint64_t Next() { return MixBits(state_ += kSplitMixStep); }
  double Uniform() { return UnitInterval(Next()); }

 private:
  uint64_t state_;
};

// Ranks of which the first are drawn most often (YCSB's generator, after Gray et al., SIGMOD 1994).
class Zipf {
 public:
  explicit Zipf(uint64_t count) : count_(static_cast<double>(count)) {
    for (uint64_t i = 1; i <= count; ++i) zeta_ += std::pow(1 / static_cast<double>(i), kTheta);
    const double two = 1 + std::pow(0.5, kTheta);
    eta_ = (1 - std::pow(2 / count_, 1 - kTheta)) / (1 - two / zeta_);
  }
  uint64_t Draw(Random& random) const {
    const double u = random.Uniform();
    if (u * zeta_ < 1) return 0;
    if (u * zeta_ < 1 + std::pow(0.5, kTheta)) return 1;
    return static_cast<uint64_t>(count_ * std::pow(eta_ * u - eta_ + 1, 1 / (1 - kTheta)));
  }

 private:
  static constexpr double kTheta = 0.99;
  const double count_;
  double zeta_ = 0, eta_ = 0;
};

class Index {
 public:
  virtual ~Index() = default;
  virtual bool Put(uint64_t key, uint64_t value) = 0;
  virtual uint64_t Get(uint64_t key) const = 0;
  virtual uint64_t Scan(uint64_t from, int count) const = 0;
};

class BSkipListIndex final : public Index {
 public:
  bool Put(uint64_t key, uint64_t value) override { return list_.Put(key, value); }
  uint64_t Get(uint64_t key) const override { return list_.Find(key).value_or(0); }
  uint64_t Scan(uint64_t from, int count) const override {
    uint64_t sum = 0;
    list_.ForEachFrom(from, [&](uint64_t, uint64_t value) {
      sum += value;
      return --count > 0;
    });
    return sum;
  }

 private:
  BSkipList<uint64_t, uint64_t> list_;
};

// One key per node, linked by compare-and-swap (Herlihy and Shavit, "The Art of Multiprocessor Programming",
// 14.4, without removal, as the memtables of LevelDB and RocksDB have it).
class OneKeyIndex final : public Index {
 public:
  OneKeyIndex() : head_(NewNode(0, 0, kLevels)) {}
  ~OneKeyIndex() override {
    for (Node* node = head_; node != nullptr;) {
      Node* next = node->next[0].load();
      std::free(node);
      node = next;
    }
  }
  bool Put(uint64_t key, uint64_t value) override {
    Node* before[kLevels];
    Node* after[kLevels];
    const int levels = std::min(kLevels, 1 + std::countr_zero(SplitMix(key)) / 2);
    Node* node = nullptr;
    do {
      if (Find(key, before, after)) {
        after[0]->value.store(value, std::memory_order_relaxed);
        std::free(node);
        return false;
      }
      if (node == nullptr) node = NewNode(key, value, levels);
    } while (!Link(node, 0, before, after));
    for (int level = 1; level < levels; ++level) {
      while (!Link(node, level, before, after)) Find(key, before, after);
    }
    return true;
  }
  uint64_t Get(uint64_t key) const override {
    const Node* node = AtLeast(key);
    return node != nullptr && node->key == key ? node->value.load(std::memory_order_relaxed) : 0;
  }
  uint64_t Scan(uint64_t from, int count) const override {
    uint64_t sum = 0;
    for (const Node* node = AtLeast(from); node != nullptr && count > 0; --count) {
      sum += node->value.load(std::memory_order_relaxed);
      node = node->next[0].load(std::memory_order_acquire);
    }
    return sum;
  }

 private:
  static constexpr int kLevels = 16;
  struct Node {
    uint64_t key;
    std::atomic<uint64_t> value;
    std::atomic<Node*> next[];
  };
  static Node* NewNode(uint64_t key, uint64_t value, int levels) {
    void* memory = std::calloc(1, sizeof(Node) + levels * sizeof(std::atomic<Node*>));
    Node* node = static_cast<Node*>(memory);
    node->key = key;
    node->value.store(value);
    return node;
  }
  static bool Link(Node* node, int level, Node** before, Node** after) {
    node->next[level].store(after[level], std::memory_order_relaxed);
    return before[level]->next[level].compare_exchange_strong(after[level], node);
  }
  // On every level the last node before the key and the one behind it; true when that is the key's.
  bool Find(uint64_t key, Node** before, Node** after) const {
    Node* node = head_;
    for (int level = kLevels - 1; level >= 0; --level) {
      Node* next = node->next[level].load(std::memory_order_acquire);
      while (next != nullptr && next->key < key) {
        node = next;
        next = node->next[level].load(std::memory_order_acquire);
      }
      before[level] = node;
      after[level] = next;
    }
    return after[0] != nullptr && after[0]->key == key;
  }
  const Node* AtLeast(uint64_t key) const {
    Node* before[kLevels];
    Node* after[kLevels];
    Find(key, before, after);
    return after[0];
  }

  Node* const head_;
};

template <typename Map>
class LockedIndex final : public Index {
 public:
  bool Put(uint64_t key, uint64_t value) override {
    const std::unique_lock lock(mutex_);
    return map_.insert_or_assign(key, value).second;
  }
  uint64_t Get(uint64_t key) const override {
    const std::shared_lock lock(mutex_);
    const auto found = map_.find(key);
    return found == map_.end() ? 0 : found->second;
  }
  uint64_t Scan(uint64_t from, int count) const override {
    const std::shared_lock lock(mutex_);
    uint64_t sum = 0;
    for (auto it = map_.lower_bound(from); it != map_.end() && count > 0; ++it, --count) sum += it->second;
    return sum;
  }

 private:
  mutable std::shared_mutex mutex_;
  Map map_;
};

struct Mix {
  const char* name;
  int reads, updates, inserts, scans;  // of 100
};
constexpr Mix kMixes[] = {{"A: half reads, half updates", 50, 50, 0, 0},
                          {"B: 5 % updates", 95, 5, 0, 0},
                          {"C: reads", 100, 0, 0, 0},
                          {"D: 5 % new keys", 95, 0, 5, 0},
                          {"E: scans, 5 % new keys", 0, 0, 5, 95}};

struct Load {
  uint64_t keys, operations;
  int threads;
};

uint64_t KeyOf(uint64_t rank) { return MixBits(rank + 1); }

double ProcessorSeconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

// Of processor time, which others on the machine do not take from it. Who sleeps for a lock uses none: that
// is to the good of the B-tree.
double OperationsPerSecond(const Load& load, uint64_t operations,
                           const std::function<void(int, uint64_t)>& run) {
  std::vector<double> seconds(load.threads);
  std::vector<std::thread> threads;
  for (int t = 0; t < load.threads; ++t) {
    threads.emplace_back([&, t] {
      run(t, operations / load.threads);
      seconds[t] = ProcessorSeconds();
    });
  }
  for (std::thread& thread : threads) thread.join();
  return static_cast<double>(operations) / *std::ranges::max_element(seconds);
}

std::atomic<uint64_t> sink;  // keeps results from being optimised away

// `round` makes new keys new.
double RunMix(Index& index, const Mix& mix, const Load& load, const Zipf* zipf, uint64_t round) {
  return OperationsPerSecond(load, load.operations, [&](int thread, uint64_t operations) {
    Random random(1000 * round + thread);
    uint64_t sum = 0, next_new = load.keys + (round * load.threads + thread) * load.operations;
    for (uint64_t i = 0; i < operations; ++i) {
      const uint64_t key = KeyOf(zipf != nullptr ? zipf->Draw(random) : random.Next() % load.keys);
      const auto dice = static_cast<int>(random.Next() % 100);
      if (dice < mix.reads) {
        sum += index.Get(key);
      } else if (dice < mix.reads + mix.updates) {
        index.Put(key, i);
      } else if (dice < mix.reads + mix.updates + mix.inserts) {
        index.Put(KeyOf(next_new++), i);
      } else {
        sum += index.Scan(key, 1 + static_cast<int>(random.Next() % kLongestScan));
      }
    }
    sink += sum;
  });
}

double Median(std::vector<double> values) {
  std::ranges::nth_element(values, values.begin() + std::ssize(values) / 2);
  return values[values.size() / 2];
}

void Print(const char* name, const std::vector<double>& rates) {
  fmt::print("{:<36}", name);
  for (const double rate : rates) fmt::print("{:>12.0f}", rate / 1000);
  for (size_t i = 1; i < rates.size(); ++i) fmt::print("{:>10.2f}", rates[0] / rates[i]);
  fmt::print("\n");
  std::fflush(stdout);
}

void Run(const Load& load) {
  std::vector<std::pair<const char*, std::unique_ptr<Index>>> indices;
  indices.emplace_back("B-skip", std::make_unique<BSkipListIndex>());
  indices.emplace_back("one key", std::make_unique<OneKeyIndex>());
#ifdef QUIRE_HAS_ABSL
  indices.emplace_back("B-tree", std::make_unique<LockedIndex<absl::btree_map<uint64_t, uint64_t>>>());
#else
  fmt::print("libabsl-dev was not there when this was built: std::map in place of a B-tree\n");
  indices.emplace_back("map", std::make_unique<LockedIndex<std::map<uint64_t, uint64_t>>>());
#endif
  fmt::print("{} keys, {} threads; thousands of operations per second\n{:36}", load.keys, load.threads, "");
  for (const auto& [name, index] : indices) fmt::print("{:>12}", name);
  for (size_t i = 1; i < indices.size(); ++i) fmt::print("{:>10}", fmt::format("/ {}", indices[i].first));
  fmt::print("\n");

  std::vector<double> rates;
  for (const auto& [name, index] : indices) {
    rates.push_back(OperationsPerSecond(load, load.keys, [&](int thread, uint64_t operations) {
      for (uint64_t i = 0; i < operations; ++i) index->Put(KeyOf(i * load.threads + thread), i);
    }));
  }
  Print("load", rates);
  const Zipf zipf(load.keys);
  uint64_t round = 0;
  for (const bool skewed : {false, true}) {
    for (const Mix& mix : kMixes) {
      std::vector<std::vector<double>> rounds(indices.size());
      for (int i = 0; i < kRounds; ++i, ++round) {
        for (size_t at = 0; at < indices.size(); ++at) {
          rounds[at].push_back(RunMix(*indices[at].second, mix, load, skewed ? &zipf : nullptr, round));
        }
      }
      rates.clear();
      for (const auto& of_index : rounds) rates.push_back(Median(of_index));
      Print(fmt::format("{} ({})", mix.name, skewed ? "Zipf" : "uniform").c_str(), rates);
    }
  }
}

}  // namespace
}  // namespace quire

int main(int argc, char** argv) {
  quire::Load load{.keys = 10'000'000, .operations = 1'000'000, .threads = 2};
  if (argc > 1) load.keys = std::strtoull(argv[1], nullptr, 10);
  if (argc > 2) load.operations = std::strtoull(argv[2], nullptr, 10);
  if (argc > 3) load.threads = std::atoi(argv[3]);
  if (load.keys < 1000 || load.operations < 1000 || load.threads < 1 || load.threads > 1000) {
    fmt::print(stderr, "usage: bskiplist_bench [KEYS [OPERATIONS [THREADS]]], at least 1000 of both\n");
    return 2;
  }
  quire::Run(load);
}

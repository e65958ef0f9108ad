#include "quire/kv/region_memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

namespace quire {
namespace {

constexpr int64_t kBlock = kHugePageBytes, kRegionBytes = 24 * kBlock;
constexpr int64_t kPageBytes = 3 * 4096 / 2;

std::unique_ptr<RegionMemory> MakeMemory() {
  PageArena arena = PageArena::Contiguous(kPageBytes, kRegionBytes / kPageBytes, 4).value();
  return RegionMemory::Create(std::move(arena), 64 * kBlock).value();
}

std::byte* At(const std::unique_ptr<RegionMemory>& memory, int64_t region, int64_t byte) {
  return memory->arena().data(static_cast<PageId>(region * memory->arena().region_pages())) + byte;
}

int64_t ResidentBytes(const std::unique_ptr<RegionMemory>& memory) {
  const size_t bytes = memory->arena().page_bytes() * memory->arena().pages(), system = SystemPageBytes();
  std::vector<unsigned char> resident(bytes / system);
  EXPECT_EQ(mincore(memory->arena().data(0), bytes, resident.data()), 0);
  return static_cast<int64_t>(system) *
         std::ranges::count_if(resident, [](unsigned char r) { return (r & 1) != 0; });
}

TEST(RegionMemory, ALongSequenceEndsInAHugePage) {
  const auto memory = MakeMemory();
  EXPECT_EQ(memory->EndAt(1, false), SystemPageBytes());
  EXPECT_EQ(memory->EndAt(20 * kBlock + 1, false), 21 * kBlock);
  EXPECT_EQ(memory->EndAt(20 * kBlock + 1, true), 20 * kBlock + static_cast<int64_t>(SystemPageBytes()));
}

TEST(RegionMemory, PagesThatFillABlockGoIntoAHugeOneWithWhatTheyHold) {
  auto memory = MakeMemory();
  int64_t left = 0, region = 0;
  ASSERT_TRUE(memory->Open(&left, false));
  memory->Extend(left, 2 * kBlock, true);
  memory->LimitWaiting(4 * kBlock);
  memory->Close(left);
  ASSERT_TRUE(memory->Open(&region, false));
  memory->Extend(region, kBlock / 2, true);
  std::fill_n(At(memory, region, 0), kBlock / 2, std::byte{0x5a});
  memory->Extend(region, 2 * kBlock, true);
  EXPECT_EQ(std::count(At(memory, region, 0), At(memory, region, kBlock), std::byte{0x5a}), kBlock / 2);
  memory->Settle();
  EXPECT_EQ(memory->committed(), 2 * kBlock);
  EXPECT_EQ(ResidentBytes(memory), 2 * kBlock);
}

// What is written stays, and main memory is what is counted, whatever comes, grows, slides and goes.
TEST(RegionMemory, LosesNothingInRandomLives) {
  struct Life {
    int64_t region = 0, begin = 0;
    bool sliding = false;
  };
  constexpr int64_t kMark = 64 << 10;  // bytes from one that is written to the next
  const auto mark = [](int64_t region, int64_t byte) {
    return static_cast<std::byte>(region + byte / kMark);
  };
  std::mt19937 random(5);
  auto memory = MakeMemory();
  std::vector<Life> lives;
  for (int step = 0; step < 600; ++step) {
    Life fresh{.sliding = random() % 4 == 0};
    if (random() % 6 == 0 && memory->Open(&fresh.region, fresh.sliding)) lives.push_back(fresh);
    if (lives.empty()) continue;
    const size_t at = random() % lives.size();
    Life& life = lives[at];
    const int64_t end = memory->end(life.region), small = static_cast<int64_t>(random() % (40 << 10));
    const int64_t more = random() % 4 == 0 ? static_cast<int64_t>(random() % (3 * kBlock)) : small;
    memory->Extend(life.region, std::min(kRegionBytes, memory->EndAt(end + more, life.sliding)),
                   random() % 2 == 0);
    for (int64_t byte = (end + kMark - 1) / kMark * kMark; byte < memory->end(life.region); byte += kMark) {
      *At(memory, life.region, byte) = mark(life.region, byte);
    }
    if (life.sliding && random() % 4 == 0) {
      life.begin = memory->BeginAt((life.begin + memory->end(life.region)) / 2);
      memory->TrimFront(life.region, life.begin);
    }
    if (random() % 8 == 0) memory->LimitWaiting(static_cast<int64_t>(random() % 8) * kBlock);
    for (int64_t byte = (life.begin + kMark - 1) / kMark * kMark; byte < memory->end(life.region);
         byte += kMark) {
      ASSERT_EQ(*At(memory, life.region, byte), mark(life.region, byte)) << "step " << step;
    }
    memory->Settle();
    ASSERT_EQ(ResidentBytes(memory), memory->committed()) << "step " << step;
    if (memory->end(life.region) < kRegionBytes && random() % 12 > 0) continue;
    memory->Close(life.region);
    lives.erase(lives.begin() + static_cast<int64_t>(at));
  }
  for (const Life& life : lives) memory->Close(life.region);
  memory->Settle();
  EXPECT_EQ(memory->committed(), 0);
  EXPECT_EQ(ResidentBytes(memory), 0);
}

}  // namespace
}  // namespace quire

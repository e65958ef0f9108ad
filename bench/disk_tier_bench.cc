// How fast the disk tier moves pages: writes and reads as many as asked, 32 at once. To compare with what the
// disk gives, drop the system's cache between the two and read the same file by fio:
//
//   disk_tier_bench FOLDER write 6000; disk_tier_bench FOLDER read 6000
//   fio --name=r --filename=FOLDER/pages.slab --rw=read --bs=512k --ioengine=libaio --direct=1 --iodepth=16
#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <string_view>
#include <thread>
#include <vector>

#include "quire/tiers/page_store.h"

namespace quire {
namespace {

constexpr size_t kPageBytes = 512 << 10, kSlotBytes = kPageBytes + 4096;
constexpr int kAtOnce = 32;

int Run(const char* folder, bool writes, int pages) {
  auto store = PageStore::Open({.folder = folder,
                                .quota_bytes = static_cast<int64_t>(pages * kSlotBytes),
                                .page_bytes = kPageBytes,
                                .format = "bench",
                                .secret = {}});
  if (!store) {
    fmt::print(stderr, "{}\n", store.error().message);
    return 1;
  }
  std::vector<std::vector<std::byte>> buffers(kAtOnce, std::vector<std::byte>(kPageBytes, std::byte{7}));
  std::vector<uint64_t> free;
  for (int i = 0; i < kAtOnce; ++i) free.push_back(i);
  std::vector<PageTier::Completion> completed;
  int started = 0, ended = 0, failed = 0;
  const auto start = std::chrono::steady_clock::now();
  const auto begin = [&] {
    const PageKey key = ChildKey(RootKey("bench"), std::vector<Token>{started});
    std::vector<std::byte>& buffer = buffers[free.back()];
    return writes ? (*store)->StartWrite(key, buffer, free.back())
                  : (*store)->StartRead(key, buffer, free.back());
  };
  while (ended < pages) {
    for (; started < pages && !free.empty() && begin(); ++started) free.pop_back();
    if (static_cast<int>(free.size()) == kAtOnce) break;  // nothing is there
    completed.clear();
    (*store)->TakeCompleted(completed);
    for (const PageTier::Completion& completion : completed) {
      free.push_back(completion.tag);
      failed += !completion.ok;
      ++ended;
    }
    if (completed.empty()) std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  fmt::print("{} {} pages of {} KiB: {:.0f} MB/s; {} failed\n", writes ? "wrote" : "read", ended,
             kPageBytes >> 10, ended * static_cast<double>(kPageBytes) / seconds / 1e6, failed);
  return ended == pages && failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace quire

int main(int argc, char** argv) {
  const std::string_view verb = argc == 4 ? argv[2] : "";
  const int pages = argc == 4 ? std::atoi(argv[3]) : 0;
  if (pages < 1 || (verb != "write" && verb != "read")) {
    fmt::print(stderr, "usage: disk_tier_bench FOLDER write|read PAGES\n");
    return 2;
  }
  return quire::Run(argv[1], verb == "write", pages);
}

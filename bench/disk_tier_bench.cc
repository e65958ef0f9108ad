// How fast the disk tier moves pages: writes and reads as many as asked, 32 at once. To compare with what the
// disk gives, drop the system's cache between the two and read the same file by fio:
//
//   disk_tier_bench FOLDER write 6000; disk_tier_bench FOLDER read 6000
//   fio --name=r --filename=FOLDER/pages.slab --rw=read --bs=512k --ioengine=libaio --direct=1 --iodepth=16
#include <fmt/format.h>

#include <cstdlib>
#include <string_view>

#include "quire/cli/disk_speed.h"

namespace quire {
namespace {

constexpr size_t kPageBytes = 512 << 10, kSlotBytes = kPageBytes + 4096;

int Run(const char* folder, bool writes, int pages) {
  auto store = PageStore::Open({.folder = folder,
                                .quota_bytes = static_cast<int64_t>(pages * kSlotBytes),
                                .page_bytes = kPageBytes,
                                .format = "bench",
                                .secret = {},
                                .probe = false});
  if (!store) {
    fmt::print(stderr, "{}\n", store.error().message);
    return 1;
  }
  const MovedPages moved = MovePages(**store, kPageBytes, pages, writes);
  fmt::print("{} {} pages of {} KiB: {:.0f} MB/s; {} failed\n", writes ? "wrote" : "read", moved.pages,
             kPageBytes >> 10, moved.bytes_per_second(kPageBytes) / 1e6, moved.failed);
  return moved.pages == pages && moved.failed == 0 ? 0 : 1;
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

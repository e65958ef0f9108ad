// One file of equal slots, each a page and its trailer. Slots are read and written in place, neighbours
// together; the file grows by chunks whose room is taken from the disk at once, so a full disk is found
// before a page is half written.
#ifndef QUIRE_TIERS_SLAB_FILE_H_
#define QUIRE_TIERS_SLAB_FILE_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <span>
#include <vector>

#include "quire/base/result.h"
#include "quire/tiers/page_seal.h"

namespace quire {

// What is in a slot, or comes into it.
struct SlabPage {
  std::span<std::byte> bytes;  // only read where the page is written
  PageTrailer trailer{};
};

// Where the bytes of slots that follow each other are in memory, as the system wants to know it.
struct SlabTransfer {
  bool writes = false;
  std::vector<iovec> parts;        // what is still to be moved
  int64_t at = 0;                  // in the file
  std::vector<std::byte> padding;  // between a trailer and the next slot; what is there is nothing
};

// Thread-safe; two threads must not use one slot at once.
class SlabFile {
 public:
  // At most `max_bytes` of slots. Errors: kIo. REQUIRES: Open is called once.
  Status Open(const std::filesystem::path& path, size_t page_bytes, int64_t max_bytes);
  ~SlabFile();

  // Of the slots from `slot` on. The pages stay where they are until it has ended.
  SlabTransfer Plan(bool writes, uint32_t slot, std::span<SlabPage> pages) const;
  // Takes room on the disk for a transfer that writes. False where there is none; errno says why.
  bool TakeRoomFor(const SlabTransfer& transfer, size_t pages);
  // Moves all of it. False where the disk does not give the bytes back or does not take them; errno says why.
  bool Move(SlabTransfer& transfer) const;

  size_t slot_bytes() const { return slot_bytes_; }
  int64_t slots() const { return max_bytes_ / static_cast<int64_t>(slot_bytes_); }

 private:
  bool TakeRoom(int64_t end);

  int fd_ = -1;
  size_t page_bytes_ = 0;
  size_t slot_bytes_ = 0;
  int64_t max_bytes_ = 0;
  std::mutex mutex_;  // guards room_
  int64_t room_ = 0;  // bytes that the disk has given
};

}  // namespace quire

#endif  // QUIRE_TIERS_SLAB_FILE_H_

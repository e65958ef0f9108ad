// One file of equal slots, each a page and its trailer. Slots are read and written in place; the file grows
// by chunks whose room is taken from the disk at once, so a full disk is found before a page is half written.
#ifndef QUIRE_TIERS_SLAB_FILE_H_
#define QUIRE_TIERS_SLAB_FILE_H_

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <span>

#include "quire/base/result.h"
#include "quire/tiers/page_seal.h"

namespace quire {

// Thread-safe; two threads must not use one slot at once.
class SlabFile {
 public:
  // At most `max_bytes` of slots. Errors: kIo. REQUIRES: Open is called once.
  Status Open(const std::filesystem::path& path, size_t page_bytes, int64_t max_bytes);
  ~SlabFile();

  // False where the disk does not give the bytes back or has no room for them; errno says why.
  bool Read(uint32_t slot, std::span<std::byte> page, PageTrailer& trailer) const;
  bool Write(uint32_t slot, std::span<const std::byte> page, const PageTrailer& trailer);

  size_t slot_bytes() const { return slot_bytes_; }
  int64_t slots() const { return max_bytes_ / static_cast<int64_t>(slot_bytes_); }

 private:
  bool TakeRoom(int64_t end);

  int fd_ = -1;
  size_t slot_bytes_ = 0;
  int64_t max_bytes_ = 0;
  std::mutex mutex_;  // guards room_
  int64_t room_ = 0;  // bytes that the disk has given
};

}  // namespace quire

#endif  // QUIRE_TIERS_SLAB_FILE_H_

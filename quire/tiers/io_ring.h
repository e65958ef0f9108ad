// Reads and writes of a file that are under way together, by one thread (io_uring).
#ifndef QUIRE_TIERS_IO_RING_H_
#define QUIRE_TIERS_IO_RING_H_

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <span>

namespace quire {

// One thread uses it.
class IoRing {
 public:
  static constexpr int kDepth = 16;  // of transfers under way

  // Null where the system has no io_uring, or forbids it (many containers do).
  static std::unique_ptr<IoRing> Make();
  // Whether Make would give one.
  static bool Available();
  ~IoRing();
  IoRing(const IoRing&) = delete;
  IoRing& operator=(const IoRing&) = delete;

  // REQUIRES: fewer than kDepth are under way; the parts stay where they are until it has ended.
  void Start(bool writes, int file, std::span<const iovec> parts, int64_t at, void* tag);
  int under_way() const { return under_way_; }

  struct Ended {
    void* tag = nullptr;
    int64_t moved = 0;  // bytes, or -errno
  };
  // Waits for one. REQUIRES: some are under way.
  Ended Wait();

 private:
  IoRing() = default;

  struct Ring;
  std::unique_ptr<Ring> ring_;
  int under_way_ = 0;
};

}  // namespace quire

#endif  // QUIRE_TIERS_IO_RING_H_

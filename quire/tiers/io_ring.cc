#include "quire/tiers/io_ring.h"

#include <liburing.h>

#include <cerrno>
#include <thread>

#include "quire/base/check.h"

namespace quire {

struct IoRing::Ring {
  io_uring ring{};
};

std::unique_ptr<IoRing> IoRing::Make() {
  auto ring = std::make_unique<Ring>();
  if (io_uring_queue_init(kDepth, &ring->ring, 0) != 0) return nullptr;
  std::unique_ptr<IoRing> made(new IoRing);
  made->ring_ = std::move(ring);
  return made;
}

bool IoRing::Available() { return Make() != nullptr; }

IoRing::~IoRing() {
  if (ring_ != nullptr) io_uring_queue_exit(&ring_->ring);
}

void IoRing::Start(bool writes, int file, std::span<const iovec> parts, int64_t at, void* tag) {
  io_uring_sqe* const entry = io_uring_get_sqe(&ring_->ring);
  QUIRE_CHECK(entry != nullptr);
  const auto count = static_cast<unsigned>(parts.size());
  if (writes) {
    io_uring_prep_writev(entry, file, parts.data(), count, static_cast<uint64_t>(at));
  } else {
    io_uring_prep_readv(entry, file, parts.data(), count, static_cast<uint64_t>(at));
  }
  io_uring_sqe_set_flags(entry, IOSQE_ASYNC);
  io_uring_sqe_set_data(entry, tag);
  while (io_uring_submit(&ring_->ring) < 1) std::this_thread::yield();  // the system is short of memory
  ++under_way_;
}

IoRing::Ended IoRing::Wait() {
  QUIRE_CHECK(under_way_ > 0);
  io_uring_cqe* event = nullptr;
  int waited = 0;
  do waited = io_uring_wait_cqe(&ring_->ring, &event);
  while (waited == -EINTR);
  QUIRE_CHECK(waited == 0);
  const Ended ended{.tag = io_uring_cqe_get_data(event), .moved = event->res};
  io_uring_cqe_seen(&ring_->ring, event);
  --under_way_;
  return ended;
}

}  // namespace quire

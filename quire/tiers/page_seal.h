// What makes a stored page trustworthy: a trailer that only these bytes, under this name and format, can
// have. Plain pages carry a checksum (XXH3, 128 bits); with a secret they are encrypted by AES-256-GCM and
// the trailer authenticates them. A page that was cut, overwritten, or stored under another name does not
// open.
#ifndef QUIRE_TIERS_PAGE_SEAL_H_
#define QUIRE_TIERS_PAGE_SEAL_H_

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quire/tiers/page_key.h"

namespace quire {

using PageTrailer = std::array<std::byte, 32>;

// Thread-safe.
class PageSeal {
 public:
  // REQUIRES: `secret` is empty, for plain pages, or has 32 bytes.
  PageSeal(std::string_view format, std::string_view secret);

  bool encrypts() const { return !secret_.empty(); }
  // Makes the trailer, and returns what is to be stored with it: `page`, or what it is encrypted to in
  // `room`. Nothing when the system has no random numbers.
  std::optional<std::span<const std::byte>> Close(const PageKey& key, std::span<const std::byte> page,
                                                  std::vector<std::byte>& room, PageTrailer& trailer) const;
  // Decrypts `page` in place where there is a secret. False when it is not what was closed under `key`.
  bool Open(const PageKey& key, std::span<std::byte> page, const PageTrailer& trailer) const;

 private:
  PageTrailer Checksum(const PageKey& key, std::span<const std::byte> page) const;
  std::string Bound(const PageKey& key) const;

  std::string format_, secret_;
};

}  // namespace quire

#endif  // QUIRE_TIERS_PAGE_SEAL_H_

#include "quire/tiers/page_key.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <vector>

#include "quire/base/check.h"

namespace quire {
namespace {

// Of `head` and then `tail`. `kind` keeps what stands for different things apart: a salt may be any bytes.
PageKey Hash(char kind, std::span<const std::byte> head, std::span<const std::byte> tail) {
  std::vector<std::byte> bytes(1 + head.size() + tail.size());
  bytes[0] = static_cast<std::byte>(kind);
  std::ranges::copy(head, bytes.begin() + 1);
  std::ranges::copy(tail, bytes.begin() + 1 + std::ssize(head));
  unsigned char digest[EVP_MAX_MD_SIZE];
  QUIRE_CHECK(EVP_Digest(bytes.data(), bytes.size(), digest, nullptr, EVP_sha256(), nullptr) == 1);
  PageKey key;
  std::memcpy(key.data(), digest, key.size());
  return key;
}

}  // namespace

PageKey RootKey(std::string_view salt, std::string_view kind) {
  if (kind.empty()) return Hash('s', std::as_bytes(std::span(salt)), {});
  return Hash('k', Hash('s', std::as_bytes(std::span(kind)), {}), std::as_bytes(std::span(salt)));
}

PageKey ChildKey(const PageKey& parent, std::span<const Token> tokens) {
  return Hash('t', parent, std::as_bytes(tokens));
}

// States are told apart by all their bits, so a few of them can tell groups apart as well.
PageKey KeyOfGroup(const PageKey& state, size_t group) {
  PageKey key = state;
  uint32_t bits;
  std::memcpy(&bits, key.data(), sizeof(bits));
  bits ^= static_cast<uint32_t>(group);
  std::memcpy(key.data(), &bits, sizeof(bits));
  return key;
}

std::string ToHex(const PageKey& key) {
  std::string hex;
  for (const std::byte byte : key) fmt::format_to(std::back_inserter(hex), "{:02x}", static_cast<int>(byte));
  return hex;
}

}  // namespace quire

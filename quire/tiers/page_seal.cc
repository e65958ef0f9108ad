#include "quire/tiers/page_seal.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <xxhash.h>

#include <cstring>
#include <memory>

#include "quire/base/check.h"

namespace quire {
namespace {

// Of a trailer: the tag, then the nonce.
constexpr size_t kTagBytes = 16, kNonceBytes = 12, kSecretBytes = 32;

using Cipher = std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)>;

unsigned char* Bytes(std::span<std::byte> bytes) { return reinterpret_cast<unsigned char*>(bytes.data()); }
const unsigned char* Bytes(std::span<const std::byte> bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}
const unsigned char* Bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
int Length(size_t size) { return static_cast<int>(size); }

}  // namespace

PageSeal::PageSeal(std::string_view format, std::string_view secret) : format_(format), secret_(secret) {
  QUIRE_CHECK(secret.empty() || secret.size() == kSecretBytes);
}

// What a page's bytes are tied to.
std::string PageSeal::Bound(const PageKey& key) const {
  return format_ + std::string(reinterpret_cast<const char*>(key.data()), key.size());
}

PageTrailer PageSeal::Checksum(const PageKey& key, std::span<const std::byte> page) const {
  const std::string bound = Bound(key);
  const XXH128_hash_t hash =
      XXH3_128bits_withSeed(page.data(), page.size(), XXH3_64bits(bound.data(), bound.size()));
  PageTrailer trailer{};
  std::memcpy(trailer.data(), &hash, sizeof(hash));
  return trailer;
}

std::optional<std::span<const std::byte>> PageSeal::Close(const PageKey& key, std::span<const std::byte> page,
                                                          std::vector<std::byte>& room,
                                                          PageTrailer& trailer) const {
  if (!encrypts()) {
    trailer = Checksum(key, page);
    return page;
  }
  room.resize(page.size());
  trailer = {};
  const std::span<std::byte> all(trailer);
  unsigned char* const nonce = Bytes(all.subspan(kTagBytes, kNonceBytes));
  const std::string bound = Bound(key);
  const Cipher cipher(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
  int written = 0;
  const bool closed =
      RAND_bytes(nonce, Length(kNonceBytes)) == 1 &&
      EVP_EncryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, Bytes(secret_), nonce) == 1 &&
      EVP_EncryptUpdate(cipher.get(), nullptr, &written, Bytes(bound), Length(bound.size())) == 1 &&
      EVP_EncryptUpdate(cipher.get(), Bytes(std::span(room)), &written, Bytes(page), Length(page.size())) ==
          1 &&
      EVP_EncryptFinal_ex(cipher.get(), Bytes(std::span(room)), &written) == 1 &&
      EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_GET_TAG, Length(kTagBytes), trailer.data()) == 1;
  if (!closed) return std::nullopt;
  return room;
}

bool PageSeal::Open(const PageKey& key, std::span<std::byte> page, const PageTrailer& trailer) const {
  if (!encrypts()) return Checksum(key, page) == trailer;
  PageTrailer copy = trailer;  // OpenSSL takes the tag by a pointer to bytes that may change
  const std::span<std::byte> all(copy);
  const std::string bound = Bound(key);
  const Cipher cipher(EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
  int written = 0;
  return EVP_DecryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, Bytes(secret_),
                            Bytes(all.subspan(kTagBytes, kNonceBytes))) == 1 &&
         EVP_DecryptUpdate(cipher.get(), nullptr, &written, Bytes(bound), Length(bound.size())) == 1 &&
         EVP_DecryptUpdate(cipher.get(), Bytes(page), &written, Bytes(page), Length(page.size())) == 1 &&
         EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_SET_TAG, Length(kTagBytes), copy.data()) == 1 &&
         EVP_DecryptFinal_ex(cipher.get(), Bytes(page), &written) == 1;
}

}  // namespace quire

#include "quire/cli/digest.h"

#include <openssl/evp.h>

#include <algorithm>
#include <cctype>
#include <memory>

#include "quire/base/mapped_file.h"

namespace quire {

Result<Checksum> ParseSha256(std::string_view hex) {
  const bool digits = std::ranges::all_of(hex, [](unsigned char c) { return std::isxdigit(c) != 0; });
  if (hex.size() != 64 || !digits) {
    return Fail(ErrorCode::kInvalidArgument, "'{}' is no SHA-256: it must have 64 hexadecimal digits", hex);
  }
  Checksum checksum{Checksum::Kind::kSha256, std::string(hex)};
  for (char& c : checksum.hex) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return checksum;
}

Result<std::string> DigestFile(const std::string& path, Checksum::Kind kind,
                               const std::function<void(double)>& progress) {
  QUIRE_ASSIGN(const MappedFile file, MappedFile::Open(path));
  const std::span<const std::byte> bytes = file.bytes();
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  EVP_DigestInit_ex(context.get(), kind == Checksum::Kind::kSha256 ? EVP_sha256() : EVP_sha1(), nullptr);
  if (kind == Checksum::Kind::kGitBlob) {
    const std::string head = fmt::format("blob {}", bytes.size());
    EVP_DigestUpdate(context.get(), head.c_str(), head.size() + 1);  // with its zero byte
  }
  constexpr size_t kPiece = 16 << 20;
  for (size_t at = 0; at < bytes.size(); at += kPiece) {
    const auto piece = bytes.subspan(at, std::min(kPiece, bytes.size() - at));
    EVP_DigestUpdate(context.get(), piece.data(), piece.size());
    file.Release(piece);
    progress(static_cast<double>(at + piece.size()) / static_cast<double>(bytes.size()));
  }
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  EVP_DigestFinal_ex(context.get(), digest, &size);
  std::string hex;
  for (unsigned int i = 0; i < size; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

}  // namespace quire

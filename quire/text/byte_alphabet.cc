#include "quire/text/byte_alphabet.h"

#include <array>
#include <cstdint>

#include "quire/text/utf8.h"

namespace quire {
namespace {

constexpr bool StandsForItself(uint32_t byte) {
  return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

constexpr uint32_t kCharacters = 256 + 68;  // 68 bytes do not stand for themselves

constexpr std::array<uint16_t, 256> MakeCharacters() {
  std::array<uint16_t, 256> characters{};
  uint32_t next = 256;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    characters[byte] = static_cast<uint16_t>(StandsForItself(byte) ? byte : next++);
  }
  return characters;
}

constexpr std::array<uint16_t, 256> kCharacterOf = MakeCharacters();

constexpr std::array<int16_t, kCharacters> MakeBytes() {
  std::array<int16_t, kCharacters> bytes{};
  bytes.fill(-1);
  for (int byte = 0; byte < 256; ++byte) bytes[kCharacterOf[byte]] = static_cast<int16_t>(byte);
  return bytes;
}

constexpr std::array<int16_t, kCharacters> kByteOf = MakeBytes();

// Cuts the first character of the alphabet off `written` and returns its byte; -1 for any other character.
int TakeByte(std::string_view& written) {
  const auto lead = static_cast<unsigned char>(written[0]);
  if (lead < 0x80) {
    written.remove_prefix(1);
    return kByteOf[lead];
  }
  if (lead < 0xC2 || lead > 0xC5 || written.size() < 2) return -1;  // the alphabet ends at U+0143
  const uint32_t character = (lead & 0x1Fu) << 6 | (static_cast<unsigned char>(written[1]) & 0x3Fu);
  written.remove_prefix(2);
  return character < kCharacters ? kByteOf[character] : -1;
}

}  // namespace

void AppendInByteAlphabet(std::string_view bytes, std::string& out) {
  for (unsigned char byte : bytes) AppendUtf8(kCharacterOf[byte], out);
}

void AppendFromByteAlphabet(std::string_view written, std::string& out) {
  const size_t before = out.size();
  for (std::string_view rest = written; !rest.empty();) {
    const int byte = TakeByte(rest);
    if (byte < 0) {
      out.resize(before);
      out += written;
      return;
    }
    out += static_cast<char>(byte);
  }
}

}  // namespace quire

#include "quire/text/utf8.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace quire {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// Bytes of the longest prefix of `text` that begins a valid character, at least 1.
size_t InvalidLength(std::string_view text) {
  for (size_t n = std::min<size_t>(3, text.size()); n > 1; --n) {
    if (CharacterLength(text.substr(0, n)) == -1) return n;
  }
  return 1;
}

// Bytes at the start of `text` that are valid.
size_t ValidLength(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    uint64_t eight = 0;
    while (at + sizeof(eight) <= text.size()) {
      std::memcpy(&eight, text.data() + at, sizeof(eight));
      if ((eight & 0x8080808080808080) != 0) break;
      at += sizeof(eight);
    }
    if (at == text.size()) break;
    const int length = CharacterLength(text.substr(at));
    if (length <= 0) break;
    at += length;
  }
  return at;
}

// Unicode's White_Space beyond one byte, in UTF-8.
constexpr std::array<std::string_view, 19> kWideSpaces = {
    "\xC2\x85",     "\xC2\xA0",     "\xE1\x9A\x80", "\xE2\x80\x80", "\xE2\x80\x81",
    "\xE2\x80\x82", "\xE2\x80\x83", "\xE2\x80\x84", "\xE2\x80\x85", "\xE2\x80\x86",
    "\xE2\x80\x87", "\xE2\x80\x88", "\xE2\x80\x89", "\xE2\x80\x8A", "\xE2\x80\xA8",
    "\xE2\x80\xA9", "\xE2\x80\xAF", "\xE2\x81\x9F", "\xE3\x80\x80"};

bool IsAsciiSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

}  // namespace

size_t SpaceAtStart(std::string_view text) {
  if (text.empty()) return 0;
  if (IsAsciiSpace(text.front())) return 1;
  const auto space = std::ranges::find_if(kWideSpaces, [&](auto s) { return text.starts_with(s); });
  return space == kWideSpaces.end() ? 0 : space->size();
}

size_t SpaceAtEnd(std::string_view text) {
  if (text.empty()) return 0;
  if (IsAsciiSpace(text.back())) return 1;
  const auto space = std::ranges::find_if(kWideSpaces, [&](auto s) { return text.ends_with(s); });
  return space == kWideSpaces.end() ? 0 : space->size();
}

int CharacterLength(std::string_view text) {
  const auto at = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = at(0);
  if (lead < 0x80) return 1;
  const int length = lead >= 0xC2 && lead <= 0xDF   ? 2
                     : (lead & 0xF0) == 0xE0        ? 3
                     : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                    : 0;
  if (length == 0) return 0;
  for (int i = 1; i < length; ++i) {
    if (static_cast<size_t>(i) == text.size()) return -1;
    unsigned char low = 0x80, high = 0xBF;
    if (i == 1 && lead == 0xE0) low = 0xA0;   // overlong
    if (i == 1 && lead == 0xED) high = 0x9F;  // surrogates
    if (i == 1 && lead == 0xF0) low = 0x90;   // overlong
    if (i == 1 && lead == 0xF4) high = 0x8F;  // beyond U+10FFFF
    if (at(i) < low || at(i) > high) return 0;
  }
  return length;
}

std::string ReplaceInvalidUtf8(std::string_view text) {
  const size_t valid = ValidLength(text);
  std::string out(text.substr(0, valid));
  text.remove_prefix(valid);
  while (!text.empty()) {
    const int length = CharacterLength(text);
    if (length > 0) {
      out += text.substr(0, length);
      text.remove_prefix(length);
    } else {
      out += kReplacement;
      text.remove_prefix(length == -1 ? text.size() : InvalidLength(text));
    }
  }
  return out;
}

std::string ReplaceControls(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = '?';
  }
  return out;
}

std::string TakeWholeCharacters(std::string& bytes) {
  size_t end = 0;
  while (end < bytes.size()) {
    const std::string_view rest = std::string_view(bytes).substr(end);
    const int length = CharacterLength(rest);
    if (length == -1) break;
    end += length > 0 ? length : InvalidLength(rest);
  }
  std::string whole = ReplaceInvalidUtf8(std::string_view(bytes).substr(0, end));
  bytes.erase(0, end);
  return whole;
}

void AppendUtf8(uint32_t c, std::string& out) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xC0 | c >> 6);
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xE0 | c >> 12);
    out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | c >> 18);
    out += static_cast<char>(0x80 | (c >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  }
}

}  // namespace quire

// UTF-8 as tokenizers need it: whole characters, and a replacement for what is not one.
#ifndef QUIRE_TEXT_UTF8_H_
#define QUIRE_TEXT_UTF8_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace quire {

// Length of the valid character at the start of `text`; 0 when it is invalid; -1 when it is a valid beginning
// that more bytes could complete.
int CharacterLength(std::string_view text);

// Every maximal invalid part becomes U+FFFD, as Unicode chapter 3 recommends.
std::string ReplaceInvalidUtf8(std::string_view text);

// Every ASCII control character becomes '?': for terminals and logs.
std::string ReplaceControls(std::string_view text);

// Cuts the whole characters (and replaced invalid bytes) off the front of `bytes`; an unfinished one stays.
std::string TakeWholeCharacters(std::string& bytes);

// Bytes of the white space character at the start, or at the end, of valid UTF-8; 0 where there is none.
size_t SpaceAtStart(std::string_view text);
size_t SpaceAtEnd(std::string_view text);

void AppendUtf8(uint32_t code_point, std::string& out);

}  // namespace quire

#endif  // QUIRE_TEXT_UTF8_H_

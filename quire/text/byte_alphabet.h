// GPT-2's alphabet: a printable character for every byte, in which byte-level vocabularies are written.
#ifndef QUIRE_TEXT_BYTE_ALPHABET_H_
#define QUIRE_TEXT_BYTE_ALPHABET_H_

#include <string>
#include <string_view>

namespace quire {

// Appends `bytes` as they are written.
void AppendInByteAlphabet(std::string_view bytes, std::string& out);
// Appends the bytes that `written` stands for; a text with other characters stands for itself.
void AppendFromByteAlphabet(std::string_view written, std::string& out);

}  // namespace quire

#endif  // QUIRE_TEXT_BYTE_ALPHABET_H_

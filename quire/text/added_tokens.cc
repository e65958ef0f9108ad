#include "quire/text/added_tokens.h"

#include <utf8proc.h>

#include <algorithm>

#include "quire/text/utf8.h"

namespace quire {
namespace {

bool IsWordCharacter(std::string_view text) {
  utf8proc_int32_t c = 0;
  const auto bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  if (utf8proc_iterate(bytes, static_cast<utf8proc_ssize_t>(text.size()), &c) <= 0) return false;
  const auto category = utf8proc_category(c);
  return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NL) ||  // letters, marks, Nd, Nl
         category == UTF8PROC_CATEGORY_PC;
}

bool StartsWithWord(std::string_view text) { return !text.empty() && IsWordCharacter(text); }

bool EndsWithWord(std::string_view text) {
  size_t begin = text.size();
  while (begin > 0 && (text[--begin] & 0xC0) == 0x80) continue;
  return !text.empty() && IsWordCharacter(text.substr(begin));
}

}  // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  std::erase_if(tokens_, [](const AddedToken& token) { return token.text.empty(); });
  std::ranges::stable_sort(tokens_, {}, &AddedToken::text);
  const auto same = std::ranges::unique(tokens_, {}, &AddedToken::text);
  tokens_.erase(same.begin(), same.end());
  for (uint32_t i = 0; i < tokens_.size(); ++i) {
    Range& range = by_byte_[static_cast<unsigned char>(tokens_[i].text[0])];
    if (range.end == 0) range.begin = i;
    range.end = i + 1;
  }
}

// Narrows the sorted tokens to those that agree with ever more bytes of `text`; a whole token is the first of
// the range that it is a prefix of.
const AddedToken* AddedTokens::LongestAt(std::string_view text) const {
  const Range range = by_byte_[static_cast<unsigned char>(text[0])];
  auto begin = tokens_.begin() + range.begin, end = tokens_.begin() + range.end;
  const AddedToken* longest = nullptr;
  for (size_t depth = 1; begin != end; ++depth) {
    if (begin->text.size() == depth) longest = &*begin++;
    if (depth == text.size()) break;
    const auto byte_at_depth = [&](const AddedToken& token) {
      return static_cast<unsigned char>(token.text[depth]);
    };
    const auto same =
        std::ranges::equal_range(begin, end, static_cast<unsigned char>(text[depth]), {}, byte_at_depth);
    begin = same.begin();
    end = same.end();
  }
  return longest;
}

bool AddedTokens::AnySpecialAt(std::string_view text) const {
  const Range range = by_byte_[static_cast<unsigned char>(text[0])];
  return std::any_of(tokens_.begin() + range.begin, tokens_.begin() + range.end,
                     [&](const AddedToken& token) { return token.special && text.starts_with(token.text); });
}

void AddedTokens::FindSpecial(std::string_view text, std::vector<size_t>& begins) const {
  for (size_t at = 0; at < text.size(); ++at) {
    if (AnySpecialAt(text.substr(at))) begins.push_back(at);
  }
}

void AddedTokens::Split(std::string_view text, const Accepts& accepts, const OnPart& part) const {
  size_t done = 0;
  for (size_t at = 0; at < text.size();) {
    const Range range = by_byte_[static_cast<unsigned char>(text[at])];
    const AddedToken* token = range.end == 0 ? nullptr : LongestAt(text.substr(at));
    if (token == nullptr) {
      ++at;
      continue;
    }
    size_t begin = at, end = at + token->text.size();
    at = end;
    if (token->special && !accepts(begin, end)) continue;
    if (token->single_word && (EndsWithWord(text.substr(0, begin)) || StartsWithWord(text.substr(end))))
      continue;
    if (begin < done) continue;  // the white space that it consists of is taken
    while (token->strips_left && begin > done) {
      const size_t space = SpaceAtEnd(text.substr(done, begin - done));
      if (space == 0) break;
      begin -= space;
    }
    while (const size_t space = token->strips_right ? SpaceAtStart(text.substr(end)) : 0) end += space;
    if (done < begin) part(text.substr(done, begin - done), kNoToken);
    part(text.substr(begin, end - begin), token->token);
    done = end;
  }
  if (done < text.size()) part(text.substr(done), kNoToken);
}

}  // namespace quire

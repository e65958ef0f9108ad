#include "quire/text/regex_syntax.h"

#include <fmt/format.h>

#include <iterator>
#include <vector>

#include "quire/files/quoted.h"

namespace quire {
namespace {

// Characters that Unicode 15, 15.1 and 16 added, by general category. PCRE2 10.42 knows Unicode 14; naming
// them again does no harm where it knows more.
struct Addition {
  const char* category;
  uint32_t first, last;
};
constexpr Addition kAdditions[] = {
    // clang-format off
    {"Lu", 0x1C89, 0x1C89}, {"Lu", 0xA7CB, 0xA7CC}, {"Lu", 0xA7DA, 0xA7DA}, {"Lu", 0xA7DC, 0xA7DC},
    {"Lu", 0x10D50, 0x10D65}, {"Ll", 0x1C8A, 0x1C8A}, {"Ll", 0xA7CD, 0xA7CD}, {"Ll", 0xA7DB, 0xA7DB},
    {"Ll", 0x10D70, 0x10D85}, {"Ll", 0x1DF25, 0x1DF2A}, {"Lm", 0x10D4E, 0x10D4E}, {"Lm", 0x10D6F, 0x10D6F},
    {"Lm", 0x16D40, 0x16D42}, {"Lm", 0x16D6B, 0x16D6C}, {"Lm", 0x1E030, 0x1E06D}, {"Lm", 0x1E4EB, 0x1E4EB},
    {"Lo", 0x105C0, 0x105F3}, {"Lo", 0x10D4A, 0x10D4D}, {"Lo", 0x10D4F, 0x10D4F}, {"Lo", 0x10EC2, 0x10EC4},
    {"Lo", 0x1123F, 0x11240}, {"Lo", 0x11380, 0x11389}, {"Lo", 0x1138B, 0x1138B}, {"Lo", 0x1138E, 0x1138E},
    {"Lo", 0x11390, 0x113B5}, {"Lo", 0x113B7, 0x113B7}, {"Lo", 0x113D1, 0x113D1}, {"Lo", 0x113D3, 0x113D3},
    {"Lo", 0x11BC0, 0x11BE0}, {"Lo", 0x11F02, 0x11F02}, {"Lo", 0x11F04, 0x11F10}, {"Lo", 0x11F12, 0x11F33},
    {"Lo", 0x1342F, 0x1342F}, {"Lo", 0x13441, 0x13446}, {"Lo", 0x13460, 0x143FA}, {"Lo", 0x16100, 0x1611D},
    {"Lo", 0x16D43, 0x16D6A}, {"Lo", 0x18CFF, 0x18CFF}, {"Lo", 0x1B132, 0x1B132}, {"Lo", 0x1B155, 0x1B155},
    {"Lo", 0x1E4D0, 0x1E4EA}, {"Lo", 0x1E5D0, 0x1E5ED}, {"Lo", 0x1E5F0, 0x1E5F0}, {"Lo", 0x2B739, 0x2B739},
    {"Lo", 0x2EBF0, 0x2EE5D}, {"Lo", 0x31350, 0x323AF}, {"M", 0x897, 0x897}, {"M", 0xCF3, 0xCF3},
    {"M", 0xECE, 0xECE}, {"M", 0x10D69, 0x10D6D}, {"M", 0x10EFC, 0x10EFF}, {"M", 0x11241, 0x11241},
    {"M", 0x113B8, 0x113C0}, {"M", 0x113C2, 0x113C2}, {"M", 0x113C5, 0x113C5}, {"M", 0x113C7, 0x113CA},
    {"M", 0x113CC, 0x113D0}, {"M", 0x113D2, 0x113D2}, {"M", 0x113E1, 0x113E2}, {"M", 0x11F00, 0x11F01},
    {"M", 0x11F03, 0x11F03}, {"M", 0x11F34, 0x11F3A}, {"M", 0x11F3E, 0x11F42}, {"M", 0x11F5A, 0x11F5A},
    {"M", 0x13440, 0x13440}, {"M", 0x13447, 0x13455}, {"M", 0x1611E, 0x1612F}, {"M", 0x1E08F, 0x1E08F},
    {"M", 0x1E4EC, 0x1E4EF}, {"M", 0x1E5EE, 0x1E5EF}, {"N", 0x10D40, 0x10D49}, {"N", 0x116D0, 0x116E3},
    {"N", 0x11BF0, 0x11BF9}, {"N", 0x11F50, 0x11F59}, {"N", 0x16130, 0x16139}, {"N", 0x16D70, 0x16D79},
    {"N", 0x1CCF0, 0x1CCF9}, {"N", 0x1D2C0, 0x1D2D3}, {"N", 0x1E4F0, 0x1E4F9}, {"N", 0x1E5F1, 0x1E5FA},
    {"P", 0x1B4E, 0x1B4F}, {"P", 0x1B7F, 0x1B7F}, {"P", 0x10D6E, 0x10D6E}, {"P", 0x113D4, 0x113D5},
    {"P", 0x113D7, 0x113D8}, {"P", 0x11B00, 0x11B09}, {"P", 0x11BE1, 0x11BE1}, {"P", 0x11F43, 0x11F4F},
    {"P", 0x16D6D, 0x16D6F}, {"P", 0x1E5FF, 0x1E5FF}, {"S", 0x2427, 0x2429}, {"S", 0x2FFC, 0x2FFF},
    {"S", 0x31E4, 0x31E5}, {"S", 0x31EF, 0x31EF}, {"S", 0x10D8E, 0x10D8F}, {"S", 0x1CC00, 0x1CCEF},
    {"S", 0x1CD00, 0x1CEB3}, {"S", 0x1F6DC, 0x1F6DC}, {"S", 0x1F774, 0x1F776}, {"S", 0x1F77B, 0x1F77F},
    {"S", 0x1F7D9, 0x1F7D9}, {"S", 0x1F8B2, 0x1F8BB}, {"S", 0x1F8C0, 0x1F8C1}, {"S", 0x1FA75, 0x1FA77},
    {"S", 0x1FA87, 0x1FA89}, {"S", 0x1FA8F, 0x1FA8F}, {"S", 0x1FAAD, 0x1FAAF}, {"S", 0x1FABB, 0x1FABF},
    {"S", 0x1FAC6, 0x1FAC6}, {"S", 0x1FACE, 0x1FACF}, {"S", 0x1FADA, 0x1FADC}, {"S", 0x1FADF, 0x1FADF},
    {"S", 0x1FAE8, 0x1FAE9}, {"S", 0x1FAF7, 0x1FAF8}, {"S", 0x1FBCB, 0x1FBEF},
    // clang-format on
};

constexpr std::string_view kSpaces = R"(\t-\r\x{85}\p{Z})";
constexpr std::string_view kWordCharacters = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})";

// The items of a set that stand for \p{category}: "L" takes in what "Lu" and the others add.
std::string ItemsOf(std::string_view category) {
  std::string items = fmt::format(R"(\p{{{}}})", category);
  for (const Addition& addition : kAdditions) {
    if (!std::string_view(addition.category).starts_with(category)) continue;
    fmt::format_to(std::back_inserter(items), R"(\x{{{:x}}}-\x{{{:x}}})", addition.first, addition.last);
  }
  return items;
}

// One walk over the pattern, copying it with the differences written out.
class Translator {
 public:
  explicit Translator(std::string_view pattern) : pattern_(pattern) {}
  Result<std::string> Run();

 private:
  void Escape();
  void Items(std::string_view items, bool negated);
  Status OpenSet();
  void CloseSet();
  void Outside(char c);
  void Interval();
  char Peek(size_t ahead = 0) const { return at_ + ahead < pattern_.size() ? pattern_[at_ + ahead] : '\0'; }

  std::string_view pattern_;
  std::string out_;
  size_t at_ = 0;
  int set_depth_ = 0;
  size_t atom_ = 0;             // where in out_ the last atom begins
  std::vector<size_t> groups_;  // the same for the open groups
};

Result<std::string> Translator::Run() {
  while (at_ < pattern_.size()) {
    const char c = Peek();
    if (c == '\\') {
      Escape();
    } else if (c == '[') {
      QUIRE_TRY(OpenSet());
    } else if (set_depth_ > 0 && c == ']') {
      CloseSet();
    } else if (set_depth_ > 0 && c == '&' && Peek(1) == '&') {
      return Fail(ErrorCode::kUnsupported, "the pattern {} intersects sets, which this build does not know",
                  Quoted(pattern_));
    } else if (set_depth_ > 0) {
      out_ += c;
      ++at_;
    } else {
      Outside(c);
    }
  }
  return out_;
}

void Translator::Escape() {
  if (set_depth_ == 0) atom_ = out_.size();
  const char c = Peek(1);
  if ((c == 'p' || c == 'P') && Peek(2) == '{') {
    const size_t close = pattern_.find('}', at_);
    if (close != std::string_view::npos) {
      std::string_view category = pattern_.substr(at_ + 3, close - at_ - 3);
      const bool negated = (c == 'P') != category.starts_with('^');
      if (category.starts_with('^')) category.remove_prefix(1);
      Items(ItemsOf(category), negated);
      at_ = close + 1;
      return;
    }
  }
  at_ += 2;
  switch (c) {
    case 's':
    case 'S':
      return Items(kSpaces, c == 'S');
    case 'w':
    case 'W':
      return Items(kWordCharacters, c == 'W');
    case 'h':
    case 'H':
      return Items("0-9A-Fa-f", c == 'H');
    default:
      out_ += '\\';
      if (c != '\0') out_ += c;
  }
}

// Inside a set a negated class has no items; PCRE2's own class stands in.
void Translator::Items(std::string_view items, bool negated) {
  if (set_depth_ == 0) {
    out_ += fmt::format("[{}{}]", negated ? "^" : "", items);
  } else if (!negated) {
    out_ += items;
  } else if (items == kSpaces) {
    out_ += R"(\S)";
  } else if (items == kWordCharacters) {
    out_ += R"(\W)";
  } else if (items.starts_with(R"(\p)")) {
    out_ += fmt::format(R"(\P{})", items.substr(2, items.find('}') - 1));
  } else {
    out_ += R"(\x00-/:-@G-`g-\x{10ffff})";
  }
}

Status Translator::OpenSet() {
  const bool negated = Peek(1) == '^';
  if (set_depth_ > 0 && Peek(1) == ':') {  // [[:alpha:]]
    const size_t close = pattern_.find(":]", at_);
    if (close != std::string_view::npos) {
      out_ += pattern_.substr(at_, close + 2 - at_);
      at_ = close + 2;
      return {};
    }
  }
  if (set_depth_ > 0 && negated) {
    return Fail(ErrorCode::kUnsupported,
                "the pattern {} has a negated set inside a set, which this build does not know",
                Quoted(pattern_));
  }
  if (set_depth_++ == 0) {
    atom_ = out_.size();
    out_ += negated ? "[^" : "[";
  }
  at_ += negated ? 2 : 1;
  if (Peek() == ']') {  // first in a set it is itself
    out_ += "\\]";
    ++at_;
  }
  return {};
}

void Translator::CloseSet() {
  if (--set_depth_ == 0) out_ += ']';
  ++at_;
}

void Translator::Outside(char c) {
  if (c == '{') return Interval();
  if (c == '(') groups_.push_back(out_.size());
  if (c == ')' && !groups_.empty()) {
    atom_ = groups_.back();
    groups_.pop_back();
  } else if (c != '*' && c != '+' && c != '?' && (c & 0xC0) != 0x80) {
    atom_ = out_.size();
  }
  out_ += c;
  ++at_;
}

void Translator::Interval() {
  const size_t close = pattern_.find('}', at_);
  const bool interval =
      close != std::string_view::npos && close > at_ + 1 &&
      pattern_.substr(at_ + 1, close - at_ - 1).find_first_not_of("0123456789,") == std::string_view::npos;
  if (!interval) {
    atom_ = out_.size();
    out_ += '{';
    ++at_;
    return;
  }
  out_ += pattern_.substr(at_, close + 1 - at_);
  at_ = close + 1;
  if (Peek() == '+') {
    out_.insert(atom_, "(?:");
    out_ += ')';
  }
}

}  // namespace

Result<std::string> ToPcre2(std::string_view pattern) { return Translator(pattern).Run(); }

}  // namespace quire

#include "quire/text/normalizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>

#include "quire/text/utf8.h"

namespace quire {
namespace {

using Kind = NormalizerStep::Kind;

// No tokenizer needs more, and a hostile one cannot make text grow without end.
constexpr size_t kMostSteps = 32;
constexpr size_t kMostContentBytes = 64;
constexpr size_t kMostGrowth = 16;

bool IsAscii(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

std::string NormalForm(const std::string& text, int options) {
  if (IsAscii(text)) return text;
  utf8proc_uint8_t* out = nullptr;
  const auto size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                 static_cast<utf8proc_ssize_t>(text.size()), &out,
                                 static_cast<utf8proc_option_t>(UTF8PROC_STABLE | options));
  if (size < 0) return text;
  std::string result(reinterpret_cast<const char*>(out), static_cast<size_t>(size));
  std::free(out);
  return result;
}

// Appends what `change` makes of every code point.
std::string ForEachCodePoint(std::string_view text, auto change) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const size_t length = std::max(1, CharacterLength(text));
    utf8proc_int32_t code_point = 0;
    utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                     static_cast<utf8proc_ssize_t>(length), &code_point);
    change(code_point, out);
    text.remove_prefix(length);
  }
  return out;
}

void AppendLowercase(utf8proc_int32_t c, std::string& out) {
  constexpr utf8proc_int32_t kCapitalIWithDot = 0x130;  // the one that becomes two
  if (c == kCapitalIWithDot) {
    out += "i\xCC\x87";
  } else {
    AppendUtf8(static_cast<uint32_t>(utf8proc_tolower(c)), out);
  }
}

void AppendWithoutAccent(utf8proc_int32_t c, std::string& out) {
  if (utf8proc_category(c) != UTF8PROC_CATEGORY_MN) AppendUtf8(static_cast<uint32_t>(c), out);
}

std::string ReplaceText(std::string_view text, const std::string& from, const std::string& to) {
  if (from.empty()) return std::string(text);
  std::string out;
  out.reserve(text.size() + text.size() / 4);
  for (size_t at; (at = text.find(from)) != std::string_view::npos;) {
    out.append(text.substr(0, at)).append(to);
    text.remove_prefix(at + from.size());
  }
  return out.append(text);
}

std::string ReplaceMatches(const std::string& text, const Regex& pattern, const std::string& to) {
  std::string out;
  size_t done = 0;
  const Regex::MemoryPtr memory = Regex::NewMemory();
  pattern.ForEachMatch(text, *memory, [&](size_t begin, size_t end) {
    out.append(text, done, begin - done).append(to);
    done = end;
  });
  return out.append(text, done);
}

std::string StripLeft(std::string text) {
  while (const size_t length = SpaceAtStart(text)) text.erase(0, length);
  return text;
}

std::string StripRight(std::string text) {
  while (const size_t length = SpaceAtEnd(text)) text.resize(text.size() - length);
  return text;
}

}  // namespace

Result<Normalizer> Normalizer::Compile(std::vector<NormalizerStep> steps) {
  Normalizer normalizer;
  if (steps.size() > kMostSteps) {
    return Fail(ErrorCode::kUnsupported, "the normalizer has {} steps; expected at most {}", steps.size(),
                kMostSteps);
  }
  for (const NormalizerStep& step : steps) {
    if (step.content.size() > kMostContentBytes) {
      return Fail(ErrorCode::kUnsupported, "the normalizer puts in {} bytes; expected at most {}",
                  step.content.size(), kMostContentBytes);
    }
    if (step.kind != Kind::kReplace || step.literal) continue;
    QUIRE_ASSIGN(Regex pattern, Regex::Compile(step.pattern));
    normalizer.patterns_.push_back(std::move(pattern));
  }
  normalizer.steps_ = std::move(steps);
  return normalizer;
}

std::string Normalizer::Apply(std::string_view input) const {
  std::string text(input);
  const size_t most_bytes = (input.size() + kMostContentBytes) * kMostGrowth;
  auto pattern = patterns_.begin();
  for (const NormalizerStep& step : steps_) {
    if (text.size() > most_bytes) break;
    switch (step.kind) {
      case Kind::kNfc:
        text = NormalForm(text, UTF8PROC_COMPOSE);
        break;
      case Kind::kNfd:
        text = NormalForm(text, UTF8PROC_DECOMPOSE);
        break;
      case Kind::kNfkc:
        text = NormalForm(text, UTF8PROC_COMPOSE | UTF8PROC_COMPAT);
        break;
      case Kind::kNfkd:
        text = NormalForm(text, UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT);
        break;
      case Kind::kLowercase:
        text = ForEachCodePoint(text, AppendLowercase);
        break;
      case Kind::kStripAccents:
        text = ForEachCodePoint(text, AppendWithoutAccent);
        break;
      case Kind::kStripLeft:
        text = StripLeft(std::move(text));
        break;
      case Kind::kStripRight:
        text = StripRight(std::move(text));
        break;
      case Kind::kPrepend:
        if (!text.empty()) text = step.content + text;
        break;
      case Kind::kReplace:
        text = step.literal ? ReplaceText(text, step.pattern, step.content)
                            : ReplaceMatches(text, *pattern++, step.content);
        break;
    }
  }
  return text;
}

}  // namespace quire

#include "quire/text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>

#include "quire/files/quoted.h"
#include "quire/text/regex_syntax.h"

namespace quire {
namespace {

// Backtracking beyond this is no word of any language: the rest of the text is one piece.
constexpr uint32_t kMatchLimit = 20'000'000;
constexpr uint32_t kHeapLimitKib = 64 * 1024;  // of the interpreter
constexpr size_t kFirstStackBytes = 32 * 1024;
constexpr size_t kMostStackBytes = 4 * 1024 * 1024;  // of machine code

}  // namespace

class Regex::Memory {
 public:
  Memory()
      : match_(pcre2_match_data_create(1, nullptr)),
        context_(pcre2_match_context_create(nullptr)),
        stack_(pcre2_jit_stack_create(kFirstStackBytes, kMostStackBytes, nullptr)) {
    pcre2_set_match_limit(context_, kMatchLimit);
    pcre2_set_heap_limit(context_, kHeapLimitKib);
    pcre2_jit_stack_assign(context_, nullptr, stack_);
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() {
    pcre2_match_data_free(match_);
    pcre2_match_context_free(context_);
    pcre2_jit_stack_free(stack_);
  }

  // Whether `code` matches at or behind `start`, and then where.
  bool Search(const pcre2_code* code, std::string_view text, size_t start, size_t& begin, size_t& end) {
    const auto run = [&](uint32_t options) {
      return pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), start,
                         PCRE2_NO_UTF_CHECK | options, match_, context_);
    };
    int found = run(0);
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) found = run(PCRE2_NO_JIT);
    if (found < 0) return false;
    const size_t* ends = pcre2_get_ovector_pointer(match_);
    begin = ends[0];
    end = std::max(ends[0], ends[1]);  // \K in a lookahead can turn them around
    return true;
  }

 private:
  pcre2_match_data* match_;
  pcre2_match_context* context_;
  pcre2_jit_stack* stack_;
};

void Regex::FreeMemory::operator()(Memory* memory) const { delete memory; }
Regex::MemoryPtr Regex::NewMemory() { return MemoryPtr(new Memory()); }

void Regex::FreeCode::operator()(void* code) const { pcre2_code_free(static_cast<pcre2_code*>(code)); }

Result<Regex> Regex::Compile(std::string_view pattern) {
  QUIRE_ASSIGN(const std::string translated, ToPcre2(pattern));
  return CompileWith(translated, pattern, PCRE2_MULTILINE);  // in Ruby $ always ends a line
}

Result<Regex> Regex::Literal(std::string_view text) { return CompileWith(text, text, PCRE2_LITERAL); }

Result<Regex> Regex::CompileWith(std::string_view pattern, std::string_view shown, unsigned options) {
  int error = 0;
  size_t offset = 0;
  const bool literal = options == PCRE2_LITERAL;
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                   options | PCRE2_UTF | (literal ? 0 : PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C),
                                   &error, &offset, nullptr);
  if (code == nullptr) {
    PCRE2_UCHAR reason[128] = {};
    pcre2_get_error_message(error, reason, sizeof(reason));
    return Fail(ErrorCode::kCorrupt, "the pattern {} is no regular expression: {}", Quoted(shown),
                reinterpret_cast<const char*>(reason));
  }
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // refused on some systems: slower then, not wrong
  Regex regex;
  regex.code_.reset(code);
  return regex;
}

void Regex::ForEachMatch(std::string_view text, Memory& memory,
                         const std::function<void(size_t begin, size_t end)>& match) const {
  const auto* code = static_cast<const pcre2_code*>(code_.get());
  size_t last = std::string_view::npos;  // end of the last match
  for (size_t start = 0, begin = 0, end = 0; start <= text.size();) {
    if (!memory.Search(code, text, start, begin, end)) return;
    const bool empty = begin == end;
    if (!empty || last != end) {
      match(begin, end);
      last = end;
    }
    start = end;
    if (empty) {
      for (++start; start < text.size() && (text[start] & 0xC0) == 0x80;) ++start;
    }
  }
}

}  // namespace quire

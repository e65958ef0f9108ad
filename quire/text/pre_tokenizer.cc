#include "quire/text/pre_tokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>

namespace quire {
namespace {

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct FreeMatch {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
using Code = std::unique_ptr<pcre2_code, FreeCode>;

class RegexPreTokenizer final : public PreTokenizer {
 public:
  explicit RegexPreTokenizer(std::vector<Code> codes) : codes_(std::move(codes)) {}
  void Split(std::string_view text, const std::function<void(std::string_view)>& word) const override {
    SplitBy(0, text, word);
  }

 private:
  void SplitBy(size_t level, std::string_view text, const std::function<void(std::string_view)>& word) const {
    if (text.empty()) return;
    if (level == codes_.size()) return word(text);
    const std::unique_ptr<pcre2_match_data, FreeMatch> match(
        pcre2_match_data_create_from_pattern(codes_[level].get(), nullptr));
    size_t done = 0, at = 0;
    while (at < text.size()) {
      const int rc = pcre2_match(codes_[level].get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                                 at, PCRE2_NO_UTF_CHECK, match.get(), nullptr);
      if (rc <= 0) break;
      const size_t* ends = pcre2_get_ovector_pointer(match.get());
      if (ends[1] == ends[0]) break;
      SplitBy(level + 1, text.substr(done, ends[0] - done), word);
      SplitBy(level + 1, text.substr(ends[0], ends[1] - ends[0]), word);
      done = at = ends[1];
    }
    SplitBy(level + 1, text.substr(done), word);
  }
  std::vector<Code> codes_;
};

constexpr const char* kGpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr const char* kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

struct Row {
  std::string_view name;
  std::vector<std::string> patterns;
};

}  // namespace

Result<std::unique_ptr<PreTokenizer>> PreTokenizer::Named(std::string_view name) {
  const std::vector<Row> rows = {{"default", {kGpt2}},
                                 {"gpt-2", {kGpt2}},
                                 {"llama-bpe", {kLlama3}},
                                 {"qwen2", {kQwen2}},
                                 {"smollm", {R"(\p{N})", kGpt2}}};
  for (const Row& row : rows) {
    if (row.name == name) return FromPatterns(row.patterns);
  }
  return Fail(ErrorCode::kUnsupported, "tokenizer.ggml.pre is '{}', which this build does not know", name);
}

Result<std::unique_ptr<PreTokenizer>> PreTokenizer::FromPatterns(const std::vector<std::string>& patterns) {
  std::vector<Code> codes;
  for (const std::string& pattern : patterns) {
    int error = 0;
    size_t offset = 0;
    Code code(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                            PCRE2_UTF | PCRE2_UCP, &error, &offset, nullptr));
    if (!code)
      return Fail(ErrorCode::kCorrupt, "the pre-tokenizer's pattern is no regular expression (at {})",
                  offset);
    pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);
    codes.push_back(std::move(code));
  }
  return std::make_unique<RegexPreTokenizer>(std::move(codes));
}

}  // namespace quire

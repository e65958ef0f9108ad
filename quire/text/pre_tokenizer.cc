#include "quire/text/pre_tokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/ranges.h>
#include <pcre2.h>

#include <algorithm>
#include <map>

namespace quire {
namespace {

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct FreeMatch {
  void operator()(pcre2_match_data* match) const { pcre2_match_data_free(match); }
};
struct FreeContext {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};
using Code = std::unique_ptr<pcre2_code, FreeCode>;

// Backtracking beyond this is no word of any language: the rest of the text is taken as it is.
constexpr uint32_t kMatchLimit = 50'000'000;

class RegexPreTokenizer final : public PreTokenizer {
 public:
  explicit RegexPreTokenizer(std::vector<Code> codes)
      : codes_(std::move(codes)), context_(pcre2_match_context_create(nullptr)) {
    pcre2_set_match_limit(context_.get(), kMatchLimit);
  }

  void Split(std::string_view text, const std::function<void(std::string_view)>& word) const override {
    SplitFrom(0, text, word);
  }

 private:
  void SplitFrom(size_t level, std::string_view text,
                 const std::function<void(std::string_view)>& word) const {
    if (text.empty()) return;
    if (level == codes_.size()) return word(text);
    pcre2_code* code = codes_[level].get();
    const std::unique_ptr<pcre2_match_data, FreeMatch> match(pcre2_match_data_create(1, nullptr));
    const size_t* ends = pcre2_get_ovector_pointer(match.get());
    size_t done = 0;
    while (done < text.size()) {
      const int found = pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), done,
                                    PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY, match.get(), context_.get());
      if (found < 0) break;
      const size_t begin = ends[0], end = ends[1];
      SplitFrom(level + 1, text.substr(done, begin - done), word);
      SplitFrom(level + 1, text.substr(begin, end - begin), word);
      done = end;
    }
    SplitFrom(level + 1, text.substr(done), word);
  }

  std::vector<Code> codes_;
  std::unique_ptr<pcre2_match_context, FreeContext> context_;
};

#define QUIRE_CONTRACTIONS "'s|'t|'re|'ve|'m|'ll|'d"
#define QUIRE_SPACES R"(\s*[\r\n]+|\s+(?!\S)|\s+)"
#define QUIRE_UPPER R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])"
#define QUIRE_LOWER R"([\p{Ll}\p{Lm}\p{Lo}\p{M}])"

constexpr const char* kGpt2 = QUIRE_CONTRACTIONS R"(| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr const char* kLlama3 =
    "(?i:" QUIRE_CONTRACTIONS
    R"()|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|)" QUIRE_SPACES;
constexpr const char* kQwen2 =
    "(?i:" QUIRE_CONTRACTIONS R"()|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)" QUIRE_SPACES;
constexpr const char* kGpt4o =
    R"([^\r\n\p{L}\p{N}]?)" QUIRE_UPPER "*" QUIRE_LOWER "+(?i:" QUIRE_CONTRACTIONS
    R"()?|[^\r\n\p{L}\p{N}]?)" QUIRE_UPPER "+" QUIRE_LOWER "*(?i:" QUIRE_CONTRACTIONS
    R"()?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|)" QUIRE_SPACES;
constexpr const char* kTekken =
    R"([^\r\n\p{L}\p{N}]?)" QUIRE_UPPER "*" QUIRE_LOWER R"(+|[^\r\n\p{L}\p{N}]?)" QUIRE_UPPER "+" QUIRE_LOWER
    R"(*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|)" QUIRE_SPACES;
constexpr const char* kHan = R"([\x{4e00}-\x{9fa5}\x{0800}-\x{4e00}\x{ac00}-\x{d7ff}]+)";
constexpr const char* kAsciiPunctuation = R"([\p{P}\$\+<=>\^~\|`]+)";

std::vector<PreTokenizerRow> MakeRows() {
  const std::vector<std::string> digits_gpt2 = {R"(\p{N})", kGpt2};
  const std::vector<std::string> deepseek_v3 = {
      R"(\p{N}{1,3})", R"([\x{4e00}-\x{9fa5}\x{3040}-\x{309f}\x{30a0}-\x{30ff}]+)",
      R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|)" QUIRE_SPACES};
  return {
      {"command-r", digits_gpt2},
      {"dbrx", {kLlama3}},
      {"deepseek-coder", {R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)", kHan, R"(\p{N})"}},
      {"deepseek-llm",
       {R"([\r\n])", R"(\s?[\p{Latin}\p{Greek}\p{Cyrillic}\p{Armenian}\p{Georgian}]+)",
        R"(\s?[!-/:-~\x{ff01}-\x{ff0f}\x{ff1a}-\x{ff5e}\x{2018}-\x{201f}\x{3000}-\x{3002}]+)", R"(\s+$)",
        kHan, R"(\p{N}+)"}},
      {"deepseek-r1-qwen", {kQwen2}},
      {"deepseek-v3", deepseek_v3},
      {"default", {kGpt2}},
      {"exaone", digits_gpt2},
      {"falcon", {kAsciiPunctuation, kGpt2, "[0-9][0-9][0-9]"}},
      {"falcon3", {kLlama3}, true},
      {"gpt-2", {kGpt2}},
      {"gpt-4o", {kGpt4o}},
      {"llama-bpe", {kLlama3}, true},
      {"llama-v3", {kLlama3}, true},
      {"llama3", {kLlama3}, true},
      {"llama4", {kGpt4o}},
      {"mpt", {kGpt2}},
      {"olmo", {kGpt2}},
      {"phi-2", {kGpt2}},
      {"qwen2", {kQwen2}, false, true},
      {"refact", digits_gpt2},
      {"smaug-bpe", {kLlama3}},
      {"smollm", digits_gpt2},
      {"stablelm2", {kQwen2}},
      {"starcoder", digits_gpt2},
      {"tekken", {kTekken}, true},
  };
}

std::span<const PreTokenizerRow> Rows() {
  static const std::vector<PreTokenizerRow> rows = MakeRows();
  return rows;
}

}  // namespace

const char* const kGpt2Pattern = kGpt2;

const PreTokenizerRow* FindPreTokenizer(std::string_view name) {
  const auto row = std::ranges::find(Rows(), name, &PreTokenizerRow::name);
  return row == Rows().end() ? nullptr : &*row;
}

std::string KnownPreTokenizers() {
  std::vector<std::string_view> names;
  for (const PreTokenizerRow& row : Rows()) names.push_back(row.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

Result<std::unique_ptr<PreTokenizer>> PreTokenizer::Compile(std::span<const std::string> patterns) {
  std::vector<Code> codes;
  for (const std::string& pattern : patterns) {
    int error = 0;
    size_t offset = 0;
    Code code(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                            PCRE2_UTF | PCRE2_UCP, &error, &offset, nullptr));
    if (!code) {
      return Fail(ErrorCode::kCorrupt,
                  "the pre-tokenizer pattern '{}' is no regular expression (at character {})", pattern,
                  offset);
    }
    pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);  // without it matching is slower, not wrong
    codes.push_back(std::move(code));
  }
  return std::make_unique<RegexPreTokenizer>(std::move(codes));
}

}  // namespace quire

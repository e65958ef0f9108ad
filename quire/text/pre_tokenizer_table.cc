// The pre-tokenizers that GGUF files name: for each the steps of the original model's tokenizer.json.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <span>

#include "quire/text/pre_tokenizer.h"

namespace quire {
namespace {

#define QUIRE_CONTRACTIONS "'s|'t|'re|'ve|'m|'ll|'d"
#define QUIRE_SPACES R"(\s*[\r\n]+|\s+(?!\S)|\s+)"
#define QUIRE_UPPER R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])"
#define QUIRE_LOWER R"([\p{Ll}\p{Lm}\p{Lo}\p{M}])"

constexpr const char* kLlama3 =
    "(?i:" QUIRE_CONTRACTIONS
    R"()|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|)" QUIRE_SPACES;
constexpr const char* kQwen2 =
    "(?i:" QUIRE_CONTRACTIONS R"()|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)" QUIRE_SPACES;
constexpr const char* kQwen35 =
    "(?i:" QUIRE_CONTRACTIONS
    R"()|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|)" QUIRE_SPACES;
constexpr const char* kGpt4o =
    R"([^\r\n\p{L}\p{N}]?)" QUIRE_UPPER "*" QUIRE_LOWER "+(?i:" QUIRE_CONTRACTIONS
    R"()?|[^\r\n\p{L}\p{N}]?)" QUIRE_UPPER "+" QUIRE_LOWER "*(?i:" QUIRE_CONTRACTIONS
    R"()?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|)" QUIRE_SPACES;
constexpr const char* kTekken =
    R"([^\r\n\p{L}\p{N}]?)" QUIRE_UPPER "*" QUIRE_LOWER R"(+|[^\r\n\p{L}\p{N}]?)" QUIRE_UPPER "+" QUIRE_LOWER
    R"(*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|)" QUIRE_SPACES;
constexpr const char* kBailing =
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)";
constexpr const char* kSeedCoder =
    "(?i:" QUIRE_CONTRACTIONS R"()|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|)" QUIRE_SPACES;
constexpr const char* kBloom = R"( ?[^(\s|.,!?…。，、।۔،)]+)";
constexpr const char* kDeepSeekV3 =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)"
    R"(| ?[\p{P}\p{S}]+[\r\n]*|)" QUIRE_SPACES;
constexpr const char* kKana = R"([\x{4e00}-\x{9fa5}\x{3040}-\x{309f}\x{30a0}-\x{30ff}]+)";
constexpr const char* kHan = R"([\x{4e00}-\x{9fa5}\x{0800}-\x{4e00}\x{ac00}-\x{d7ff}]+)";
// The cased letters of DeepSeek LLM, written out in its tokenizer.json.
constexpr const char* kDeepSeekLetters =
    R"(\s?[)"
    R"(A-Za-z\x{b5}\x{c0}-\x{d6}\x{d8}-\x{f6}\x{f8}-\x{1ba}\x{1bc}-\x{1bf}\x{1c4}-\x{293})"
    R"(\x{295}-\x{2af}\x{370}-\x{373}\x{376}\x{377}\x{37b}-\x{37d}\x{37f}\x{386}\x{388}-\x{38a}\x{38c})"
    R"(\x{38e}-\x{3a1}\x{3a3}-\x{3f5}\x{3f7}-\x{481}\x{48a}-\x{52f}\x{531}-\x{556}\x{10a0}-\x{10c5})"
    R"(\x{13a0}-\x{13f5}\x{13f8}-\x{13fd}\x{1c90}-\x{1cba}\x{1cbd}-\x{1cbf}\x{1d00}-\x{1d2b})"
    R"(\x{1d6b}-\x{1d77}\x{1d79}-\x{1d9a}\x{1e00}-\x{1f15}\x{1f18}-\x{1f1d}\x{1f20}-\x{1f45})"
    R"(\x{1f48}-\x{1f4d}\x{1f50}-\x{1f57}\x{1f59}\x{1f5b}\x{1f5d}\x{1f5f}-\x{1f7d}\x{1f80}-\x{1fb4})"
    R"(\x{1fb6}-\x{1fbc}\x{1fbe}\x{1fc2}-\x{1fc4}\x{1fc6}-\x{1fcc}\x{1fd0}-\x{1fd3}\x{1fd6}-\x{1fdb})"
    R"(\x{1fe0}-\x{1fec}\x{1ff2}-\x{1ff4}\x{1ff6}-\x{1ffc}\x{2102}\x{2107}\x{210a}-\x{2113}\x{2115})"
    R"(\x{2119}-\x{211d}\x{2124}\x{2126}\x{2128}\x{212a}-\x{212d}\x{212f}-\x{2134}\x{2139})"
    R"(\x{213c}-\x{213f}\x{2145}-\x{2149}\x{214e}\x{2183}\x{2184}\x{2c00}-\x{2c7b}\x{2c7e}-\x{2ce4})"
    R"(\x{2ceb}-\x{2cee}\x{2cf2}\x{2cf3}\x{a640}-\x{a66d}\x{a680}-\x{a69b}\x{a722}-\x{a76f})"
    R"(\x{a771}-\x{a787}\x{a78b}-\x{a78e}\x{ab70}-\x{abbf}\x{fb00}-\x{fb06}\x{fb13}-\x{fb17})"
    R"(\x{ff21}-\x{ff3a}\x{ff41}-\x{ff5a}\x{10400}-\x{1044f}\x{104b0}-\x{104d3}\x{104d8}-\x{104fb})"
    R"(\x{10c80}-\x{10cb2}\x{10cc0}-\x{10cf2}\x{118a0}-\x{118df}\x{1e900}-\x{1e943})"
    R"(]+)";
constexpr const char* kDeepSeekPunctuation =
    R"(\s?[!-/:-~\x{ff01}-\x{ff0f}\x{ff1a}-\x{ff5e}\x{2018}-\x{201f}\x{3000}-\x{3002}]+)";
// The same as \s+$, without trying every space of a run that does not end the line.
constexpr const char* kSpacesAtEnd = R"((?<!\s)\s++$)";

using Steps = std::vector<PreTokenizerStep>;

SplitStep Match(const char* pattern) { return {.pattern = pattern}; }
// What the expressions have cut stays bytes.
Steps Bytes(std::initializer_list<const char*> patterns) {
  Steps steps;
  for (const char* pattern : patterns) steps.emplace_back(Match(pattern));
  steps.emplace_back(ByteLevelStep{.use_regex = false});
  return steps;
}

std::vector<PreTokenizerRow> MakeRows() {
  const Steps gpt2 = {ByteLevelStep{}};
  const Steps digits_gpt2 = {Match(R"(\p{N})"), ByteLevelStep{}};
  const Steps llama3 = Bytes({kLlama3});
  const Steps qwen2 = Bytes({kQwen2});
  const Steps gpt4o = Bytes({kGpt4o});
  const Steps deepseek_v3 = Bytes({R"(\p{N}{1,3})", kKana, kDeepSeekV3});
  // The numbers are looked for in the byte alphabet, as the original does.
  const Steps falcon = {SplitStep{.pattern = kPunctuationPattern, .behavior = SplitBehavior::kContiguous},
                        ByteLevelStep{}, Match(R"(\p{N}+)"), Match("[0-9][0-9][0-9]")};
  return {
      {.name = "a.x-4.0", .steps = gpt2},
      {.name = "bailingmoe", .steps = Bytes({kBailing})},
      {.name = "bailingmoe2", .steps = Bytes({kBailing})},
      {.name = "bloom", .steps = Bytes({kBloom})},
      {.name = "chatglm-bpe", .steps = llama3},
      {.name = "codeshell", .steps = digits_gpt2},
      {.name = "command-r", .steps = digits_gpt2, .nfc = true},
      {.name = "dbrx", .steps = llama3},
      {.name = "deepseek-coder",
       .steps = Bytes({R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)", kHan, R"(\p{N})"})},
      {.name = "deepseek-llm",
       .steps = Bytes({R"([\r\n])", kDeepSeekLetters, kDeepSeekPunctuation, kSpacesAtEnd, kHan, R"(\p{N})"})},
      {.name = "deepseek-r1-qwen", .steps = qwen2, .nfc = true},
      {.name = "deepseek-v3", .steps = deepseek_v3},
      {.name = "default", .steps = gpt2},
      {.name = "exaone", .steps = digits_gpt2},
      {.name = "exaone4", .steps = gpt2},
      {.name = "falcon", .steps = falcon},
      {.name = "falcon-h1", .steps = llama3, .ignore_merges = true, .add_bos = true},
      {.name = "falcon3", .steps = llama3, .ignore_merges = true, .add_bos = true},
      {.name = "gigachat", .steps = gpt2},
      {.name = "glm4", .steps = llama3},
      {.name = "gpt-2", .steps = gpt2},
      {.name = "gpt-4o", .steps = gpt4o},
      {.name = "gpt3-finnish", .steps = Bytes({kBloom})},
      {.name = "granite-docling", .steps = gpt2},
      {.name = "grok-2", .steps = qwen2},
      {.name = "hunyuan", .steps = qwen2},
      {.name = "hunyuan-dense", .steps = deepseek_v3},
      {.name = "jais", .steps = gpt2},
      {.name = "kanana2", .steps = gpt4o},
      {.name = "lfm2", .steps = llama3, .ignore_merges = true, .add_bos = true},
      {.name = "llada-moe", .steps = Bytes({kBailing})},
      {.name = "llama-bpe", .steps = llama3, .ignore_merges = true, .add_bos = true},
      {.name = "llama-v3", .steps = llama3, .ignore_merges = true, .add_bos = true},
      {.name = "llama3", .steps = llama3, .ignore_merges = true, .add_bos = true},
      {.name = "llama4", .steps = gpt4o},
      {.name = "megrez", .steps = qwen2},
      {.name = "mellum", .steps = gpt2},
      {.name = "mellum2", .steps = digits_gpt2},
      {.name = "midm-2.0", .steps = llama3, .ignore_merges = true, .add_bos = true},
      {.name = "minerva-7b", .steps = digits_gpt2},
      {.name = "minimax-m2", .steps = gpt4o},
      {.name = "mpt", .steps = gpt2, .nfc = true},
      {.name = "olmo", .steps = gpt2, .nfc = true},
      {.name = "phi-2", .steps = gpt2},
      {.name = "pixtral", .steps = llama3, .ignore_merges = true, .add_bos = true},
      {.name = "poro-chat", .steps = Bytes({kBloom})},
      {.name = "qwen2", .steps = qwen2, .nfc = true},
      {.name = "qwen35", .steps = Bytes({kQwen35}), .nfc = true},
      {.name = "refact", .steps = digits_gpt2},
      {.name = "roberta-bpe", .steps = gpt2},
      {.name = "seed-coder", .steps = Bytes({kSeedCoder})},
      {.name = "smaug-bpe", .steps = llama3},
      {.name = "smollm", .steps = digits_gpt2},
      {.name = "stablelm2", .steps = qwen2},
      {.name = "starcoder", .steps = digits_gpt2},
      {.name = "superbpe", .steps = Bytes({R"(\p{N}+)", R"((?=(\d{3})+(?!\d)))"})},
      {.name = "tekken", .steps = Bytes({kTekken}), .ignore_merges = true, .add_bos = true},
      {.name = "trillion", .steps = gpt2},
      {.name = "viking", .steps = Bytes({kBloom, R"(\p{N})"})},
  };
}

std::span<const PreTokenizerRow> Rows() {
  static const std::vector<PreTokenizerRow> rows = MakeRows();
  return rows;
}

}  // namespace

// Punctuation of an older Unicode, and what ASCII has besides.
const char* const kPunctuationPattern =
    R"((?:(?![)"
    R"(\x{61d}\x{9fd}\x{a76}\x{c77}\x{c84}\x{1b4e}-\x{1b4f}\x{1b7d}-\x{1b7f}\x{2e43}-\x{2e4f})"
    R"(\x{2e52}-\x{2e5d}\x{10d6e}\x{10ead}\x{10f55}-\x{10f59}\x{10f86}-\x{10f89}\x{113d4}-\x{113d5})"
    R"(\x{113d7}-\x{113d8}\x{1144b}-\x{1144f}\x{1145a}-\x{1145b}\x{1145d}\x{11660}-\x{1166c}\x{116b9})"
    R"(\x{1183b}\x{11944}-\x{11946}\x{119e2}\x{11a3f}-\x{11a46}\x{11a9a}-\x{11a9c}\x{11a9e}-\x{11aa2})"
    R"(\x{11b00}-\x{11b09}\x{11be1}\x{11c41}-\x{11c45}\x{11c70}-\x{11c71}\x{11ef7}-\x{11ef8})"
    R"(\x{11f43}-\x{11f4f}\x{11fff}\x{12ff1}-\x{12ff2}\x{16d6d}-\x{16d6f}\x{16e97}-\x{16e9a}\x{16fe2})"
    R"(\x{1e5ff}\x{1e95e}-\x{1e95f})"
    R"(])[!-/:-@\[-`{-~\p{P}\x{166d}\x{111c9}]))";

const PreTokenizerRow* FindPreTokenizer(std::string_view name) {
  const auto row = std::ranges::find(Rows(), name, &PreTokenizerRow::name);
  return row == Rows().end() ? nullptr : &*row;
}

std::string KnownPreTokenizers() {
  std::vector<std::string_view> names;
  for (const PreTokenizerRow& row : Rows()) names.push_back(row.name);
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace quire

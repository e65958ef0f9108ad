// Any bytes as the tokenizer of a model, GGUF metadata or tokenizer.json: an error in one line, or a
// tokenizer that encodes any text and decodes any token.
#include <span>
#include <string>

#include "fuzz/fuzz_checks.h"
#include "quire/files/gguf.h"
#include "quire/files/json_text.h"
#include "quire/text/tokenizer_spec.h"

namespace quire {
namespace {

constexpr char kFile[] = "fuzz.model";

Result<TokenizerSpec> ReadSpec(std::string_view bytes) {
  if (bytes.starts_with("GGUF")) {
    QUIRE_ASSIGN(const GgufFile file, GgufFile::Parse(std::as_bytes(std::span(bytes)), kFile));
    return TokenizerSpecFromGguf(file.metadata, kFile);
  }
  QUIRE_ASSIGN(nlohmann::json tokenizer, ParseJson(bytes, kFile));
  // The small files beside tokenizer.json come from the same hands: fields of the same object.
  const auto part = [&](const char* key) {
    return tokenizer.is_object() && tokenizer.contains(key) ? tokenizer[key] : nlohmann::json();
  };
  TokenizerJsonFiles files{tokenizer, part("tokenizer_config"), part("generation_config"), part("config")};
  return TokenizerSpecFromJson(files, kFile);
}

void CheckTokens(const Tokenizer& tokenizer, std::string_view text, const EncodeOptions& options) {
  const std::vector<Token> tokens = tokenizer.Encode(text, options);
  for (const Token token : tokens) QUIRE_CHECK(token >= 0 && token < tokenizer.vocab_size());
  tokenizer.Decode(tokens, true);
  tokenizer.Decode(tokens, false);
}

void CheckTokenizer(const Tokenizer& tokenizer, std::string_view text) {
  for (const std::string_view part : {text, std::string_view(" ab<|end|> \n\xff\xe2\x96\x81 1234")}) {
    CheckTokens(tokenizer, part, {});
    CheckTokens(tokenizer, part, {.parse_special = true});
    for (const size_t at : tokenizer.SpecialTextAt(part)) QUIRE_CHECK(at < part.size());
  }
  for (Token token = -1; token <= tokenizer.vocab_size(); ++token) tokenizer.TokenBytes(token, true);
  for (const auto token : {tokenizer.bos(), tokenizer.eos()}) {
    QUIRE_CHECK(!token || (*token >= 0 && *token < tokenizer.vocab_size()));
  }
}

}  // namespace
}  // namespace quire

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  auto spec = quire::ReadSpec(bytes);
  if (!spec) {
    quire::CheckMessage(spec.error(), "");
    return 0;
  }
  const auto tokenizer = quire::MakeTokenizer(std::move(*spec));
  if (tokenizer) {
    constexpr size_t kText = 512;
    quire::CheckTokenizer(**tokenizer, bytes.substr(size - std::min(size, kText)));
  } else {
    quire::CheckMessage(tokenizer.error(), quire::kFile);
  }
  return 0;
}

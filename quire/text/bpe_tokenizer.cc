// Text on its way to tokens: added tokens are found in the text as it is; what lies between them is
// normalised, searched for those added tokens that are meant for normalised text, cut into words, and merged.
#include <algorithm>
#include <string>

#include "quire/text/added_tokens.h"
#include "quire/text/bpe_model.h"
#include "quire/text/byte_alphabet.h"
#include "quire/text/tokenizer_spec.h"
#include "quire/text/utf8.h"

namespace quire {
namespace {

class BpeTokenizer final : public Tokenizer {
 public:
  static Result<std::unique_ptr<Tokenizer>> Build(TokenizerSpec spec);

  std::vector<Token> Encode(std::string_view text, const EncodeOptions& options) const override;
  std::vector<size_t> SpecialTextAt(std::string_view text) const override;
  std::string TokenBytes(Token token, bool special) const override;
  std::string Decode(std::span<const Token> tokens, bool skip_special) const override;
  bool strips_leading_space() const override { return strips_leading_space_; }
  int vocab_size() const override { return static_cast<int>(kinds_.size()); }
  bool IsSpecial(Token token) const override {
    return token >= 0 && token < vocab_size() && kinds_[token] == PieceKind::kControl;
  }
  std::optional<Token> Find(std::string_view piece) const override;
  std::optional<Token> bos() const override { return bos_; }
  std::optional<Token> eos() const override { return eos_; }
  const std::vector<Token>& stop_tokens() const override { return stop_tokens_; }

 private:
  // One call of Encode.
  struct Encoding {
    const BpeTokenizer& owner;
    const EncodeOptions& options;
    std::string_view whole;
    std::vector<Token> out = {};
    BpeModel::Memory memory = {};

    void AddText();
    void AddNormalised(std::string_view text, bool special, bool first);
    bool AcceptsSpecial(std::string_view text) const;
    void AddWords(std::string_view text, bool first);
  };

  BpeTokenizer(BpeModel model, Normalizer normalizer, PreTokenizer pre_tokenizer)
      : model_(std::move(model)),
        normalizer_(std::move(normalizer)),
        pre_tokenizer_(std::move(pre_tokenizer)) {}
  void AddShownBytes(const TokenizerSpec& spec);
  void AddAddedTokens(std::vector<TokenizerSpec::Added> added);

  BpeModel model_;
  Normalizer normalizer_;
  PreTokenizer pre_tokenizer_;
  AddedTokens added_;             // looked for in the text as it is
  AddedTokens normalised_added_;  // and in normalised text
  bool byte_level_ = false;
  std::vector<PieceKind> kinds_;  // by token
  std::string shown_;             // what the tokens add to the output, one after the other
  std::vector<uint32_t> shown_begin_;
  bool strips_leading_space_ = false;
  std::vector<Token> prefix_, suffix_, stop_tokens_;
  std::optional<Token> bos_, eos_;
};

// Patterns come from the same file as the rest.
std::unexpected<Error> InFile(const TokenizerSpec& spec, Error error) {
  return std::unexpected(Error{error.code, spec.source + ": " + error.message});
}

Result<std::unique_ptr<Tokenizer>> BpeTokenizer::Build(TokenizerSpec spec) {
  QUIRE_ASSIGN(BpeModel model, BpeModel::Build(spec));
  auto normalizer = Normalizer::Compile(std::move(spec.normalizer));
  if (!normalizer) return InFile(spec, std::move(normalizer).error());
  auto pre_tokenizer = PreTokenizer::Compile(std::move(spec.pre_tokenizer));
  if (!pre_tokenizer) return InFile(spec, std::move(pre_tokenizer).error());

  std::unique_ptr<BpeTokenizer> tokenizer(
      new BpeTokenizer(std::move(model), std::move(*normalizer), std::move(*pre_tokenizer)));
  tokenizer->byte_level_ = spec.byte_level;
  tokenizer->AddShownBytes(spec);
  tokenizer->AddAddedTokens(std::move(spec.added));
  tokenizer->strips_leading_space_ = spec.strips_leading_space;
  tokenizer->prefix_ = std::move(spec.prefix);
  tokenizer->suffix_ = std::move(spec.suffix);
  tokenizer->stop_tokens_ = std::move(spec.stop_tokens);
  tokenizer->bos_ = spec.bos;
  tokenizer->eos_ = spec.eos;
  return tokenizer;
}

void AppendWithSpaces(std::string_view text, std::string& out) {
  for (size_t at; (at = text.find(kSpaceMark)) != std::string_view::npos;) {
    out.append(text.substr(0, at)).append(1, ' ');
    text.remove_prefix(at + kSpaceMark.size());
  }
  out.append(text);
}

void BpeTokenizer::AddShownBytes(const TokenizerSpec& spec) {
  kinds_.reserve(spec.pieces.size());
  shown_begin_.reserve(spec.pieces.size() + 1);
  for (const VocabularyPiece& piece : spec.pieces) {
    kinds_.push_back(piece.kind);
    shown_begin_.push_back(static_cast<uint32_t>(shown_.size()));
    const bool added = piece.kind == PieceKind::kAdded || piece.kind == PieceKind::kControl;
    const int byte = piece.kind == PieceKind::kByte ? ByteOfPiece(piece.text) : -1;
    if (byte >= 0) {
      shown_ += static_cast<char>(byte);
    } else if (spec.byte_level && !added) {
      AppendFromByteAlphabet(piece.text, shown_);
    } else if (spec.mark_is_space) {
      AppendWithSpaces(piece.text, shown_);
    } else {
      shown_ += piece.text;
    }
  }
  shown_begin_.push_back(static_cast<uint32_t>(shown_.size()));
}

void BpeTokenizer::AddAddedTokens(std::vector<TokenizerSpec::Added> added) {
  std::vector<AddedToken> as_is, normalised;
  for (TokenizerSpec::Added& entry : added) {
    if (entry.normalized) entry.token.text = normalizer_.Apply(entry.token.text);
    (entry.normalized ? normalised : as_is).push_back(std::move(entry.token));
  }
  added_ = AddedTokens(std::move(as_is));
  normalised_added_ = AddedTokens(std::move(normalised));
}

std::optional<Token> BpeTokenizer::Find(std::string_view piece) const {
  std::string word(piece);
  Token token = model_.Find(word);
  if (byte_level_ && (token == kNoToken || kinds_[token] == PieceKind::kNormal)) {
    word.clear();
    AppendFromByteAlphabet(piece, word);
    token = model_.Find(word);
  }
  return token == kNoToken ? std::nullopt : std::optional(token);
}

std::vector<size_t> BpeTokenizer::SpecialTextAt(std::string_view text) const {
  std::vector<size_t> begins;
  added_.FindSpecial(text, begins);
  normalised_added_.FindSpecial(text, begins);
  std::ranges::sort(begins);
  return begins;
}

std::string BpeTokenizer::TokenBytes(Token token, bool special) const {
  if (token < 0 || token >= vocab_size() || (IsSpecial(token) && !special)) return {};
  return shown_.substr(shown_begin_[token], shown_begin_[token + 1] - shown_begin_[token]);
}

std::string BpeTokenizer::Decode(std::span<const Token> tokens, bool skip_special) const {
  std::string bytes;
  for (Token token : tokens) bytes += TokenBytes(token, !skip_special);
  if (strips_leading_space_ && bytes.starts_with(' ')) bytes.erase(0, 1);
  return ReplaceInvalidUtf8(bytes);
}

std::vector<Token> BpeTokenizer::Encode(std::string_view raw, const EncodeOptions& options) const {
  constexpr size_t kBytesPerToken = 3;  // a guess, to reserve
  const std::string text = ReplaceInvalidUtf8(raw);
  Encoding encoding{*this, options, text};
  encoding.out.reserve(text.size() / kBytesPerToken + prefix_.size() + suffix_.size());
  if (options.add_special) encoding.out.insert(encoding.out.end(), prefix_.begin(), prefix_.end());
  encoding.AddText();
  if (options.add_special) encoding.out.insert(encoding.out.end(), suffix_.begin(), suffix_.end());
  return std::move(encoding.out);
}

// `text` is a part of `whole`.
bool BpeTokenizer::Encoding::AcceptsSpecial(std::string_view text) const {
  const auto begin = static_cast<size_t>(text.data() - whole.data());
  const auto next_break = std::ranges::upper_bound(options.breaks, begin);
  return options.parse_special && (next_break == options.breaks.end() || *next_break >= begin + text.size());
}

void BpeTokenizer::Encoding::AddText() {
  const auto accepts = [&](size_t begin, size_t end) {
    return AcceptsSpecial(whole.substr(begin, end - begin));
  };
  owner.added_.Split(whole, accepts, [&](std::string_view part, Token token) {
    if (token != kNoToken) return out.push_back(token);
    const bool first = part.data() == whole.data();
    const bool special = AcceptsSpecial(part);
    if (owner.normalizer_.empty()) return AddNormalised(part, special, first);
    AddNormalised(owner.normalizer_.Apply(part), special, first);
  });
}

// `first`, here and below: the text begins the whole input. Offsets of normalised text are not those of the
// input: special tokens count in all of it or nowhere.
void BpeTokenizer::Encoding::AddNormalised(std::string_view text, bool special, bool first) {
  if (owner.normalised_added_.empty()) return AddWords(text, first);
  const auto accepts = [&](size_t, size_t) { return special; };
  owner.normalised_added_.Split(text, accepts, [&](std::string_view part, Token token) {
    if (token != kNoToken) return out.push_back(token);
    AddWords(part, first && part.data() == text.data());
  });
}

void BpeTokenizer::Encoding::AddWords(std::string_view text, bool first) {
  owner.pre_tokenizer_.Split(text, first,
                             [&](std::string_view word) { owner.model_.Encode(word, memory, out); });
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> MakeTokenizer(TokenizerSpec spec) {
  constexpr size_t kMostBytes = size_t{1} << 30;
  size_t bytes = 0;
  for (const VocabularyPiece& piece : spec.pieces) bytes += piece.text.size();
  if (bytes > kMostBytes) {
    return Fail(ErrorCode::kUnsupported, "{}: the vocabulary has {} bytes of text; expected at most {}",
                spec.source, bytes, kMostBytes);
  }
  return BpeTokenizer::Build(std::move(spec));
}

}  // namespace quire

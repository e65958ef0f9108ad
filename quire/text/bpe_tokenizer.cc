// Byte-pair encoding over a TokenizerSpec, in both of its dresses.
//
// Byte-level: text is cut into words; a word starts as its bytes, and pairs merge by rank.
// SentencePiece-style: text between added tokens is one word; it starts as its characters, and pairs merge by
// rank or, without a list of merges, when the joined text is a piece, the highest score first. What is left
// outside the vocabulary is written as byte tokens.
//
// Candidate merges wait in a heap; one that a neighbour's merge has outdated is recognised by its length when
// it comes up. So a word of n symbols costs O(n log n).
#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <queue>
#include <string>
#include <unordered_map>

#include "quire/text/added_tokens.h"
#include "quire/text/pre_tokenizer.h"
#include "quire/text/tokenizer_spec.h"
#include "quire/text/utf8.h"

namespace quire {
namespace {

constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // U+2581

struct TextHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};
using PieceIds = std::unordered_map<std::string, Token, TextHash, std::equal_to<>>;

// GPT-2's alphabet: a printable character for every byte.
std::array<std::string, 256> ByteCharacters() {
  std::array<std::string, 256> characters;
  uint32_t next = 256;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    AppendUtf8(printable ? byte : next++, characters[byte]);
  }
  return characters;
}

// The bytes that a piece in that alphabet stands for; a piece with other characters is its own bytes.
class ByteAlphabet {
 public:
  ByteAlphabet() {
    const auto characters = ByteCharacters();
    for (int byte = 0; byte < 256; ++byte) bytes_.emplace(characters[byte], static_cast<char>(byte));
  }
  std::string BytesOf(std::string_view piece) const {
    std::string bytes;
    for (std::string_view rest = piece; !rest.empty();) {
      const int length = std::max(1, CharacterLength(rest));
      const auto byte = bytes_.find(rest.substr(0, length));
      if (byte == bytes_.end()) return std::string(piece);
      bytes += byte->second;
      rest.remove_prefix(length);
    }
    return bytes;
  }

 private:
  std::unordered_map<std::string, char, TextHash, std::equal_to<>> bytes_;
};

std::string ReplaceAll(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  for (size_t at; (at = text.find(from)) != std::string_view::npos;) {
    out.append(text.substr(0, at)).append(to);
    text.remove_prefix(at + from.size());
  }
  return out.append(text);
}

// The byte of a piece like "<0x0A>", or -1.
int ByteOfPiece(std::string_view piece) {
  if (piece.size() != 6 || !piece.starts_with("<0x") || piece[5] != '>') return -1;
  int byte = -1;
  const auto [end, error] = std::from_chars(piece.data() + 3, piece.data() + 5, byte, 16);
  return error == std::errc() && end == piece.data() + 5 ? byte : -1;
}

std::string ToNfc(const std::string& text) {
  utf8proc_uint8_t* out = nullptr;
  const auto size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                 static_cast<utf8proc_ssize_t>(text.size()), &out,
                                 static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  if (size < 0) return text;
  std::string result(reinterpret_cast<const char*>(out), static_cast<size_t>(size));
  std::free(out);
  return result;
}

bool IsAscii(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

struct Symbol {
  size_t begin = 0;
  size_t size = 0;  // 0: merged into its left neighbour
  Token token = kNoToken;
  int previous = -1;
  int next = -1;
};

struct Candidate {
  double rank = 0;  // lower merges first; equal ones from the left
  int left = 0;
  size_t size = 0;  // of both together when this was proposed
  Token token = kNoToken;
  bool operator<(const Candidate& other) const {
    return rank != other.rank ? rank > other.rank : left > other.left;
  }
};

class BpeTokenizer final : public Tokenizer {
 public:
  explicit BpeTokenizer(TokenizerSpec spec) : spec_(std::move(spec)) {}
  Status Build();

  std::vector<Token> Encode(std::string_view text, const EncodeOptions& options) const override;
  std::string TokenBytes(Token token, bool special) const override;
  std::string Decode(std::span<const Token> tokens, bool skip_special) const override;
  bool strips_leading_space() const override { return spec_.space_prefix != SpacePrefix::kNever; }
  int vocab_size() const override { return static_cast<int>(spec_.pieces.size()); }
  bool IsSpecial(Token token) const override {
    return token >= 0 && token < vocab_size() && spec_.pieces[token].kind == PieceKind::kControl;
  }
  std::optional<Token> Find(std::string_view piece) const override;
  std::optional<Token> bos() const override { return spec_.bos; }
  std::optional<Token> eos() const override { return spec_.eos; }
  const std::vector<Token>& stop_tokens() const override { return spec_.stop_tokens; }

 private:
  void AddPiece(Token id, const ByteAlphabet& alphabet);
  Status AddMerges();
  void EncodeText(std::string_view text, bool first, std::vector<Token>& out) const;
  void EncodeWord(std::string_view word, std::vector<Token>& out) const;
  std::vector<Symbol> Symbols(std::string_view word) const;
  std::optional<Candidate> MergeOf(std::string_view word, const std::vector<Symbol>& symbols, int left) const;
  void Emit(std::string_view text, Token token, std::vector<Token>& out) const;

  TokenizerSpec spec_;
  std::vector<std::string> bytes_;  // what each token adds to the output
  PieceIds ids_;                    // by the text that words are made of: bytes, or characters with U+2581
  PieceIds added_ids_;              // added and control tokens, by their text
  std::unordered_map<uint64_t, std::pair<int, Token>> merges_;  // left << 32 | right -> rank, joined
  std::array<Token, 256> byte_tokens_{};
  AddedTokens always_, with_special_;
  std::unique_ptr<PreTokenizer> pre_tokenizer_;
};

Status BpeTokenizer::Build() {
  byte_tokens_.fill(kNoToken);
  bytes_.resize(spec_.pieces.size());
  ids_.reserve(spec_.pieces.size());
  const ByteAlphabet alphabet;
  for (Token id = 0; id < vocab_size(); ++id) AddPiece(id, alphabet);
  QUIRE_TRY(AddMerges());
  if (spec_.byte_level) {
    QUIRE_ASSIGN(pre_tokenizer_, PreTokenizer::Compile(spec_.patterns));
  }
  return {};
}

void BpeTokenizer::AddPiece(Token id, const ByteAlphabet& alphabet) {
  const VocabularyPiece& piece = spec_.pieces[id];
  if (piece.kind == PieceKind::kControl || piece.kind == PieceKind::kAdded) {
    bytes_[id] = spec_.byte_level ? piece.text : ReplaceAll(piece.text, kSpaceMark, " ");
    if (piece.text.empty()) return;
    added_ids_.try_emplace(piece.text, id);
    with_special_.Add(bytes_[id], id);
    if (piece.kind == PieceKind::kAdded) always_.Add(bytes_[id], id);
  } else if (const int byte = ByteOfPiece(piece.text); piece.kind == PieceKind::kByte && byte >= 0) {
    bytes_[id] = std::string(1, static_cast<char>(byte));
    byte_tokens_[byte] = id;
    return;
  } else {
    bytes_[id] = spec_.byte_level ? alphabet.BytesOf(piece.text) : ReplaceAll(piece.text, kSpaceMark, " ");
  }
  if (piece.kind != PieceKind::kControl) {
    ids_.try_emplace(spec_.byte_level ? alphabet.BytesOf(piece.text) : piece.text, id);
  }
}

Status BpeTokenizer::AddMerges() {
  const ByteAlphabet alphabet;
  const auto id_of = [&](std::string_view piece) {
    const auto id = spec_.byte_level ? ids_.find(alphabet.BytesOf(piece)) : ids_.find(piece);
    return id == ids_.end() ? kNoToken : id->second;
  };
  merges_.reserve(spec_.merges.size());
  for (size_t rank = 0; rank < spec_.merges.size(); ++rank) {
    const auto& [left, right] = spec_.merges[rank];
    const Token a = id_of(left), b = id_of(right), joined = id_of(left + right);
    if (a == kNoToken || b == kNoToken || joined == kNoToken) {
      return Fail(ErrorCode::kCorrupt,
                  "{}: merge {} ('{}' with '{}') names a piece that the vocabulary lacks", spec_.source, rank,
                  left, right);
    }
    merges_.try_emplace(uint64_t(a) << 32 | uint32_t(b), static_cast<int>(rank), joined);
  }
  spec_.merges = {};
  return {};
}

std::optional<Token> BpeTokenizer::Find(std::string_view piece) const {
  for (const PieceIds* ids : {&added_ids_, &ids_}) {
    if (const auto id = ids->find(piece); id != ids->end()) return id->second;
  }
  return std::nullopt;
}

std::string BpeTokenizer::TokenBytes(Token token, bool special) const {
  if (token < 0 || token >= vocab_size() || (IsSpecial(token) && !special)) return {};
  return bytes_[token];
}

std::string BpeTokenizer::Decode(std::span<const Token> tokens, bool skip_special) const {
  std::string bytes;
  for (Token token : tokens) bytes += TokenBytes(token, !skip_special);
  if (strips_leading_space() && bytes.starts_with(' ')) bytes.erase(0, 1);
  return ReplaceInvalidUtf8(bytes);
}

std::vector<Token> BpeTokenizer::Encode(std::string_view raw, const EncodeOptions& options) const {
  const std::string text = ReplaceInvalidUtf8(raw);
  const AddedTokens& added = options.parse_special ? with_special_ : always_;
  std::vector<Token> out;
  if (options.add_special && spec_.add_bos && spec_.bos) out.push_back(*spec_.bos);

  std::string_view rest = text;  // from the end of the last added token
  bool first = true;
  for (size_t at = 0; at < rest.size();) {
    const AddedTokens::Match match = added.MatchAt(rest.substr(at));
    if (match.length == 0) {
      ++at;
      continue;
    }
    const VocabularyPiece& piece = spec_.pieces[match.token];
    std::string_view before = rest.substr(0, at);
    rest.remove_prefix(at + match.length);
    while (piece.strips_left && !before.empty() && IsSpace(before.back())) before.remove_suffix(1);
    while (piece.strips_right && !rest.empty() && IsSpace(rest.front())) rest.remove_prefix(1);
    EncodeText(before, first, out);
    out.push_back(match.token);
    first = false;
    at = 0;
  }
  EncodeText(rest, first, out);
  if (options.add_special && spec_.add_eos && spec_.eos) out.push_back(*spec_.eos);
  return out;
}

// Text without added tokens; `first` when nothing came before it.
void BpeTokenizer::EncodeText(std::string_view text, bool first, std::vector<Token>& out) const {
  if (text.empty()) return;
  std::string normalised(text);
  if (spec_.nfc && !IsAscii(text)) normalised = ToNfc(normalised);
  if (spec_.byte_level) {
    pre_tokenizer_->Split(normalised, [&](std::string_view word) { EncodeWord(word, out); });
    return;
  }
  const bool prefix =
      spec_.space_prefix == SpacePrefix::kAlways || (spec_.space_prefix == SpacePrefix::kFirst && first);
  EncodeWord(ReplaceAll(prefix ? " " + normalised : normalised, " ", kSpaceMark), out);
}

std::vector<Symbol> BpeTokenizer::Symbols(std::string_view word) const {
  std::vector<Symbol> symbols;
  symbols.reserve(word.size());
  for (size_t at = 0; at < word.size(); at += symbols.back().size) {
    const size_t size = spec_.byte_level ? 1 : std::max(1, CharacterLength(word.substr(at)));
    const auto id = ids_.find(word.substr(at, size));
    const int index = static_cast<int>(symbols.size());
    symbols.push_back({.begin = at,
                       .size = size,
                       .token = id == ids_.end() ? kNoToken : id->second,
                       .previous = index - 1,
                       .next = index + 1});
  }
  symbols.back().next = -1;
  return symbols;
}

std::optional<Candidate> BpeTokenizer::MergeOf(std::string_view word, const std::vector<Symbol>& symbols,
                                               int left) const {
  if (left < 0 || symbols[left].next < 0) return std::nullopt;
  const Symbol& a = symbols[left];
  const Symbol& b = symbols[a.next];
  const size_t size = a.size + b.size;
  if (merges_.empty()) {
    const auto id = ids_.find(word.substr(a.begin, size));
    if (id == ids_.end()) return std::nullopt;
    return Candidate{-static_cast<double>(spec_.pieces[id->second].score), left, size, id->second};
  }
  if (a.token == kNoToken || b.token == kNoToken) return std::nullopt;
  const auto merge = merges_.find(uint64_t(a.token) << 32 | uint32_t(b.token));
  if (merge == merges_.end()) return std::nullopt;
  return Candidate{static_cast<double>(merge->second.first), left, size, merge->second.second};
}

void BpeTokenizer::EncodeWord(std::string_view word, std::vector<Token>& out) const {
  if (spec_.ignore_merges) {
    if (const auto id = ids_.find(word); id != ids_.end()) return out.push_back(id->second);
  }
  std::vector<Symbol> symbols = Symbols(word);
  std::priority_queue<Candidate> candidates;
  const auto propose = [&](int left) {
    if (const auto candidate = MergeOf(word, symbols, left)) candidates.push(*candidate);
  };
  for (int i = 0; i < std::ssize(symbols); ++i) propose(i);
  while (!candidates.empty()) {
    const Candidate best = candidates.top();
    candidates.pop();
    Symbol& left = symbols[best.left];
    if (left.size == 0 || left.next < 0 || left.size + symbols[left.next].size != best.size) continue;
    Symbol& right = symbols[left.next];
    left.size = best.size;
    left.token = best.token;
    left.next = right.next;
    right.size = 0;
    if (left.next >= 0) symbols[left.next].previous = best.left;
    propose(left.previous);
    propose(best.left);
  }
  for (int i = 0; i >= 0; i = symbols[i].next)
    Emit(word.substr(symbols[i].begin, symbols[i].size), symbols[i].token, out);
}

void BpeTokenizer::Emit(std::string_view text, Token token, std::vector<Token>& out) const {
  if (token != kNoToken) return out.push_back(token);
  const bool has_bytes =
      std::ranges::all_of(text, [&](unsigned char c) { return byte_tokens_[c] != kNoToken; });
  if (has_bytes) {
    for (unsigned char c : text) out.push_back(byte_tokens_[c]);
  } else if (spec_.unknown) {
    out.push_back(*spec_.unknown);
  }
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> MakeBpeTokenizer(TokenizerSpec spec) {
  auto tokenizer = std::make_unique<BpeTokenizer>(std::move(spec));
  QUIRE_TRY(tokenizer->Build());
  return tokenizer;
}

}  // namespace quire

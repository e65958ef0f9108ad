#include "quire/text/tokenizer.h"

#include <algorithm>
#include <array>
#include <queue>
#include <unordered_map>

#include "quire/text/pre_tokenizer.h"
#include "quire/text/utf8.h"

namespace quire {
namespace {

constexpr Token kNoToken = -1;
enum class PieceType : int {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6
};

// ---- byte-level alphabet (GPT-2): every byte is written as a printable character ----
const std::array<std::string, 256>& ByteCharacters() {
  static const auto table = [] {
    std::array<std::string, 256> t;
    uint32_t extra = 256;
    for (int b = 0; b < 256; ++b) {
      const bool printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || (b >= 174);
      AppendUtf8(printable ? b : extra++, t[b]);
    }
    return t;
  }();
  return table;
}

struct StringHash {
  using is_transparent = void;
  size_t operator()(std::string_view s) const { return std::hash<std::string_view>{}(s); }
};
using PieceMap = std::unordered_map<std::string, Token, StringHash, std::equal_to<>>;

// Finds added tokens in text: the longest at the first place.
class AddedTokens {
 public:
  void Add(std::string_view text, Token token) {
    uint32_t node = 0;
    for (unsigned char c : text) {
      const auto [it, fresh] =
          edges_.try_emplace(uint64_t{node} << 8 | c, static_cast<uint32_t>(tokens_.size()));
      if (fresh) tokens_.push_back(kNoToken);
      node = it->second;
    }
    tokens_[node] = token;
    starts_[static_cast<unsigned char>(text[0])] = true;
  }
  // Length and token of the longest match at the start of `text`; length 0 for none.
  std::pair<size_t, Token> Match(std::string_view text) const {
    std::pair<size_t, Token> best{0, kNoToken};
    if (!starts_[static_cast<unsigned char>(text[0])]) return best;
    uint32_t node = 0;
    for (size_t i = 0; i < text.size(); ++i) {
      const auto it = edges_.find(uint64_t{node} << 8 | static_cast<unsigned char>(text[i]));
      if (it == edges_.end()) break;
      node = it->second;
      if (tokens_[node] != kNoToken) best = {i + 1, tokens_[node]};
    }
    return best;
  }

 private:
  std::unordered_map<uint64_t, uint32_t> edges_;
  std::vector<Token> tokens_{kNoToken};
  std::array<bool, 256> starts_{};
};

struct Symbol {
  size_t begin = 0, size = 0;
  Token token = kNoToken;
  int previous = -1, next = -1;
};

class BpeTokenizer final : public Tokenizer {
 public:
  static Result<std::unique_ptr<Tokenizer>> FromGguf(const GgufMetadata& metadata, const std::string& path);

  std::vector<Token> Encode(std::string_view text, const EncodeOptions& options) const override;
  std::string TokenBytes(Token token, bool special) const override {
    if (token < 0 || token >= vocab_size() || (IsSpecial(token) && !special)) return {};
    return bytes_[token];
  }
  std::string Decode(std::span<const Token> tokens, bool skip_special) const override {
    std::string bytes;
    for (Token t : tokens) bytes += TokenBytes(t, !skip_special);
    if (add_space_prefix_ && bytes.starts_with(' ')) bytes.erase(0, 1);
    return ReplaceInvalidUtf8(bytes);
  }
  bool strips_leading_space() const override { return add_space_prefix_; }
  int vocab_size() const override { return static_cast<int>(bytes_.size()); }
  bool IsSpecial(Token token) const override {
    return token >= 0 && token < vocab_size() &&
           (types_[token] == PieceType::kControl || types_[token] == PieceType::kUnknown);
  }
  std::optional<Token> Find(std::string_view piece) const override {
    const auto it = pieces_.find(piece);
    return it == pieces_.end() ? std::nullopt : std::optional(it->second);
  }
  std::optional<Token> bos() const override { return bos_; }
  std::optional<Token> eos() const override { return eos_; }
  const std::vector<Token>& stop_tokens() const override { return stops_; }

 private:
  void EncodePlain(std::string_view text, std::vector<Token>& out) const;
  void EncodeWord(std::string_view word, std::vector<Token>& out) const;
  struct Candidate {
    double priority;
    int left;
    size_t size;
    Token token;
    bool operator<(const Candidate& o) const {
      return priority != o.priority ? priority > o.priority : left > o.left;
    }
  };
  std::optional<Candidate> MergeOf(std::string_view word, const std::vector<Symbol>& symbols, int left) const;
  void EmitSymbol(std::string_view text, Token token, std::vector<Token>& out) const;

  bool byte_level_ = false;
  bool add_space_prefix_ = false;
  bool add_bos_ = false, add_eos_ = false;
  std::vector<std::string> bytes_;
  std::vector<PieceType> types_;
  std::vector<float> scores_;
  PieceMap pieces_;    // vocabulary text -> id
  PieceMap by_bytes_;  // byte-level: output bytes -> id
  std::unordered_map<uint64_t, std::pair<int, Token>> merges_;
  std::array<Token, 256> byte_tokens_{};
  AddedTokens always_, with_special_;
  std::unique_ptr<PreTokenizer> pre_;
  std::optional<Token> bos_, eos_, unknown_;
  std::vector<Token> stops_;
};

std::string FromByteLevel(const std::string& piece, const std::unordered_map<std::string, int>& inverse,
                          bool* ok) {
  std::string out;
  std::string_view rest = piece;
  *ok = true;
  while (!rest.empty()) {
    const int n = std::max(1, CharacterLength(rest));
    const auto it = inverse.find(std::string(rest.substr(0, n)));
    if (it == inverse.end()) {
      *ok = false;
      return piece;
    }
    out += static_cast<char>(it->second);
    rest.remove_prefix(n);
  }
  return out;
}

Result<std::unique_ptr<Tokenizer>> BpeTokenizer::FromGguf(const GgufMetadata& m, const std::string& path) {
  auto t = std::make_unique<BpeTokenizer>();
  QUIRE_ASSIGN(const auto model, m.String("tokenizer.ggml.model"));
  if (!model)
    return Fail(ErrorCode::kUnsupported, "{}: no tokenizer.ggml.model; the file has no tokenizer", path);
  t->byte_level_ = *model == "gpt2";
  if (!t->byte_level_ && *model != "llama")
    return Fail(ErrorCode::kUnsupported, "{}: tokenizer.ggml.model is '{}'; this build reads gpt2 and llama",
                path, *model);
  QUIRE_ASSIGN(const auto* tokens, m.Strings("tokenizer.ggml.tokens"));
  if (tokens == nullptr || tokens->empty())
    return Fail(ErrorCode::kCorrupt, "{}: tokenizer.ggml.tokens is missing or empty", path);
  const size_t n = tokens->size();
  QUIRE_ASSIGN(const auto types, m.Integers("tokenizer.ggml.token_type"));
  QUIRE_ASSIGN(const auto scores, m.Numbers("tokenizer.ggml.scores"));
  if ((types && types->size() != n) || (scores && scores->size() != n))
    return Fail(ErrorCode::kCorrupt, "{}: tokenizer.ggml.token_type or scores do not have {} entries", path,
                n);

  std::unordered_map<std::string, int> inverse;
  for (int b = 0; b < 256; ++b) inverse[ByteCharacters()[b]] = b;
  t->byte_tokens_.fill(kNoToken);
  t->types_.resize(n, PieceType::kNormal);
  t->scores_.resize(n, 0);
  t->bytes_.resize(n);
  t->pieces_.reserve(n);
  for (size_t i = 0; i < n; ++i) {
    const std::string& piece = (*tokens)[i];
    const Token id = static_cast<Token>(i);
    if (types) t->types_[i] = static_cast<PieceType>((*types)[i]);
    if (scores) t->scores_[i] = static_cast<float>((*scores)[i]);
    t->pieces_.try_emplace(piece, id);
    const PieceType type = t->types_[i];
    const bool added = type == PieceType::kControl || type == PieceType::kUserDefined;
    if (t->byte_level_) {
      bool ok = false;
      t->bytes_[i] = added ? piece : FromByteLevel(piece, inverse, &ok);
      if (!added) t->by_bytes_.try_emplace(t->bytes_[i], id);
    } else if (type == PieceType::kByte && piece.size() == 6) {
      const int b = static_cast<int>(std::strtol(piece.substr(3, 2).c_str(), nullptr, 16));
      t->bytes_[i] = std::string(1, static_cast<char>(b));
      t->byte_tokens_[b] = id;
    } else {
      std::string text = piece;
      for (size_t at; (at = text.find("\xE2\x96\x81")) != std::string::npos;) text.replace(at, 3, " ");
      t->bytes_[i] = text;
    }
    if (added && !piece.empty()) {
      t->with_special_.Add(t->bytes_[i], id);
      if (type == PieceType::kUserDefined) t->always_.Add(t->bytes_[i], id);
    }
  }
  if (t->byte_level_) {
    QUIRE_ASSIGN(const auto* merges, m.Strings("tokenizer.ggml.merges"));
    if (merges == nullptr) return Fail(ErrorCode::kCorrupt, "{}: tokenizer.ggml.merges is missing", path);
    int rank = 0;
    for (const std::string& merge : *merges) {
      const size_t space = merge.find(' ', 1);
      if (space == std::string::npos)
        return Fail(ErrorCode::kCorrupt, "{}: merge {} '{}' is not a pair", path, rank, merge);
      const auto left = t->pieces_.find(std::string_view(merge).substr(0, space));
      const auto right = t->pieces_.find(std::string_view(merge).substr(space + 1));
      const auto both = t->pieces_.find(merge.substr(0, space) + merge.substr(space + 1));
      if (left != t->pieces_.end() && right != t->pieces_.end() && both != t->pieces_.end())
        t->merges_.try_emplace(uint64_t(left->second) << 32 | uint32_t(right->second), rank, both->second);
      ++rank;
    }
    QUIRE_ASSIGN(const auto pre, m.String("tokenizer.ggml.pre"));
    QUIRE_ASSIGN(t->pre_, PreTokenizer::Named(pre.value_or("default")));
  }
  const auto id_of = [&](const char* key) -> Result<std::optional<Token>> {
    QUIRE_ASSIGN(const auto id, m.Integer(key));
    if (!id || *id < 0 || *id >= static_cast<int64_t>(n)) return std::optional<Token>();
    return std::optional<Token>(static_cast<Token>(*id));
  };
  QUIRE_ASSIGN(t->bos_, id_of("tokenizer.ggml.bos_token_id"));
  QUIRE_ASSIGN(t->eos_, id_of("tokenizer.ggml.eos_token_id"));
  QUIRE_ASSIGN(t->unknown_, id_of("tokenizer.ggml.unknown_token_id"));
  QUIRE_ASSIGN(const auto add_bos, m.Bool("tokenizer.ggml.add_bos_token"));
  QUIRE_ASSIGN(const auto add_eos, m.Bool("tokenizer.ggml.add_eos_token"));
  QUIRE_ASSIGN(const auto prefix, m.Bool("tokenizer.ggml.add_space_prefix"));
  t->add_bos_ = add_bos.value_or(!t->byte_level_) && t->bos_;
  t->add_eos_ = add_eos.value_or(false) && t->eos_;
  t->add_space_prefix_ = !t->byte_level_ && prefix.value_or(true);
  const auto stop = [&](std::optional<Token> id) {
    if (id && std::ranges::find(t->stops_, *id) == t->stops_.end()) t->stops_.push_back(*id);
  };
  stop(t->eos_);
  for (const char* key : {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"}) {
    QUIRE_ASSIGN(const auto id, id_of(key));
    stop(id);
  }
  for (const char* piece : {"<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<end_of_turn>", "<|end|>",
                            "<|endoftext|>", "<|end_of_text|>"}) {
    const auto id = t->Find(piece);
    if (id && t->types_[*id] == PieceType::kControl) stop(id);
  }
  return t;
}

std::vector<Token> BpeTokenizer::Encode(std::string_view raw, const EncodeOptions& options) const {
  const std::string text = ReplaceInvalidUtf8(raw);
  std::vector<Token> out;
  if (options.add_special && add_bos_) out.push_back(*bos_);
  const AddedTokens& added = options.parse_special ? with_special_ : always_;
  std::string_view rest = text;
  size_t plain = 0;
  bool first = true;
  const auto flush = [&](std::string_view piece) {
    if (piece.empty()) return;
    EncodePlain(first && add_space_prefix_ ? " " + std::string(piece) : std::string(piece), out);
    first = false;
  };
  while (plain < rest.size()) {
    const auto [length, token] = added.Match(rest.substr(plain));
    if (length == 0) {
      ++plain;
      continue;
    }
    flush(rest.substr(0, plain));
    out.push_back(token);
    first = true;
    rest.remove_prefix(plain + length);
    plain = 0;
  }
  flush(rest);
  if (options.add_special && add_eos_) out.push_back(*eos_);
  return out;
}

void BpeTokenizer::EncodePlain(std::string_view text, std::vector<Token>& out) const {
  if (byte_level_) {
    pre_->Split(text, [&](std::string_view word) { EncodeWord(word, out); });
    return;
  }
  std::string escaped;
  for (char c : text) c == ' ' ? escaped += "\xE2\x96\x81" : escaped += c;
  EncodeWord(escaped, out);
}

std::optional<BpeTokenizer::Candidate> BpeTokenizer::MergeOf(std::string_view word,
                                                             const std::vector<Symbol>& symbols,
                                                             int left) const {
  if (left < 0 || symbols[left].next < 0) return std::nullopt;
  const Symbol& a = symbols[left];
  const Symbol& b = symbols[a.next];
  if (byte_level_) {
    if (a.token < 0 || b.token < 0) return std::nullopt;
    const auto it = merges_.find(uint64_t(a.token) << 32 | uint32_t(b.token));
    if (it == merges_.end()) return std::nullopt;
    return Candidate{double(it->second.first), left, a.size + b.size, it->second.second};
  }
  const auto it = pieces_.find(word.substr(a.begin, a.size + b.size));
  if (it == pieces_.end()) return std::nullopt;
  return Candidate{-scores_[it->second], left, a.size + b.size, it->second};
}

void BpeTokenizer::EncodeWord(std::string_view word, std::vector<Token>& out) const {
  std::vector<Symbol> symbols;
  for (size_t at = 0; at < word.size();) {
    const size_t n = byte_level_ ? 1 : std::max(1, CharacterLength(word.substr(at)));
    const PieceMap& map = byte_level_ ? by_bytes_ : pieces_;
    const auto it = map.find(word.substr(at, n));
    const int i = static_cast<int>(symbols.size());
    symbols.push_back({at, n, it == map.end() ? kNoToken : it->second, i - 1, i + 1});
    at += n;
  }
  if (symbols.empty()) return;
  symbols.back().next = -1;
  std::priority_queue<Candidate> queue;
  const auto consider = [&](int left) {
    if (auto c = MergeOf(word, symbols, left)) queue.push(*c);
  };
  for (int i = 0; i < static_cast<int>(symbols.size()); ++i) consider(i);
  while (!queue.empty()) {
    const Candidate c = queue.top();
    queue.pop();
    Symbol& left = symbols[c.left];
    if (left.size == 0 || left.next < 0 || left.size + symbols[left.next].size != c.size)
      continue;  // outdated
    Symbol& right = symbols[left.next];
    left.size = c.size;
    left.token = c.token;
    left.next = right.next;
    right.size = 0;
    if (left.next >= 0) symbols[left.next].previous = c.left;
    consider(left.previous);
    consider(c.left);
  }
  for (int i = 0; i >= 0; i = symbols[i].next)
    EmitSymbol(word.substr(symbols[i].begin, symbols[i].size), symbols[i].token, out);
}

void BpeTokenizer::EmitSymbol(std::string_view text, Token token, std::vector<Token>& out) const {
  if (token != kNoToken) {
    out.push_back(token);
    return;
  }
  for (unsigned char c : text) {
    if (byte_tokens_[c] != kNoToken) {
      out.push_back(byte_tokens_[c]);
    } else if (unknown_) {
      out.push_back(*unknown_);
      return;
    }
  }
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> Tokenizer::Load(const ModelFiles& files) {
  if (files.format() == ModelFiles::Format::kGguf) return BpeTokenizer::FromGguf(files.gguf(), files.path());
  return Fail(ErrorCode::kUnsupported, "{}: tokenizer.json is not supported", files.path());
}

}  // namespace quire

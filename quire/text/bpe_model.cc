// Symbols are a linked list in a vector; the candidate merges of neighbours wait in a heap. Boundaries
// between symbols only ever vanish, so a candidate is outdated exactly when its left symbol is gone or the
// two symbols no longer have the size they had.
//
// Text with space marks is cut in front of a mark wherever no piece has the two characters there side by
// side: nothing can merge across. So a long text costs what its words cost.
#include "quire/text/bpe_model.h"

#include <algorithm>

#include "quire/files/quoted.h"
#include "quire/text/byte_alphabet.h"
#include "quire/text/utf8.h"

namespace quire {
namespace {

// Ranks are floats; they count exactly up to this.
constexpr size_t kMostMerges = size_t{1} << 24;

// A piece as words are written: bytes, or characters with U+2581 for a space.
void AppendAsWord(const VocabularyPiece& piece, bool byte_level, std::string& out) {
  if (byte_level && piece.kind != PieceKind::kAdded && piece.kind != PieceKind::kControl) {
    AppendFromByteAlphabet(piece.text, out);
  } else {
    out += piece.text;
  }
}

std::string_view LastCharacter(std::string_view text) {
  size_t begin = text.size();
  while (begin > 0 && (text[--begin] & 0xC0) == 0x80) continue;
  return text.substr(begin);
}

}  // namespace

Result<BpeModel> BpeModel::Build(const TokenizerSpec& spec) {
  BpeModel model;
  model.byte_level_ = spec.byte_level;
  model.by_score_ = spec.by_score;
  model.ignore_merges_ = spec.ignore_merges;
  model.fuse_unknown_ = spec.fuse_unknown;
  model.unknown_ = spec.unknown;
  model.AddPieces(spec);
  QUIRE_TRY(model.AddMerges(spec));
  return model;
}

void BpeModel::AddPieces(const TokenizerSpec& spec) {
  byte_tokens_.fill(kNoToken);
  size_t bytes = 0;
  for (const VocabularyPiece& piece : spec.pieces) bytes += piece.text.size();
  pieces_.Reserve(spec.pieces.size(), bytes);
  kinds_.reserve(spec.pieces.size());
  if (by_score_) scores_.reserve(spec.pieces.size());
  std::string word;
  const auto add = [&](Token token) {
    word.clear();
    AppendAsWord(spec.pieces[token], byte_level_, word);
    if (word.empty()) return;
    pieces_.Insert(word, token);
    if (!byte_level_) NoteMarks(word);
    longest_piece_ = std::max(longest_piece_, word.size());
  };
  const auto is_added = [](PieceKind kind) {
    return kind == PieceKind::kAdded || kind == PieceKind::kControl;
  };
  for (Token token = 0; token < std::ssize(spec.pieces); ++token) {
    const VocabularyPiece& piece = spec.pieces[token];
    kinds_.push_back(piece.kind);
    if (by_score_) scores_.push_back(piece.score);
    if (piece.kind == PieceKind::kByte) {
      const int byte = ByteOfPiece(piece.text);
      if (byte >= 0) byte_tokens_[byte] = token;
    }
    if (!is_added(piece.kind)) add(token);
  }
  // An added token never hides a piece that is spelled like it.
  for (Token token = 0; token < std::ssize(spec.pieces); ++token) {
    if (is_added(spec.pieces[token].kind)) add(token);
  }
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    one_byte_[byte] = pieces_.Find({&c, 1});
  }
}

void BpeModel::NoteMarks(std::string_view piece) {
  for (size_t at = 1; (at = piece.find(kSpaceMark, at)) != std::string_view::npos; at += kSpaceMark.size()) {
    const std::string_view before = LastCharacter(piece.substr(0, at));
    const auto place = std::ranges::lower_bound(before_mark_, before);
    if (place == before_mark_.end() || *place != before) before_mark_.emplace(place, before);
  }
}

Status BpeModel::AddMerges(const TokenizerSpec& spec) {
  if (spec.merges.size() > kMostMerges) {
    return Fail(ErrorCode::kUnsupported, "{}: the vocabulary has {} merges; expected at most {}", spec.source,
                spec.merges.size(), kMostMerges);
  }
  merges_.Reserve(spec.merges.size());
  std::string word;
  const auto find = [&](std::string_view written) {
    const size_t before = word.size();
    byte_level_ ? AppendFromByteAlphabet(written, word) : void(word += written);
    return pieces_.Find(std::string_view(word).substr(before));
  };
  for (uint32_t rank = 0; rank < spec.merges.size(); ++rank) {
    const std::string_view left = spec.merges[rank].left(), right = spec.merges[rank].right();
    word.clear();
    const Token a = find(left), b = find(right), joined = pieces_.Find(word);
    if (a == kNoToken || b == kNoToken || joined == kNoToken) {
      return Fail(ErrorCode::kCorrupt, "{}: merge {} ({} with {}) names a piece that the vocabulary lacks",
                  spec.source, rank, Quoted(left), Quoted(right));
    }
    merges_.Insert(a, b, {rank, joined});
  }
  return {};
}

void BpeModel::Encode(std::string_view word, Memory& memory, std::vector<Token>& out) const {
  if (ignore_merges_) {
    const Token token = pieces_.Find(word);
    if (token != kNoToken && kinds_[token] != PieceKind::kControl) return out.push_back(token);
  }
  memory.after_unknown_ = false;
  if (byte_level_) return EncodePart(word, memory, out);
  size_t done = 0;
  for (size_t at = 0; (at = word.find(kSpaceMark, at)) != std::string_view::npos; at += kSpaceMark.size()) {
    if (at == done || MergesBeforeMark(word.substr(0, at))) continue;
    EncodePart(word.substr(done, at - done), memory, out);
    done = at;
  }
  EncodePart(word.substr(done), memory, out);
}

// Whether some piece has the last character of `text` in front of a space mark.
bool BpeModel::MergesBeforeMark(std::string_view text) const {
  return std::ranges::binary_search(before_mark_, LastCharacter(text));
}

void BpeModel::EncodePart(std::string_view part, Memory& memory, std::vector<Token>& out) const {
  Start(part, memory.symbols_);
  MergeAll(part, memory);
  const std::vector<Symbol>& symbols = memory.symbols_;
  for (int i = 0; i >= 0; i = symbols[i].next) {
    const std::string_view text = part.substr(symbols[i].begin, symbols[i].size);
    const bool unknown = symbols[i].token == kNoToken && !HasByteTokens(text);
    if (symbols[i].token != kNoToken) {
      out.push_back(symbols[i].token);
    } else if (!unknown) {
      for (unsigned char byte : text) out.push_back(byte_tokens_[byte]);
    } else if (unknown_ && !(fuse_unknown_ && memory.after_unknown_)) {
      out.push_back(*unknown_);
    }
    memory.after_unknown_ = unknown;
  }
}

bool BpeModel::HasByteTokens(std::string_view text) const {
  return std::ranges::all_of(text, [&](unsigned char c) { return byte_tokens_[c] != kNoToken; });
}

void BpeModel::Start(std::string_view word, std::vector<Symbol>& symbols) const {
  symbols.clear();
  for (size_t at = 0; at < word.size(); at += symbols.back().size) {
    const auto byte = static_cast<unsigned char>(word[at]);
    const bool one_byte = byte_level_ || byte < 0x80;
    const size_t size = one_byte ? 1 : std::max(1, CharacterLength(word.substr(at)));
    const int index = static_cast<int>(symbols.size());
    symbols.push_back({.begin = static_cast<uint32_t>(at),
                       .size = static_cast<uint32_t>(size),
                       .token = one_byte ? one_byte_[byte] : pieces_.Find(word.substr(at, size)),
                       .previous = index - 1,
                       .next = index + 1});
  }
  symbols.back().next = -1;
}

std::optional<BpeModel::Candidate> BpeModel::MergeOf(std::string_view word,
                                                     const std::vector<Symbol>& symbols, int left) const {
  if (left < 0 || symbols[left].next < 0) return std::nullopt;
  const Symbol& a = symbols[left];
  const Symbol& b = symbols[a.next];
  const uint32_t size = a.size + b.size;
  if (by_score_) {
    if (size > longest_piece_) return std::nullopt;
    const Token joined = pieces_.Find(word.substr(a.begin, size));
    if (joined == kNoToken || kinds_[joined] == PieceKind::kControl || kinds_[joined] == PieceKind::kByte)
      return std::nullopt;
    return Candidate{-scores_[joined], left, size, joined};
  }
  if (a.token == kNoToken || b.token == kNoToken) return std::nullopt;
  const MergeTable::Merge merge = merges_.Find(a.token, b.token);
  if (merge.joined == kNoToken) return std::nullopt;
  return Candidate{static_cast<float>(merge.rank), left, size, merge.joined};
}

void BpeModel::MergeAll(std::string_view word, Memory& memory) const {
  std::vector<Symbol>& symbols = memory.symbols_;
  std::vector<Candidate>& heap = memory.heap_;
  heap.clear();
  for (int i = 0; i < std::ssize(symbols); ++i) {
    if (const auto candidate = MergeOf(word, symbols, i)) heap.push_back(*candidate);
  }
  std::make_heap(heap.begin(), heap.end());
  const auto propose = [&](int left) {
    const auto candidate = MergeOf(word, symbols, left);
    if (!candidate) return;
    heap.push_back(*candidate);
    std::push_heap(heap.begin(), heap.end());
  };
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end());
    const Candidate best = heap.back();
    heap.pop_back();
    Symbol& left = symbols[best.left];
    if (left.size == 0 || left.next < 0 || left.size + symbols[left.next].size != best.size) continue;
    Symbol& right = symbols[left.next];
    left.size = best.size;
    left.token = best.joined;
    left.next = right.next;
    right.size = 0;
    if (left.next >= 0) symbols[left.next].previous = best.left;
    propose(left.previous);
    propose(best.left);
  }
}

}  // namespace quire

// Byte-pair encoding of one word: it starts as its characters (or bytes), and the neighbours that merge best
// do, until none do. A word of n symbols costs O(n log n).
#ifndef QUIRE_TEXT_BPE_MODEL_H_
#define QUIRE_TEXT_BPE_MODEL_H_

#include <array>
#include <optional>
#include <string_view>
#include <vector>

#include "quire/base/result.h"
#include "quire/text/hash_tables.h"
#include "quire/text/tokenizer_spec.h"

namespace quire {

class BpeModel {
 public:
  // What encoding needs for a while: make one and use it for many words.
  class Memory;

  // Errors: kCorrupt, where a merge names a piece that the vocabulary lacks.
  static Result<BpeModel> Build(const TokenizerSpec& spec);

  // Appends the tokens of `word`: bytes for a byte-level model, else valid UTF-8. REQUIRES: not empty.
  void Encode(std::string_view word, Memory& memory, std::vector<Token>& out) const;
  // The token of an exact piece, written as words are; kNoToken where there is none.
  Token Find(std::string_view piece) const { return pieces_.Find(piece); }

 private:
  struct Symbol;
  struct Candidate;

  void AddPieces(const TokenizerSpec& spec);
  void NoteMarks(std::string_view piece);
  Status AddMerges(const TokenizerSpec& spec);
  void Start(std::string_view word, std::vector<Symbol>& symbols) const;
  std::optional<Candidate> MergeOf(std::string_view word, const std::vector<Symbol>& symbols, int left) const;
  void MergeAll(std::string_view word, Memory& memory) const;
  void EncodePart(std::string_view part, Memory& memory, std::vector<Token>& out) const;
  bool MergesBeforeMark(std::string_view text) const;
  bool HasByteTokens(std::string_view text) const;

  bool byte_level_ = false;
  bool by_score_ = false;  // without a list of merges: two pieces merge when together they are one
  bool ignore_merges_ = false;
  bool fuse_unknown_ = false;
  std::optional<Token> unknown_;
  size_t longest_piece_ = 0;
  std::vector<std::string> before_mark_;  // the characters that pieces have in front of a space mark, sorted
  PieceTable pieces_;
  MergeTable merges_;
  std::vector<float> scores_;             // by token; where pieces merge by score
  std::vector<PieceKind> kinds_;          // by token
  std::array<Token, 256> one_byte_{};     // pieces of one byte, as symbols
  std::array<Token, 256> byte_tokens_{};  // "<0x0A>": a byte of a character that is no piece
};

struct BpeModel::Symbol {
  uint32_t begin = 0;
  uint32_t size = 0;  // 0: merged into its left neighbour
  Token token = kNoToken;
  int previous = -1;
  int next = -1;
};

struct BpeModel::Candidate {
  float rank = 0;  // lower merges first; equal ones from the left
  int left = 0;
  uint32_t size = 0;  // of both together when this was proposed
  Token joined = kNoToken;
  bool operator<(const Candidate& other) const {
    return rank != other.rank ? rank > other.rank : left > other.left;
  }
};

class BpeModel::Memory {
  friend class BpeModel;
  std::vector<Symbol> symbols_;
  std::vector<Candidate> heap_;
  bool after_unknown_ = false;
};

}  // namespace quire

#endif  // QUIRE_TEXT_BPE_MODEL_H_

// How keys and values lie in KV pages: the types a page can have, their names, and the bytes they take.
//
// f32, f16 and bf16 hold the numbers as they are. fp8, int8 and int4 are codecs: codes of 8 or 4 bits, and in
// the same tile a bfloat scale for each token and group of dimensions. A token's bytes depend on that token
// alone, so that they are the same in whatever step it was computed and whoever shares the page. Attention
// reads the codes where they are and never writes a decoded page.
//
// Tiles of fp8 are those of floats (kernels.h), codes in their place, and behind them a scale for each token.
//
// Tiles of int8 and int4. Dimensions are padded to whole groups. Codes that are multiplied together are
// neighbours, two in a pair: dimensions 2i and 2i + 1 of K, tokens 2t and 2t + 1 of V.
//   K  int8: [dimensions / 2][page_tokens] pairs. int4: [dimensions / 4][page_tokens] pairs of bytes, which
//      hold dimensions 4i and 4i + 1 in their lower halves, 4i + 2 and 4i + 3 in the upper ones
//   V  [page_tokens / 2][dimensions] pairs. int4: of 32 dimensions the first 16 in the lower halves of 16
//      pairs of bytes, the others in the upper ones
// Then the scales, [groups][page_tokens].
//
// Keys and values are stored rotated by a Hadamard matrix, which spreads what few dimensions hold over many
// and so fits a scale to all of them (QuaRot, Ashkboos et al. 2024, section 4). Attention rotates queries and
// results: scores stay what they were.
#ifndef QUIRE_KERNELS_KV_CODEC_H_
#define QUIRE_KERNELS_KV_CODEC_H_

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quire/kernels/dtype.h"

namespace quire {

struct KvTypeRow {
  std::string_view name;  // "int8", as in flags
  DType type;
};

// All types of KV pages, the most exact first.
std::span<const KvTypeRow> KvTypes();
std::vector<std::string> KvTypeNames();
std::optional<DType> FindKvType(std::string_view name);
// REQUIRES: IsKvType(type).
std::string_view KvTypeName(DType type);
bool IsKvType(DType type);

// Bytes of the K tile, and of the V tile, of one page. REQUIRES: IsKvType(type).
size_t KvTileBytes(DType type, int page_tokens, int head_dim);

}  // namespace quire

#endif  // QUIRE_KERNELS_KV_CODEC_H_

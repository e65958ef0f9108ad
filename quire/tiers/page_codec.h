// The codec family: how a page is kept in fewer bytes while nobody computes with it.
//
//   lossless  every bit comes back: elements split into planes of bytes, and what repeats in those left out
//   fp8, int8, int4   the page as if it had been computed into pages of that type (kernels/kv_codec.h): old
//             pages get fewer bits, and an answer that goes on from them changes slightly
//
// To add one: a file that defines its PageCodecRow, a line in page_codec.cc.
#ifndef QUIRE_TIERS_PAGE_CODEC_H_
#define QUIRE_TIERS_PAGE_CODEC_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "quire/base/result.h"
#include "quire/kernels/dtype.h"

namespace quire {

// What lies in a page, or in a part of it: of each head a K tile and a V tile (kv/kv_layout.h).
struct PageShape {
  DType type = DType::kF16;
  int page_tokens = 0;
  int head_dim = 0;
  int64_t heads = 0;  // of all layers of the page

  size_t bytes() const;
};

// Thread-safe.
class PageCodec {
 public:
  virtual ~PageCodec() = default;
  // REQUIRES: both pages have the bytes of the shape it was made for; of parts, at least those.
  virtual std::vector<std::byte> Encode(std::span<const std::byte> page) const = 0;
  // False when `coded` is of no page.
  virtual bool Decode(std::span<const std::byte> coded, std::span<std::byte> page) const = 0;
};

struct PageCodecRow {
  std::string_view name;
  std::string_view summary;
  bool exact = false;  // every bit comes back
  std::unique_ptr<PageCodec> (*make)(const PageShape& shape);
};

// All rows; the first is the default.
std::span<const PageCodecRow* const> PageCodecTable();
// Errors: kInvalidArgument, naming the known ones.
Result<const PageCodecRow*> FindPageCodec(std::string_view name);

// For pages of `page_bytes` that consist of parts, one behind the other; what is behind the last holds
// nothing.
std::unique_ptr<PageCodec> MakePageCodec(const PageCodecRow& row, std::span<const PageShape> parts,
                                         size_t page_bytes);

}  // namespace quire

#endif  // QUIRE_TIERS_PAGE_CODEC_H_

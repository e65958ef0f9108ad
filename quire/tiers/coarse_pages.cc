// What:   pages as if they had been computed into pages of fewer bits: fp8, int8, int4.
// Source: kernels/kv_codec.h; fewer bits for old tokens: KIVI's recent window (Liu et al., ICML 2024, 3.2)
//         the other way round, with whole pages that nobody uses.
// Facts:  type and shape of pages. Cost: decoding and encoding a head of every token.
// Good:   memory is short, and answers may change slightly.
// Loses:  when ids must be those of the pages as they were.
#include <cstring>

#include "quire/kernels/kernels.h"
#include "quire/kernels/kv_codec.h"
#include "quire/tiers/page_codec.h"

// Invariant: pages of a type that has no more bits than the codec's are kept as they are.

namespace quire {
namespace {

class CoarsePages final : public PageCodec {
 public:
  CoarsePages(const PageShape& shape, DType type) : fine_(shape), coarse_(shape) {
    coarse_.type = type;
    if (coarse_.bytes() >= fine_.bytes()) coarse_ = fine_;
  }

  std::vector<std::byte> Encode(std::span<const std::byte> page) const override {
    std::vector<std::byte> coded(coarse_.bytes());
    Convert(fine_, page.data(), coarse_, coded.data());
    return coded;
  }

  bool Decode(std::span<const std::byte> coded, std::span<std::byte> page) const override {
    if (coded.size() != coarse_.bytes()) return false;
    Convert(coarse_, coded.data(), fine_, page.data());
    return true;
  }

 private:
  static void Convert(const PageShape& from, const std::byte* source, const PageShape& to,
                      std::byte* target) {
    if (from.type == to.type) {
      std::memcpy(target, source, from.bytes());
      return;
    }
    const KernelTable& kernels = BestKernels();
    const size_t from_tile = KvTileBytes(from.type, from.page_tokens, from.head_dim);
    const size_t to_tile = KvTileBytes(to.type, to.page_tokens, to.head_dim);
    std::vector<float> k(from.head_dim), v(from.head_dim);
    for (int64_t head = 0; head < from.heads; ++head, source += 2 * from_tile, target += 2 * to_tile) {
      for (int slot = 0; slot < from.page_tokens; ++slot) {
        kernels.load_kv(from.type, from.page_tokens, from.head_dim, slot, source, source + from_tile,
                        k.data(), v.data());
        kernels.store_kv(to.type, to.page_tokens, to.head_dim, slot, k.data(), v.data(), target,
                         target + to_tile);
      }
    }
  }

  PageShape fine_, coarse_;
};

template <DType kType>
std::unique_ptr<PageCodec> Make(const PageShape& shape) {
  return std::make_unique<CoarsePages>(shape, kType);
}

}  // namespace

extern const PageCodecRow kFp8Pages{
    .name = "fp8", .summary = "8 bits, floating; changes answers slightly", .make = Make<DType::kFp8>};
extern const PageCodecRow kInt8Pages{
    .name = "int8", .summary = "8 bits; changes answers slightly", .make = Make<DType::kInt8>};
extern const PageCodecRow kInt4Pages{
    .name = "int4", .summary = "4 bits; changes answers", .make = Make<DType::kInt4>};

}  // namespace quire

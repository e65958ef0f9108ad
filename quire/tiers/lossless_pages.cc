// What:   pages whose every bit comes back: elements are split into planes of bytes, the one with the
//         exponents first, and every plane that gets shorter by it is stored by its frequencies (zstd).
// Source: byte shuffling as in Blosc (Alted 2010); exponents of weights and caches carry few bits (ZipNN,
//         Hershcovitch et al. 2024, 3).
// Facts:  the type of pages. Cost: a pass over the bytes, and Huffman coding of a part of them.
// Good:   whenever ids must stay the same.
// Loses:  mantissas are noise, so it saves a sixth to a third, not a half.
#include <zstd.h>

#include <cstring>

#include "quire/base/check.h"
#include "quire/tiers/page_codec.h"

// Invariant: a coded page is, plane by plane, the bytes it takes (4) and those: a frame of zstd, or, where
// that is no shorter, the plane itself.

namespace quire {
namespace {

constexpr int kLevel = 1;  // higher ones look for repetitions, and there are none

size_t ElementBytes(DType type) {
  switch (type) {
    case DType::kF32:
      return 4;
    case DType::kF16:
    case DType::kBF16:
      return 2;
    default:
      return 1;  // codes, and among them a few scales
  }
}

// Moves the sign behind the mantissa: then the first byte of a bfloat is its exponent.
template <typename Bits>
Bits SignLast(Bits bits) {
  return static_cast<Bits>(bits << 1 | bits >> (8 * sizeof(Bits) - 1));
}
template <typename Bits>
Bits SignFirst(Bits bits) {
  return static_cast<Bits>(bits >> 1 | bits << (8 * sizeof(Bits) - 1));
}

template <typename Bits>
void Split(std::span<const std::byte> page, std::byte* planes) {
  const size_t n = page.size() / sizeof(Bits);
  for (size_t i = 0; i < n; ++i) {
    Bits bits;
    std::memcpy(&bits, page.data() + i * sizeof(Bits), sizeof(Bits));
    bits = SignLast(bits);
    for (size_t plane = 0; plane < sizeof(Bits); ++plane) {
      planes[plane * n + i] = static_cast<std::byte>(bits >> (8 * (sizeof(Bits) - 1 - plane)));
    }
  }
}

template <typename Bits>
void Join(const std::byte* planes, std::span<std::byte> page) {
  const size_t n = page.size() / sizeof(Bits);
  for (size_t i = 0; i < n; ++i) {
    Bits bits = 0;
    for (size_t plane = 0; plane < sizeof(Bits); ++plane) {
      bits = static_cast<Bits>(bits << 8 | static_cast<Bits>(planes[plane * n + i]));
    }
    bits = SignFirst(bits);
    std::memcpy(page.data() + i * sizeof(Bits), &bits, sizeof(Bits));
  }
}

struct FreeContexts {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

class LosslessPages final : public PageCodec {
 public:
  explicit LosslessPages(const PageShape& shape) : element_(ElementBytes(shape.type)) {}

  std::vector<std::byte> Encode(std::span<const std::byte> page) const override {
    std::vector<std::byte> planes(page.size());
    if (element_ == 1) std::memcpy(planes.data(), page.data(), page.size());
    if (element_ == 2) Split<uint16_t>(page, planes.data());
    if (element_ == 4) Split<uint32_t>(page, planes.data());
    const size_t n = page.size() / element_;
    std::vector<std::byte> room(element_ * sizeof(uint32_t) + page.size());
    size_t end = 0;
    for (size_t plane = 0; plane < element_; ++plane) {
      end += EncodePlane({planes.data() + plane * n, n}, room.data() + end);
    }
    return {room.begin(), room.begin() + static_cast<int64_t>(end)};
  }

  bool Decode(std::span<const std::byte> coded, std::span<std::byte> page) const override {
    const size_t n = page.size() / element_;
    std::vector<std::byte> planes(page.size());
    for (size_t plane = 0; plane < element_; ++plane) {
      if (!DecodePlane(coded, {planes.data() + plane * n, n})) return false;
    }
    if (!coded.empty()) return false;
    if (element_ == 1) std::memcpy(page.data(), planes.data(), page.size());
    if (element_ == 2) Join<uint16_t>(planes.data(), page);
    if (element_ == 4) Join<uint32_t>(planes.data(), page);
    return true;
  }

 private:
  // Returns the bytes it takes: never more than the plane and its length.
  static size_t EncodePlane(std::span<const std::byte> plane, std::byte* to) {
    thread_local const std::unique_ptr<ZSTD_CCtx, FreeContexts> context(ZSTD_createCCtx());
    QUIRE_CHECK(context != nullptr);
    std::byte* const bytes = to + sizeof(uint32_t);
    size_t size = ZSTD_compressCCtx(context.get(), bytes, plane.size(), plane.data(), plane.size(), kLevel);
    if (ZSTD_isError(size) != 0 || size >= plane.size()) {
      size = plane.size();
      std::memcpy(bytes, plane.data(), size);
    }
    const auto length = static_cast<uint32_t>(size);
    std::memcpy(to, &length, sizeof(length));
    return sizeof(length) + size;
  }

  // Takes the plane from the front of `coded`.
  static bool DecodePlane(std::span<const std::byte>& coded, std::span<std::byte> plane) {
    thread_local const std::unique_ptr<ZSTD_DCtx, FreeContexts> context(ZSTD_createDCtx());
    QUIRE_CHECK(context != nullptr);
    uint32_t length = 0;
    if (coded.size() < sizeof(length)) return false;
    std::memcpy(&length, coded.data(), sizeof(length));
    coded = coded.subspan(sizeof(length));
    if (length > coded.size() || length > plane.size()) return false;
    const std::span<const std::byte> bytes = coded.first(length);
    coded = coded.subspan(length);
    if (length == plane.size()) {
      std::memcpy(plane.data(), bytes.data(), length);
      return true;
    }
    return ZSTD_decompressDCtx(context.get(), plane.data(), plane.size(), bytes.data(), length) ==
           plane.size();
  }

  const size_t element_;
};

}  // namespace

extern const PageCodecRow kLosslessPages{.name = "lossless",
                                         .summary = "every bit comes back",
                                         .exact = true,
                                         .make = [](const PageShape& shape) -> std::unique_ptr<PageCodec> {
                                           return std::make_unique<LosslessPages>(shape);
                                         }};

}  // namespace quire

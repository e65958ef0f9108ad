#include "quire/kernels/random_weights.h"

#include <cstring>
#include <utility>

#include "quire/kernels/quantized_formats.h"

namespace quire {
namespace {

// The bits of 2^-n as a half.
uint16_t HalfPowerOf2(int n) { return static_cast<uint16_t>((15 - n) << 10); }

// Scales of 2^-n times 1 to 2.
template <DType T>
void SetScalesOf(std::vector<std::byte>* bytes, int n, std::mt19937* random) {
  using Block = GgufBlock<T>;
  for (size_t at = 0; at < bytes->size(); at += sizeof(Block)) {
    Block block;
    std::memcpy(&block, bytes->data() + at, sizeof(block));
    const auto scale = [&] { return static_cast<uint16_t>(HalfPowerOf2(n) | ((*random)() & 0x3ff)); };
    block.d = scale();
    if constexpr (requires { block.m; }) block.m = static_cast<uint16_t>(HalfPowerOf2(n - 3) | 0x8000);
    if constexpr (requires { block.dmin; }) block.dmin = scale();
    std::memcpy(bytes->data() + at, &block, sizeof(block));
  }
}

// Sets the scales of every block; the other bytes stay.
void SetScales(DType type, std::vector<std::byte>* bytes, std::mt19937* random) {
  switch (type) {
    case DType::kQ4_0:
      return SetScalesOf<DType::kQ4_0>(bytes, 5, random);
    case DType::kQ4_1:
      return SetScalesOf<DType::kQ4_1>(bytes, 5, random);
    case DType::kQ5_0:
      return SetScalesOf<DType::kQ5_0>(bytes, 6, random);
    case DType::kQ5_1:
      return SetScalesOf<DType::kQ5_1>(bytes, 6, random);
    case DType::kQ8_0:
      return SetScalesOf<DType::kQ8_0>(bytes, 9, random);
    case DType::kQ2_K:
      return SetScalesOf<DType::kQ2_K>(bytes, 6, random);
    case DType::kQ3_K:
      return SetScalesOf<DType::kQ3_K>(bytes, 8, random);
    case DType::kQ4_K:
      return SetScalesOf<DType::kQ4_K>(bytes, 10, random);
    case DType::kQ5_K:
      return SetScalesOf<DType::kQ5_K>(bytes, 11, random);
    case DType::kQ6_K:
      return SetScalesOf<DType::kQ6_K>(bytes, 12, random);
    default:
      return;
  }
}

void SetPlain(DType type, const std::vector<float>& values, std::vector<std::byte>* bytes) {
  for (size_t i = 0; i < values.size(); ++i) {
    uint32_t bits;
    std::memcpy(&bits, &values[i], sizeof(bits));
    const auto bfloat = static_cast<uint16_t>(bits >> 16);
    // The sign and some mantissa of the float under an exponent of 2^-2 .. 2^-5.
    const auto half =
        static_cast<uint16_t>((bfloat & 0x8000) | HalfPowerOf2(2 + (bits >> 11 & 3)) | (bits & 0x3ff));
    if (type == DType::kF32) std::memcpy(bytes->data() + 4 * i, &bits, 4);
    if (type == DType::kF16) std::memcpy(bytes->data() + 2 * i, &half, 2);
    if (type == DType::kBF16) std::memcpy(bytes->data() + 2 * i, &bfloat, 2);
  }
}

}  // namespace

std::vector<float> RandomFloats(int64_t n, uint32_t seed, float deviation) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, deviation);
  std::vector<float> values(static_cast<size_t>(n));
  for (float& value : values) value = normal(random);
  return values;
}

std::vector<std::byte> RandomWeights(DType type, int64_t rows, int64_t cols, uint32_t seed) {
  std::vector<std::byte> bytes(static_cast<size_t>(rows) * RowBytes(type, cols));
  std::mt19937 random(seed);
  if (IsQuantized(type)) {
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
    SetScales(type, &bytes, &random);
  } else {
    SetPlain(type, RandomFloats(rows * cols, seed, 0.3f), &bytes);
  }
  return bytes;
}

ActivationForms::ActivationForms(const KernelTable& kernels, std::vector<float> floats, int64_t rows,
                                 int64_t cols)
    : floats_(std::move(floats)) {
  if (cols % kActivationGroup == 0) {
    values_.resize(floats_.size());
    scales_.resize(floats_.size() / kActivationGroup);
    sums_.resize(floats_.size() / 16);
    int8_ = {rows, cols, values_.data(), scales_.data(), sums_.data()};
    for (int64_t row = 0; row < rows; ++row) kernels.quantize_row(floats_.data(), row, int8_);
  }
  if (kernels.quantize_wide != nullptr && cols % kActivationGroup == 0) {
    wide_values_ = AlignedBuffer::Allocate(WideActivations::ValueBytes(rows, cols)).value();
    wide_scales_.resize(WideActivations::ScaleFloats(rows, cols));
    wide_ = {rows, cols, WideActivations::RowBlocks(rows), wide_values_.as<int8_t>(), wide_scales_.data()};
    for (int64_t row = 0; row < rows; ++row) {
      kernels.quantize_wide(floats_.data() + row * cols, row, 0, cols, wide_);
    }
  }
  if (kernels.matmul_bf16 != nullptr) {
    bfloats_ = AlignedBuffer::Allocate(BFloatActivations::Bytes(rows, cols)).value();
    bfloat_ = {rows, cols, BFloatActivations::RowBlocks(rows), bfloats_.data()};
    for (int64_t row = 0; row < rows; ++row) {
      kernels.round_columns(floats_.data() + row * cols, row, 0, cols, bfloat_);
    }
  }
}

std::vector<std::byte> ConstantCodes(DType type, int64_t rows, int64_t cols, uint8_t fill) {
  std::vector<std::byte> bytes(static_cast<size_t>(rows) * RowBytes(type, cols),
                               static_cast<std::byte>(fill));
  std::mt19937 random(fill);
  SetScales(type, &bytes, &random);
  return bytes;
}

}  // namespace quire

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>

#include "quire/kernels/quantized_formats.h"
#include "quire/kernels/test_matrix.h"

namespace quire {
namespace {

class Weights : public testing::TestWithParam<const KernelTable*> {
 protected:
  const KernelTable& kernels() const { return *GetParam(); }
};

// Random blocks and what an independent reader makes of them: see testdata/make_dequantize_goldens.py.
struct Golden {
  static constexpr int64_t kWeights = 512;
  std::vector<std::byte> blocks;
  std::vector<float> weights;

  explicit Golden(DType type) : blocks(RowBytes(type, kWeights)), weights(kWeights) {
    const std::string path = std::string(QUIRE_SOURCE_DIR "/quire/kernels/testdata/dequantize_") +
                             std::string(Info(type).name) + ".bin";
    std::ifstream file(path, std::ios::binary);
    file.read(reinterpret_cast<char*>(blocks.data()), static_cast<std::streamsize>(blocks.size()));
    file.read(reinterpret_cast<char*>(weights.data()), kWeights * sizeof(float));
    EXPECT_TRUE(file.good()) << path;
  }
};

TEST_P(Weights, DequantizeIsBitForBitTheIndependentReaders) {
  for (DType type : AllTypes()) {
    if (!IsQuantized(type)) continue;
    const Golden golden(type);
    std::vector<float> weights(Golden::kWeights);
    kernels().dequantize(type, golden.blocks.data(), weights.data(), Golden::kWeights);
    EXPECT_EQ(weights, golden.weights) << Info(type).name;
  }
}

TEST_P(Weights, PlainTypes) {
  const std::vector<uint16_t> halves = {0x3c00, 0xc000, 0x0001, 0x7bff, 0x8400, 0x7c00};
  const std::vector<float> expected = {1.0f, -2.0f, 0x1p-24f, 65504.0f, -0x1p-14f, INFINITY};
  std::vector<float> floats(halves.size());
  kernels().dequantize(DType::kF16, reinterpret_cast<const std::byte*>(halves.data()), floats.data(), 6);
  EXPECT_EQ(floats, expected);
  const std::vector<uint16_t> bfloats = {0x3f80, 0xc000, 0x7f80};
  floats.resize(3);
  kernels().dequantize(DType::kBF16, reinterpret_cast<const std::byte*>(bfloats.data()), floats.data(), 3);
  EXPECT_EQ(floats, (std::vector<float>{1.0f, -2.0f, INFINITY}));
}

// The product with the unit vectors gives the packed weights back.
TEST_P(Weights, PackedWeightsAreTheDequantizedOnes) {
  constexpr int64_t kRows = 19, kCols = 256;
  std::vector<float> unit(kCols * kCols);
  for (int64_t k = 0; k < kCols; ++k) unit[k * kCols + k] = 1;
  for (DType type : AllTypes()) {
    const TestMatrix matrix(kernels(), type, kRows, kCols, 7);
    const std::vector<float> weights = matrix.Dequantized(kernels());
    std::vector<float> y(kCols * kRows);
    kernels().matmul_f32(matrix.packed, 0, matrix.packed.panels(), unit.data(), kCols, kCols, y.data(),
                         kRows);
    for (int64_t r = 0; r < kRows; ++r) {
      for (int64_t k = 0; k < kCols; ++k) {
        ASSERT_EQ(y[k * kRows + r], weights[r * kCols + k])
            << Info(type).name << " row " << r << " col " << k;
      }
    }
  }
}

TEST_P(Weights, PackingIsTheSameInPiecesAndOnEveryIsa) {
  const KernelTable& generic = *SupportedKernels().front();
  for (DType type : AllTypes()) {
    constexpr int64_t kRows = 50, kCols = 512;
    const TestMatrix whole(generic, type, kRows, kCols, 3);
    std::vector<std::byte> pieces(whole.memory.bytes());
    const int64_t panels = whole.packed.panels();
    for (int64_t p = panels - 1; p >= 0; --p) {
      kernels().pack(type, whole.file.data(), kRows, kCols, p, p + 1, pieces.data());
    }
    const size_t bytes = panels * PanelBytes(type, kCols);
    EXPECT_EQ(std::memcmp(pieces.data(), whole.memory.data(), bytes), 0) << Info(type).name;
  }
}

// Files may hold anything: every byte pattern must go through every path, NaN and infinite scales included.
TEST_P(Weights, AnyBytesAreSafe) {
  constexpr int64_t kRows = 16, kCols = 256;
  const std::vector<float> x = RandomFloats(3 * kCols, 5);
  const ActivationForms activations(kernels(), x, 3, kCols);
  for (DType type : AllTypes()) {
    for (int fill : {0x00, 0x7c, 0x7f, 0xff}) {
      const std::vector<std::byte> bytes(kRows * RowBytes(type, kCols), static_cast<std::byte>(fill));
      const TestMatrix matrix(kernels(), type, kRows, kCols, bytes);
      std::vector<float> y(3 * kRows);
      kernels().matmul_f32(matrix.packed, 0, 1, x.data(), kCols, 3, y.data(), kRows);
      if (IsQuantized(type)) kernels().matmul_q8(matrix.packed, 0, 1, activations.int8(), y.data(), kRows);
      const std::vector<float> weights = matrix.Dequantized(kernels());
      if (fill == 0) {
        EXPECT_TRUE(std::isfinite(weights[0]) && std::isfinite(y[0])) << Info(type).name;
      }
      if (fill == 0xff) {
        EXPECT_TRUE(std::isnan(weights[0]) && std::isnan(y[0])) << Info(type).name;
      }
    }
  }
}

TEST(PanelBytes, AreMultiplesOf64AndHoldTheWeights) {
  for (DType type : AllTypes()) {
    for (int64_t cols : {256, 768, 1536}) {
      const size_t bytes = PanelBytes(type, cols);
      EXPECT_EQ(bytes % 64, 0u);
      EXPECT_GE(bytes, 16 * RowBytes(type, cols)) << Info(type).name;
      EXPECT_LE(bytes, 16 * RowBytes(type, cols) * 104 / 100 + 64) << Info(type).name;
    }
  }
}

std::string NameOf(const testing::TestParamInfo<const KernelTable*>& info) {
  return std::string(info.param->name);
}
INSTANTIATE_TEST_SUITE_P(Isa, Weights, testing::ValuesIn(SupportedKernels()), NameOf);

}  // namespace
}  // namespace quire

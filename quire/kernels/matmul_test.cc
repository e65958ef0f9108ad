// Tolerances: a product may differ from the one in double precision by 1e-5 of the sum of its terms'
// magnitudes, with bfloats by 2^-8 of it, twice their rounding. Between calls of one table with other rows or
// panels nothing may differ at all.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <span>
#include <string>

#include "quire/kernels/test_matrix.h"

namespace quire {
namespace {

class Matmul : public testing::TestWithParam<const KernelTable*> {
 protected:
  const KernelTable& kernels() const { return *GetParam(); }
};

struct Shape {
  int64_t rows, outputs, cols;
};

// Column counts that fill no slab, one, and several with a rest; outputs that fill no panel, and several with
// a rest; rows and panels of more than one piece of what keeps sums.
std::vector<Shape> ShapesFor(DType type) {
  std::vector<Shape> shapes = {{1, 16, 256},   {2, 40, 512},   {9, 1, 1536},  {37, 19, 768},
                               {130, 17, 256}, {530, 17, 256}, {18, 540, 256}};
  if (Info(type).block_elements <= 32) {
    for (const Shape& shape : {Shape{1, 33, 32}, Shape{3, 16, 64}, Shape{8, 20, 576}})
      shapes.push_back(shape);
  }
  return shapes;
}

void ExpectProduct(const std::vector<float>& w, const std::vector<float>& x, const std::vector<float>& y,
                   const Shape& shape, const std::string& what, double tolerance = 1e-5) {
  for (int64_t r = 0; r < shape.rows; ++r) {
    for (int64_t o = 0; o < shape.outputs; ++o) {
      double sum = 0, magnitude = 0;
      for (int64_t k = 0; k < shape.cols; ++k) {
        const double term = static_cast<double>(w[o * shape.cols + k]) * x[r * shape.cols + k];
        sum += term;
        magnitude += std::abs(term);
      }
      ASSERT_NEAR(y[r * shape.outputs + o], sum, tolerance * magnitude)
          << what << " row " << r << " output " << o;
    }
  }
}

std::string Describe(DType type, const Shape& shape) {
  return std::string(Info(type).name) + " " + std::to_string(shape.rows) + "x" +
         std::to_string(shape.outputs) + "x" + std::to_string(shape.cols);
}

TEST_P(Matmul, Q8EqualsTheProductInDoublePrecision) {
  for (DType type : AllTypes()) {
    if (!IsQuantized(type)) continue;
    for (const Shape& shape : ShapesFor(type)) {
      const TestMatrix w(kernels(), type, shape.outputs, shape.cols, 1);
      const ActivationForms x(kernels(), RandomFloats(shape.rows * shape.cols, 2), shape.rows, shape.cols);
      std::vector<float> y(shape.rows * shape.outputs, NAN);
      kernels().matmul_q8(w.packed, 0, w.packed.panels(), x.int8(), y.data(), shape.outputs);
      ExpectProduct(w.Dequantized(kernels()), Dequantized(x.int8()), y, shape, Describe(type, shape));
    }
  }
}

TEST_P(Matmul, F32EqualsTheProductInDoublePrecision) {
  for (DType type : AllTypes()) {
    std::vector<Shape> shapes = ShapesFor(type);
    if (!IsQuantized(type)) shapes.push_back({5, 18, 75});
    for (const Shape& shape : shapes) {
      const TestMatrix w(kernels(), type, shape.outputs, shape.cols, 3);
      const std::vector<float> x = RandomFloats(shape.rows * shape.cols, 4);
      std::vector<float> y(shape.rows * shape.outputs, NAN);
      kernels().matmul_f32(w.packed, 0, w.packed.panels(), x.data(), shape.cols, shape.rows, y.data(),
                           shape.outputs);
      ExpectProduct(w.Dequantized(kernels()), x, y, shape, Describe(type, shape));
    }
  }
}

TEST_P(Matmul, Bf16EqualsTheProductInDoublePrecision) {
  for (DType type : AllTypes()) {
    if (!MultipliesBFloats(kernels(), type)) continue;
    std::vector<Shape> shapes = ShapesFor(type);
    if (!IsQuantized(type)) shapes.push_back({5, 40, 75});
    for (const Shape& shape : shapes) {
      const TestMatrix w(kernels(), type, shape.outputs, shape.cols, 3);
      const ActivationForms x(kernels(), RandomFloats(shape.rows * shape.cols, 4), shape.rows, shape.cols);
      std::vector<float> y(shape.rows * shape.outputs, NAN);
      kernels().matmul_bf16(w.packed, 0, w.packed.panels(), x.bfloat(), y.data(), shape.outputs);
      ExpectProduct(w.Dequantized(kernels()), x.floats(), y, shape, Describe(type, shape), 1.0 / 256);
    }
  }
}

// Every 32 values of a row, times the orthonormal Hadamard matrix, in double precision.
std::vector<float> Rotated(const std::vector<float>& x) {
  std::vector<float> rotated(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    const size_t group = i & ~size_t{31};
    double sum = 0;
    for (size_t k = 0; k < 32; ++k) sum += std::popcount(i & k & 31) % 2 == 0 ? x[group + k] : -x[group + k];
    rotated[i] = static_cast<float>(sum / std::sqrt(32.0));
  }
  return rotated;
}

// The largest magnitude of each wide group of each row.
std::vector<float> LargestOfWideGroups(const std::vector<float>& values, int64_t cols) {
  const int64_t groups = (cols + kWideGroup - 1) / kWideGroup;
  std::vector<float> largest(values.size() / cols * groups);
  for (size_t i = 0; i < values.size(); ++i) {
    float& of_group = largest[i / cols * groups + i % cols / kWideGroup];
    of_group = std::max(of_group, std::abs(values[i]));
  }
  return largest;
}

// Each factor of a term may be half a step off, of what both are once rotated. The step of weights may be
// that of a little more than their largest magnitude.
TEST_P(Matmul, WideIsWithinHalfAStepOfEachFactor) {
  if (kernels().matmul_wide == nullptr) GTEST_SKIP() << "no wide groups in this table";
  for (DType type : AllTypes()) {
    std::vector<Shape> shapes = ShapesFor(type);
    shapes.insert(shapes.end(), {{70, 600, 2304}, {40, 48, 1280}});
    for (const Shape& shape : shapes) {
      const TestMatrix matrix(kernels(), type, shape.outputs, shape.cols, 3);
      const ActivationForms forms(kernels(), RandomFloats(shape.rows * shape.cols, 4), shape.rows,
                                  shape.cols);
      std::vector<float> y(shape.rows * shape.outputs, NAN);
      kernels().matmul_wide(matrix.packed, 0, matrix.packed.panels(), forms.wide(), y.data(), shape.outputs);
      const std::vector<float> w = Rotated(matrix.Dequantized(kernels())), x = Rotated(forms.floats());
      const std::vector<float> most_w = LargestOfWideGroups(w, shape.cols),
                               most_x = LargestOfWideGroups(x, shape.cols);
      const int64_t groups = (shape.cols + kWideGroup - 1) / kWideGroup;
      for (int64_t r = 0; r < shape.rows; r += shape.rows > 40 ? 13 : 1) {
        for (int64_t o = 0; o < shape.outputs; ++o) {
          double sum = 0, bound = 0;
          for (int64_t k = 0; k < shape.cols; ++k) {
            const double a = x[r * shape.cols + k], b = w[o * shape.cols + k];
            const double step_a = most_x[r * groups + k / kWideGroup] / 127;
            const double step_b = 1.4 * most_w[o * groups + k / kWideGroup] / 127;
            sum += a * b;
            bound += std::abs(a) * step_b / 2 + (std::abs(b) + step_b / 2) * step_a / 2;
          }
          // All errors of one sign would be a bound that no mistake could reach.
          ASSERT_NEAR(y[r * shape.outputs + o], sum, bound / (shape.cols > 64 ? 3 : 1))
              << Describe(type, shape) << " row " << r << " output " << o;
        }
      }
    }
  }
}

TEST_P(Matmul, WideGroupsThatAreKeptGiveTheSameBits) {
  if (kernels().widen == nullptr) GTEST_SKIP() << "no wide groups in this table";
  for (DType type : AllTypes()) {
    std::vector<Shape> shapes = ShapesFor(type);
    shapes.push_back({600, 70, 1280});
    for (const Shape& shape : shapes) {
      TestMatrix w(kernels(), type, shape.outputs, shape.cols, 3);
      const ActivationForms forms(kernels(), RandomFloats(shape.rows * shape.cols, 4), shape.rows,
                                  shape.cols);
      std::vector<float> made(shape.rows * shape.outputs, NAN), kept = made;
      const auto multiply = [&](std::vector<float>& y) {
        kernels().matmul_wide(w.packed, 0, w.packed.panels(), forms.wide(), y.data(), shape.outputs);
      };
      multiply(made);
      w.Widen(kernels());
      w.packed.data = nullptr;  // is not read
      multiply(kept);
      ASSERT_EQ(made, kept) << Describe(type, shape);
    }
  }
}

TEST_P(Matmul, QuantizeWide) {
  if (kernels().quantize_wide == nullptr) GTEST_SKIP() << "no wide groups in this table";
  constexpr int64_t kRows = 18, kCols = 1024 + 256 + 96;  // more than a slab, and half a tile
  std::vector<float> x = RandomFloats(kRows * kCols, 8);
  x[kCols + 300] = NAN;
  x[2 * kCols + 1024 + 256] = -INFINITY;
  std::fill_n(&x[3 * kCols + 512], 256, 0.0f);
  const ActivationForms forms(kernels(), x, kRows, kCols);
  const WideActivations& wide = forms.wide();
  const std::vector<float> rotated = Rotated(x), largest = LargestOfWideGroups(rotated, kCols);
  for (int64_t row = 0; row < kRows; ++row) {
    for (int64_t col = 0; col < wide.tiles() * kWideTileCols; ++col) {
      const int64_t group = col / kWideGroup;
      const float scale = *wide.Scale(row, group),
                  value = static_cast<int8_t>(*wide.At(row, col) - kernels().wide_offset);
      if ((row == 1 && group == 1) || (row == 2 && group == 5)) {
        EXPECT_TRUE(std::isnan(scale) && value == 0) << row << " " << col;
      } else {
        // Values are times the matrix without its norm; the scale has it.
        EXPECT_NEAR(scale, largest[row * 6 + group] / 127, 1e-6f * scale);
        EXPECT_NEAR(value * scale, col < kCols ? rotated[row * kCols + col] : 0, 0.501f * scale)
            << row << " " << col;
      }
    }
  }
}

// The integer sums reach their limits: nothing may saturate.
TEST_P(Matmul, ExtremeCodesAndActivations) {
  constexpr Shape kShape = {3, 16, 256};
  std::vector<float> x(kShape.rows * kShape.cols, 1.0f);
  for (int64_t k = 0; k < kShape.cols; ++k) {
    x[kShape.cols + k] = -1.0f;
    x[2 * kShape.cols + k] = k % 2 == 0 ? 1.0f : -1.0f;
  }
  const ActivationForms activations(kernels(), x, kShape.rows, kShape.cols);
  for (DType type : AllTypes()) {
    if (!IsQuantized(type)) continue;
    for (uint8_t fill : {0x00, 0x7f, 0x80, 0x81, 0xff}) {
      const TestMatrix w(kernels(), type, kShape.outputs, kShape.cols,
                         ConstantCodes(type, kShape.outputs, kShape.cols, fill));
      std::vector<float> y(kShape.rows * kShape.outputs);
      kernels().matmul_q8(w.packed, 0, 1, activations.int8(), y.data(), kShape.outputs);
      ExpectProduct(w.Dequantized(kernels()), Dequantized(activations.int8()), y, kShape,
                    std::string(Info(type).name) + " fill " + std::to_string(fill));
    }
  }
}

TEST_P(Matmul, ARowIsBitwiseTheSameInEveryBatchAndPanelRange) {
  enum class Kind { kF32, kBf16, kQ8, kWide };
  constexpr Shape kShape = {37, 55, 768};
  const std::vector<float> x = RandomFloats(kShape.rows * kShape.cols, 6);
  const ActivationForms all(kernels(), x, kShape.rows, kShape.cols);
  for (DType type : AllTypes()) {
    SCOPED_TRACE(Info(type).name);
    const TestMatrix w(kernels(), type, kShape.outputs, kShape.cols, 5);
    const auto multiply = [&](Kind kind, int64_t row, int64_t rows, int64_t panel, int64_t panel_end,
                              float* y) {
      const float* from = x.data() + row * kShape.cols;
      if (kind == Kind::kF32) {
        kernels().matmul_f32(w.packed, panel, panel_end, from, kShape.cols, rows, y, kShape.outputs);
        return;
      }
      if (kind == Kind::kBf16 || kind == Kind::kWide) {
        const ActivationForms part(kernels(), std::vector<float>(from, from + rows * kShape.cols), rows,
                                   kShape.cols);
        kind == Kind::kBf16
            ? kernels().matmul_bf16(w.packed, panel, panel_end, part.bfloat(), y, kShape.outputs)
            : kernels().matmul_wide(w.packed, panel, panel_end, part.wide(), y, kShape.outputs);
        return;
      }
      QuantizedActivations part = all.int8();
      part.rows = rows;
      part.values += row * kShape.cols;
      part.scales += row * kShape.cols / kActivationGroup;
      part.sums += row * kShape.cols / 16;
      kernels().matmul_q8(w.packed, panel, panel_end, part, y, kShape.outputs);
    };
    for (Kind kind : {Kind::kF32, Kind::kBf16, Kind::kQ8, Kind::kWide}) {
      if (kind == Kind::kQ8 && !IsQuantized(type)) continue;
      if (kind == Kind::kWide && kernels().matmul_wide == nullptr) continue;
      if (kind == Kind::kBf16 && !MultipliesBFloats(kernels(), type)) continue;
      std::vector<float> together(kShape.rows * kShape.outputs), apart(kShape.rows * kShape.outputs);
      multiply(kind, 0, kShape.rows, 0, w.packed.panels(), together.data());
      int64_t rows = 1;
      for (int64_t row = 0; row < kShape.rows; row += rows, rows = row < 3 ? 1 : rows % 9 + 1) {
        rows = std::min(rows, kShape.rows - row);
        for (int64_t panel = 0; panel < w.packed.panels(); ++panel) {
          multiply(kind, row, rows, panel, panel + 1, apart.data() + row * kShape.outputs);
        }
      }
      EXPECT_EQ(std::memcmp(together.data(), apart.data(), together.size() * sizeof(float)), 0)
          << "kind " << static_cast<int>(kind);
    }
  }
}

// Tiles multiply from a few rows on, registers fewer: a row must not tell which.
TEST_P(Matmul, Q8HasTheBitsThatVectorsGive) {
  const std::vector<const KernelTable*> tables = SupportedKernels();
  const auto avx512 = std::ranges::find(tables, "avx512", &KernelTable::name);
  if (kernels().name != "amx" || avx512 == tables.end()) GTEST_SKIP() << "no tiles in this table";
  for (DType type : AllTypes()) {
    if (!IsQuantized(type)) continue;
    std::vector<int64_t> cols = {768, 2304};  // a slab and more; a stretch of slabs and more
    if (Info(type).block_elements <= 32) cols.insert(cols.end(), {32, 96, 544});
    for (int64_t n : cols) {
      constexpr int64_t kMostRows = 150;
      const int64_t outputs = n == 768 ? 72 : 56;  // an odd number of panels, an even one
      const TestMatrix w(kernels(), type, outputs, n, 10);
      const ActivationForms x(kernels(), RandomFloats(kMostRows * n, 11), kMostRows, n);
      std::vector<float> want(kMostRows * outputs);
      (*avx512)->matmul_q8(w.packed, 0, w.packed.panels(), x.int8(), want.data(), outputs);
      for (int64_t rows = 1; rows <= kMostRows; rows += rows < 70 ? 1 : 13) {
        QuantizedActivations some = x.int8();
        some.rows = rows;
        std::vector<float> y(rows * outputs, NAN);
        kernels().matmul_q8(w.packed, 0, w.packed.panels(), some, y.data(), outputs);
        ASSERT_EQ(std::memcmp(y.data(), want.data(), y.size() * sizeof(float)), 0)
            << Describe(type, {rows, outputs, n});
      }
    }
  }
}

// Outputs larger than the caches may take another way to memory; what lies between them must not change.
TEST_P(Matmul, OutputsThatLieFarApart) {
  constexpr int64_t kRows = 140, kOutputs = 56, kCols = 64, kStride = 2048;
  const TestMatrix w(kernels(), DType::kQ4_0, kOutputs, kCols, 12);
  const ActivationForms x(kernels(), RandomFloats(kRows * kCols, 13), kRows, kCols);
  std::vector<float> want(kRows * kOutputs);
  kernels().matmul_q8(w.packed, 0, w.packed.panels(), x.int8(), want.data(), kOutputs);
  const AlignedBuffer memory = AlignedBuffer::Allocate(kRows * kStride * sizeof(float)).value();
  for (const int64_t begin : {0, 3}) {  // aligned and not
    const std::span y(reinterpret_cast<float*>(memory.data()) + begin, kRows * kStride - begin);
    std::ranges::fill(y, -1.0f);
    kernels().matmul_q8(w.packed, 0, w.packed.panels(), x.int8(), y.data(), kStride);
    for (int64_t r = 0; r < kRows; ++r) {
      const std::span row = y.subspan(r * kStride, kStride - begin);
      ASSERT_EQ(std::memcmp(row.data(), &want[r * kOutputs], kOutputs * sizeof(float)), 0) << r;
      ASSERT_TRUE(std::ranges::all_of(row.subspan(kOutputs), [](float a) { return a == -1.0f; })) << r;
    }
  }
}

TEST_P(Matmul, QuantizeRow) {
  constexpr int64_t kCols = 96;
  std::vector<float> x = RandomFloats(2 * kCols, 8);
  for (int i = 0; i < 32; ++i) x[kCols + 32 + i] = 0;
  x[kCols + 64] = 127.0f;  // scale 1: values are the rounded numbers themselves, halves to even
  const std::vector<float> ties = {0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -126.5f};
  for (size_t i = 0; i < ties.size(); ++i) x[kCols + 65 + i] = ties[i];
  const ActivationForms forms(kernels(), x, 2, kCols);
  const QuantizedActivations& q = forms.int8();
  for (int64_t i = 0; i < 2 * kCols; ++i) {
    const float scale = q.scales[i / kActivationGroup];
    EXPECT_NEAR(q.values[i] * scale, x[i], 0.5001f * scale);
  }
  for (int64_t i = 0; i < 2 * kCols / 16; ++i) {
    int32_t sum = 0;
    for (int k = 0; k < 16; ++k) sum += q.values[16 * i + k];
    EXPECT_EQ(q.sums[i], sum);
  }
  EXPECT_EQ(q.scales[4], 0.0f);
  EXPECT_EQ(q.scales[5], 1.0f);
  EXPECT_EQ((std::vector<int>(q.values + kCols + 64, q.values + kCols + 71)),
            (std::vector<int>{127, 0, 2, 2, 0, -2, -126}));
}

TEST_P(Matmul, NumbersThatAreNoneReachTheirOwnRowOnly) {
  constexpr int64_t kCols = 64, kOutputs = 16;
  std::vector<float> x = RandomFloats(4 * kCols, 9);
  x[5] = NAN;
  x[kCols + 40] = INFINITY;
  x[2 * kCols] = 1e-40f;  // a group of subnormals and zeros has no usable inverse scale
  for (int k = 1; k < 32; ++k) x[2 * kCols + k] = 0;
  const ActivationForms q(kernels(), x, 4, kCols);
  const TestMatrix w(kernels(), DType::kQ4_0, kOutputs, kCols, 1);
  std::vector<float> y(4 * kOutputs);
  kernels().matmul_q8(w.packed, 0, 1, q.int8(), y.data(), kOutputs);
  for (int64_t o = 0; o < kOutputs; ++o) {
    EXPECT_TRUE(std::isnan(y[o]) && std::isnan(y[kOutputs + o]));
    EXPECT_TRUE(std::isfinite(y[2 * kOutputs + o]) && std::isfinite(y[3 * kOutputs + o]));
  }
}

std::string NameOf(const testing::TestParamInfo<const KernelTable*>& info) {
  return std::string(info.param->name);
}
INSTANTIATE_TEST_SUITE_P(Isa, Matmul, testing::ValuesIn(SupportedKernels()), NameOf);

}  // namespace
}  // namespace quire

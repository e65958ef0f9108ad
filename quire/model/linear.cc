#include "quire/model/linear.h"

#include <algorithm>

#include "quire/base/check.h"

namespace quire {

Form FormFor(DType weights, bool exact, const KernelTable& kernels) {
  if (exact) return Form::kFloat;
  if (IsQuantized(weights)) return Form::kInt8;
  return weights != DType::kF32 && MultipliesBFloats(kernels, weights) ? Form::kBFloat : Form::kFloat;
}

Linear Linear::Panels(int64_t begin, int64_t end) const {
  Linear part = *this;
  part.matrix.data += begin * static_cast<int64_t>(PanelBytes(matrix.type, matrix.cols));
  if (matrix.wide != nullptr) part.matrix.wide += begin * static_cast<int64_t>(WidePanelBytes(matrix.cols));
  part.matrix.rows = std::min(end * kPanelRows, matrix.rows) - begin * kPanelRows;
  if (bias != nullptr) part.bias += begin * kPanelRows;
  return part;
}

Activations Activations::Rows(int64_t first, int64_t count) const {
  Activations part = Shaped(count, cols);
  if (values != nullptr) part.values = row(first);
  if (int8.values != nullptr) {
    part.int8.values += first * cols;
    part.int8.scales += first * (cols / kActivationGroup);
    part.int8.sums += first * (cols / 16);
  }
  if (bfloat.values != nullptr) {
    QUIRE_CHECK(first % kBFloatRows == 0);
    part.bfloat.values = bfloat.Block(first / kBFloatRows, 0);
  }
  if (wide.values != nullptr) {
    QUIRE_CHECK(first % 16 == 0);
    part.wide.values = wide.Tile(first / 16, 0);
    part.wide.scales = wide.Scales(first / 16, 0);
  }
  return part;
}

Activations Activations::Shaped(int64_t new_rows, int64_t new_cols) const {
  Activations shaped = *this;
  shaped.rows = shaped.int8.rows = shaped.bfloat.rows = shaped.wide.rows = new_rows;
  shaped.cols = shaped.int8.cols = shaped.bfloat.cols = shaped.wide.cols = new_cols;
  return shaped;
}

void Convert(const KernelTable& kernels, const float* values, const Activations& x, Forms forms, int64_t row,
             int64_t begin, int64_t end) {
  if (forms.bfloat) kernels.round_columns(values, row, begin, end, x.bfloat);
  if (forms.wide) kernels.quantize_wide(values, row, begin, end, x.wide);
  if (!forms.int8) return;
  const int64_t at = row * x.cols + begin;
  const QuantizedActivations part{.rows = 1,
                                  .cols = end - begin,
                                  .values = x.int8.values + at,
                                  .scales = x.int8.scales + at / kActivationGroup,
                                  .sums = x.int8.sums + at / 16};
  kernels.quantize_row(values, 0, part);
}

void MultiplyPanels(const KernelTable& kernels, const Product& product, const Activations& x,
                    int64_t panel_begin, int64_t panel_end) {
  const Linear& linear = *product.linear;
  switch (product.form) {
    case Form::kInt8:
      kernels.matmul_q8(linear.matrix, panel_begin, panel_end, x.int8, product.y, product.y_stride);
      break;
    case Form::kBFloat:
      kernels.matmul_bf16(linear.matrix, panel_begin, panel_end, x.bfloat, product.y, product.y_stride);
      break;
    case Form::kWide:
      kernels.matmul_wide(linear.matrix, panel_begin, panel_end, x.wide, product.y, product.y_stride);
      break;
    case Form::kFloat:
      kernels.matmul_f32(linear.matrix, panel_begin, panel_end, x.values, x.cols, x.rows, product.y,
                         product.y_stride);
  }
  if (linear.bias == nullptr) return;
  const int64_t begin = panel_begin * kPanelRows;
  const int64_t end = std::min(panel_end * kPanelRows, linear.matrix.rows);
  for (int64_t r = 0; r < x.rows; ++r) {
    kernels.add(product.y + r * product.y_stride + begin, linear.bias + begin, end - begin);
  }
}

void MultiplyAll(const KernelTable& kernels, ThreadPool& pool, std::span<const Product> products,
                 const Activations& x) {
  int64_t panels = 0;
  for (const Product& product : products) panels += product.linear->matrix.panels();
  const int64_t tasks = TasksFor(panels, pool.threads());
  pool.Run(tasks, [&](int64_t task, int) {
    // The panels of all products are numbered through; this task has [begin, end).
    int64_t begin = panels * task / tasks;
    int64_t end = panels * (task + 1) / tasks;
    for (const Product& product : products) {
      const int64_t mine = product.linear->matrix.panels();
      if (begin < mine && end > 0) {
        MultiplyPanels(kernels, product, x, std::max<int64_t>(begin, 0), std::min(end, mine));
      }
      begin -= mine;
      end -= mine;
    }
  });
}

int64_t TasksFor(int64_t units, int threads) {
  constexpr int64_t kTasksPerThread = 2;
  return std::clamp<int64_t>(kTasksPerThread * threads, 1, units);
}

int64_t RowsPerTask(int64_t rows, int64_t floats, int threads) {
  constexpr int64_t kFloatsPerTask = 4096;  // less is done before another thread would have begun
  const int64_t enough = (kFloatsPerTask + floats - 1) / floats;
  const int64_t fair = (rows + 4 * threads - 1) / (4 * threads);
  return std::max(enough, fair);
}

}  // namespace quire

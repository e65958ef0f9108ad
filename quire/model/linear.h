// Linear layers over a thread pool: products of packed weights with rows of activations. Several layers that
// read the same activations run in one parallel region.
#ifndef QUIRE_MODEL_LINEAR_H_
#define QUIRE_MODEL_LINEAR_H_

#include <cstdint>
#include <span>

#include "quire/base/thread_pool.h"
#include "quire/kernels/kernels.h"

namespace quire {

// What a weight is multiplied with.
enum class Form { kFloat, kInt8, kBFloat, kWide };

// That of weights of a type. `exact` multiplies everything with floats.
Form FormFor(DType weights, bool exact, const KernelTable& kernels);

struct Forms {
  bool floats = false;
  bool int8 = false;
  bool bfloat = false;
  bool wide = false;

  // Whether floats have to be converted.
  bool others() const { return int8 || bfloat || wide; }
  void Add(Form form) {
    floats |= form == Form::kFloat;
    int8 |= form == Form::kInt8;
    bfloat |= form == Form::kBFloat;
    wide |= form == Form::kWide;
  }
};

struct Linear {
  PackedMatrix matrix;
  const float* bias = nullptr;  // [rows], or none
  Form form = Form::kFloat;

  // Outputs [16 * begin, 16 * end).
  Linear Panels(int64_t begin, int64_t end) const;
};

// Rows of activations as floats and, where a weight wants them so, in other forms. A view; owns nothing.
struct Activations {
  int64_t rows = 0;
  int64_t cols = 0;
  float* values = nullptr;    // [rows, cols]
  QuantizedActivations int8;  // the same rows and cols, or without memory
  BFloatActivations bfloat;   // likewise
  WideActivations wide;       // likewise

  float* row(int64_t r) const { return values + r * cols; }
  // Rows [first, first + count). REQUIRES: first is a multiple of 16 where there is memory for blocks of
  // rows.
  Activations Rows(int64_t first, int64_t count) const;
  // The same memory as a matrix of other dimensions. REQUIRES: it is large enough.
  Activations Shaped(int64_t new_rows, int64_t new_cols) const;
};

// Computes the forms other than floats of columns [begin, end) of one row, whose values those are. REQUIRES:
// both are multiples of kActivationGroup, for wide groups of kWideGroup, or `end` is the number of columns.
void Convert(const KernelTable& kernels, const float* values, const Activations& x, Forms forms, int64_t row,
             int64_t begin, int64_t end);

// One layer applied to all rows of x: y[r * y_stride + output].
struct Product {
  const Linear* linear = nullptr;
  Form form = Form::kFloat;
  float* y = nullptr;
  int64_t y_stride = 0;
};

// Outputs [16 * panel_begin, 16 * panel_end) of one product, with bias, on the calling thread.
void MultiplyPanels(const KernelTable& kernels, const Product& product, const Activations& x,
                    int64_t panel_begin, int64_t panel_end);

// All products, split over the pool by panels.
void MultiplyAll(const KernelTable& kernels, ThreadPool& pool, std::span<const Product> products,
                 const Activations& x);

// Into how many tasks work of `units` equal units should be cut: two a thread balance, and each task reads
// the activations anew.
int64_t TasksFor(int64_t units, int threads);

// How many of `rows` rows a task should take at once, where `floats` is about what one row touches.
int64_t RowsPerTask(int64_t rows, int64_t floats, int threads);

}  // namespace quire

#endif  // QUIRE_MODEL_LINEAR_H_

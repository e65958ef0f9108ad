// The kernels for AVX2 with FMA and F16C. Compiled with these enabled: exports its table only
// (kernel_tables.h).
#include "quire/kernels/lanes_avx2.h"
// The lanes come first.
#include "quire/kernels/kernel_table.inc"
#include "quire/kernels/kernel_tables.h"

namespace quire {

constinit const KernelTable kAvx2Kernels = TableOf("avx2");

}  // namespace quire

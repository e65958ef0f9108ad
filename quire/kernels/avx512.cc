// The kernels for AVX-512 with VNNI. Compiled with these enabled: exports its table only (kernel_tables.h).
#include "quire/kernels/lanes_avx512.h"
// The lanes come first.
#include "quire/kernels/kernel_table.inc"
#include "quire/kernels/kernel_tables.h"

namespace quire {

constinit const KernelTable kAvx512Kernels = TableOf("avx512");

}  // namespace quire

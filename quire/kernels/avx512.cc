// The kernels for AVX-512 with VNNI. Compiled with these enabled: exports its table only (kernel_tables.h).
#include "quire/kernels/lanes_avx512.h"
// The lanes come first.
#include "quire/kernels/kernel_table.inc"
// What it has beside that.
#include "quire/kernels/kernel_tables.h"
#include "quire/kernels/matmul_wide.inc"

namespace quire {

constinit const KernelTable kAvx512Kernels = WithWideGroups(TableOf("avx512"));

}  // namespace quire

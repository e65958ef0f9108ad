// The kernels for AVX-512 with VNNI, BF16 and AMX. Compiled with these enabled: exports its table only
// (kernel_tables.h).
#include "quire/kernels/lanes_avx512_bf16.h"
// The lanes come first.
#include "quire/kernels/kernel_table.inc"
// What tiles add to it.
#include "quire/kernels/kernel_tables.h"
#include "quire/kernels/tiles_amx.h"

namespace quire {

constinit const KernelTable kAmxKernels = TableOf("amx");

}  // namespace quire

// The kernels for AVX-512 with VNNI, BF16 and AMX. Compiled with these enabled: exports its table only
// (kernel_tables.h).
#include "quire/kernels/lanes_avx512_bf16.h"
// The lanes come first.
#include "quire/kernels/kernel_table.inc"
// What tiles add to it.
#include "quire/kernels/kernel_tables.h"
#include "quire/kernels/tiles_amx.h"
// These come after the tiles.
#include "quire/kernels/matmul_amx_int8.inc"

namespace quire {
namespace {

constexpr KernelTable WithTiles(KernelTable table) {
  table.matmul_q8 = MatmulQ8Amx;
  return table;
}

}  // namespace

constinit const KernelTable kAmxKernels = WithTiles(TableOf("amx"));

}  // namespace quire

// The kernels for AVX-512 with VNNI, BF16 and AMX. Compiled with these enabled: exports its table only
// (kernel_tables.h).
#include "quire/kernels/lanes_avx512_bf16.h"
#include "quire/kernels/tiles_amx.h"
// The lanes and tiles come first.
#include "quire/kernels/kernel_table.inc"
// What tiles add to it.
#include "quire/kernels/attention_amx.inc"
#include "quire/kernels/kernel_tables.h"
#include "quire/kernels/matmul_amx_bf16.inc"
#include "quire/kernels/matmul_amx_int8.inc"
// Its tiles of sums are those of matmul_amx_bf16.inc.
#include "quire/kernels/matmul_amx_wide.inc"

namespace quire {
namespace {

constexpr KernelTable WithTiles(KernelTable table) {
  table.matmul_q8 = MatmulAmxQ8;
  table.matmul_bf16 = MatmulAmxBf16;
  table.round_columns = RoundColumns;
  table.matmul_wide = MatmulAmxWide;
  table.quantize_wide = QuantizeWide<0>;
  table.widen = Widen;
  table.attention_bf16 = AttentionAmx;
  return table;
}

}  // namespace

constinit const KernelTable kAmxKernels = WithTiles(TableOf("amx"));

}  // namespace quire

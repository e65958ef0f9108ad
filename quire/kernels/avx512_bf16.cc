// The kernels for AVX-512 with VNNI and BF16. Compiled with these enabled: exports its table only
// (kernel_tables.h).
#include "quire/kernels/lanes_avx512_bf16.h"
// The lanes come first.
#include "quire/kernels/kernel_table.inc"
// What pairs of bfloats add to it.
#include "quire/kernels/attention_bf16.inc"
#include "quire/kernels/kernel_tables.h"
#include "quire/kernels/matmul_bf16.inc"
#include "quire/kernels/matmul_wide.inc"

namespace quire {
namespace {

constexpr KernelTable WithBFloats(KernelTable table) {
  table.attention_bf16 = AttentionBf16;
  table.matmul_bf16 = MatmulBf16;
  table.round_columns = RoundColumns;
  return table;
}

}  // namespace

constinit const KernelTable kAvx512Bf16Kernels = WithBFloats(WithWideGroups(TableOf("avx512_bf16")));

}  // namespace quire

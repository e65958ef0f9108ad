// The table of each instruction set, one translation unit each. Call them only through dispatch.
//
// The linker keeps one copy of an inline function, whichever object file it came from. A copy compiled for
// AVX-512 would then run on every processor and crash on most. So the files <isa>.cc export exactly one
// symbol, their table: all they use sits in anonymous namespaces (the .inc files and lanes_<isa>.h), and the
// headers they include hold only plain structs and declarations. one_symbol_test.cc counts.
#ifndef QUIRE_KERNELS_KERNEL_TABLES_H_
#define QUIRE_KERNELS_KERNEL_TABLES_H_

#include "quire/kernels/kernels.h"

namespace quire {

extern const KernelTable kGenericKernels;
#if defined(__x86_64__)
extern const KernelTable kAvx2Kernels;        // needs AVX2, FMA, F16C
extern const KernelTable kAvx512Kernels;      // needs AVX-512 F, BW, DQ, VL and VNNI, beside the above
extern const KernelTable kAvx512Bf16Kernels;  // needs AVX-512 BF16, beside the above
extern const KernelTable kAmxKernels;         // needs AMX with INT8 and BF16, beside the above
#endif

}  // namespace quire

#endif  // QUIRE_KERNELS_KERNEL_TABLES_H_

// The kernels in plain C++: they run everywhere and say what the others must compute.
#include "quire/kernels/lanes_generic.h"
// The lanes come first.
#include "quire/kernels/kernel_table.inc"
#include "quire/kernels/kernel_tables.h"

namespace quire {

constinit const KernelTable kGenericKernels = TableOf("generic");

}  // namespace quire

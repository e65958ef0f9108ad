// Short measurements of what bounds inference: reading memory, and multiplying.
#ifndef QUIRE_CLI_MACHINE_SPEED_H_
#define QUIRE_CLI_MACHINE_SPEED_H_

#include "quire/base/thread_pool.h"
#include "quire/kernels/kernels.h"

namespace quire {

// Bytes per second at which the pool's threads read memory beyond the caches. 0 where there is no memory.
double ReadBandwidth(ThreadPool& pool);

// Operations per second (two for a multiply and add) of a product of 64 rows with a weight matrix of `type`
// that fits the caches: with int8 activations for quantized types, else with floats.
double MatmulSpeed(const KernelTable& kernels, ThreadPool& pool, DType type);

}  // namespace quire

#endif  // QUIRE_CLI_MACHINE_SPEED_H_

// Counts what operator new hands out, to test that a file's claims do not size any memory. A test program
// that links allocation_count.cc counts everything in it.
#ifndef QUIRE_FILES_ALLOCATION_COUNT_H_
#define QUIRE_FILES_ALLOCATION_COUNT_H_

#include <cstddef>

namespace quire {

// Bytes asked of operator new by this thread so far; never falls. Stays 0 under sanitizers.
size_t AllocatedBytes();

}  // namespace quire

#endif  // QUIRE_FILES_ALLOCATION_COUNT_H_

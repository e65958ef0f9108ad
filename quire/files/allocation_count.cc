#include "quire/files/allocation_count.h"

#include <cstdlib>
#include <new>

namespace quire {
namespace {
thread_local size_t allocated_bytes = 0;
}  // namespace

size_t AllocatedBytes() { return allocated_bytes; }

}  // namespace quire

#ifndef QUIRE_SANITIZED  // sanitizers have allocators of their own: nothing is counted there
void* operator new(size_t bytes) {
  quire::allocated_bytes += bytes;
  void* memory = std::malloc(bytes == 0 ? 1 : bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
#endif

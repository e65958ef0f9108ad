// Where buffers lie in one arena, so that those which are never needed at the same time share bytes: greedy
// by size into the smallest gap that fits (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural
// Net Inference", 2020, section 5.2), as FluidML plans a model's memory before it runs.
#ifndef QUIRE_MODEL_BUFFER_PLAN_H_
#define QUIRE_MODEL_BUFFER_PLAN_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace quire {

struct BufferNeed {
  size_t bytes = 0;
  uint32_t live = 0;  // bit i: operation i reads or writes it, or leaves it for a later one
};

struct BufferPlan {
  std::vector<size_t> offsets;  // of each need, multiples of kBufferAlignment
  size_t bytes = 0;             // of the arena

  static constexpr size_t kBufferAlignment = 64;
};

BufferPlan PlanBuffers(std::span<const BufferNeed> needs);

// No plan is smaller: the most that is live during one operation.
size_t LeastBytes(std::span<const BufferNeed> needs);
// What they take apart from each other.
size_t SeparateBytes(std::span<const BufferNeed> needs);

}  // namespace quire

#endif  // QUIRE_MODEL_BUFFER_PLAN_H_

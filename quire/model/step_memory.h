// The activations of one step: laid out once for the largest step, so that a forward pass allocates nothing.
// Buffers that no operation needs at the same time share bytes (buffer_plan.h).
#ifndef QUIRE_MODEL_STEP_MEMORY_H_
#define QUIRE_MODEL_STEP_MEMORY_H_

#include <cstdint>
#include <vector>

#include "quire/base/aligned_buffer.h"
#include "quire/base/result.h"
#include "quire/model/buffer_plan.h"
#include "quire/model/config.h"
#include "quire/model/linear.h"

namespace quire {

inline constexpr int64_t kLogitsRows = 16;  // rows of logits computed at a time

// Cosines and sines of every row of the step, for one kind of rotation.
struct RopeAngles {
  int64_t pairs = 0;
  float* cos = nullptr;  // [rows, pairs]
  float* sin = nullptr;
};

// Activations have memory for `forms`, all but those of the feed-forward also for floats.
struct StepMemory {
  float* residual = nullptr;  // [rows, hidden]
  Activations normed;         // [rows, hidden]
  float* qkv = nullptr;       // [rows, q_dim + 2 * kv_dim]
  Activations attended;       // [rows, q_dim]
  float* added = nullptr;     // [rows, hidden]: what attention or feed-forward adds to the residual
  Activations gated;          // [rows, ffn]
  Activations head;           // [2 * kLogitsRows, hidden]: what the output matrix is multiplied with
  float* logits = nullptr;    // [kLogitsRows, vocab]
  RopeAngles angles, local_angles;

  // Errors: kResourceExhausted.
  static Result<StepMemory> Allocate(const ModelConfig& config, Forms forms, int64_t rows);
  // What Allocate would take.
  static int64_t Bytes(const ModelConfig& config, Forms forms, int64_t rows);
  // The buffers that are planned, with what they are needed for.
  static std::vector<BufferNeed> Needs(const ModelConfig& config, Forms forms, int64_t rows);

  int64_t bytes() const { return static_cast<int64_t>(buffer_.bytes()); }

 private:
  AlignedBuffer buffer_;
};

}  // namespace quire

#endif  // QUIRE_MODEL_STEP_MEMORY_H_

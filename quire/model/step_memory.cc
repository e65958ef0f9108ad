#include "quire/model/step_memory.h"

namespace quire {
namespace {

// Hands out consecutive pieces of a buffer; without one it only counts.
class Carver {
 public:
  explicit Carver(std::byte* base) : base_(base) {}

  template <typename T>
  T* Take(int64_t n) {
    constexpr size_t kAlignment = 64;
    const size_t at = used_;
    used_ += (static_cast<size_t>(n) * sizeof(T) + kAlignment - 1) / kAlignment * kAlignment;
    return base_ == nullptr ? nullptr : reinterpret_cast<T*>(base_ + at);
  }

  Activations TakeActivations(int64_t rows, int64_t cols) {
    Activations x{.rows = rows, .cols = cols, .values = Take<float>(rows * cols), .int8 = {}};
    // Weights that want int8 have whole groups of columns.
    if (cols % kActivationGroup == 0) {
      x.int8 = {.rows = rows,
                .cols = cols,
                .values = Take<int8_t>(rows * cols),
                .scales = Take<float>(rows * cols / kActivationGroup),
                .sums = Take<int32_t>(rows * cols / 16)};
    }
    return x;
  }

  size_t used() const { return used_; }

 private:
  std::byte* base_;
  size_t used_ = 0;
};

size_t Carve(const ModelConfig& config, int64_t rows, std::byte* base, StepMemory& memory) {
  Carver carver(base);
  memory.residual = carver.Take<float>(rows * config.hidden);
  memory.normed = carver.TakeActivations(rows, config.hidden);
  memory.qkv = carver.Take<float>(rows * (config.q_dim() + 2 * config.kv_dim()));
  memory.attended = carver.TakeActivations(rows, config.q_dim());
  memory.added = carver.Take<float>(rows * config.hidden);
  memory.gated = carver.TakeActivations(rows, config.ffn);
  memory.up = carver.Take<float>(rows * config.ffn);
  memory.head = carver.TakeActivations(2 * kLogitsRows, config.hidden);
  memory.logits = carver.Take<float>(2 * kLogitsRows * config.vocab);
  for (const auto& [angles, rope] :
       {std::pair(&memory.angles, &config.rope), std::pair(&memory.local_angles, &config.local_rope)}) {
    angles->pairs = rope->rotary_dim / 2;
    angles->cos = carver.Take<float>(rows * angles->pairs);
    angles->sin = carver.Take<float>(rows * angles->pairs);
  }
  return carver.used();
}

}  // namespace

Result<StepMemory> StepMemory::Allocate(const ModelConfig& config, int64_t rows) {
  StepMemory memory;
  const size_t bytes = Carve(config, rows, nullptr, memory);
  QUIRE_ASSIGN(memory.buffer_, AlignedBuffer::Allocate(bytes));
  Carve(config, rows, memory.buffer_.data(), memory);
  return memory;
}

}  // namespace quire

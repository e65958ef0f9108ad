#include "quire/model/step_memory.h"

#include <utility>

// Invariant: a buffer may be used only during the operations that Lay names for it; between them its bytes
// are others'. What one layer leaves for the next is live to the end of the layer and from its beginning.

namespace quire {
namespace {

// What a forward pass does, as bits. All but the first and the last repeat for every layer.
enum Operation : uint32_t {
  kEmbed = 1 << 0,
  kProject = 1 << 1,
  kRotate = 1 << 2,
  kAttend = 1 << 3,
  kOutput = 1 << 4,  // converts what attention gave, and multiplies it
  kNormAttention = 1 << 5,
  kGateUp = 1 << 6,
  kDown = 1 << 7,
  kNormFfn = 1 << 8,
  kLogits = 1 << 9
};
constexpr uint32_t kAllLayers =
    kEmbed | kProject | kRotate | kAttend | kOutput | kNormAttention | kGateUp | kDown | kNormFfn;

// Hands out the pieces of the arena in the order in which they are asked for; without one it only notes the
// needs.
class Carver {
 public:
  Carver() = default;
  Carver(const BufferPlan& plan, std::byte* base) : plan_(&plan), base_(base) {}

  template <typename T>
  T* Take(int64_t n, uint32_t live) {
    if (base_ != nullptr) return reinterpret_cast<T*>(base_ + plan_->offsets[next_++]);
    needs_.push_back({static_cast<size_t>(n) * sizeof(T), live});
    return nullptr;
  }

  // The floats and their other forms.
  Activations TakeActivations(int64_t rows, int64_t cols, uint32_t live, Forms forms, uint32_t forms_live) {
    Activations x{.rows = rows, .cols = cols, .values = nullptr, .int8 = {}, .bfloat = {}, .wide = {}};
    if (forms.floats) x.values = Take<float>(rows * cols, live);
    // Weights that want int8 have whole groups of columns.
    if (forms.int8 && cols % kActivationGroup == 0) {
      x.int8 = {.rows = rows,
                .cols = cols,
                .values = Take<int8_t>(rows * cols, forms_live),
                .scales = Take<float>(rows * cols / kActivationGroup, forms_live),
                .sums = Take<int32_t>(rows * cols / 16, forms_live)};
    }
    if (forms.bfloat) {
      x.bfloat = {.rows = rows,
                  .cols = cols,
                  .row_blocks = BFloatActivations::RowBlocks(rows),
                  .values = Take<std::byte>(BFloatActivations::Bytes(rows, cols), forms_live)};
    }
    if (forms.wide && cols % kActivationGroup == 0) {
      x.wide = {.rows = rows,
                .cols = cols,
                .row_blocks = WideActivations::RowBlocks(rows),
                .values = Take<int8_t>(WideActivations::ValueBytes(rows, cols), forms_live),
                .scales = Take<float>(WideActivations::ScaleFloats(rows, cols), forms_live)};
    }
    return x;
  }

  std::vector<BufferNeed> needs() && { return std::move(needs_); }

 private:
  const BufferPlan* plan_ = nullptr;
  std::byte* base_ = nullptr;
  size_t next_ = 0;
  std::vector<BufferNeed> needs_;
};

void Lay(const ModelConfig& config, Forms forms, int64_t rows, Carver& carver, StepMemory& memory) {
  constexpr uint32_t kNormed = kEmbed | kProject | kNormAttention | kGateUp | kNormFfn | kLogits;
  Forms with_floats = forms;
  with_floats.floats = true;
  memory.residual = carver.Take<float>(rows * config.hidden, kAllLayers);
  memory.normed = carver.TakeActivations(rows, config.hidden, kNormed, with_floats, kNormed);
  memory.qkv =
      carver.Take<float>(rows * (config.q_dim() + 2 * config.kv_dim()), kProject | kRotate | kAttend);
  memory.attended = carver.TakeActivations(rows, config.q_dim(), kAttend | kOutput, with_floats, kOutput);
  memory.added = carver.Take<float>(rows * config.hidden, kOutput | kNormAttention | kDown | kNormFfn);
  memory.gated = carver.TakeActivations(rows, config.ffn, kGateUp | kDown, forms, kGateUp | kDown);
  memory.head = carver.TakeActivations(2 * kLogitsRows, config.hidden, kLogits,
                                       {.floats = true, .int8 = forms.int8}, kLogits);
  memory.logits = carver.Take<float>(kLogitsRows * config.vocab, kLogits);
  for (const auto& [angles, rope] :
       {std::pair(&memory.angles, &config.rope), std::pair(&memory.local_angles, &config.local_rope)}) {
    angles->pairs = rope->rotary_dim / 2;
    angles->cos = carver.Take<float>(rows * angles->pairs, kAllLayers);
    angles->sin = carver.Take<float>(rows * angles->pairs, kAllLayers);
  }
}

}  // namespace

std::vector<BufferNeed> StepMemory::Needs(const ModelConfig& config, Forms forms, int64_t rows) {
  Carver carver;
  StepMemory memory;
  Lay(config, forms, rows, carver, memory);
  return std::move(carver).needs();
}

int64_t StepMemory::Bytes(const ModelConfig& config, Forms forms, int64_t rows) {
  return static_cast<int64_t>(PlanBuffers(Needs(config, forms, rows)).bytes);
}

Result<StepMemory> StepMemory::Allocate(const ModelConfig& config, Forms forms, int64_t rows) {
  const BufferPlan plan = PlanBuffers(Needs(config, forms, rows));
  StepMemory memory;
  QUIRE_ASSIGN(memory.buffer_, AlignedBuffer::Allocate(plan.bytes));
  Carver carver(plan, memory.buffer_.data());
  Lay(config, forms, rows, carver, memory);
  return memory;
}

}  // namespace quire

// How long a step of a model takes on a machine, without running it: every parallel region of the forward
// pass costs its arithmetic and that part of its reading which the arithmetic does not hide. The roofline of
// Williams et al. (2009) takes the larger of the two, as if all could be hidden; here the kernels themselves
// were measured over what lies in their own caches, in the last one and in memory. No constant belongs to a
// model.
// docs/decisions/0008-roofline.md has the equations and their errors.
#ifndef QUIRE_SIM_ROOFLINE_H_
#define QUIRE_SIM_ROOFLINE_H_

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "quire/base/result.h"
#include "quire/sim/machine_profile.h"
#include "quire/sim/model_shape.h"

namespace quire {

// What a step can wait for.
enum class Resource {
  kWeights,      // reading weights
  kMultiplying,  // products
  kKv,           // reading keys and values
  kAttention,    // its arithmetic
  kElements,     // norms, activations, rotations, logits
  kHandOver      // between threads
};
inline constexpr int kResources = 6;
std::string_view ResourceName(Resource resource);

struct StepCost {
  std::array<double, kResources> seconds{};  // by what the step waits for

  double total() const;
  Resource binding() const;  // the largest
  double& operator[](Resource r) { return seconds[static_cast<size_t>(r)]; }
  double operator[](Resource r) const { return seconds[static_cast<size_t>(r)]; }
  StepCost& operator+=(const StepCost& other);
};

// Tokens of one sequence that a step computes.
struct SequenceWork {
  int64_t tokens = 1;
  int64_t position = 0;  // of the first
  bool logits = true;    // of the last
};

class Roofline {
 public:
  // Errors: kUnsupported where the machine was not measured with a type that the model has.
  static Result<Roofline> Create(ModelShape model, MachineProfile machine);

  const ModelShape& model() const { return model_; }
  const MachineProfile& machine() const { return machine_; }

  // The same machine when nothing that is read was in its caches, and when reading took no time.
  Roofline WithFlushedCaches() const;
  Roofline WithoutMovingData() const;

  // Of one forward pass. Sequences share no pages.
  StepCost Step(const std::vector<SequenceWork>& sequences) const;
  // `batch` sequences of `depth` tokens compute a token each.
  StepCost Decode(int64_t batch, int64_t depth) const;
  // A prompt of `tokens` behind `depth` others, in chunks.
  StepCost Prefill(int64_t tokens, int64_t depth, int64_t chunk_tokens) const;

 private:
  Roofline(ModelShape model, MachineProfile machine)
      : model_(std::move(model)), machine_(std::move(machine)) {}

  // What the parts of a step have in common: its sequences, its rows, and the part of what it reads that
  // comes from memory.
  struct Work {
    const std::vector<SequenceWork>& sequences;
    int64_t rows = 0;
    int64_t wanted = 0;  // of them, whose logits are wanted
    double miss_share = 1;
  };

  void AddProducts(const std::vector<MatrixShape>& matrices, int64_t rows, double miss_share,
                   StepCost& cost) const;
  void AddAttention(int layer, const Work& work, StepCost& cost) const;
  // Element-wise work on `floats` of every row, which touches `touched`.
  void AddRows(const Curve& seconds_per_float, int64_t floats, int64_t touched, int64_t rows,
               StepCost& cost) const;
  void AddStoring(const Work& work, StepCost& cost) const;
  void AddLayer(const LayerShape& layer, const Work& work, int64_t rows_after_attention,
                StepCost& cost) const;
  void AddLogits(const Work& work, StepCost& cost) const;
  int64_t RowsOfBusiestThread(int64_t rows, int64_t touched) const;

  ModelShape model_;
  MachineProfile machine_;
};

}  // namespace quire

#endif  // QUIRE_SIM_ROOFLINE_H_

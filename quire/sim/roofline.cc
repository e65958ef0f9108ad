// Invariant: what is counted here is what transformer.cc does, region by region; change both together.
#include "quire/sim/roofline.h"

#include <algorithm>
#include <numeric>

#include "quire/kernels/kernels.h"
#include "quire/kernels/kv_codec.h"
#include "quire/model/attention_plan.h"
#include "quire/model/step_memory.h"

namespace quire {
namespace {

// Sum of the positions that tokens [position, position + tokens) see.
double PairsSeen(int64_t position, int64_t tokens, int64_t window) {
  double pairs = 0;
  for (int64_t t = position; t < position + tokens; ++t) {
    const PositionRange seen = VisibleRange(t, window);
    pairs += static_cast<double>(seen.size());
  }
  return pairs;
}

// Of the keys and values that a sequence's tokens see in one layer.
double KvBytes(const KvLayout& kv, const SequenceWork& work, int layer) {
  const int64_t window = kv.groups()[kv.group_of(layer)].window;
  const PositionRange seen{FirstVisible(work.position, window), work.position + work.tokens};
  return static_cast<double>(seen.size()) * static_cast<double>(kv.LayerBytesPerToken(layer));
}

}  // namespace

std::string_view ResourceName(Resource resource) {
  switch (resource) {
    case Resource::kWeights:
      return "reading weights";
    case Resource::kMultiplying:
      return "multiplying";
    case Resource::kKv:
      return "reading KV";
    case Resource::kAttention:
      return "attention";
    case Resource::kElements:
      return "element-wise work";
    case Resource::kHandOver:
      return "handing work to threads";
  }
  return "";
}

double StepCost::total() const { return std::accumulate(seconds.begin(), seconds.end(), 0.0); }

Resource StepCost::binding() const {
  return static_cast<Resource>(std::ranges::max_element(seconds) - seconds.begin());
}

StepCost& StepCost::operator+=(const StepCost& other) {
  for (size_t i = 0; i < seconds.size(); ++i) seconds[i] += other.seconds[i];
  return *this;
}

Result<Roofline> Roofline::Create(ModelShape model, MachineProfile machine) {
  std::vector<DType> types = {model.output.type};
  for (const LayerShape& layer : model.layers) {
    layer.ForEach([&](const MatrixShape& matrix) { types.push_back(matrix.type); });
  }
  for (const DType type : types) {
    if (machine.products.contains(type)) continue;
    return Fail(
        ErrorCode::kUnsupported,
        "the machine's profile has no products with {} weights, which the model has; measure it again "
        "with quire doctor --json",
        Info(type).name);
  }
  for (const DType type : model.kv.types()) {
    if (machine.attention.contains(type)) continue;
    return Fail(
        ErrorCode::kUnsupported,
        "the machine's profile has no attention over {} pages; measure it again with quire doctor --json",
        KvTypeName(type));
  }
  return Roofline(std::move(model), std::move(machine));
}

Roofline Roofline::WithFlushedCaches() const {
  Roofline flushed = *this;
  const auto& [bytes, speed] = machine_.read.points().back();
  flushed.machine_.read = Curve({{bytes, speed}});
  return flushed;
}

Roofline Roofline::WithoutMovingData() const {
  constexpr double kAtOnce = 1e30;
  Roofline free = *this;
  free.machine_.read = Curve({{1, kAtOnce}});
  return free;
}

void Roofline::AddProducts(const std::vector<MatrixShape>& matrices, int64_t rows, double read_speed,
                           StepCost& cost) const {
  const auto m = static_cast<double>(rows);
  double output_bytes = 0;
  for (const MatrixShape& matrix : matrices) {
    const ProductSpeed& speed = machine_.products.at(matrix.type);
    cost[Resource::kWeights] += static_cast<double>(matrix.bytes()) / read_speed * speed.exposed.At(m);
    cost[Resource::kMultiplying] += static_cast<double>(matrix.weights()) * speed.seconds.Work(m) +
                                    static_cast<double>(matrix.rows) * speed.output_seconds.Work(m);
    output_bytes += static_cast<double>(matrix.rows * rows) * sizeof(float);
  }
  // Outputs are fetched and written back, and read by what comes next.
  const double activations =
      m * static_cast<double>(2 * model_.hidden + 2 * model_.q_dim() + 2 * model_.ffn) * sizeof(float);
  cost[Resource::kElements] += 3 * output_bytes / machine_.ReadSpeed(activations);
  cost[Resource::kHandOver] += machine_.region_s;
}

// Work over rows: one row alone stays on its thread.
void Roofline::AddRows(double seconds_per_row, int64_t rows, StepCost& cost) const {
  const int64_t at_once = std::min<int64_t>(rows, machine_.threads);
  cost[Resource::kElements] += seconds_per_row * static_cast<double>(rows) / static_cast<double>(at_once);
  if (rows > 1) cost[Resource::kHandOver] += machine_.region_s;
}

void Roofline::AddAttention(int layer, const std::vector<SequenceWork>& sequences, double read_speed,
                            StepCost& cost) const {
  const KvLayout& kv = model_.kv;
  const int64_t window = kv.groups()[kv.group_of(layer)].window;
  const DType type = kv.type(layer);
  const int64_t per_kv = model_.heads_per_kv();
  const int64_t block_tokens = AttentionBlockTokens(per_kv);
  double seconds = 0, bytes = 0;
  int64_t blocks = 0, tasks = 0, uncut = 0;
  for (const SequenceWork& s : sequences) {
    bytes += KvBytes(kv, s, layer);
    for (int64_t t = 0; t < s.tokens; t += block_tokens) {
      const int64_t tokens = std::min(block_tokens, s.tokens - t);
      const double keys = PairsSeen(s.position + t, tokens, window) / static_cast<double>(tokens);
      seconds += keys * kv.kv_heads() *
                 machine_.AttentionSeconds(type, kv.head_dim(), static_cast<double>(tokens * per_kv));
      const auto splits = (static_cast<int64_t>(keys) + kAttentionSplit - 1) / kAttentionSplit;
      (tokens == 1 ? tasks : uncut) += splits;
      ++blocks;
    }
  }
  tasks = (tasks +
           (uncut > 0 && blocks < EnoughAttentionBlocks(machine_.threads, kv.kv_heads()) ? uncut : blocks)) *
          kv.kv_heads();
  // Where tasks are few, the last ones leave threads idle.
  const int64_t turns = (tasks + machine_.threads - 1) / machine_.threads;
  seconds *= static_cast<double>(turns) / static_cast<double>(tasks);
  cost[Resource::kKv] += bytes / read_speed * machine_.AttentionExposed(type, kv.head_dim());
  cost[Resource::kAttention] += seconds;
  cost[Resource::kHandOver] += machine_.region_s;
}

void Roofline::AddLayer(const LayerShape& layer, int64_t rows, int64_t rows_after, double read_speed,
                        StepCost& cost) const {
  const auto floats = static_cast<double>(model_.hidden);
  AddProducts(layer.qkv, rows, read_speed, cost);
  const int64_t kv_dim = static_cast<int64_t>(model_.kv.kv_heads()) * model_.kv.head_dim();
  AddRows(machine_.rotate_s * static_cast<double>(model_.q_dim() + 2 * kv_dim), rows, cost);
  if (rows_after == 0) return;
  AddProducts(layer.attention_output, rows_after, read_speed, cost);
  AddRows(machine_.norm_s * floats, rows_after, cost);
  AddProducts(layer.gate_up, rows_after, read_speed, cost);
  cost[Resource::kElements] +=
      machine_.activate_s * static_cast<double>(model_.ffn * rows_after) / machine_.threads;
  AddProducts(layer.down, rows_after, read_speed, cost);
  AddRows(machine_.norm_s * floats, rows_after, cost);
}

void Roofline::AddLogits(int64_t rows, double read_speed, StepCost& cost) const {
  for (int64_t done = 0; done < rows; done += kLogitsRows) {
    const int64_t count = std::min(kLogitsRows, rows - done);
    // Rounded, and what rounding lost.
    const int64_t multiplied = IsQuantized(model_.output.type) ? 2 * count : count;
    AddProducts({model_.output}, multiplied, read_speed, cost);
  }
}

StepCost Roofline::Step(const std::vector<SequenceWork>& sequences) const {
  int64_t rows = 0, wanted = 0;
  double bytes = static_cast<double>(model_.step_bytes());
  for (const SequenceWork& s : sequences) {
    rows += s.tokens;
    wanted += s.logits ? 1 : 0;
    for (int layer = 0; layer < model_.kv.layers(); ++layer) bytes += KvBytes(model_.kv, s, layer);
  }
  const double read_speed = machine_.ReadSpeed(bytes);
  StepCost cost;
  for (size_t i = 0; i < model_.layers.size(); ++i) {
    const bool last = i + 1 == model_.layers.size();
    AddLayer(model_.layers[i], rows, last ? wanted : rows, read_speed, cost);
    if (last && wanted == 0) break;
    AddAttention(static_cast<int>(i), sequences, read_speed, cost);
  }
  AddLogits(wanted, read_speed, cost);
  return cost;
}

StepCost Roofline::Decode(int64_t batch, int64_t depth) const {
  return Step(std::vector<SequenceWork>(static_cast<size_t>(batch), {.tokens = 1, .position = depth}));
}

StepCost Roofline::Prefill(int64_t tokens, int64_t depth, int64_t chunk_tokens) const {
  StepCost cost;
  for (int64_t done = 0; done < tokens; done += chunk_tokens) {
    const int64_t piece = std::min(chunk_tokens, tokens - done);
    cost += Step({{.tokens = piece, .position = depth + done, .logits = done + piece == tokens}});
  }
  return cost;
}

}  // namespace quire

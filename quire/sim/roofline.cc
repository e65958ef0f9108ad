// Invariant: what is counted here is what transformer.cc does, region by region; change both together.
#include "quire/sim/roofline.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "quire/kernels/kernels.h"
#include "quire/kernels/kv_codec.h"
#include "quire/model/attention_plan.h"
#include "quire/model/linear.h"
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

// Positions whose keys and values a sequence's tokens see.
double KeysRead(const SequenceWork& work, int64_t window) {
  const PositionRange seen{FirstVisible(work.position, window), work.position + work.tokens};
  return static_cast<double>(seen.size());
}

double KvBytes(const KvLayout& kv, const SequenceWork& work, int layer) {
  return KeysRead(work, kv.groups()[kv.group_of(layer)].window) *
         static_cast<double>(kv.LayerBytesPerToken(layer));
}

// Of an activation as weights of a type are multiplied with it: int8 with its part of scales and sums of a
// group, a bfloat, or a float.
double BytesPerInput(DType weights) {
  if (IsQuantized(weights)) return 1 + sizeof(float) / 32.0 + sizeof(int32_t) / 16.0;
  return weights == DType::kF32 ? 4 : 2;
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
  const Curve nothing({{1, 1 / kAtOnce}});
  Roofline free = *this;
  free.machine_.read = Curve({{1, kAtOnce}});
  free.machine_.store_s = 0;
  for (auto& [type, speed] : free.machine_.products) speed.from_cache = speed.from_memory = nothing;
  for (auto& [type, by_dim] : free.machine_.attention) {
    for (auto& [dim, speed] : by_dim) speed.from_cache = speed.from_memory = {nothing, nothing};
  }
  return free;
}

void Roofline::AddProducts(const std::vector<MatrixShape>& matrices, int64_t rows, double miss_share,
                           StepCost& cost) const {
  const auto m = static_cast<double>(rows);
  double output_bytes = 0;
  for (const MatrixShape& matrix : matrices) {
    const ProductSpeed& speed = machine_.products.at(matrix.type);
    const auto weights = static_cast<double>(matrix.weights());
    cost[Resource::kWeights] +=
        weights * std::lerp(speed.from_cache.At(m), speed.from_memory.At(m), miss_share);
    cost[Resource::kMultiplying] +=
        weights * speed.seconds.Work(m) + static_cast<double>(matrix.rows) * speed.output_seconds.Work(m);
    output_bytes += static_cast<double>(matrix.rows * rows) * sizeof(float);
  }
  // Outputs are fetched and written back.
  const double activations =
      m * static_cast<double>(2 * model_.hidden + 2 * model_.q_dim() + 2 * model_.ffn) * sizeof(float);
  cost[Resource::kElements] += 2 * output_bytes / machine_.ReadSpeed(activations);
  const double input_bytes =
      m * static_cast<double>(matrices.front().cols) * BytesPerInput(matrices.front().type);
  cost[Resource::kHandOver] += machine_.region_s + input_bytes * machine_.exchange_s;
}

int64_t Roofline::RowsOfBusiestThread(int64_t rows, int64_t touched) const {
  const int64_t at_once = RowsPerTask(rows, touched, machine_.threads);
  const int64_t turn = at_once * machine_.threads, turns = (rows + turn - 1) / turn;
  return (turns - 1) * at_once + std::min(at_once, rows - (turns - 1) * turn);
}

void Roofline::AddRows(const Curve& seconds_per_float, int64_t floats, int64_t touched, int64_t rows,
                       StepCost& cost) const {
  const int64_t most = RowsOfBusiestThread(rows, touched);
  const auto work = static_cast<double>(floats * most);
  cost[Resource::kElements] += seconds_per_float.At(work) * work;
  if (most < rows) cost[Resource::kHandOver] += machine_.region_s;
}

// A token's key lies all over its tile. Tokens of one page share the tiles, and decoded ones do not.
void Roofline::AddStoring(const Work& work, StepCost& cost) const {
  const int64_t kv_floats = int64_t{2} * model_.kv.kv_heads() * model_.kv.head_dim();
  int64_t pages = 0;
  for (const SequenceWork& s : work.sequences) {
    pages += (s.tokens + model_.kv.page_tokens() - 1) / model_.kv.page_tokens();
  }
  const double busiest = static_cast<double>(RowsOfBusiestThread(work.rows, 2 * model_.qkv_dim())) /
                         static_cast<double>(work.rows);
  cost[Resource::kElements] += static_cast<double>(pages * kv_floats) * machine_.store_s * busiest;
}

void Roofline::AddAttention(int layer, const Work& work, StepCost& cost) const {
  const KvLayout& kv = model_.kv;
  const int64_t window = kv.groups()[kv.group_of(layer)].window;
  const DType type = kv.type(layer);
  const int64_t per_kv = model_.heads_per_kv();
  const int64_t block_tokens = AttentionBlockTokens(per_kv);
  double seconds = 0, reading = 0;  // of a KV head
  int64_t blocks = 0, single_splits = 0, long_blocks = 0, long_splits = 0;
  for (const SequenceWork& s : work.sequences) {
    for (int64_t t = 0; t < s.tokens; t += block_tokens) {
      const int64_t tokens = std::min(block_tokens, s.tokens - t), rows = tokens * per_kv;
      const PositionRange seen{FirstVisible(s.position + t, window), s.position + t + tokens};
      const int64_t splits = seen.last_split() + 1 - seen.first_split();
      const double keys = PairsSeen(s.position + t, tokens, window) / static_cast<double>(tokens);
      // Other heads' pages were read since an earlier block read these: they are in the last cache.
      const double miss_share = t == 0 ? work.miss_share : 0;
      const AttentionCost of = machine_.Attention(type, kv.head_dim(), static_cast<double>(rows), miss_share);
      const auto merged = static_cast<double>(rows * kv.head_dim() * (splits - 1));
      seconds += static_cast<double>(splits) * of.call + keys * of.key + merged * machine_.merge_s;
      if (tokens > 1) seconds += of.masked;
      reading +=
          static_cast<double>(splits) * of.call_reading + static_cast<double>(seen.size()) * of.key_reading;
      (tokens == 1 ? single_splits : long_splits) += splits;
      long_blocks += tokens > 1 ? 1 : 0;
      ++blocks;
    }
  }
  const bool cut_all = blocks < EnoughAttentionBlocks(machine_.threads, kv.kv_heads());
  const int64_t tasks = (single_splits + (cut_all ? long_splits : long_blocks)) * kv.kv_heads();
  // Where tasks are few, the last ones leave threads idle.
  const int64_t turns = (tasks + machine_.threads - 1) / machine_.threads;
  const double heads = kv.kv_heads() * static_cast<double>(turns) / static_cast<double>(tasks);
  cost[Resource::kKv] += reading * heads;
  cost[Resource::kAttention] += seconds * heads;
  cost[Resource::kHandOver] += machine_.region_s;
}

void Roofline::AddLayer(const LayerShape& layer, const Work& work, int64_t rows_after, StepCost& cost) const {
  const int64_t hidden = model_.hidden, q_dim = model_.q_dim(), rows = work.rows;
  AddProducts(layer.qkv, rows, work.miss_share, cost);
  AddRows(machine_.rotate, model_.qkv_dim(), 2 * model_.qkv_dim(), rows, cost);
  AddStoring(work, cost);
  if (rows_after == 0) return;
  AddRows(machine_.quantize, q_dim, q_dim, rows_after, cost);
  AddProducts(layer.attention_output, rows_after, work.miss_share, cost);
  AddRows(machine_.norm, hidden, 4 * hidden, rows_after, cost);
  AddProducts(layer.gate_up, rows_after, work.miss_share, cost);
  const double gated = static_cast<double>(model_.ffn * rows_after) / machine_.threads;
  cost[Resource::kElements] += machine_.activate.At(gated) * gated;
  AddProducts(layer.down, rows_after, work.miss_share, cost);
  AddRows(machine_.norm, hidden, 4 * hidden, rows_after, cost);
}

void Roofline::AddLogits(const Work& work, StepCost& cost) const {
  for (int64_t done = 0; done < work.wanted; done += kLogitsRows) {
    const int64_t count = std::min(kLogitsRows, work.wanted - done);
    // Rounded, and what rounding lost.
    const int64_t multiplied = IsQuantized(model_.output.type) ? 2 * count : count;
    AddProducts({model_.output}, multiplied, work.miss_share, cost);
  }
}

StepCost Roofline::Step(const std::vector<SequenceWork>& sequences) const {
  Work work{.sequences = sequences};
  double bytes = static_cast<double>(model_.step_bytes());
  for (const SequenceWork& s : sequences) {
    work.rows += s.tokens;
    work.wanted += s.logits ? 1 : 0;
    for (int layer = 0; layer < model_.kv.layers(); ++layer) bytes += KvBytes(model_.kv, s, layer);
  }
  work.miss_share = machine_.MissShare(bytes);
  StepCost cost;
  AddRows(machine_.norm, model_.hidden, 2 * model_.hidden, work.rows, cost);  // of the embedded tokens
  for (size_t i = 0; i < model_.layers.size(); ++i) {
    const bool last = i + 1 == model_.layers.size();
    AddLayer(model_.layers[i], work, last ? work.wanted : work.rows, cost);
    if (last && work.wanted == 0) break;
    AddAttention(static_cast<int>(i), work, cost);
  }
  AddLogits(work, cost);
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

#include "quire/sim/roofline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "quire/sim/deployment.h"

namespace quire {
namespace {

// Two layers of 1024 with 8 heads of 64 and 2 KV heads, Q8_0.
ModelShape Model(int64_t window = 0) {
  const auto matrix = [](int64_t rows, int64_t cols) { return MatrixShape{DType::kQ8_0, rows, cols}; };
  const LayerShape layer{.qkv = {matrix(512, 1024), matrix(128, 1024), matrix(128, 1024)},
                         .attention_output = {matrix(1024, 512)},
                         .gate_up = {matrix(4096, 1024), matrix(4096, 1024)},
                         .down = {matrix(1024, 4096)}};
  ModelShape model{.name = "test",
                   .hidden = 1024,
                   .heads = 8,
                   .ffn = 4096,
                   .vocab = 4096,
                   .context = 100000,
                   .layers = {layer, layer},
                   .output = matrix(4096, 1024),
                   .kv = KvLayout({{window}, {window}}, 2, 64, 16)};
  model.weight_bytes = model.step_bytes();
  return model;
}

const Curve kNothing({{1, 1e-15}});
constexpr double kWeightBytes = 34.0 / 32;  // of Q8_0
constexpr double kKeyBytes = 2 * 64 * 2;    // of a key and value of f16
constexpr double kClose = 1e-9;

// Reads 10 GB/s from memory and 100 from a cache of 1 MiB, multiplies 200 Gop/s, attends to 10 M keys a
// second and thread for each query row, hides no reading, and does all else in no time.
MachineProfile Machine() {
  MachineProfile m;
  m.threads = 2;
  m.memory_bytes = 1 << 30;
  m.read = Curve({{1 << 20, 100e9}, {2 << 20, 10e9}});
  m.cached_bytes = 1 << 20;
  m.norm = m.activate = m.rotate = m.quantize = kNothing;
  m.products[DType::kQ8_0] = {.seconds = Curve({{1, 1e-11}, {128, 128e-11}}),
                              .output_seconds = kNothing,
                              .from_cache = Curve({{1, kWeightBytes / 100e9}}),
                              .from_memory = Curve({{1, kWeightBytes / 10e9}})};
  m.attention[DType::kF16][64] = {.call_seconds = kNothing,
                                  .seconds = Curve({{1, 1e-7}, {128, 128e-7}}),
                                  .masked_seconds = kNothing,
                                  .from_cache = {kNothing, Curve({{1, kKeyBytes / 100e9 * 2}})},
                                  .from_memory = {kNothing, Curve({{1, kKeyBytes / 10e9 * 2}})}};
  m.copy_bytes_per_s = 5e9;
  m.disk_write_bytes_per_s = 1e9;
  m.disk_read_bytes_per_s = 2e9;
  return m;
}

Roofline On(MachineProfile machine, int64_t window = 0) {
  return Roofline::Create(Model(window), std::move(machine)).value();
}

TEST(RooflineTest, OneUserWaitsForReadingWeights) {
  const StepCost cost = On(Machine()).Decode(1, 0);
  EXPECT_EQ(cost.binding(), Resource::kWeights);
  EXPECT_NEAR(cost[Resource::kWeights], static_cast<double>(Model().step_bytes()) / 10e9, 1e-9);
}

TEST(RooflineTest, TwiceTheBandwidthHalvesWhatWaitsForIt) {
  MachineProfile slow = Machine();
  slow.products[DType::kQ8_0].seconds = Curve({{1, 1e-14}});
  MachineProfile fast = slow;
  fast.products[DType::kQ8_0].from_memory = Curve({{1, kWeightBytes / 20e9}});
  const double slow_s = On(slow).Decode(1, 0).total(), fast_s = On(fast).Decode(1, 0).total();
  EXPECT_NEAR(fast_s, slow_s / 2, 0.02 * slow_s);
}

TEST(RooflineTest, TwiceTheMultiplyingHalvesAPrompt) {
  MachineProfile fast = Machine();
  fast.products[DType::kQ8_0].seconds = Curve({{1, 0.5e-11}, {128, 64e-11}});
  const StepCost slow = On(Machine()).Prefill(96, 0, 512), fast_cost = On(fast).Prefill(96, 0, 512);
  EXPECT_EQ(slow.binding(), Resource::kMultiplying);
  EXPECT_NEAR(fast_cost[Resource::kMultiplying], slow[Resource::kMultiplying] / 2,
              1e-6 * slow[Resource::kMultiplying]);
}

TEST(RooflineTest, DeepContextsWaitForAttention) {
  const StepCost cost = On(Machine()).Decode(1, 50000);
  EXPECT_EQ(cost.binding(), Resource::kAttention);
  // 50,001 keys, 2 layers, 2 KV heads of 4 queries, in 196 tasks on 2 threads.
  EXPECT_NEAR(cost[Resource::kAttention], 50001 * 2 * 2 * 4e-7 / 2, 1e-5);
  MachineProfile wide = Machine();
  wide.attention[DType::kF16][64].seconds = Curve({{1, 1e-11}, {128, 128e-11}});
  EXPECT_EQ(On(wide).Decode(1, 50000).binding(), Resource::kKv);
}

TEST(RooflineTest, WarmFlushedAndWithoutMovingData) {
  const Roofline warm = On(Machine());
  MachineProfile large = Machine();  // all of the model fits its cache
  large.read = Curve({{1 << 20, 100e9}, {1 << 30, 100e9}, {1LL << 31, 10e9}});
  const double memory_s = static_cast<double>(Model().step_bytes()) / 10e9;
  EXPECT_NEAR(On(large).Decode(1, 0)[Resource::kWeights], memory_s / 10, kClose);
  EXPECT_NEAR(On(large).WithFlushedCaches().Decode(1, 0)[Resource::kWeights], memory_s, kClose);
  EXPECT_NEAR(warm.WithoutMovingData().Decode(1, 0)[Resource::kWeights], 0, kClose);
  EXPECT_NEAR(warm.WithoutMovingData().Decode(1, 0)[Resource::kMultiplying],
              warm.Decode(1, 0)[Resource::kMultiplying], kClose);
}

TEST(RooflineTest, EachCallOfAttentionCosts) {
  MachineProfile machine = Machine();
  machine.attention[DType::kF16][64].call_seconds = Curve({{1, 1e-3}, {128, 1e-3}});
  const auto calls = [&](const std::vector<SequenceWork>& sequences) {
    const double with = On(machine).Step(sequences)[Resource::kAttention];
    return (with - On(Machine()).Step(sequences)[Resource::kAttention]) / 1e-3 / Model().layers.size();
  };
  // 2 KV heads, one for each thread.
  EXPECT_NEAR(calls({{.tokens = 1, .position = 10}}), 1, 0.01);
  EXPECT_NEAR(calls({{.tokens = 1, .position = 10}, {.tokens = 1, .position = 10}}), 2, 0.01);
  EXPECT_NEAR(calls({{.tokens = 1, .position = 1200}}), 3, 0.01) << "splits of 512 positions";
  EXPECT_NEAR(calls({{.tokens = 96, .position = 0}}), 3, 0.01) << "blocks of 32 tokens";
}

TEST(RooflineTest, TheEndOfABlockIsMasked) {
  MachineProfile machine = Machine();
  machine.attention[DType::kF16][64].masked_seconds = Curve({{1, 1e-3}, {128, 1e-3}});
  const auto masked = [&](int64_t tokens) {
    const std::vector<SequenceWork> work = {{.tokens = tokens, .position = 100}};
    return On(machine).Step(work)[Resource::kAttention] - On(Machine()).Step(work)[Resource::kAttention];
  };
  EXPECT_NEAR(masked(1), 0, kClose);
  EXPECT_NEAR(masked(32), 1e-3 * Model().layers.size(), kClose);
}

TEST(RooflineTest, ThreadsWithoutATaskWait) {
  MachineProfile one = Machine(), four = Machine();
  one.threads = 1;
  four.threads = 4;
  const auto attention = [&](const MachineProfile& machine, int64_t batch) {
    return On(machine).Decode(batch, 100)[Resource::kAttention];
  };
  EXPECT_NEAR(attention(four, 1), attention(one, 1) / 2, kClose) << "2 heads";
  EXPECT_NEAR(attention(four, 3), attention(one, 3) / 3, kClose) << "6 tasks in 2 turns";
  EXPECT_NEAR(attention(four, 4), attention(one, 4) / 4, kClose);
}

TEST(RooflineTest, WorkOnRowsGrowsInTasks) {
  MachineProfile machine = Machine();
  machine.norm = Curve({{1, 1e-6}});
  const auto norms = [&](int64_t batch) {
    return On(machine).Decode(batch, 0)[Resource::kElements] / (1e-6 * Model().hidden);
  };
  // Two a layer and one before all; of 1,024 floats each row is a task, and before all two are.
  EXPECT_NEAR(norms(1), 5, 0.1);
  EXPECT_NEAR(norms(2), 4 + 2, 0.1);
  EXPECT_NEAR(norms(8), 4 * 4 + 4, 0.1);
}

TEST(RooflineTest, DecodedTokensStoreToPagesOfTheirOwn) {
  MachineProfile machine = Machine();
  machine.store_s = 1e-4;
  const auto tokens = [&](const std::vector<SequenceWork>& work) {
    return On(machine).Step(work)[Resource::kElements] / (1e-4 * 2 * 2 * 64 * Model().layers.size());
  };
  EXPECT_NEAR(tokens({{.tokens = 1}}), 1, 0.05);
  EXPECT_NEAR(tokens(std::vector<SequenceWork>(8)), 5, 0.05) << "tasks of 3 rows on 2 threads";
  EXPECT_NEAR(tokens({{.tokens = 64}}), 2, 0.05) << "4 pages of 16";
}

TEST(RooflineTest, ThreadsReadWhatOthersWrote) {
  MachineProfile machine = Machine();
  machine.region_s = 1e-6;
  machine.exchange_s = 1e-9;
  const StepCost cost = On(machine).Decode(1, 0);
  // A layer's products have 1024, 512, 1024 and 4096 columns, the logits 1024 for two rows.
  const double columns = 2 * (1024 + 512 + 1024 + 4096) + 2 * 1024;
  EXPECT_NEAR(cost[Resource::kHandOver], 11 * 1e-6 + columns * (1 + 0.125 + 0.25) * 1e-9, kClose);
}

TEST(RooflineTest, AWindowBoundsAttention) {
  const double at_1k = On(Machine(), 512).Decode(1, 1000)[Resource::kAttention];
  EXPECT_NEAR(On(Machine(), 512).Decode(1, 90000)[Resource::kAttention], at_1k, 1e-9);
  EXPECT_GT(On(Machine()).Decode(1, 90000)[Resource::kAttention], 100 * at_1k);
}

TEST(RooflineTest, BatchesShareReadingUntilMultiplyingBinds) {
  const Roofline roofline = On(Machine());
  const double one = roofline.Decode(1, 0).total();
  EXPECT_LT(roofline.Decode(4, 0).total(), 1.4 * one);
  EXPECT_EQ(roofline.Decode(64, 0).binding(), Resource::kMultiplying);
}

TEST(RooflineTest, ChunksCostAsMuchAsTheyDoOneByOne) {
  const Roofline roofline = On(Machine());
  StepCost sum = roofline.Step({{.tokens = 512, .position = 0, .logits = false}});
  sum += roofline.Step({{.tokens = 100, .position = 512}});
  EXPECT_NEAR(roofline.Prefill(612, 0, 512).total(), sum.total(), 1e-12);
}

TEST(RooflineTest, WhatWasNotMeasuredIsNamed) {
  MachineProfile lacks = Machine();
  lacks.products.clear();
  EXPECT_THAT(Roofline::Create(Model(), lacks).error().message, testing::HasSubstr("Q8_0"));
  MachineProfile no_attention = Machine();
  no_attention.attention.clear();
  EXPECT_FALSE(Roofline::Create(Model(), no_attention));
}

TEST(DeploymentTest, FourCosts) {
  const Roofline roofline = On(Machine());
  const DeploymentCosts costs = CostsOf(roofline, {.context = 1024, .memory_bytes = 1 << 30});
  EXPECT_EQ(costs.sequence_bytes, 1024 * 2 * 2 * 64 * 2 * 2);
  EXPECT_EQ(costs.users, ((1 << 30) - Model().step_bytes()) / costs.sequence_bytes);
  EXPECT_EQ(costs.at_once, 256);
  EXPECT_NEAR(costs.prefill.total(), roofline.Prefill(1024, 0, 512).total(), 1e-12);
  EXPECT_NEAR(costs.disk_read_s, static_cast<double>(costs.sequence_bytes) / 2e9, 1e-9);
  EXPECT_GT(costs.together.total(), costs.alone.total());
  EXPECT_EQ(CostsOf(roofline, {.context = 1024, .memory_bytes = 1000}).users, 0);
}

TEST(MachineProfileTest, SurvivesJson) {
  MachineProfile machine = Machine();
  machine.name = "x";
  machine.read_one = 1;
  const auto json = nlohmann::json::parse(ProfileJson(machine).dump());
  const MachineProfile read = ParseProfile(json, "file").value();
  EXPECT_EQ(ProfileJson(read).dump(), ProfileJson(machine).dump());
  EXPECT_NEAR(On(read).Decode(3, 700).total(), On(machine).Decode(3, 700).total(), 1e-12);
}

TEST(MachineProfileTest, RefusesWhatIsNone) {
  MachineProfile machine = Machine();
  machine.name = "x";
  machine.read_one = 1;
  const auto good = nlohmann::json::parse(ProfileJson(machine).dump());
  for (const auto& [key, value] : good.items()) {
    for (const auto& wrong : {nlohmann::json(), nlohmann::json(-1), nlohmann::json::array({1})}) {
      auto bad = good;
      bad[key] = wrong;
      const auto parsed = ParseProfile(bad, "file");
      ASSERT_FALSE(parsed) << key << " " << wrong.dump();
      EXPECT_THAT(parsed.error().message, testing::HasSubstr("file"));
    }
  }
  EXPECT_FALSE(ParseProfile(nlohmann::json::array(), "file"));
  auto falling = good;
  falling["read_bytes_per_second_by_bytes"] = {{2, 1}, {1, 1}};
  EXPECT_FALSE(ParseProfile(falling, "file"));
}

TEST(MachineProfileTest, WhatComesFromMemory) {
  MachineProfile machine = Machine();
  EXPECT_EQ(machine.MissShare(1000), 0);
  EXPECT_EQ(machine.MissShare(1e12), 1);
  machine.read = Curve({{1 << 20, 100e9}, {2 << 20, 1 / (0.5 / 100e9 + 0.5 / 10e9)}, {4 << 20, 10e9}});
  EXPECT_NEAR(machine.MissShare(2 << 20), 0.5, 1e-9);
  machine.cached_bytes = 4 << 20;  // which no cache holds
  EXPECT_EQ(machine.MissShare(1000), 1);
}

TEST(MachineProfileTest, AttentionBetweenWhatWasMeasured) {
  MachineProfile machine = Machine();
  auto& by_dim = machine.attention[DType::kF16];
  by_dim[128] = by_dim[64];
  by_dim[128].from_memory.call_seconds = Curve({{1, 2e-6}});
  by_dim[128].seconds = Curve({{1, 3e-7}});
  EXPECT_NEAR(machine.Attention(DType::kF16, 96, 1, 0).key, 2e-7, 1e-15);
  EXPECT_NEAR(machine.Attention(DType::kF16, 96, 1, 0.5).call_reading, 0.5e-6, 1e-15);
}

TEST(CurveTest, BetweenAndBeyond) {
  const Curve curve({{1, 10}, {3, 20}});
  EXPECT_EQ(curve.At(0.5), 10);
  EXPECT_EQ(curve.At(2), 15);
  EXPECT_EQ(curve.At(6), 20);
  EXPECT_EQ(curve.Work(6), 40);
  EXPECT_EQ(curve.Work(2), 15);
}

}  // namespace
}  // namespace quire

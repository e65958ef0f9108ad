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

// Reads 10 GB/s from memory and 100 from a cache of 1 MiB, multiplies 200 Gop/s, attends to 10 M keys a
// second and thread for each query row, hides no reading, and does all else in no time.
MachineProfile Machine() {
  MachineProfile m;
  m.threads = 2;
  m.memory_bytes = 1 << 30;
  m.read = Curve({{1 << 20, 100e9}, {2 << 20, 10e9}});
  m.products[DType::kQ8_0] = {.seconds = Curve({{1, 1e-11}, {128, 128e-11}}),
                              .output_seconds = Curve({{1, 1e-15}}),
                              .exposed = Curve({{1, 1}})};
  m.attention[DType::kF16][64] = {.seconds = Curve({{1, 1e-7}, {128, 128e-7}})};
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
  fast.read = Curve({{1 << 20, 200e9}, {2 << 20, 20e9}});
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
  machine.read_one = machine.norm_s = machine.activate_s = machine.rotate_s = 1;
  const auto json = nlohmann::json::parse(ProfileJson(machine).dump());
  const MachineProfile read = ParseProfile(json, "file").value();
  EXPECT_EQ(ProfileJson(read).dump(), ProfileJson(machine).dump());
  EXPECT_NEAR(On(read).Decode(3, 700).total(), On(machine).Decode(3, 700).total(), 1e-12);
}

TEST(MachineProfileTest, RefusesWhatIsNone) {
  MachineProfile machine = Machine();
  machine.name = "x";
  machine.read_one = machine.norm_s = machine.activate_s = machine.rotate_s = 1;
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

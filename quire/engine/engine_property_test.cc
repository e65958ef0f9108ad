// Properties that hold for every load: random arrivals, lengths, samples, cancellations, chunk sizes and tiny
// pools. Every sample's ids are those of an unconstrained run of its own, all pages come back, everybody
// ends.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "quire/engine/engine.h"
#include "quire/engine/hash_model.h"
#include "quire/kv/page_codecs.h"
#include "quire/tiers/compressed_tier.h"
#include "quire/tiers/tier_stack.h"
#include "quire/tiers/tier_testing.h"

namespace quire {
namespace {

struct Load {
  Request request;
  std::shared_ptr<CollectingSink> sink = std::make_shared<CollectingSink>();
  RequestId id = 0;
  int arrives = 0;     // step
  int cancelled = -1;  // step, or never
  bool may_be_refused = false;
  bool refused = false;
};

Request RandomRequest(std::mt19937& random, int64_t room, int max_samples, uint64_t seed) {
  Request request;
  const int64_t prompt = 1 + random() % (room / 2);
  // Most begin like others: one of three texts, up to some point, or all the way.
  const auto text = static_cast<int64_t>(random() % 3);
  const int64_t shared = random() % 3 == 0 ? 0 : random() % 3 == 0 ? prompt : random() % (prompt + 1);
  for (int64_t i = 0; i < prompt; ++i) {
    request.prompt.push_back(static_cast<Token>(i < shared ? (i * 7 + text * 13) % 61 : random() % 61));
  }
  if (random() % 4 == 0) request.cache_salt = "other";
  SamplingParams& params = request.sampling;
  params.max_tokens = 1 + random() % (room - prompt);
  params.temperature = random() % 3 == 0 ? 0 : 0.5 + static_cast<double>(random() % 100) / 100;
  params.seed = seed;
  params.n = random() % 3 == 0 ? 1 + random() % max_samples : 1;
  if (random() % 3 == 0) params.top_k = 1 + random() % 20;
  if (random() % 3 == 0) params.top_p = 0.5 + static_cast<double>(random() % 50) / 100;
  if (random() % 4 == 0) params.repetition_penalty = 1.2;
  if (random() % 4 == 0) params.stop_token_ids = {static_cast<Token>(random() % 61)};
  if (random() % 4 == 0) params.min_tokens = random() % (*params.max_tokens + 1);
  if (random() % 5 == 0) params.prompt_logprobs = 1;
  request.priority = static_cast<int>(random() % 3);
  return request;
}

// A pool that is too small at that moment refuses who would never fit.
void Arrive(Load& load, Engine& engine) {
  const auto id = engine.Submit(load.request, load.sink);
  if (id) {
    load.id = *id;
  } else {
    EXPECT_TRUE(load.may_be_refused) << id.error().message;
    load.refused = true;
  }
}

void CheckUsage(const KvUsage& usage, bool resizes) {
  EXPECT_EQ(usage.used + usage.cached + usage.free, usage.total);
  EXPECT_LE(usage.filled, usage.used);
  EXPECT_LE(usage.committed, usage.total);
  EXPECT_GE(usage.committed, usage.used + usage.cached);
  EXPECT_GE(usage.total, usage.limit);
  EXPECT_TRUE(resizes || usage.total == usage.limit);
}

void CheckLoad(const HashModel& model, const Load& load) {
  const SamplingParams& params = load.request.sampling;
  ASSERT_TRUE(load.sink->finished(params.n)) << "request " << load.id;
  for (int i = 0; i < params.n; ++i) {
    const CollectingSink::Sample& sample = load.sink->at(i);
    std::vector<Token> expected = ExpectedTokens(model, load.request, i, *params.max_tokens);
    if (*sample.last->finish == FinishReason::kCancelled) {
      ASSERT_NE(load.cancelled, -1);
      ASSERT_LE(sample.tokens.size(), expected.size());
      expected.resize(sample.tokens.size());
    }
    ASSERT_EQ(sample.tokens, expected) << "request " << load.id << " sample " << i;
  }
}

struct Seen {
  double preemptions = 0;
  double cached = 0;        // prompt tokens
  double restored = 0;      // pages, from the disk
  double decompressed = 0;  // pages, from memory
  int resizes = 0;
  int over = 0;  // resizes that left the pool larger than asked
};

// Moves of pages take their time, or fail.
void Weather(std::mt19937& random, MapTierState& disk) {
  disk.holds_moves = random() % 3 == 0;
  disk.refuses_writes = random() % 8 == 0;
  disk.fails_reads = random() % 16 == 0;
}

// Pages on disk, in compressed memory, in memory above a disk, or nowhere.
std::unique_ptr<PageTier> MakeTier(uint32_t seed, std::span<const KvLayout> layouts, MapTierState& disk) {
  auto on_disk = seed % 2 == 0 ? std::make_unique<MapTier>(disk) : nullptr;
  if (seed % 4 > 1) return on_disk;
  const size_t page_bytes = layouts.front().page_bytes();
  return Stacked(std::make_unique<CompressedTier>(
                     CompressedTierOptions{.quota_bytes = static_cast<int64_t>((4 + seed % 20) * page_bytes),
                                           .page_bytes = page_bytes,
                                           .threads = 0},
                     PageCodecsOf(layouts, *PageCodecTable()[0])),
                 std::move(on_disk));
}

// Now and then another size of the pool, down to what holds hardly anybody.
void Resize(std::mt19937& random, Engine& engine, int64_t most_pages, int64_t page_bytes, Seen& seen) {
  if (random() % 12 != 0) return;
  const int64_t pages = 1 + static_cast<int64_t>(random() % most_pages);
  EXPECT_TRUE(
      engine.ResizeKv(pages * page_bytes, [&seen, pages, page_bytes](const Result<MemoryReport>& report) {
        if (!report) return;
        ++seen.resizes;
        EXPECT_EQ(report->kv.limit, pages * page_bytes);
        seen.over += report->kv.total > report->kv.limit;
      }));
}

struct World {
  uint32_t seed = 0;
  std::string scheduling;
  bool resizes = false;  // its pool
  bool contiguous = false;
  std::vector<LayerTypes> kv_types = {DType::kF32};
};

// Sequences of the largest groups, in pages.
int64_t MostGroups(const LanguageModel& model) {
  int64_t groups = 0;
  for (const KvLayout& layout : model.kv_layouts()) groups = std::max(groups, std::ssize(layout.groups()));
  return groups;
}

// One random world. Adds what it saw.
void RunWorld(const World& world, Seen& seen) {
  const auto& [seed, scheduling, resizes, contiguous, kv_types] = world;
  SCOPED_TRACE(testing::Message() << "world " << seed << " " << scheduling);
  std::mt19937 random(seed);
  HashModelOptions model_options;
  if (seed % 3 == 1) model_options.windows = {0, 24};
  if (seed % 3 == 2) model_options.windows = {20, 0, 20, 20};
  model_options.kv_types = kv_types;
  HashModel model(model_options);
  const int64_t groups = MostGroups(model);
  // Of a region the system gives whole pages of its own to every tile, each of which holds several of ours.
  const int64_t pages = (8 + random() % (seed % 4 == 3 ? 40 : 8)) * groups * (contiguous ? 4 : 1);
  const auto page_bytes = static_cast<int64_t>(model.kv_layout().page_bytes());
  EngineOptions options{.max_step_tokens = static_cast<int64_t>(1 + random() % 40),
                        .max_sequences = static_cast<int64_t>(3 + random() % 12),
                        .scheduling = scheduling,
                        .prefix_caching = seed % 5 != 0 && !contiguous};
  ThreadPool pool(1);
  ManualClock clock;
  MapTierState disk;
  auto cache = contiguous ? model.MakeContiguousCache(pages, options.max_sequences) : model.MakeCache(pages);
  auto tier = contiguous ? nullptr : MakeTier(seed, model.kv_layouts(), disk);
  auto engine =
      Engine::Create(model, nullptr, std::move(cache), pool, options, clock, std::move(tier)).value();

  std::vector<Load> loads(6 + random() % 20);
  for (size_t i = 0; i < loads.size(); ++i) {
    loads[i].request = RandomRequest(random, random() % 2 == 0 ? 120 : 40, 3, seed * 1000 + i);
    loads[i].arrives = static_cast<int>(random() % 60);
    if (random() % 5 == 0) loads[i].cancelled = loads[i].arrives + static_cast<int>(random() % 60);
    loads[i].may_be_refused = resizes;
    const size_t type = kv_types.size() > 1 ? random() % kv_types.size() : 0;
    if (type > 0) loads[i].request.kv_type = model.kv_layouts()[type].name();
  }
  std::mt19937 weather(seed);
  const auto ended = [](const Load& load) {
    return load.refused || load.sink->finished(load.request.sampling.n);
  };
  for (int step = 0; step < 200 || !std::ranges::all_of(loads, ended); ++step) {
    Weather(weather, disk);
    EXPECT_LT(step, 30000) << "somebody starves";
    if (step >= 30000) return;
    for (Load& load : loads) {
      if (load.arrives == step) Arrive(load, *engine);
      if (load.cancelled == step) engine->Cancel(load.id);
    }
    if (resizes) Resize(weather, *engine, pages, page_bytes, seen);
    engine->Step();
    clock.Advance(std::chrono::milliseconds(20));
    CheckUsage(engine->kv_usage(), resizes);
  }
  engine->Step();
  EXPECT_EQ(engine->kv_usage().used, 0) << "pages leaked";
  EXPECT_EQ(engine->kv_usage().filled, 0);
  for (const Load& load : loads) {
    if (!load.refused) CheckLoad(model, load);
  }
  seen.preemptions += engine->metrics().preemptions.value();
  seen.cached += engine->metrics().prompt_tokens_cached.value();
  seen.restored += engine->metrics().disk_tier.read.value();
  seen.decompressed += engine->metrics().compressed_tier.read.value();
}

TEST(EngineProperties, RandomLoadsOnTinyPools) {
  const char* const policies[] = {"fcfs",
                                  "priority:age_s=1,preempt=1",
                                  "fair",
                                  "program",
                                  "mlfq:quantum=8,age_s=1,prompt_cost=0.1",
                                  "spf",
                                  "offline",
                                  "spf:predictor=recurrent",
                                  "lottery:period_s=0.2"};
  Seen seen;
  for (uint32_t seed = 0; seed < 360 && !testing::Test::HasFatalFailure(); ++seed) {
    RunWorld({seed, policies[seed / 3 % std::size(policies)]}, seen);
  }
  EXPECT_GT(seen.preemptions, 300) << "the pools were too large to test anything";
  EXPECT_GT(seen.cached, 4000) << "too little was shared to test anything";
  EXPECT_GT(seen.restored, 500) << "too little came back from the disk to test anything";
  EXPECT_GT(seen.decompressed, 1000) << "too little came back from memory to test anything";
}

// Requests of several types of pages side by side: none is short of pages for good, or reads another's.
TEST(EngineProperties, TypesOfPagesLiveSideBySide) {
  Seen seen;
  for (uint32_t seed = 0; seed < 200 && !testing::Test::HasFatalFailure(); ++seed) {
    std::vector<LayerTypes> types = {DType::kF32, DType::kF16};
    if (seed % 2 == 1) types = {DType::kF16, DType::kF32, DType::kBF16};
    if (seed % 4 == 3) types.push_back(LayerTypes::Parse("bf16,0=f32").value());
    RunWorld({seed, seed % 8 < 4 ? "fcfs" : "priority:age_s=1,preempt=1", seed % 5 == 4, false, types}, seen);
  }
  EXPECT_GT(seen.preemptions, 100) << "the pools were too large to test anything";
  EXPECT_GT(seen.cached, 1000);
  EXPECT_GT(seen.restored, 100);
  EXPECT_GT(seen.decompressed, 100);
}

// The size of the pool changes under everybody's feet.
TEST(EngineProperties, ResizesLoseNothing) {
  Seen seen;
  for (uint32_t seed = 0; seed < 200 && !testing::Test::HasFatalFailure(); ++seed) {
    RunWorld({seed, seed % 2 == 0 ? "fcfs" : "priority:age_s=1,preempt=1", true}, seen);
  }
  EXPECT_GT(seen.resizes, 1000);
  EXPECT_GT(seen.preemptions, 300);
  EXPECT_GT(seen.over, 20) << "no sequence was ever too long for its pool";
}

TEST(EngineProperties, ContiguousLosesNothing) {
  Seen seen;
  for (uint32_t seed = 0; seed < 200 && !testing::Test::HasFatalFailure(); ++seed) {
    RunWorld({seed, seed % 2 == 0 ? "fcfs" : "priority:age_s=1,preempt=1", seed % 4 < 2, true}, seen);
  }
  EXPECT_GT(seen.resizes, 500);
  EXPECT_GT(seen.preemptions, 300);
}

// A stream of short requests never keeps a long one from ending, and the other way round.
TEST(EngineProperties, NobodyStarvesUnderAnEndlessStream) {
  for (const char* scheduling :
       {"fcfs", "priority:age_s=2", "fair", "mlfq:quantum=8,age_s=2", "spf:age_tokens_per_s=20"}) {
    HashModel model;
    ThreadPool pool(1);
    ManualClock clock;
    auto engine = Engine::Create(model, nullptr, model.MakeCache(10), pool,
                                 {.max_step_tokens = 16, .max_sequences = 6, .scheduling = scheduling}, clock)
                      .value();
    std::mt19937 random(11);
    Load big;
    big.request.prompt.assign(90, 5);
    big.request.sampling.max_tokens = 60;
    big.request.sampling.temperature = 0;
    big.request.priority = 1;
    std::vector<Load> stream;
    int step = 0;
    for (; step < 5000 && !big.sink->finished(); ++step) {
      if (step == 30) big.id = engine->Submit(big.request, big.sink).value();
      if (step % 3 == 0) {
        Load& load = stream.emplace_back();
        load.request = RandomRequest(random, 30, 1, step);
        load.request.priority = 0;
        if (!engine->Submit(load.request, load.sink)) stream.pop_back();
      }
      engine->Step();
      clock.Advance(std::chrono::milliseconds(20));
    }
    EXPECT_TRUE(big.sink->finished()) << scheduling;
    EXPECT_EQ(big.sink->at(0).tokens, ExpectedTokens(model, big.request, 0, 60));
    engine->Drain();
    for (const Load& load : stream) CheckLoad(model, load);
  }
}

}  // namespace
}  // namespace quire

// Every family on a tiny random model, against what transformers computes with it: from safetensors and from
// GGUF, through one step, chunks and single tokens; and the same bits whatever shares the step.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "quire/files/safetensors.h"
#include "quire/model/families/families.h"
#include "quire/model/model_testing.h"

namespace quire {
namespace {

using testing::LoadModel;
using testing::TestModel;

using LogitRows = std::vector<std::vector<float>>;

constexpr size_t kKvBytes = size_t{64} << 20;

std::string CaseFolder(const std::string& name) {
  return std::string(QUIRE_SOURCE_DIR) + "/tests/data/families/" + name;
}

// What tools/make_tiny_models.py stored.
struct Golden {
  std::vector<Token> tokens;
  LogitRows logits;
  LogitRows short_logits;  // of a prompt within the original context; empty where there is one rotation

  static LogitRows Rows(const SafetensorsFile& file, const char* name) {
    LogitRows rows;
    const auto it = file.tensors.find(name);
    if (it == file.tensors.end()) return rows;
    for (int64_t r = 0; r < it->second.rows(); ++r) {
      std::vector<float>& row = rows.emplace_back(it->second.cols());
      std::memcpy(row.data(), it->second.row(r), it->second.row_bytes());
    }
    return rows;
  }

  static Golden Read(const std::string& name) {
    auto file = SafetensorsFile::Open(CaseFolder(name) + "/golden.safetensors");
    QUIRE_CHECK(file.has_value());
    Golden golden{.tokens = {}, .logits = Rows(*file, "logits"), .short_logits = Rows(*file, "short_logits")};
    const LogitRows tokens = Rows(*file, "tokens");
    golden.tokens.assign(tokens.front().begin(), tokens.front().end());
    return golden;
  }
};

double MaxDifference(const LogitRows& a, const LogitRows& b) {
  EXPECT_EQ(a.size(), b.size());
  double max = 0;
  for (size_t r = 0; r < std::min(a.size(), b.size()); ++r) {
    EXPECT_EQ(a[r].size(), b[r].size());
    for (size_t i = 0; i < std::min(a[r].size(), b[r].size()); ++i) {
      const double difference = std::abs(a[r][i] - b[r][i]);
      max = difference <= max ? max : difference;  // NaN too
    }
  }
  return max;
}

// The root of the differences' sum of squares, as a share of `want`'s.
double RelativeDifference(const LogitRows& got, const LogitRows& want) {
  EXPECT_EQ(got.size(), want.size());
  double differences = 0, squares = 0;
  for (size_t r = 0; r < std::min(got.size(), want.size()); ++r) {
    EXPECT_EQ(got[r].size(), want[r].size());
    for (size_t i = 0; i < std::min(got[r].size(), want[r].size()); ++i) {
      differences += std::pow(got[r][i] - want[r][i], 2);
      squares += std::pow(want[r][i], 2);
    }
  }
  return std::sqrt(differences / squares);
}

std::unique_ptr<TestModel> Load(const std::string& path, ThreadPool& pool, ModelOptions options) {
  auto model = LoadModel(path, options, pool);
  if (!model) {
    ADD_FAILURE() << model.error().message;
    return nullptr;
  }
  return std::make_unique<TestModel>(std::move(*model), kKvBytes);
}

std::vector<Token> Prompt(int64_t n, uint32_t seed) {
  std::vector<Token> tokens;
  for (int64_t i = 0; i < n; ++i) {
    seed = seed * 1664525 + 1013904223;
    tokens.push_back(static_cast<Token>(3 + (seed >> 16) % 197));
  }
  return tokens;
}

struct Form {
  std::string name;
  std::string file;  // inside the case's folder; "/." is the folder itself

  std::string Path() const { return CaseFolder(name) + file; }
};

class TinyFamilies : public ::testing::TestWithParam<Form> {
 protected:
  static ModelOptions Exact() {
    return {.exact = true, .kv_types = DType::kF32, .page_tokens = 16, .max_step_tokens = 64};
  }

  ThreadPool pool_{2};
};

TEST_P(TinyFamilies, AgreesWithTransformers) {
  const Golden golden = Golden::Read(GetParam().name);
  const auto model = Load(GetParam().Path(), pool_, Exact());
  ASSERT_NE(model, nullptr);
  for (const int64_t chunk : {60, 7, 1}) {
    SCOPED_TRACE(chunk);
    EXPECT_LT(MaxDifference(model->Chunked(golden.tokens, chunk), golden.logits), 1e-3);
  }
}

// Weights of all types, and sizes that fill no wide group.
TEST_P(TinyFamilies, FastPrefillStaysClose) {
  if (BestKernels().matmul_wide == nullptr) GTEST_SKIP() << "These kernels have no wide groups.";
  const auto prompt = Prompt(2 * kFastPrefillTokens, 1);
  ModelOptions options = Exact();
  options.max_step_tokens = std::ssize(prompt);
  const auto exact = Load(GetParam().Path(), pool_, options);
  options.exact = false;
  const auto plain = Load(GetParam().Path(), pool_, options);
  options.fast_prefill = true;
  const auto fast = Load(GetParam().Path(), pool_, options);
  ASSERT_TRUE(exact && plain && fast);
  const LogitRows want = exact->Chunked(prompt, std::ssize(prompt)),
                  got = fast->Chunked(prompt, std::ssize(prompt));
  EXPECT_LT(RelativeDifference(got, want), 0.04);
  EXPECT_NE(got, plain->Chunked(prompt, std::ssize(prompt)));
  EXPECT_EQ(fast->Chunked(prompt, 60), plain->Chunked(prompt, 60)) << "these steps are not fast";
}

TEST(LongRope, ChoosesFactorsByTheServedContext) {
  ThreadPool pool(2);
  const Golden golden = Golden::Read("phi3_longrope");
  ASSERT_FALSE(golden.short_logits.empty());
  const std::span<const Token> tokens(golden.tokens.data(), golden.short_logits.size());
  for (const char* file : {"/model.gguf", "/."}) {
    SCOPED_TRACE(file);
    const auto model = Load(CaseFolder("phi3_longrope") + file, pool,
                            {.exact = true, .kv_types = DType::kF32, .context_length = std::ssize(tokens)});
    ASSERT_NE(model, nullptr);
    EXPECT_LT(MaxDifference(model->Chunked(tokens, 64), golden.short_logits), 1e-3);
  }
}

std::vector<Form> Forms() {
  std::vector<Form> forms;
  for (const char* name :
       {"gemma2", "gemma3", "llama", "mistral", "phi3", "phi3_longrope", "qwen2", "qwen2_yarn", "qwen3"}) {
    forms.push_back({name, "/model.gguf"});
    forms.push_back({name, "/."});
  }
  forms.push_back({"llama_quantized", "/model.gguf"});
  return forms;
}

INSTANTIATE_TEST_SUITE_P(All, TinyFamilies, ::testing::ValuesIn(Forms()), [](const auto& info) {
  return info.param.name + (info.param.file == "/." ? "_safetensors" : "_gguf");
});

TEST(FamilyTable, IsSortedByName) { EXPECT_TRUE(std::ranges::is_sorted(Families(), {}, &Family::name)); }

// -- The same bits ----------------------------------------------------------------------------------------

// Full attention, windows and soft caps, weights of all kinds; long enough for several attention splits.
struct Arithmetic {
  std::string name;
  bool exact;
  DType kv_type;
};

class SameBits : public ::testing::TestWithParam<std::tuple<std::string, Arithmetic>> {
 protected:
  static constexpr int64_t kTokens = 1100;

  std::unique_ptr<TestModel> LoadWith(ThreadPool& pool) {
    const auto& [name, arithmetic] = GetParam();
    return Load(CaseFolder(name) + "/model.gguf", pool,
                {.exact = arithmetic.exact, .kv_types = arithmetic.kv_type, .max_step_tokens = 2048});
  }
};

TEST_P(SameBits, WhateverTheChunks) {
  ThreadPool pool(2);
  const auto model = LoadWith(pool);
  const auto prompt = Prompt(kTokens, 1);
  const LogitRows whole = model->Chunked(prompt, kTokens);
  EXPECT_EQ(model->Chunked(prompt, 97), whole);
  EXPECT_EQ(model->Chunked(prompt, 1), whole);
}

TEST_P(SameBits, WhateverElseIsInTheStep) {
  ThreadPool pool(2);
  const auto model = LoadWith(pool);
  const auto prompt = Prompt(kTokens, 1), other = Prompt(kTokens, 2);
  const LogitRows alone = model->Chunked(prompt, kTokens);

  // The prompt's tail in two steps of three sequences: beside a prompt chunk, and beside a decoded token.
  PageTable table, first, second;
  const std::span<const Token> all(prompt), others(other);
  model->Step(table, all.first(600), LogitsWanted::kNone);
  model->Step(first, others.first(1), LogitsWanted::kNone);
  StepPlan plan;
  plan.sequences.push_back(model->Append(first, others.subspan(1, 1), LogitsWanted::kLast));
  plan.sequences.push_back(model->Append(table, all.subspan(600, 499)));
  plan.sequences.push_back(model->Append(second, others.first(300), LogitsWanted::kNone));
  const LogitRows tail = model->Run(plan)[1];
  EXPECT_EQ(tail, LogitRows(alone.begin() + 600, alone.begin() + 1099));

  plan.sequences.clear();
  plan.sequences.push_back(model->Append(second, others.subspan(300, 33)));
  plan.sequences.push_back(model->Append(table, all.subspan(1099, 1), LogitsWanted::kLast));
  EXPECT_EQ(model->Run(plan)[1].front(), alone.back());
}

TEST_P(SameBits, WhateverTheThreads) {
  const auto prompt = Prompt(kTokens, 1);
  ThreadPool one(1), three(3);
  const auto model_one = LoadWith(one), model_three = LoadWith(three);
  EXPECT_EQ(model_one->Chunked(prompt, 300), model_three->Chunked(prompt, 300));
}

TEST_P(SameBits, WithTrimmedWindows) {
  ThreadPool pool(2);
  const auto model = LoadWith(pool);
  const auto prompt = Prompt(kTokens, 1);
  const LogitRows whole = model->Chunked(prompt, kTokens);
  PageTable table;
  LogitRows trimmed;
  for (int64_t at = 0; at < kTokens; at += 50) {
    model->cache().TrimWindows(table, at);
    auto part = model->Step(table, std::span<const Token>(prompt).subspan(at, 50));
    std::ranges::move(part, std::back_inserter(trimmed));
  }
  EXPECT_EQ(trimmed, whole);
}

// What was left out is not seen, and does not move what comes next.
TEST_P(SameBits, AsIfPagesThatWereLeftOutHadNeverBeen) {
  ThreadPool pool(2);
  const auto model = LoadWith(pool);
  const auto prompt = Prompt(180, 1);
  const std::span<const Token> all(prompt);
  PageTable long_table, short_table, moved;
  model->Step(long_table, all.first(160), LogitsWanted::kNone);
  model->cache().LeaveOut(long_table, 2, 10);
  model->Step(short_table, all.first(32), LogitsWanted::kNone);
  model->Step(moved, all.first(32), LogitsWanted::kNone);
  short_table.left_out = 128;
  const LogitRows without = model->Step(long_table, all.subspan(160));
  EXPECT_EQ(without, model->Step(short_table, all.subspan(160)));
  EXPECT_NE(without, model->Step(moved, all.subspan(160))) << "its text is shorter";
}

INSTANTIATE_TEST_SUITE_P(All, SameBits,
                         ::testing::Combine(::testing::Values("llama_quantized", "qwen3", "gemma3", "gemma2"),
                                            ::testing::Values(Arithmetic{"exact", true, DType::kF32},
                                                              Arithmetic{"default", false, DType::kF16},
                                                              Arithmetic{"int8", false, DType::kInt8},
                                                              Arithmetic{"fp8", false, DType::kFp8},
                                                              Arithmetic{"int4", false, DType::kInt4})),
                         [](const auto& info) {
                           return std::get<0>(info.param) + "_" + std::get<1>(info.param).name;
                         });

TEST(Logits, OnlyWantedRowsAreComputed) {
  ThreadPool pool(2);
  const Golden golden = Golden::Read("llama");
  const auto model =
      Load(CaseFolder("llama") + "/model.gguf", pool, {.exact = true, .kv_types = DType::kF32});
  PageTable table;
  const std::span<const Token> tokens(golden.tokens);
  EXPECT_TRUE(model->Step(table, tokens.first(30), LogitsWanted::kNone).empty());
  const LogitRows last = model->Step(table, tokens.subspan(30), LogitsWanted::kLast);
  ASSERT_EQ(last.size(), 1u);
  EXPECT_LT(MaxDifference(last, {golden.logits.back()}), 1e-3);
}

}  // namespace
}  // namespace quire

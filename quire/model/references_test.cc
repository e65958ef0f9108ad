// Real weights against figures of Hugging Face transformers in float32: greedy ids, log-probabilities of
// prompts and of the five likeliest tokens of each step, and perplexity of whole pages. Needs the model
// files.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "quire/model/model_testing.h"

namespace quire {
namespace {

using testing::LoadModel;
using testing::RealModelPath;
using testing::TestModel;

struct Case {
  std::string name;
  // What llama.cpp's int8 activations differ by from float32 on the same figures.
  double default_median, default_p95;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

double Quantile(std::vector<double> values, double q) {
  std::ranges::sort(values);
  return values[static_cast<size_t>(q * static_cast<double>(values.size() - 1))];
}

// A row of logits with what turns them into log-probabilities.
struct Row {
  std::span<const float> logits;
  Token best = 0;
  double log_sum = 0;

  explicit Row(std::span<const float> row) : logits(row) {
    int64_t index = 0;
    log_sum = BestKernels().log_sum_exp(row.data(), std::ssize(row), &index);
    best = static_cast<Token>(index);
  }
  double LogProb(Token token) const { return logits[token] - log_sum; }
};

class References : public ::testing::TestWithParam<Case> {
 protected:
  static constexpr int64_t kStepTokens = 256;

  void SetUp() override {
    std::ifstream file(std::string(QUIRE_SOURCE_DIR) + "/tests/data/reference/" + GetParam().name + ".json");
    reference_ = nlohmann::json::parse(file);
    path_ = RealModelPath(reference_["model"]);
    if (path_.empty()) {
      GTEST_SKIP() << "QUIRE_MODELS names no folder with " << reference_["model"] << ".";
    }
  }

  std::unique_ptr<TestModel> Load(bool exact) {
    auto model = LoadModel(
        path_, {.exact = exact, .kv_type = exact ? DType::kF32 : DType::kF16, .max_step_tokens = kStepTokens},
        pool_);
    if (!model) ADD_FAILURE() << model.error().message;
    return std::make_unique<TestModel>(std::move(*model), size_t{512} << 20);
  }

  // Computes `tokens`, calling see(index, row) with the logits that follow tokens[index].
  template <typename See>
  static void Feed(TestModel& model, PageTable& table, std::span<const Token> tokens, See see) {
    for (size_t at = 0; at < tokens.size(); at += kStepTokens) {
      const auto part = tokens.subspan(at, std::min<size_t>(kStepTokens, tokens.size() - at));
      StepPlan plan;
      plan.sequences.push_back(model.Append(table, part));
      size_t index = at;
      model.model().Forward(plan, model.cache().pool(), [&](std::span<LogitsRow> rows) {
        for (const LogitsRow& row : rows) see(index++, Row(row.logits));
      });
    }
  }

  // |difference| of every log-probability that the reference states for this prompt. The reference's own
  // continuation is fed; returns the ids that would have been chosen.
  static std::vector<Token> Compare(TestModel& model, const nlohmann::json& prompt,
                                    std::vector<double>& differences) {
    auto tokens = prompt["prompt_ids"].get<std::vector<Token>>();
    const size_t prompt_size = tokens.size();
    for (const Token id : prompt["greedy_ids"]) tokens.push_back(id);
    tokens.pop_back();
    std::vector<Token> chosen;
    PageTable table;
    Feed(model, table, tokens, [&](size_t index, const Row& row) {
      if (index + 1 < prompt_size) {
        const double expected = prompt["prompt_logprobs"][index + 1];
        differences.push_back(std::abs(row.LogProb(tokens[index + 1]) - expected));
        return;
      }
      chosen.push_back(row.best);
      for (const auto& [id, logprob] :
           prompt["top5"][index + 1 - prompt_size].get<std::vector<std::pair<Token, double>>>()) {
        differences.push_back(std::abs(row.LogProb(id) - logprob));
      }
    });
    model.cache().Release(table);
    return chosen;
  }

  static double Perplexity(TestModel& model, const nlohmann::json& page) {
    const auto tokens = page["ids"].get<std::vector<Token>>();
    double nll = 0;
    PageTable table;
    Feed(model, table, tokens, [&](size_t index, const Row& row) {
      if (index + 1 < tokens.size()) nll -= row.LogProb(tokens[index + 1]);
    });
    model.cache().Release(table);
    return std::exp(nll / page["n"].get<double>());
  }

  void ExpectPerplexities(TestModel& model, double tolerance) {
    for (const auto& page : reference_["pages"]) {
      const double expected = std::exp(page["sum_nll"].get<double>() / page["n"].get<double>());
      const double measured = Perplexity(model, page);
      std::printf("perplexity %.4f, reference %.4f\n", measured, expected);
      EXPECT_NEAR(measured / expected, 1.0, tolerance);
    }
  }

  ThreadPool pool_{UsableProcessors()};
  nlohmann::json reference_;
  std::string path_;
};

TEST_P(References, ExactModeGivesTheSameIdsAndLogProbabilities) {
  const auto model = Load(/*exact=*/true);
  std::vector<double> differences;
  for (const auto& prompt : reference_["prompts"]) {
    SCOPED_TRACE(prompt["name"]);
    EXPECT_EQ(Compare(*model, prompt, differences), prompt["greedy_ids"].get<std::vector<Token>>());
  }
  std::printf("%zu log-probabilities: median difference %.6f, p95 %.6f\n", differences.size(),
              Quantile(differences, 0.5), Quantile(differences, 0.95));
  EXPECT_LT(Quantile(differences, 0.95), 0.002);
}

TEST_P(References, ExactModeDecodesToTheSameIds) {
  const auto model = Load(/*exact=*/true);
  for (const auto& prompt : reference_["prompts"]) {
    SCOPED_TRACE(prompt["name"]);
    const auto expected = prompt["greedy_ids"].get<std::vector<Token>>();
    std::vector<Token> decoded;
    Token next = 0;
    const auto keep_last = [&](size_t, const Row& row) { next = row.best; };
    PageTable table;
    Feed(*model, table, prompt["prompt_ids"].get<std::vector<Token>>(), keep_last);
    while (decoded.push_back(next), decoded.size() < expected.size()) {
      Feed(*model, table, {&next, 1}, keep_last);
    }
    model->cache().Release(table);
    EXPECT_EQ(decoded, expected);
  }
}

TEST_P(References, ExactModeGivesTheSamePerplexity) { ExpectPerplexities(*Load(/*exact=*/true), 0.001); }

TEST_P(References, DefaultModeIsAsCloseAsOtherInt8Engines) {
  const auto model = Load(/*exact=*/false);
  std::vector<double> differences;
  for (const auto& prompt : reference_["prompts"]) Compare(*model, prompt, differences);
  std::printf("%zu log-probabilities: median difference %.4f, p95 %.4f\n", differences.size(),
              Quantile(differences, 0.5), Quantile(differences, 0.95));
  EXPECT_LE(Quantile(differences, 0.5), GetParam().default_median);
  EXPECT_LE(Quantile(differences, 0.95), GetParam().default_p95);
}

TEST_P(References, DefaultModeGivesNearlyTheSamePerplexity) {
  ExpectPerplexities(*Load(/*exact=*/false), 0.01);
}

INSTANTIATE_TEST_SUITE_P(Models, References,
                         ::testing::Values(Case{"smollm2", 0.015, 0.10}, Case{"gemma3", 0.011, 0.14}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace quire

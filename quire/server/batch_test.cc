#include "quire/server/batch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "quire/server/api_testing.h"
#include "quire/server/batch_line.h"

namespace quire {
namespace {

using nlohmann::ordered_json;
using testing::HasSubstr;

std::string ChatLine(const std::string& id, const std::string& text, int max_tokens = 5) {
  return ordered_json({{"custom_id", id},
                       {"method", "POST"},
                       {"url", "/v1/chat/completions"},
                       {"body",
                        {{"model", "fake"},
                         {"messages", {{{"role", "user"}, {"content", text}}}},
                         {"max_tokens", max_tokens}}}})
             .dump() +
         "\n";
}

class BatchTest : public testing::Test {
 protected:
  BatchTest() {
    options_.input = (folder_ / "in.jsonl").string();
    options_.output = (folder_ / "out.jsonl").string();
    std::filesystem::remove(options_.output);
    fake_.runtime.engine->Start();
  }
  ~BatchTest() override { std::filesystem::remove_all(folder_); }

  void Write(const std::string& path, const std::string& text) { std::ofstream(path) << text; }
  Result<BatchProgress> Run(const std::string& input) {
    Write(options_.input, input);
    return RunBatch(fake_.served, options_);
  }
  std::string Output() const {
    std::stringstream text;
    text << std::ifstream(options_.output).rdbuf();
    return text.str();
  }
  // By custom_id; "" for those without.
  std::multimap<std::string, ordered_json> Answers() const {
    std::multimap<std::string, ordered_json> answers;
    std::istringstream lines(Output());
    for (std::string line; std::getline(lines, line);) {
      auto json = ordered_json::parse(line);
      const std::string id = json["custom_id"].is_null() ? "" : json["custom_id"].get<std::string>();
      answers.emplace(id, std::move(json));
    }
    return answers;
  }

  std::filesystem::path folder_ = [] {
    std::string name = (std::filesystem::temp_directory_path() / "quire_batch_XXXXXX").string();
    return std::filesystem::path(mkdtemp(name.data()));
  }();
  FakeServed fake_{FakeOptions{.beat = std::chrono::microseconds(20)}};
  BatchOptions options_;
};

TEST_F(BatchTest, AnswersEveryLine) {
  options_.window = 3;
  std::string input;
  for (int i = 0; i < 40; ++i) input += ChatLine("request-" + std::to_string(i), "hello");
  input += "\n";  // an empty line is nothing
  input +=
      R"({"custom_id":"c","method":"POST","url":"/v1/completions","body":{"prompt":["a","b"],"max_tokens":3}})";
  int64_t most = 0;
  options_.progress = [&](const BatchProgress& p) { most = std::max(most, p.answered); };
  const auto done = Run(input);
  ASSERT_TRUE(done.has_value()) << done.error().message;
  EXPECT_EQ(done->answered, 41);
  EXPECT_EQ(done->failed, 0);
  EXPECT_EQ(done->completion_tokens, 40 * 5 + 2 * 3);
  EXPECT_EQ(done->read_share, 1);
  EXPECT_EQ(most, 41);
  const auto answers = Answers();
  ASSERT_EQ(answers.size(), 41u);
  const ordered_json& one = answers.find("request-7")->second;
  EXPECT_THAT(one["id"].get<std::string>(), HasSubstr("batch_req_"));
  EXPECT_TRUE(one["error"].is_null());
  EXPECT_EQ(one["response"]["status_code"], 200);
  EXPECT_EQ(one["response"]["body"]["object"], "chat.completion");
  EXPECT_EQ(one["response"]["request_id"], one["response"]["body"]["id"]);
  EXPECT_EQ(answers.find("c")->second["response"]["body"]["choices"].size(), 2u);
}

TEST_F(BatchTest, ALineThatIsWrongIsAnsweredAndTheOthersGoOn) {
  const std::string input =
      "nonsense\n" + ChatLine("good", "hi") + ChatLine("good", "again") + "[1]\n{}\n" +
      R"({"custom_id":"get","method":"GET","url":"/v1/completions","body":{}})"
      "\n"
      R"({"custom_id":"url","method":"POST","url":"/v1/images","body":{}})"
      "\n"
      R"({"custom_id":"no body","method":"POST","url":"/v1/completions"})"
      "\n"
      R"({"custom_id":"bad","method":"POST","url":"/v1/completions","body":{"prompt":"a","top_p":7}})"
      "\n"
      R"({"custom_id":"stream","method":"POST","url":"/v1/completions","body":{"prompt":"a","stream":true}})"
      "\n" +
      ChatLine("crash", "crash");
  const auto done = Run(input);
  ASSERT_TRUE(done.has_value()) << done.error().message;
  EXPECT_EQ(done->answered, 11);
  EXPECT_EQ(done->failed, 10);
  const auto answers = Answers();
  EXPECT_EQ(answers.count(""), 4u);  // two are not objects, one is empty, one has an id that was used before
  const auto error = [&](const char* id) {
    return answers.find(id)->second["error"]["message"].get<std::string>();
  };
  EXPECT_THAT(error("get"), HasSubstr("line 6"));
  EXPECT_THAT(error("url"), HasSubstr("/v1/chat/completions"));
  EXPECT_THAT(error("no body"), HasSubstr("has no body"));
  EXPECT_THAT(error("stream"), HasSubstr("streamed"));
  const ordered_json& bad = answers.find("bad")->second["response"];
  EXPECT_EQ(bad["status_code"], 400);
  EXPECT_EQ(bad["body"]["error"]["param"], "top_p");
  EXPECT_EQ(answers.find("crash")->second["response"]["status_code"], 500);
  EXPECT_EQ(answers.find("good")->second["response"]["status_code"], 200);
}

TEST_F(BatchTest, GoesOnWhereARunWasCutOff) {
  std::string input = "nonsense\n";
  for (int i = 0; i < 10; ++i) input += ChatLine(std::to_string(i), "hello " + std::to_string(i));
  ASSERT_TRUE(Run(input).has_value());
  const std::string whole = Output();
  size_t cut = 0;
  for (int line = 0; line < 6; ++line) cut = whole.find('\n', cut) + 1;
  Write(options_.output, whole.substr(0, cut + 25));  // six lines, and a piece of the seventh
  const auto done = Run(input);
  ASSERT_TRUE(done.has_value()) << done.error().message;
  EXPECT_EQ(done->skipped, 6);
  EXPECT_EQ(done->answered, 5);
  EXPECT_EQ(Output().substr(0, cut), whole.substr(0, cut)) << "what was answered stays as it is";
  EXPECT_EQ(Answers().size(), 11u);
  const auto again = Run(input);
  EXPECT_EQ(again->skipped, 11);
  EXPECT_EQ(again->answered, 0);
}

TEST_F(BatchTest, TouchesNoFileThatIsSomethingElse) {
  Write(options_.output, "my diary\n");
  const auto done = Run(ChatLine("a", "hi"));
  ASSERT_FALSE(done.has_value());
  EXPECT_THAT(done.error().message, HasSubstr("line 1 is no answer of a batch"));
  EXPECT_EQ(Output(), "my diary\n");
}

TEST_F(BatchTest, SaysWhatItCannotReadOrWrite) {
  options_.input = (folder_ / "missing.jsonl").string();
  EXPECT_THAT(RunBatch(fake_.served, options_).error().message, HasSubstr("cannot read"));
  options_.input = folder_.string();
  EXPECT_THAT(RunBatch(fake_.served, options_).error().message, HasSubstr("cannot read"));
  options_.input = (folder_ / "in.jsonl").string();
  options_.output = (folder_ / "no folder" / "out.jsonl").string();
  EXPECT_THAT(Run(ChatLine("a", "hi")).error().message, HasSubstr("cannot write"));
}

}  // namespace
}  // namespace quire

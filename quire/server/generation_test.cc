// Calls through the fake engine, step by step: answers, streams, refusals, and clients that leave.
#include "quire/server/generation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "quire/server/answer.h"
#include "quire/server/api_testing.h"
#include "quire/server/chat.h"
#include "quire/server/completions.h"

namespace quire {
namespace {

using nlohmann::ordered_json;

class GenerationTest : public ::testing::Test {
 protected:
  std::shared_ptr<RecordedExchange> Begin(const std::string& body, bool chat = false) {
    const ordered_json json = ordered_json::parse(body);
    auto call = chat ? ReadChat(json, fake_.served) : ReadCompletion(json, fake_.served);
    EXPECT_TRUE(call);
    auto exchange = std::make_shared<RecordedExchange>();
    StartGeneration(fake_.served, *std::move(call), exchange);
    return exchange;
  }
  std::shared_ptr<RecordedExchange> Run(const std::string& body, bool chat = false) {
    auto exchange = Begin(body, chat);
    while (!exchange->ended) Step(*exchange);
    return exchange;
  }
  void Step(RecordedExchange& exchange) {
    fake_.runtime.engine->Step();
    exchange.RunPosted();
  }
  // The JSON of every event; the last must be the end mark.
  static std::vector<ordered_json> Events(std::string_view text) {
    std::vector<ordered_json> events;
    while (true) {
      const size_t end = text.find("\n\n");
      if (end == text.npos || !text.starts_with("data: ")) break;
      const std::string_view event = text.substr(6, end - 6);
      text.remove_prefix(end + 2);
      if (event == "[DONE]") {
        EXPECT_TRUE(text.empty());
        return events;
      }
      events.push_back(ordered_json::parse(event));
    }
    ADD_FAILURE() << "the stream does not end well: " << text;
    return events;
  }
  FakeServed fake_{{.max_queue = 2, .context = 512}};
};

TEST_F(GenerationTest, AnswerHasTheShapeOfACompletion) {
  const ordered_json body = ordered_json::parse(Run(R"({"prompt": "ab", "max_tokens": 5})")->response.body);
  EXPECT_EQ(body["object"], "text_completion");
  EXPECT_EQ(body["model"], "fake");
  EXPECT_EQ(body["usage"]["prompt_tokens"], 2);
  EXPECT_EQ(body["usage"]["completion_tokens"], 5);
  EXPECT_EQ(body["usage"]["total_tokens"], 7);
  EXPECT_EQ(body["choices"][0]["finish_reason"], "length");
  EXPECT_TRUE(body["choices"][0]["logprobs"].is_null());
}

TEST_F(GenerationTest, BestOfAnswersTheMostLikely) {
  const std::string prompts = R"({"prompt": ["a", "b"], "seed": 4, "max_tokens": 6, "n": 2, "best_of": 3)";
  const ordered_json body = ordered_json::parse(Run(prompts + "}")->response.body);
  ASSERT_EQ(body["choices"].size(), 4u);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(body["choices"][i]["index"], i);
    EXPECT_TRUE(body["choices"][i]["logprobs"].is_null()) << "nobody asked for them";
  }
  EXPECT_EQ(body["usage"]["completion_tokens"], 2 * 3 * 6) << "all that was sampled";

  Answer answer;
  answer.call.n = 2;
  answer.call.samples = 3;
  const float logprobs[] = {-3, -1, -2, -.5F, -.25F, -4};
  for (int i = 0; i < 6; ++i) {
    Choice& choice = answer.choices.emplace_back(i, i / 3);
    choice.text = std::to_string(i);
    choice.output_tokens = i + 1;
    // A longer one is not worse for its length.
    choice.logprobs.assign(i + 1, {{0, logprobs[i], 1}, {}});
  }
  KeepBest(answer);
  std::string texts;
  for (const Choice& choice : answer.choices) texts += choice.text;
  EXPECT_EQ(texts, "1243");
  EXPECT_EQ(answer.choices[3].index, 3);
  EXPECT_EQ(answer.choices[3].prompt, 1);
  EXPECT_EQ(answer.dropped_tokens, 1 + 6);
}

TEST_F(GenerationTest, StreamGivesTheSameText) {
  for (const bool chat : {false, true}) {
    const std::string prompt =
        chat ? R"("messages": [{"role": "user", "content": "x"}])" : R"("prompt": ["a", "b"])";
    const std::string body = "{" + prompt + R"(, "n": 2, "seed": 4, "max_tokens": 30)";
    const ordered_json whole = ordered_json::parse(Run(body + "}", chat)->response.body);
    const auto events =
        Events(Run(body + R"(, "stream": true, "stream_options": {"include_usage": true}})", chat)->text);
    std::vector<std::string> texts(whole["choices"].size());
    for (size_t i = 0; i + 1 < events.size(); ++i) {
      EXPECT_TRUE(events[i].at("usage").is_null());
      for (const auto& choice : events[i]["choices"]) {
        texts[choice["index"].get<int>()] +=
            chat ? choice["delta"].value("content", "") : choice["text"].get<std::string>();
      }
    }
    EXPECT_TRUE(events.back()["choices"].empty());
    EXPECT_EQ(events.back()["usage"], whole["usage"]);
    for (size_t i = 0; i < texts.size(); ++i) {
      const auto& choice = whole["choices"][i];
      const ordered_json said = chat ? choice["message"]["content"] : choice["text"];
      EXPECT_EQ(texts[i], said.get<std::string>());
    }
  }
}

TEST_F(GenerationTest, EchoedLogprobsCoverPromptAndOutput) {
  const std::string body = R"({"prompt": "ab", "max_tokens": 2, "echo": true, "logprobs": 2)";
  const ordered_json whole = ordered_json::parse(Run(body + "}")->response.body)["choices"][0];
  EXPECT_EQ(whole["logprobs"]["tokens"].size(), 4);
  EXPECT_TRUE(whole["logprobs"]["token_logprobs"][0].is_null());
  EXPECT_EQ(whole["logprobs"]["text_offset"], (ordered_json{0, 1, 2, 3}));
  EXPECT_TRUE(whole["text"].get<std::string>().starts_with("ab"));
  std::string text;
  ordered_json tokens = ordered_json::array(), offsets = ordered_json::array();
  for (const auto& event : Events(Run(body + R"(, "stream": true})")->text)) {
    const auto& choice = event["choices"][0];
    text += choice["text"].get<std::string>();
    for (const auto& token : choice["logprobs"]["tokens"]) tokens.push_back(token);
    for (const auto& offset : choice["logprobs"]["text_offset"]) offsets.push_back(offset);
  }
  EXPECT_EQ(text, whole["text"].get<std::string>());
  EXPECT_EQ(tokens, whole["logprobs"]["tokens"]);
  EXPECT_EQ(offsets, whole["logprobs"]["text_offset"]);
}

TEST_F(GenerationTest, PartsOfCharactersAreNamedByTheirBytes) {
  const ordered_json body = ordered_json::parse(
      Run(R"({"messages": [{"role": "user", "content": "x"}], "logprobs": true, "ignore_eos": true, "max_tokens": 60})",
          true)
          ->response.body);
  bool found = false;
  for (const auto& entry : body["choices"][0]["logprobs"]["content"]) {
    if (entry["bytes"][0].get<int>() < 128) continue;
    found = true;
    EXPECT_THAT(entry["token"].get<std::string>(), ::testing::StartsWith("bytes:\\x"));
  }
  EXPECT_TRUE(found);
}

TEST_F(GenerationTest, ErrorsBeforeAndInsideAStream) {
  const auto whole = Run(R"({"prompt": "crash"})");
  EXPECT_EQ(whole->response.status, 500);
  EXPECT_EQ(ordered_json::parse(whole->response.body)["error"]["message"], "the fake model crashed");
  const auto stream = Run(R"({"prompt": "crash", "stream": true})");
  EXPECT_EQ(stream->response.status, 200);
  EXPECT_EQ(Events(stream->text).back()["error"]["message"], "the fake model crashed");
  EXPECT_FALSE(fake_.runtime.engine->Step());
}

TEST_F(GenerationTest, RefusedRequestsTakeTheOthersOfTheirCallAlong) {
  const auto full = Begin(R"({"prompt": ["a", "b", "c"]})");
  EXPECT_EQ(full->response.status, 429);
  EXPECT_FALSE(fake_.runtime.engine->Step());
  const auto too_long = Begin(R"({"prompt": ")" + std::string(600, 'x') + "\"}");
  EXPECT_EQ(too_long->response.status, 400);
  const ordered_json error = ordered_json::parse(too_long->response.body)["error"];
  EXPECT_EQ(error["code"], "context_length_exceeded");
  EXPECT_EQ(error["param"], "prompt");
}

TEST_F(GenerationTest, AClientThatLeavesCancels) {
  const auto exchange =
      Begin(R"({"prompt": ["a", "b"], "max_tokens": 100, "ignore_eos": true, "stream": true})");
  Step(*exchange);
  EXPECT_FALSE(exchange->text.empty());
  exchange->text.clear();
  exchange->closed();
  exchange->RunPosted();
  EXPECT_FALSE(fake_.runtime.engine->Step());
  EXPECT_TRUE(exchange->text.empty());
  EXPECT_EQ(fake_.runtime.engine->metrics().finished_abort.value(), 2);
}

TEST_F(GenerationTest, EventsThatWaitAreWrittenTogether) {
  const auto exchange = Begin(R"({"prompt": "a", "max_tokens": 10, "stream": true})");
  while (fake_.runtime.engine->Step()) {
  }
  EXPECT_TRUE(exchange->text.empty());
  exchange->RunPosted();
  EXPECT_TRUE(exchange->ended);
  EXPECT_EQ(Events(exchange->text).size(), 10);
}

}  // namespace
}  // namespace quire

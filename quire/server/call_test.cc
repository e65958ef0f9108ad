// JSON -> Call, for both endpoints.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "quire/server/api_testing.h"
#include "quire/server/chat.h"
#include "quire/server/completions.h"

namespace quire {
namespace {

using nlohmann::ordered_json;

class CallTest : public ::testing::Test {
 protected:
  ApiResult<Call> Completion(const std::string& body) {
    return ReadCompletion(ordered_json::parse(body), fake_.served);
  }
  ApiResult<Call> Chat(const std::string& fields,
                       const std::string& messages = R"([{"role":"user","content":"hi"}])") {
    return ReadChat(
        ordered_json::parse(R"({"messages":)" + messages + (fields.empty() ? "" : ",") + fields + "}"),
        fake_.served);
  }
  std::string ChatPrompt(const std::string& messages, const std::string& fields = "") {
    const auto call = Chat(fields, messages);
    return call ? fake_.served.tokenizer->Decode(call->requests[0].prompt, false) : call.error().message;
  }
  FakeServed fake_;
};

TEST_F(CallTest, DefaultsAreOpenAis) {
  const auto call = Completion(R"({"prompt": "abc"})");
  ASSERT_TRUE(call);
  ASSERT_EQ(call->requests.size(), 1);
  const SamplingParams& sampling = call->requests[0].sampling;
  EXPECT_EQ(call->requests[0].prompt, (std::vector<Token>{'a', 'b', 'c'}));
  EXPECT_EQ(sampling.max_tokens, 16);
  EXPECT_EQ(sampling.temperature, 1.0);
  EXPECT_EQ(sampling.n, 1);
  EXPECT_FALSE(sampling.seed || sampling.logprobs || call->stream || call->echo);
  EXPECT_EQ(call->model, "fake");
  EXPECT_TRUE(call->id.starts_with("cmpl-"));
  EXPECT_FALSE(Chat("")->requests[0].sampling.max_tokens);
}

TEST_F(CallTest, EverySamplingField) {
  const auto call =
      Completion(R"({"model": "alias", "prompt": "a", "temperature": 0.5, "top_k": 40, "top_p": 0.9,
      "min_p": 0.1, "typical_p": 0.8, "repeat_penalty": 1.1, "presence_penalty": -1, "frequency_penalty": 2,
      "logit_bias": {"65": -100, "66": 1.5}, "seed": -3, "n": 3, "best_of": 3, "stop": ["x", "yy"],
      "stop_token_ids": [7], "include_stop_str_in_output": true, "ignore_eos": true, "min_tokens": 2, "max_tokens": 9,
      "logprobs": 4, "skip_special_tokens": false, "priority": -2, "user": "u", "cache_salt": "s", "stream": true, "echo": true,
      "stream_options": {"include_usage": true, "continuous_usage_stats": true}, "return_token_ids": true})");
  ASSERT_TRUE(call) << call.error().message;
  const Request& request = call->requests[0];
  const SamplingParams& s = request.sampling;
  EXPECT_EQ(s.temperature, 0.5);
  EXPECT_EQ(s.top_k, 40);
  EXPECT_EQ(s.top_p, 0.9);
  EXPECT_EQ(s.min_p, 0.1);
  EXPECT_EQ(s.typical_p, 0.8);
  EXPECT_EQ(s.repetition_penalty, 1.1);
  EXPECT_EQ(s.presence_penalty, -1);
  EXPECT_EQ(s.frequency_penalty, 2);
  EXPECT_EQ(s.logit_bias, (std::map<Token, float>{{65, -100}, {66, 1.5}}));
  EXPECT_EQ(s.seed, static_cast<uint64_t>(-3));
  EXPECT_EQ(s.n, 3);
  EXPECT_EQ(s.stop, (std::vector<std::string>{"x", "yy"}));
  EXPECT_EQ(s.stop_token_ids, std::vector<Token>{7});
  EXPECT_TRUE(s.include_stop_in_output && s.ignore_eos && !s.skip_special_tokens);
  EXPECT_EQ(s.min_tokens, 2);
  EXPECT_EQ(s.max_tokens, 9);
  EXPECT_EQ(s.logprobs, 4);
  EXPECT_EQ(s.prompt_logprobs, 4);  // for echo
  EXPECT_EQ(request.priority, -2);
  EXPECT_EQ(request.tenant, "u");
  EXPECT_EQ(request.cache_salt, "s");
  EXPECT_EQ(call->model, "alias");
  EXPECT_TRUE(call->stream && call->include_usage && call->continuous_usage && call->echo &&
              call->return_token_ids);
  EXPECT_FALSE(call->show_prompt_logprobs);
}

TEST_F(CallTest, FormsOfPrompts) {
  const std::vector<Token> ab = {'a', 'b'};
  for (const char* prompt : {R"("ab")", "[97, 98]", R"(["ab"])", "[[97, 98]]"}) {
    const auto call = Completion(std::string(R"({"prompt": )") + prompt + "}");
    ASSERT_TRUE(call) << prompt;
    EXPECT_EQ(call->requests[0].prompt, ab);
    EXPECT_EQ(call->prompt_texts[0], "ab");
  }
  EXPECT_EQ(Completion(R"({"prompt": ["a", "b", "c"]})")->requests.size(), 3);
  // Special tokens in a raw prompt are meant.
  EXPECT_EQ(Completion(R"({"prompt": "<|end|>"})")->requests[0].prompt, std::vector<Token>{256});
}

TEST_F(CallTest, DefaultLengthFitsTheContext) {
  const std::string prompt(4090, 'x');
  EXPECT_EQ(Completion(R"({"prompt": ")" + prompt + "\"}")->requests[0].sampling.max_tokens, 6);
}

TEST_F(CallTest, NothingLeftOfATopPOfZero) {
  const auto call = Completion(R"({"prompt": "a", "top_p": 0})");
  ASSERT_TRUE(call);
  EXPECT_GT(call->requests[0].sampling.top_p, 0);
  EXPECT_LT(call->requests[0].sampling.top_p, 1e-6);
}

TEST_F(CallTest, TextsThatCannotFitAreNotTokenized) {
  fake_.served.max_prompt_bytes = 10;
  EXPECT_TRUE(Completion(R"({"prompt": ["0123456789", "a"]})"));
  const auto long_prompt = Completion(R"({"prompt": ["a", "0123456789a"]})");
  ASSERT_FALSE(long_prompt);
  EXPECT_EQ(long_prompt.error().param, "prompt");
  EXPECT_EQ(long_prompt.error().code, "context_length_exceeded");
  EXPECT_EQ(Chat("").error().param, "messages");
}

TEST_F(CallTest, UnknownModel) {
  const auto call = Completion(R"({"prompt": "a", "model": "gpt"})");
  ASSERT_FALSE(call);
  EXPECT_EQ(call.error().status, 404);
  EXPECT_EQ(call.error().code, "model_not_found");
}

TEST_F(CallTest, ChatPrompts) {
  EXPECT_EQ(
      ChatPrompt(R"([{"role":"developer","content":"be"},{"role":"user","content":[{"type":"text","text":"a"},
      {"type":"text","text":"b"}]}])"),
      "system: be\nuser: a\nb\nassistant: ");
  EXPECT_EQ(ChatPrompt(R"([{"role":"user","content":"a"}])", R"("add_generation_prompt":false)"),
            "user: a\n");
  EXPECT_EQ(ChatPrompt(R"([{"role":"user","content":"a"},{"role":"assistant","content":"yes, "}])",
                       R"("continue_final_message":true)"),
            "user: a\nassistant: yes, ");
  // What an assistant called earlier arrives as an object; tools are shown unless they are not to be used.
  const std::string tool = R"("tools":[{"type":"function","function":{"name":"f"}}])";
  EXPECT_THAT(ChatPrompt(R"([{"role":"user","content":"a"}])", tool), ::testing::HasSubstr("\"name\":\"f\""));
  EXPECT_EQ(ChatPrompt(R"([{"role":"user","content":"a"}])", tool + R"(,"tool_choice":"none")"),
            "user: a\nassistant: ");
  EXPECT_EQ(ChatPrompt(R"([{"role":"assistant","content":null,"tool_calls":[{"type":"function",
      "function":{"name":"f","arguments":"{\"x\":1}"}}]}])"),
            "assistant: \nassistant: ");
}

TEST_F(CallTest, CacheSaltIsShortAndNotEmpty) {
  EXPECT_EQ(Chat(R"("cache_salt":null)")->requests[0].cache_salt, "");
  EXPECT_EQ(Chat(R"("cache_salt":"ä")")->requests[0].cache_salt, "ä");
  EXPECT_EQ(Chat(R"("cache_salt":"")").error().param, "cache_salt");
  EXPECT_EQ(Chat("\"cache_salt\":\"" + std::string(1025, 's') + "\"").error().param, "cache_salt");
}

TEST_F(CallTest, ChatLogprobs) {
  EXPECT_EQ(Chat(R"("logprobs":true)")->logprobs, 0);
  EXPECT_EQ(Chat(R"("logprobs":true,"top_logprobs":5)")->logprobs, 5);
  EXPECT_FALSE(Chat(R"("logprobs":false,"top_logprobs":0)")->logprobs);
  EXPECT_FALSE(Chat(R"("logprobs":null,"top_logprobs":null)")->logprobs);
  EXPECT_EQ(Chat(R"("top_logprobs":1)").error().param, "top_logprobs");
}

TEST_F(CallTest, WithoutChatTemplate) {
  fake_.served.chat_template = nullptr;
  fake_.served.chat_template_missing = "the model has no chat template; give one with --chat-template";
  const auto call = Chat("");
  ASSERT_FALSE(call);
  EXPECT_EQ(call.error().status, 400);
  EXPECT_THAT(call.error().message, ::testing::HasSubstr("--chat-template"));
}

}  // namespace
}  // namespace quire

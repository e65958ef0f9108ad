// Sessions in the engine: their pauses in tool calls are pinned, and nothing that is pinned changes an answer
// or keeps anybody from running.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "quire/engine/engine.h"
#include "quire/engine/hash_model.h"
#include "quire/engine/request_testing.h"
#include "quire/engine/session_pauses.h"

namespace quire {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

class EngineSessions : public testing::Test {
 protected:
  void Make(int64_t pages, EngineOptions options = {}, HashModelOptions model = {}) {
    engine_.reset();
    model_ = std::make_unique<HashModel>(model);
    model_->on_forward = [this](const StepPlan& plan, const PageArena&) {
      clock_.Advance(milliseconds(plan.tokens()));
    };
    engine_ = Engine::Create(*model_, nullptr, model_->MakeCache(pages), pool_, options, clock_).value();
  }
  std::shared_ptr<CollectingSink> Submit(const Request& request) {
    auto sink = std::make_shared<CollectingSink>();
    const auto result = engine_->Submit(request, sink);
    EXPECT_TRUE(result.has_value()) << result.error().message;
    return sink;
  }
  std::shared_ptr<CollectingSink> Run(const Request& request) {
    auto sink = Submit(request);
    for (int steps = 0; engine_->Step(); ++steps) EXPECT_LT(steps, 10000);
    EXPECT_EQ(sink->at(0).tokens, ExpectedTokens(*model_, request, 0, *request.sampling.max_tokens));
    return sink;
  }
  static Request Calls(Request request, const std::string& session, const std::string& tool = "search") {
    request.session = {.id = session, .next_tool = tool, .tools = {}};
    return request;
  }
  static Request NextTurn(Request request, const CollectingSink& sink, int more = 3) {
    const std::vector<Token>& answer = sink.at(0).tokens;
    request.prompt.insert(request.prompt.end(), answer.begin(), answer.end());
    for (int i = 0; i < more; ++i) request.prompt.push_back(i % 50);
    return request;
  }
  static int64_t Cached(const CollectingSink& sink) { return sink.at(0).last->cached_tokens; }
  Result<int64_t> Pin(const PinAsked& asked) {
    Result<int64_t> answer = -1;
    EXPECT_TRUE(engine_->Pin(asked, [&](const Result<int64_t>& pinned) { answer = pinned; }));
    engine_->Step();
    return answer;
  }
  MemoryReport Memory() {
    MemoryReport report;
    engine_->AskMemory([&](const MemoryReport& answer) { report = answer; });
    engine_->Step();
    return report;
  }

  ThreadPool pool_{1};
  ManualClock clock_;
  std::unique_ptr<HashModel> model_;
  std::unique_ptr<Engine> engine_;
};

TEST_F(EngineSessions, APauseIsPinnedAndTheReturnFindsAll) {
  Make(16, {.retention = "fixed:ttl_s=100"});
  const Request first = Calls(Greedy(100, 13, 1), "s");
  const auto answer = Run(first);
  EXPECT_EQ(engine_->metrics().pins.value(), 1);
  EXPECT_EQ(engine_->metrics().pinned_bytes.value(), 7 * Memory().page_bytes);
  for (int salt = 2; salt < 6; ++salt) Run(Greedy(120, 5, salt));
  const Request second = NextTurn(first, *answer);
  EXPECT_EQ(Cached(*Run(second)), 112);
  Make(16, {.retention = "none"});
  Run(first);
  for (int salt = 2; salt < 6; ++salt) Run(Greedy(120, 5, salt));
  EXPECT_LT(Cached(*Run(second)), 112) << "nothing was pinned";
}

TEST_F(EngineSessions, WithoutAToolCallNothingIsPinned) {
  Make(32, {.retention = "fixed:ttl_s=100"});
  Run(Calls(Greedy(60, 5), "s"));
  EXPECT_EQ(engine_->metrics().pins.value(), 1);
  Run(Calls(Greedy(60, 5), "s", ""));
  EXPECT_EQ(engine_->metrics().pins.value(), 0) << "the session has answered";
  Run(Greedy(60, 5));
  EXPECT_EQ(engine_->metrics().pins.value(), 0);
}

TEST_F(EngineSessions, APinEndsWithItsTime) {
  Make(32, {.retention = "fixed:ttl_s=2"});
  Run(Calls(Greedy(60, 5), "s"));
  clock_.Advance(milliseconds(1900));
  engine_->Step();
  EXPECT_EQ(engine_->metrics().pins.value(), 1);
  clock_.Advance(milliseconds(200));
  engine_->Step();
  EXPECT_EQ(engine_->metrics().pins.value(), 0);
  EXPECT_EQ(engine_->metrics().pins_expired.value(), 1);
  EXPECT_EQ(Memory().pinned_bytes, 0);
}

// Who does not run yet waits for what is held back; who is alone does not.
TEST_F(EngineSessions, ANewcomerWaitsForThePinUnlessNobodyRuns) {
  Make(16, {.retention = "fixed:ttl_s=100"});
  Run(Calls(Greedy(100, 13, 1), "s"));  // 7 pages pinned
  const auto runs = Submit(Greedy(40, 30, 2));
  engine_->Step();
  const auto waits = Submit(Greedy(120, 5, 3));  // 8 pages, and the first one grows to 5
  for (int i = 0; i < 10; ++i) engine_->Step();
  EXPECT_EQ(engine_->metrics().requests_waiting.value(), 1);
  EXPECT_EQ(engine_->metrics().pins_yielded.value(), 0);
  while (!runs->finished()) engine_->Step();
  while (!waits->finished()) ASSERT_TRUE(engine_->Step());
  EXPECT_EQ(engine_->metrics().pins_yielded.value(), 0) << "8 and 7 fit";
  Run(Greedy(150, 40, 4));  // 12 pages
  EXPECT_EQ(engine_->metrics().pins_yielded.value(), 1);
}

TEST_F(EngineSessions, ClientsPinUpToTheirShare) {
  Make(32, {.pin_share = 0.25});
  const Request one = Greedy(100, 2, 1), two = Greedy(100, 2, 2);
  Run(one);
  Run(two);
  EXPECT_EQ(Pin({.name = "1", .owner = "anna", .salt = "", .tokens = one.prompt, .ttl_s = 10}), 96);
  EXPECT_EQ(Pin({.name = "1", .owner = "anna", .salt = "", .tokens = one.prompt, .ttl_s = 20}), 96) << "anew";
  const auto over = Pin({.name = "2", .owner = "anna", .salt = "", .tokens = two.prompt, .ttl_s = 10});
  ASSERT_FALSE(over.has_value());
  EXPECT_EQ(over.error().code, ErrorCode::kResourceExhausted);
  EXPECT_THAT(over.error().message, HasSubstr("8"));
  EXPECT_EQ(Pin({.name = "3", .owner = "ben", .salt = "", .tokens = two.prompt, .ttl_s = 10}), 96);
  EXPECT_EQ(Pin({.name = "4", .owner = "carl", .salt = "x", .tokens = two.prompt, .ttl_s = 10}), 0)
      << "of another salt";
  const MemoryReport memory = Memory();
  EXPECT_EQ(memory.pinned_bytes, 12 * memory.page_bytes);
  EXPECT_EQ(memory.pins.at("anna").pages, 6);
  EXPECT_EQ(memory.pins.at("ben").pins, 1);
  engine_->Unpin("1");
  engine_->Step();
  EXPECT_EQ(Memory().pinned_bytes, 6 * memory.page_bytes);
  engine_->Stop();
  EXPECT_FALSE(engine_->Unpin("3"));
}

TEST_F(EngineSessions, ThePromptsBeginningIsKept) {
  Make(16);
  Request request = Greedy(100, 5, 1);
  request.kept = {{.tokens = 70, .ttl_s = 10}};
  Run(request);
  EXPECT_EQ(Memory().pinned_bytes, 4 * Memory().page_bytes);
  for (int salt = 2; salt < 6; ++salt) Run(Greedy(150, 5, salt));
  request.kept.clear();
  EXPECT_EQ(Cached(*Run(request)), 64);
}

TEST_F(EngineSessions, APrefixHasOnePinWhateverItsTypeIsCalled) {
  Make(64, {}, {.kv_types = {DType::kF32, DType::kF16}});
  const auto pins_after = [&](Request request) {
    request.kept = {{.tokens = 60, .ttl_s = 10}};
    Run(request);
    return engine_->metrics().pins.value();
  };
  Request request = Greedy(60, 2, 1);
  EXPECT_EQ(pins_after(request), 1);
  request.kv_type = "f32";
  EXPECT_EQ(pins_after(request), 1) << "the first, named";
  request.kv_type = "f16";
  EXPECT_EQ(pins_after(request), 2);
  request.cache_salt = "x";
  EXPECT_EQ(pins_after(request), 3);
  request.owner = "anna";
  EXPECT_EQ(pins_after(request), 4);
}

// Where the share is used up the oldest go, and never what was pinned otherwise.
TEST_F(EngineSessions, TheNewestPrefixesOfAnOwnerAreKept) {
  Make(64, {.pin_share = 0.25});
  const Request first = Greedy(80, 2, 1);
  Run(first);
  EXPECT_EQ(Pin({.name = "other", .owner = "anna", .salt = "", .tokens = first.prompt, .ttl_s = 10}), 80);
  for (int i = 2; i < 6; ++i) {
    Request request = Greedy(90, 2, i);
    request.owner = "anna";
    request.kept = {{.tokens = 90, .ttl_s = 10}};
    Run(request);
    EXPECT_EQ(Memory().pins.at("anna").pins, std::min(i, 3)) << "5 and 5 pages, and 5 more, of 16";
  }
  Request large = Greedy(300, 2, 7);
  large.owner = "anna";
  large.kept = {{.tokens = 300, .ttl_s = 10}};
  Run(large);
  EXPECT_EQ(Memory().pins.at("anna").pins, 1) << "more than the share";
}

TEST_F(EngineSessions, WithoutPrefixCachingNothingCanBePinned) {
  Make(16, {.retention = "fixed:ttl_s=10", .prefix_caching = false});
  Run(Calls(Greedy(60, 5), "s"));
  EXPECT_EQ(engine_->metrics().pins.value(), 0);
  EXPECT_EQ(
      Pin({.name = "1", .owner = "", .salt = "", .tokens = Greedy(60, 5).prompt, .ttl_s = 10}).error().code,
      ErrorCode::kUnsupported);
}

// Agents and others at random, with little memory: everybody ends, with the ids of a run without pins.
TEST_F(EngineSessions, NobodyWaitsForEver) {
  std::mt19937 random(3);
  for (const char* retention : {"fixed:ttl_s=80000", "learned", "none"}) {
    for (const char* scheduling : {"program", "fcfs", "mlfq"}) {
      SCOPED_TRACE(fmt::format("{} {}", retention, scheduling));
      Make(24, {.max_step_tokens = 64, .scheduling = scheduling, .retention = retention},
           {.windows = random() % 2 ? std::vector<int64_t>{0} : std::vector<int64_t>{0, 48}});
      struct Agent {
        Request request;
        std::shared_ptr<CollectingSink> sink;
        int turns_left = 4;
      };
      std::vector<Agent> agents;
      for (int i = 0; i < 8; ++i) {
        Request request =
            Calls(Greedy(20 + static_cast<int>(random() % 60), 4 + static_cast<int>(random() % 8), i),
                  fmt::format("agent {}", i));
        request.cache_salt = i % 2 ? "odd" : "";
        agents.push_back({request, Submit(request)});
      }
      for (int step = 0; !agents.empty(); ++step) {
        ASSERT_LT(step, 20000) << "somebody waits for ever";
        engine_->Step();
        clock_.Advance(milliseconds(random() % 100));
        for (size_t i = 0; i < agents.size(); ++i) {
          Agent& agent = agents[i];
          if (!agent.sink->finished() || random() % 8) continue;
          ASSERT_EQ(agent.sink->at(0).tokens,
                    ExpectedTokens(*model_, agent.request, 0, *agent.request.sampling.max_tokens));
          if (--agent.turns_left == 0) {
            agents.erase(agents.begin() + static_cast<int64_t>(i--));
            continue;
          }
          agent.request = NextTurn(agent.request, *agent.sink, 5);
          if (random() % 16 == 0) agent.request.session.next_tool = "";
          agent.sink = Submit(agent.request);
        }
      }
      EXPECT_EQ(engine_->kv_usage().used, 0);
    }
  }
}

TEST_F(EngineSessions, TheScheduleFollowsTheBeginOfTheSession) {
  Make(64, {.max_sequences = 1, .scheduling = "program"});
  const Request first = Calls(Greedy(20, 2, 1), "s");
  const auto answer = Run(first);
  const auto newcomer = Submit(Greedy(20, 40, 2));
  engine_->Step();
  clock_.Advance(milliseconds(1));
  const auto other = Submit(Greedy(20, 2, 3));
  clock_.Advance(milliseconds(1));
  const auto second = Submit(NextTurn(first, *answer));
  while (!second->finished()) ASSERT_TRUE(engine_->Step());
  EXPECT_TRUE(newcomer->finished());
  EXPECT_FALSE(other->finished());
  while (engine_->Step()) {
  }
}

TEST(CalledTool, IsFoundInTheFormsThatModelsWrite) {
  const std::vector<std::string> tools = {"get_weather", "get", "math.sum"};
  EXPECT_EQ(CalledTool(R"(<tool_call>{"name": "get_weather", "arguments": {}}</tool_call>)", tools),
            "get_weather");
  EXPECT_EQ(CalledTool(R"({"name" :"math.sum","parameters":{}})", tools), "math.sum");
  EXPECT_EQ(CalledTool("[get_weather(city='Paris'), get(x=1)]", tools), "get");
  EXPECT_EQ(CalledTool("math.sum(numbers=[1])", tools), "math.sum");
  EXPECT_EQ(CalledTool("The function \"get_weather\" would tell; forget (it).", tools), "");
  EXPECT_EQ(CalledTool("", tools), "");
  EXPECT_EQ(CalledTool("get_weather(", {}), "");
  EXPECT_EQ(CalledTool("x", {""}), "");
}

}  // namespace
}  // namespace quire

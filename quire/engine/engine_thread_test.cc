// The engine on its own thread, with many callers: what a server does to it.
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <ctime>
#include <mutex>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "quire/engine/engine.h"
#include "quire/engine/hash_model.h"

namespace quire {
namespace {

using namespace std::chrono_literals;

// Counts events from the engine thread and lets another thread wait for the end.
class WaitingSink final : public TokenSink {
 public:
  explicit WaitingSink(int samples) : samples_left_(samples) {}
  void OnPromptLogprobs(std::vector<std::optional<PositionLogprobs>>) override {}
  void OnOutput(OutputEvent event) override {
    const std::lock_guard lock(mutex_);
    EXPECT_GT(samples_left_, 0) << "an event after the end";
    tokens_ += std::ssize(event.tokens);
    if (event.finish && --samples_left_ == 0) done_.notify_all();
    if (event.finish) reason_ = *event.finish;
  }
  FinishReason Wait() {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(done_.wait_for(lock, 60s, [&] { return samples_left_ == 0; })) << "no end came";
    return reason_;
  }
  int64_t tokens() {
    const std::lock_guard lock(mutex_);
    return tokens_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable done_;
  int samples_left_;
  int64_t tokens_ = 0;
  FinishReason reason_ = FinishReason::kError;
};

Request MakeRequest(uint64_t seed, int prompt_tokens, int max_tokens, int n = 1) {
  Request request;
  for (int i = 0; i < prompt_tokens; ++i) request.prompt.push_back(static_cast<Token>((seed + i * 11) % 61));
  request.sampling.seed = seed;
  request.sampling.max_tokens = max_tokens;
  request.sampling.n = n;
  return request;
}

class EngineThreads : public testing::Test {
 protected:
  void Make(int64_t pages, EngineOptions options = {}) {
    engine_ = Engine::Create(model_, nullptr, model_.MakeCache(pages), pool_, options).value();
    engine_->Start();
  }
  HashModel model_;
  ThreadPool pool_{2};
  std::unique_ptr<Engine> engine_;
};

TEST_F(EngineThreads, ManyThreadsSubmitAndCancel) {
  Make(24, {.max_step_tokens = 32, .max_sequences = 8, .max_queue = 10000});
  std::atomic<int> lengths = 0, cancels = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937 random(t);
      for (int i = 0; i < 25; ++i) {
        const int n = 1 + static_cast<int>(random() % 2), max_tokens = 1 + static_cast<int>(random() % 30);
        auto sink = std::make_shared<WaitingSink>(n);
        const bool cancel = random() % 3 == 0;
        const RequestId id =
            engine_->Submit(MakeRequest(t * 100 + i, 1 + random() % 60, max_tokens, n), sink).value();
        if (cancel) engine_->Cancel(id);
        const FinishReason reason = sink->Wait();
        if (reason == FinishReason::kLength) {
          EXPECT_LE(sink->tokens(), max_tokens * n);
          ++lengths;
        } else {
          EXPECT_EQ(reason, FinishReason::kCancelled);
          EXPECT_TRUE(cancel);
          ++cancels;
        }
        EXPECT_GE(engine_->kv_usage().free, 0);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  engine_->Drain();
  EXPECT_EQ(lengths + cancels, 100);
  EXPECT_EQ(engine_->kv_usage().used, 0);
}

TEST_F(EngineThreads, DrainWaitsForTheEndAndRefusesMeanwhile) {
  Make(24);
  auto sink = std::make_shared<WaitingSink>(2);
  ASSERT_TRUE(engine_->Submit(MakeRequest(1, 20, 60, 2), sink).has_value());
  std::thread drain([&] { engine_->Drain(); });
  for (bool draining = false; !draining; std::this_thread::sleep_for(1ms)) {
    const auto late = engine_->Submit(MakeRequest(2, 4, 2), std::make_shared<WaitingSink>(1));
    draining = !late.has_value() && late.error().code == ErrorCode::kUnavailable;
  }
  drain.join();
  EXPECT_EQ(sink->Wait(), FinishReason::kLength);
}

TEST_F(EngineThreads, StopBreaksADrain) {
  Make(200);
  auto sink = std::make_shared<WaitingSink>(1);
  ASSERT_TRUE(engine_->Submit(MakeRequest(1, 20, 2000), sink).has_value());
  std::thread drain([&] { engine_->Drain(); });
  std::thread stop([&] { engine_->Stop(); });
  engine_->Stop();
  drain.join();
  stop.join();
  sink->Wait();
}

TEST_F(EngineThreads, DestructionEndsEverySinkAndLetsItGo) {
  Make(24);
  std::vector<std::weak_ptr<WaitingSink>> sinks;
  for (int i = 0; i < 20; ++i) {
    auto sink = std::make_shared<WaitingSink>(1);
    sinks.push_back(sink);
    ASSERT_TRUE(engine_->Submit(MakeRequest(i, 30, 200), sink).has_value());
  }
  engine_.reset();
  for (const auto& sink : sinks) EXPECT_TRUE(sink.expired());
}

// A sink may turn to the engine from inside an event.
TEST_F(EngineThreads, SinksMaySubmitAndCancel) {
  struct Chain final : TokenSink {
    Engine* engine;
    std::shared_ptr<WaitingSink> next;
    std::atomic<RequestId> id = 0;
    bool sent = false;
    void OnPromptLogprobs(std::vector<std::optional<PositionLogprobs>>) override {}
    void OnOutput(OutputEvent event) override {
      if (!std::exchange(sent, true)) {
        EXPECT_TRUE(engine->Submit(MakeRequest(3, 5, 5), next).has_value());
      }
      engine->Cancel(id);
    }
  };
  Make(24);
  auto chain = std::make_shared<Chain>();
  chain->engine = engine_.get();
  chain->next = std::make_shared<WaitingSink>(1);
  chain->id = engine_->Submit(MakeRequest(4, 5, 300), chain).value();
  EXPECT_EQ(chain->next->Wait(), FinishReason::kLength);
  engine_->Drain();
}

TEST_F(EngineThreads, IdleCostsNothing) {
  Make(24);
  auto sink = std::make_shared<WaitingSink>(1);
  ASSERT_TRUE(engine_->Submit(MakeRequest(1, 4, 4), sink).has_value());
  sink->Wait();
  std::this_thread::sleep_for(50ms);  // the compute threads fall asleep
  const std::clock_t before = std::clock();
  std::this_thread::sleep_for(300ms);
  EXPECT_LT(static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC, 0.03);
}

}  // namespace
}  // namespace quire

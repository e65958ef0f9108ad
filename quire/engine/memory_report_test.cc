#include "quire/engine/memory_report.h"

#include <gtest/gtest.h>

#include "quire/engine/engine.h"
#include "quire/engine/hash_model.h"
#include "quire/engine/request_testing.h"

namespace quire {
namespace {

class MemoryReportTest : public testing::Test {
 protected:
  MemoryReportTest() {
    engine_ =
        Engine::Create(model_, nullptr, model_.MakeCache(64), pool_, {.max_sequences = 3}, clock_).value();
  }
  void Submit(Request request, const char* id, const char* tenant = "") {
    request.id = id;
    request.tenant = tenant;
    ASSERT_TRUE(engine_->Submit(std::move(request), std::make_shared<CollectingSink>()));
  }
  MemoryReport Report() {
    MemoryReport report;
    EXPECT_TRUE(engine_->AskMemory([&](const MemoryReport& given) { report = given; }));
    engine_->Step();
    return report;
  }

  ThreadPool pool_{1};
  ManualClock clock_;
  HashModel model_;
  std::unique_ptr<Engine> engine_;
};

TEST_F(MemoryReportTest, OfNobody) {
  const MemoryReport report = Report();
  EXPECT_EQ(report.kv.total, 64 * report.page_bytes);
  EXPECT_EQ(report.kv.free, report.kv.total);
  EXPECT_GT(report.resident_bytes, 1 << 20);
  EXPECT_TRUE(report.requests.empty());
}

// `a` runs as two samples, `b` shares two pages with them, `c` waits for a place.
TEST_F(MemoryReportTest, TellsWhoseBytesTheyAre) {
  Request two = Greedy(40, 20);
  two.sampling.n = 2;
  Submit(two, "a", "alice");
  engine_->Step();
  Submit(Greedy(32, 20), "b", "bob");
  clock_.Advance(std::chrono::seconds(2));
  engine_->Step();
  Submit(Greedy(5, 2, 3), "c");
  const MemoryReport report = Report();
  const int64_t page = report.page_bytes;
  ASSERT_EQ(report.requests.size(), 3u);
  const RequestMemory &a = report.requests[0], &b = report.requests[1], &c = report.requests[2];
  EXPECT_EQ(a.id, "a");
  EXPECT_EQ(a.tenant, "alice");
  EXPECT_EQ(a.sequences, 2);
  EXPECT_EQ(a.prompt_tokens, 40);
  EXPECT_EQ(a.output_tokens, 2 * 2);
  EXPECT_EQ(a.age_s, 2);
  EXPECT_TRUE(a.running);
  EXPECT_EQ(b.id, "b");
  EXPECT_EQ(b.cached_tokens, 31);
  EXPECT_EQ(c.id, "c");
  EXPECT_FALSE(c.running);
  EXPECT_EQ(c.own_bytes + c.shared_bytes, 0);
  EXPECT_GT(b.shared_bytes, 0);
  EXPECT_EQ(a.shared_bytes, b.shared_bytes);
  EXPECT_EQ(report.shared_bytes, b.shared_bytes);
  EXPECT_EQ(a.own_bytes + b.own_bytes + report.shared_bytes, report.kv.used);
  EXPECT_GE(a.own_bytes, 2 * page) << "the samples have tails of their own";
  EXPECT_GT(report.index.nodes, 0);
  EXPECT_GT(report.index.bytes, 0);
}

TEST_F(MemoryReportTest, IsNotAnsweredOnceTheEngineStops) {
  engine_->Stop();
  EXPECT_FALSE(engine_->AskMemory([](const MemoryReport&) { FAIL(); }));
  engine_->Step();
}

}  // namespace
}  // namespace quire

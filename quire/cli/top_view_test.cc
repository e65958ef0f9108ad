#include "quire/cli/top_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quire {
namespace {

using testing::HasSubstr;

constexpr std::string_view kMemory = R"({
  "resident_bytes": 104857600, "weight_bytes": 1048576, "activation_bytes": 2097152,
  "prefix_index": {"nodes": 7, "bytes": 2048},
  "kv": {"page_tokens": 16, "page_bytes": 1024, "limit_bytes": 16384, "total_bytes": 32768, "committed_bytes": 24576,
         "free_bytes": 16384, "cached_bytes": 8192,
         "used_bytes": 8192, "shared_bytes": 1024, "waste_bytes": 512},
  "pinned_bytes": 3072,
  "pins": [{"owner": "", "pins": 1, "bytes": 1024}, {"owner": "b\u001b[1mn", "pins": 2, "bytes": 2048}],
  "tenants": [],
  "requests": [
    {"id": "cmpl-1234567890123456789", "tenant": "a\u001b[2Jnna", "state": "running", "sequences": 1,
     "age_seconds": 3.4, "prompt_tokens": 12, "cached_tokens": 8, "output_tokens": 5, "own_bytes": 7168,
     "shared_bytes": 1024},
    {"id": "b", "tenant": "", "state": "waiting", "sequences": 1, "age_seconds": 0.2, "prompt_tokens": 9,
     "cached_tokens": 0, "output_tokens": 0, "own_bytes": 0, "shared_bytes": 0}]})";

TEST(TopView, ShowsStatesAndOwners) {
  const auto text = RenderTop(kMemory, TopRates{100.25, 20}, {.columns = 100, .lines = 50});
  ASSERT_TRUE(text);
  EXPECT_THAT(*text, HasSubstr("1 running, 1 waiting; 20.0 tokens/s out, 100.2 prompt tokens/s\n"));
  EXPECT_THAT(
      *text,
      HasSubstr(
          "[########========................] of 32.0 KiB, 24.0 KiB committed, shrinking to 16.0 KiB\n"));
  EXPECT_THAT(
      *text,
      HasSubstr("# used 8.00 KiB (shared 1.00 KiB, waste 512 B)  = cached 8.00 KiB  . free 16.0 KiB\n"));
  EXPECT_THAT(*text, HasSubstr("pinned    3.00 KiB of it: nobody's 1.00 KiB, b?[1mn 2.00 KiB\n"));
  EXPECT_THAT(*text, HasSubstr("cmpl-12345.."));
  EXPECT_THAT(*text, HasSubstr("a?[2Jnna"));
  EXPECT_THAT(*text, Not(HasSubstr("\x1b")));
  EXPECT_THAT(RenderTop(kMemory, std::nullopt, {}).value(), HasSubstr("1 running, 1 waiting\n"));
}

TEST(TopView, FitsTheTerminal) {
  const std::string text = RenderTop(kMemory, std::nullopt, {.columns = 20, .lines = 3}).value();
  EXPECT_EQ(std::ranges::count(text, '\n'), 3);
  EXPECT_EQ(text.find('\n'), 20u);
}

TEST(TopView, RefusesWhatIsNoMemory) {
  for (const char* wrong :
       {"", "{}", "[1]", R"({"requests": 3})", R"({"kv": {}, "requests": [{"state": 1}]})"}) {
    EXPECT_EQ(RenderTop(wrong, std::nullopt, {}).error().code, ErrorCode::kCorrupt) << wrong;
  }
}

TEST(TopView, ReadsMetrics) {
  const ServerWork work = ReadWork(
      "# TYPE quire:prompt_tokens counter\n"
      "quire:prompt_tokens_total_other 5\n"
      "quire:prompt_tokens_total{model_name=\"x y\"} 1200\n"
      "quire:generation_tokens_total 34.5\n");
  EXPECT_EQ(work.prompt_tokens, 1200);
  EXPECT_EQ(work.output_tokens, 34.5);
  EXPECT_EQ(ReadWork("").output_tokens, 0);
}

}  // namespace
}  // namespace quire

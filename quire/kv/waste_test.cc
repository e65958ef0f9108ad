// How much KV memory pages of 16 tokens leave unused on real conversation lengths.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "quire/kv/page_cache.h"

namespace quire {
namespace {

using Lengths = std::vector<std::pair<int64_t, int64_t>>;  // prompt and output tokens

// The last two columns of a CSV file; lines that are not numbers are skipped.
Lengths ReadLengths(const std::string& path) {
  Lengths lengths;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const size_t last = line.rfind(',');
    if (last == std::string::npos || line[0] == '#') continue;
    const size_t previous = line.rfind(',', last - 1);
    const size_t start = previous == std::string::npos ? 0 : previous + 1;
    const int64_t prompt = std::atoll(line.c_str() + start), output = std::atoll(line.c_str() + last + 1);
    if (prompt > 0 && output > 0) lengths.emplace_back(prompt, output);
  }
  return lengths;
}

// 64 sequences at a time decode side by side; returns unused over allocated bytes, averaged over the steps.
double WasteOf(const Lengths& lengths) {
  KvLayout layout({LayerKv{}}, 1, 16, 16);
  const size_t page_bytes = layout.page_bytes();
  PageCache cache(std::move(layout), PagePool::Create(64 * 1024 * page_bytes, page_bytes).value());
  struct Running {
    PageTable pages;
    int64_t left = 0;
  };
  std::vector<Running> running;
  size_t next = 0;
  double used = 0, unused = 0;
  while (next < lengths.size() || !running.empty()) {
    while (running.size() < 64 && next < lengths.size()) {
      Running sequence{.pages = {}, .left = lengths[next].second};
      EXPECT_EQ(cache.Reserve(sequence.pages, lengths[next].first), Verdict::kGranted);
      running.push_back(std::move(sequence));
      ++next;
    }
    for (Running& sequence : running) {
      EXPECT_EQ(cache.Reserve(sequence.pages, 1), Verdict::kGranted);
      if (--sequence.left == 0) cache.Release(sequence.pages);
    }
    std::erase_if(running, [](const Running& s) { return s.left == 0; });
    used += static_cast<double>(cache.Usage().used);
    unused += static_cast<double>(cache.Usage().used - cache.Usage().filled);
  }
  EXPECT_EQ(cache.pool().used_pages(), 0);
  return unused / used;
}

TEST(Waste, IsAtMostFourPercentOnASampleOfRealConversations) {
  const Lengths lengths =
      ReadLengths(std::string(QUIRE_SOURCE_DIR) + "/tests/traces/azure_conversation_lengths.csv");
  ASSERT_EQ(lengths.size(), 200u);
  const double waste = WasteOf(lengths);
  RecordProperty("waste_percent", std::to_string(100 * waste));
  EXPECT_LE(waste, 0.04);
}

TEST(Waste, IsAtMostFourPercentOnTheWholeTrace) {
  const std::string path =
      std::string(QUIRE_SOURCE_DIR) + "/../shared/workloads/AzureLLMInferenceTrace_conv_2023.csv";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "the whole trace is not here: " << path;
  Lengths lengths = ReadLengths(path);
  ASSERT_GT(lengths.size(), 19000u);
  const double waste = WasteOf(lengths);
  std::printf("unused KV bytes on %zu conversations: %.2f %%\n", lengths.size(), 100 * waste);
  EXPECT_LE(waste, 0.04);
}

}  // namespace
}  // namespace quire

// What the page cache costs on the engine's thread with a million pages, all cached, and a thousand
// sequences: per step in which everybody decodes, per admission, and per end of a sequence.
//
//   prefix_bench
#include <fmt/format.h>

#include <chrono>
#include <random>
#include <vector>

#include "quire/kv/page_cache.h"

namespace quire {
namespace {

constexpr int64_t kPages = 1'000'000, kSequences = 1000, kPromptTokens = 8192, kPageTokens = 16, kSteps = 256;

using Tokens = std::vector<Token>;

Tokens RandomText(std::mt19937& random, int64_t length) {
  Tokens text(length);
  for (Token& token : text) token = static_cast<Token>(random() % 50'000);
  return text;
}

template <typename Function>
double Microseconds(Function&& function) {
  const auto start = std::chrono::steady_clock::now();
  function();
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
}

void Run() {
  KvLayout layout({LayerKv{}}, 1, 16, kPageTokens);
  const size_t page_bytes = layout.page_bytes();
  PageCache cache(std::move(layout), PagePool::Create(kPages * page_bytes, page_bytes).value());
  std::mt19937 random(1);
  const Tokens system = RandomText(random, 4096);

  std::vector<Tokens> texts;
  const double fill = Microseconds([&] {
    while (cache.pool().free_pages() > kPromptTokens / kPageTokens) {
      Tokens text = RandomText(random, kPromptTokens);
      if (texts.size() % 2 == 0) std::ranges::copy(system, text.begin());
      PageTable table;
      cache.Reserve(table, kPromptTokens);
      cache.Release(table, "", text);
      texts.push_back(std::move(text));
    }
  });
  fmt::print("cached {} pages, {:.2f} us a page\n", cache.index().idle_pages(), fill / kPages);

  std::vector<PageTable> tables(kSequences);
  const double match = Microseconds([&] {
    for (int64_t i = 0; i < kSequences; ++i) cache.Match(tables[i], "", texts[i]);
  });
  fmt::print("Match of {} tokens: {:.0f} us\n", kPromptTokens, match / kSequences);

  double slowest = 0, total = 0;
  for (int64_t step = 0; step < kSteps; ++step) {
    const double took = Microseconds([&] {
      for (int64_t i = 0; i < kSequences; ++i) {
        // They cross pages in different steps.
        if (step == 0) cache.Reserve(tables[i], i % kPageTokens);
        cache.TrimWindows(tables[i], tables[i].tokens);
        cache.Reserve(tables[i], 1);
        texts[i].resize(tables[i].tokens, static_cast<Token>(i));
        cache.Publish(tables[i], "", texts[i]);
      }
    });
    if (step > 0) total += took, slowest = std::max(slowest, took);
  }
  fmt::print("a step of {} sequences that decode: {:.0f} us, the slowest {:.0f} us\n", kSequences,
             total / (kSteps - 1), slowest);

  const double release = Microseconds([&] {
    for (int64_t i = 0; i < kSequences; ++i) cache.Release(tables[i], "", texts[i]);
  });
  fmt::print("Release of {} tokens: {:.0f} us\n", kPromptTokens + kSteps, release / kSequences);
}

}  // namespace
}  // namespace quire

int main() { quire::Run(); }

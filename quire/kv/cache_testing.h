// The page cache that tests of kv/ work on.
#ifndef QUIRE_KV_CACHE_TESTING_H_
#define QUIRE_KV_CACHE_TESTING_H_

#include <utility>
#include <vector>

#include "quire/kv/equal_pages.h"
#include "quire/kv/page_cache.h"

namespace quire {

inline constexpr int kPageTokens = 16;

// `pages` pages of a layout of one KV head of 16 dimensions; `windows` has one entry per layer.
inline PageCache MakeCache(const std::vector<int64_t>& windows, int64_t pages) {
  std::vector<LayerKv> layers;
  for (const int64_t window : windows) layers.push_back({.window = window});
  KvLayout layout(layers, 1, 16, kPageTokens);
  const size_t page_bytes = layout.page_bytes();
  return PageCache(std::move(layout), PagePool::Create(pages * page_bytes, page_bytes).value());
}

// The same with layouts of f32 and f16 side by side: pages of 16 tokens and of 32.
inline PageCache MakeMixedCache(const std::vector<int64_t>& windows, int64_t pages) {
  std::vector<std::vector<LayerKv>> choices;
  for (const DType type : {DType::kF32, DType::kF16}) {
    std::vector<LayerKv>& layers = choices.emplace_back();
    for (const int64_t window : windows) layers.push_back({.window = window, .type = type});
  }
  std::vector<KvLayout> layouts = LayoutsOverEqualPages(choices, 1, 16, kPageTokens);
  const size_t page_bytes = layouts.front().page_bytes();
  return PageCache(std::move(layouts), PagePool::Create(pages * page_bytes, page_bytes).value());
}

// Texts of different salts differ from their first token on.
inline std::vector<Token> Text(int64_t length, int salt = 0) {
  std::vector<Token> text;
  for (int64_t i = 0; i < length; ++i) text.push_back(static_cast<Token>((i * 31 + salt * 7) % 97));
  return text;
}

}  // namespace quire

#endif  // QUIRE_KV_CACHE_TESTING_H_

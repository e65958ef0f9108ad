#include "quire/kv/random_page.h"

#include <random>

#include "quire/kernels/kernels.h"
#include "quire/kernels/page_summary.h"

namespace quire {

std::vector<std::byte> RandomPage(const KvLayout& layout, size_t group, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> values;
  std::vector<std::byte> page(layout.page_bytes());
  std::vector<float> k(layout.head_dim()), v(k.size());
  for (const HeadTiles& head : layout.Heads(group)) {
    for (int slot = 0; slot < layout.page_tokens(); ++slot) {
      for (float& x : k) x = values(random);
      for (float& x : v) x = values(random);
      BestKernels().store_kv(head.type, layout.page_tokens(), layout.head_dim(), slot, k.data(), v.data(),
                             &page[head.k.offset], &page[head.v.offset]);
    }
  }
  std::vector<float> scratch(SummaryScratchFloats(layout.page_tokens(), layout.head_dim()));
  for (const int layer : layout.groups()[group].layers) {
    for (int head = 0; layout.has_summaries(layer) && head < layout.kv_heads(); ++head) {
      const FullPageTiles tiles{layout.type(layer), layout.page_tokens(), layout.head_dim(),
                                &page[layout.KTile(layer, head).offset],
                                &page[layout.VTile(layer, head).offset]};
      SummarizeKeys(BestKernels(), layout.summaries(layer), tiles, scratch.data(),
                    &page[layout.Summary(layer, head).offset]);
    }
  }
  return page;
}

}  // namespace quire

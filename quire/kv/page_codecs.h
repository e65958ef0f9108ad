// How the pages of layouts are kept in fewer bytes: a codec for each layer group of each, which is the form
// of its pages.
#ifndef QUIRE_KV_PAGE_CODECS_H_
#define QUIRE_KV_PAGE_CODECS_H_

#include <memory>
#include <span>
#include <vector>

#include "quire/kv/kv_layout.h"
#include "quire/tiers/page_codec.h"

namespace quire {

inline void AddPageCodecs(const KvLayout& layout, const PageCodecRow& row,
                          std::vector<std::unique_ptr<PageCodec>>& codecs) {
  for (size_t g = 0; g < layout.groups().size(); ++g) {
    std::vector<PageShape> parts;
    for (const HeadTiles& head : layout.Heads(g)) {
      if (parts.empty() || parts.back().type != head.type) {
        parts.push_back({.type = head.type,
                         .page_tokens = layout.page_tokens(),
                         .head_dim = layout.head_dim(),
                         .heads = 0});
      }
      ++parts.back().heads;
    }
    codecs.push_back(MakePageCodec(row, parts, layout.page_bytes()));
  }
}

inline std::vector<std::unique_ptr<PageCodec>> PageCodecsOf(std::span<const KvLayout> layouts,
                                                            const PageCodecRow& row) {
  std::vector<std::unique_ptr<PageCodec>> codecs;
  for (const KvLayout& layout : layouts) AddPageCodecs(layout, row, codecs);
  return codecs;
}

}  // namespace quire

#endif  // QUIRE_KV_PAGE_CODECS_H_

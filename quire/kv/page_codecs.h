// How the pages of a layout are kept in fewer bytes: for each layer group, which is the form of its pages.
#ifndef QUIRE_KV_PAGE_CODECS_H_
#define QUIRE_KV_PAGE_CODECS_H_

#include <memory>
#include <vector>

#include "quire/kv/kv_layout.h"
#include "quire/tiers/page_codec.h"

namespace quire {

inline std::vector<std::unique_ptr<PageCodec>> PageCodecsOf(const KvLayout& layout, const PageCodecRow& row) {
  std::vector<std::unique_ptr<PageCodec>> codecs;
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
  return codecs;
}

}  // namespace quire

#endif  // QUIRE_KV_PAGE_CODECS_H_

#include "quire/sim/quality/saliency.h"

#include <algorithm>

namespace quire {

const SaliencyBar& SaliencyMap::largest() const {
  return *std::ranges::max_element(bars, {}, &SaliencyBar::nll_rise);
}

std::vector<PageRange> PageGroups(int64_t pages, int64_t group_pages, int64_t stride) {
  std::vector<PageRange> groups;
  for (int64_t begin = 1; begin < pages; begin += stride) {
    groups.push_back({begin, std::min(begin + group_pages, pages)});
    if (groups.back().end == pages) break;
  }
  return groups;
}

SaliencyMap MakeSaliencyMap(KvSession& session, const QualityQuestion& question,
                            std::span<const PageRange> groups) {
  SaliencyMap map;
  const PageRange nothing{};
  map.nll = session.AskWithout(question, {&nothing, 1}).front();
  const std::vector<double> nlls = session.AskWithout(question, groups);
  for (size_t i = 0; i < groups.size(); ++i) map.bars.push_back({groups[i], nlls[i] - map.nll});
  return map;
}

bool Overlaps(const PageRange& pages, int64_t page_tokens, std::span<const Passage> passages) {
  return std::ranges::any_of(passages, [&](const Passage& passage) {
    return passage.begin < pages.end * page_tokens && pages.begin * page_tokens < passage.end;
  });
}

}  // namespace quire

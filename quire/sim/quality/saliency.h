// Which pages an answer leans on: how much less likely it gets without each of them. A view for whoever wants
// to know why a model said something, or what a policy must not evict.
//
// The question is computed anew without the keys and values of a few pages; all that was read before saw
// them. Where the answer stands twice, either place may be missing at no loss: so pages are taken in groups
// large enough to hold a sentence, and groups may overlap.
#ifndef QUIRE_SIM_QUALITY_SALIENCY_H_
#define QUIRE_SIM_QUALITY_SALIENCY_H_

#include <cstdint>
#include <span>
#include <vector>

#include "quire/sim/quality/kv_session.h"
#include "quire/sim/quality/kv_variant.h"
#include "quire/sim/quality/quality_task.h"

namespace quire {

struct SaliencyBar {
  PageRange pages;
  double nll_rise = 0;  // of the right answer, without them
};

struct SaliencyMap {
  double nll = 0;  // of the right answer, with all pages
  std::vector<SaliencyBar> bars;

  // REQUIRES: there are bars.
  const SaliencyBar& largest() const;
};

// Groups of `group_pages` pages, one every `stride` pages, over all of `pages` but the first: attention leans
// on that one whatever the text says.
std::vector<PageRange> PageGroups(int64_t pages, int64_t group_pages, int64_t stride);

// REQUIRES: the session has read the question's context.
SaliencyMap MakeSaliencyMap(KvSession& session, const QualityQuestion& question,
                            std::span<const PageRange> groups);

// Whether some of `passages` lie in the range.
bool Overlaps(const PageRange& pages, int64_t page_tokens, std::span<const Passage> passages);

}  // namespace quire

#endif  // QUIRE_SIM_QUALITY_SALIENCY_H_

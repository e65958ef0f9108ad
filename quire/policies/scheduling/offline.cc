// What:   for work that nobody waits for: requests that begin alike run one after the other, those that save
//         the most computing first, and among equals those that generate the most for what they must compute.
// Source: global prefix identification and the order of BatchLLM (Zheng et al., 2024, sections 4.1 and 4.2).
// Facts:  id, prompt, max_output_tokens. Cost: a sort of the prompts once for each cohort.
// Good:   files of requests, whose shared beginnings need not fit the cache all at once.
// Loses:  for whoever watches: who comes late waits for all who were there before.
#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>
#include <unordered_map>
#include <utility>

#include "quire/policies/scheduling/ordering.h"

namespace quire {
namespace {

// Beginnings that differ by less than this share as much as if they were equal.
constexpr int64_t kAlike = 16;

int64_t Agreement(const SequenceFacts& a, const SequenceFacts& b) {
  return std::ranges::mismatch(a.prompt, b.prompt).in1 - a.prompt.begin();
}

// Some order in which what begins alike stands together.
bool ComesBefore(const SequenceFacts* a, const SequenceFacts* b) {
  const size_t common = std::min(a->prompt.size(), b->prompt.size());
  const int order = std::memcmp(a->prompt.data(), b->prompt.data(), common * sizeof(Token));
  return std::pair(order, std::pair(a->prompt.size(), a->id)) <
         std::pair(0, std::pair(b->prompt.size(), b->id));
}

// Puts a cohort into order: walks the tree of its beginnings, the heaviest branch first.
class Cohort {
 public:
  explicit Cohort(std::vector<const SequenceFacts*> members) : members_(std::move(members)) {
    std::ranges::sort(members_, ComesBefore);
    for (size_t i = 0; i + 1 < members_.size(); ++i) {
      shared_.push_back(Agreement(*members_[i], *members_[i + 1]));
    }
  }

  std::vector<const SequenceFacts*> InOrder() {
    if (!members_.empty()) Visit(0, members_.size(), 0);
    return std::move(order_);
  }

 private:
  struct Branch {
    size_t begin = 0, end = 0;
    int64_t shares = 0;  // tokens at the beginning of all its members
    double saved = 0;    // tokens that need not be computed when they run together
    double outputs = 0;  // generated tokens for each that is to be computed
    uint64_t first_id = 0;
  };

  Branch MakeBranch(size_t begin, size_t end, int64_t above) const {
    Branch branch{.begin = begin, .end = end};
    const SequenceFacts& first = *members_[begin];
    branch.shares = std::ssize(first.prompt);
    if (end - begin > 1) branch.shares = *std::min_element(&shared_[begin], &shared_[end - 1]);
    branch.saved = static_cast<double>((branch.shares - above) * static_cast<int64_t>(end - begin - 1));
    double outputs = 0, inputs = static_cast<double>(branch.shares - above);
    branch.first_id = first.id;
    for (size_t i = begin; i < end; ++i) {
      outputs += static_cast<double>(members_[i]->max_output_tokens);
      inputs += static_cast<double>(std::ssize(members_[i]->prompt) - branch.shares);
      branch.first_id = std::min(branch.first_id, members_[i]->id);
    }
    branch.outputs = outputs / std::max(1.0, inputs);
    return branch;
  }

  // Members [begin, end) share `above` tokens; where neighbours share hardly more, the branches part.
  void Visit(size_t begin, size_t end, int64_t above) {
    std::vector<Branch> branches;
    for (size_t at = begin; at < end;) {
      size_t next = at + 1;
      while (next < end && shared_[next - 1] >= above + kAlike) ++next;
      branches.push_back(MakeBranch(at, next, above));
      at = next;
    }
    std::ranges::sort(branches, [](const Branch& a, const Branch& b) {
      return std::pair(a.saved, a.outputs) != std::pair(b.saved, b.outputs)
                 ? std::pair(a.saved, a.outputs) > std::pair(b.saved, b.outputs)
                 : a.first_id < b.first_id;
    });
    for (const Branch& branch : branches) {
      if (branch.end - branch.begin == 1) {
        order_.push_back(members_[branch.begin]);
      } else {
        Visit(branch.begin, branch.end, branch.shares);
      }
    }
  }

  std::vector<const SequenceFacts*> members_;
  std::vector<int64_t> shared_;  // with the next member, tokens
  std::vector<const SequenceFacts*> order_;
};

// Who comes while a cohort is admitted belongs to the next one, so nobody starves.
class Offline final : public SchedulingPolicy {
 public:
  StepOrder Order(std::span<const SequenceFacts> waiting, std::span<const SequenceFacts> running,
                  const StepBudget&) override {
    const auto is_ranked = [&](const SequenceFacts& f) { return ranks_.contains(f.id); };
    if (!waiting.empty() && std::ranges::none_of(waiting, is_ranked)) Rank(waiting, running);
    const auto key = [&](const SequenceFacts& f) {
      const auto rank = ranks_.find(f.id);
      return std::pair(rank == ranks_.end() ? std::numeric_limits<uint64_t>::max() : rank->second, f.id);
    };
    return {.waiting = SortedBy(waiting, key), .running = SortedBy(running, key), .give_way = {}};
  }

  void Finished(const SequenceFacts& sequence) override { ranks_.erase(sequence.id); }

 private:
  void Rank(std::span<const SequenceFacts> waiting, std::span<const SequenceFacts> running) {
    std::vector<const SequenceFacts*> members;
    for (const SequenceFacts& f : running) {
      if (!ranks_.contains(f.id)) ranks_.emplace(f.id, next_rank_++);
    }
    for (const SequenceFacts& f : waiting) members.push_back(&f);
    for (const SequenceFacts* f : Cohort(std::move(members)).InOrder()) ranks_.emplace(f->id, next_rank_++);
  }

  std::unordered_map<uint64_t, uint64_t> ranks_;  // by sequence
  uint64_t next_rank_ = 0;
};

}  // namespace

extern const SchedulingRow kOfflineScheduling{
    .name = "offline",
    .summary = "for throughput alone: what begins alike runs together, the most shared first",
    .params = {},
    .make = [](const PolicyParams&) -> std::unique_ptr<SchedulingPolicy> {
      return std::make_unique<Offline>();
    }};

}  // namespace quire

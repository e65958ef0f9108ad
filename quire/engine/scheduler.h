// Decides who computes what in the next step. Plan is four verbs: Admit takes waiting sequences in, in the
// policy's order, on what is cached of them; Grow reserves pages for one token of everybody who decodes and
// then for prompt chunks, as long as the step is to take; Reclaim preempts from the end of the order when
// pages run out; Pack writes the step plan.
#ifndef QUIRE_ENGINE_SCHEDULER_H_
#define QUIRE_ENGINE_SCHEDULER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "quire/base/clock.h"
#include "quire/engine/sequence.h"
#include "quire/engine/session_pauses.h"
#include "quire/kv/page_archive.h"
#include "quire/kv/page_cache.h"
#include "quire/model/step_plan.h"
#include "quire/policies/admission.h"
#include "quire/policies/scheduling.h"
#include "quire/policies/step_time.h"

namespace quire {

// A pin that a client asks for.
struct PinAsked {
  std::string name;
  std::string owner;
  std::string salt;
  std::string kv_type = {};  // as Request has it
  std::vector<Token> tokens;
  double ttl_s = 0;
};

struct PlannedStep {
  TimePoint start;
  StepPlan plan;
  std::vector<Sequence*> sequences;  // of plan.sequences, entry by entry
};

class Scheduler {
 public:
  struct Limits {
    int64_t step_tokens = 0;
    int64_t sequences = 0;   // that run at once
    int64_t context = 0;     // longest sequence
    double step_goal_s = 0;  // for steps in which somebody decodes; 0: none
    bool prefix_caching = true;
    double pin_share = 0.5;  // of the pages that one owner may pin
  };
  // `tier`, which may be null, keeps what the cache has no room for. REQUIRES: with a tier, a PageCache.
  Scheduler(std::unique_ptr<KvCache> cache, std::unique_ptr<PageTier> tier,
            std::unique_ptr<SchedulingPolicy> policy, std::unique_ptr<AdmissionPolicy> admission,
            Limits limits);

  // It is `now`: pins end.
  void TellTime(TimePoint now);
  // A new sequence, without pages. It must fit the pool when it is alone.
  void Add(std::unique_ptr<Sequence> sequence);
  // The step to take now; empty only when nobody is here. Its pointers are good until the next call.
  PlannedStep Plan(TimePoint now);
  // The step is computed, and took until now. To be called before Commit.
  void Took(const PlannedStep& step, TimePoint now);
  // The step has computed what it planned for the sequence: others can share it from now on.
  void Commit(Sequence& sequence);
  // A further sample of a running sequence, sharing its pages. REQUIRES: parent.forks_due > 0.
  Sequence& Fork(Sequence& parent);
  // Releases the pages and forgets the sequence; those of a session that is expected back are pinned.
  void Remove(Sequence& sequence);

  // Pins what is cached of the tokens in pages of the layout, in place of the pin of that name. Returns the
  // tokens that are pinned. Errors: kResourceExhausted, where the owner would have more than its share.
  Result<int64_t> Pin(const PinAsked& asked, int layout);
  // Has the tier keep what was computed of the tokens; nothing without a tier.
  void Keep(std::string_view salt, int layout, std::span<const Token> tokens) {
    if (archive_) archive_->Keep(salt, layout, tokens);
  }
  bool Unpin(const std::string& name) { return cache_->Unpin(name); }

  // From now on the KV pages have `kv_bytes`: cached pages go first, then those of sequences from the end of
  // the order. The first keeps what it has, and alone it goes on beyond the size, so that everybody who was
  // accepted before ends. Errors: those of KvCache::Resize; then nothing has changed.
  Status Resize(size_t kv_bytes);

  std::span<const std::unique_ptr<Sequence>> waiting() const { return waiting_; }
  std::span<const std::unique_ptr<Sequence>> running() const { return running_; }
  const KvCache& cache() const { return *cache_; }
  // Somebody waits for what is brought back from the tier.
  bool restoring() const { return archive_ && archive_->restoring(); }
  // Null without a tier.
  const PageArchive* archive() const { return archive_ ? &*archive_ : nullptr; }
  int64_t preemptions() const { return preemptions_; }

 private:
  using Sequences = std::vector<std::unique_ptr<Sequence>>;

  StepOrder Order(TimePoint now);
  void Admit(const StepOrder& order);
  void Grow();
  bool Reserve(Sequence& sequence, int64_t tokens, int64_t* step_tokens);
  bool Reclaim(const Sequence& needy, int64_t* step_tokens);
  PlannedStep Pack();

  void LineUp(const StepOrder& order);
  bool MayMatch(const Sequence& sequence) const;
  void Match(Sequence& sequence);
  bool Restore(Sequence& sequence);
  int64_t ChunkOf(const Sequence& prompt, int64_t most) const;
  bool WaitsForAnother(const Sequence& sequence, int64_t tokens) const;
  Result<int64_t> PinTable(const std::string& name, const PageTable& table, int64_t tokens, PinFacts facts);
  void PinKept(const Sequence& sequence);
  void PinForReturn(Sequence& sequence);
  void ReleasePages(Sequence& sequence);
  void Preempt(std::unique_ptr<Sequence> sequence);
  SequenceFacts FactsOf(const Sequence& sequence) const;
  int64_t PagesDue(const Sequence& sequence, const SequenceFacts& facts) const;
  int64_t FreePlaces() const;
  int64_t GroupsOf(const Sequence& sequence) const {
    return std::ssize(cache_->LayoutOf(sequence.pages).groups());
  }

  std::unique_ptr<KvCache> cache_;
  std::optional<PageArchive> archive_;
  SessionPauses sessions_{*cache_};
  std::unique_ptr<SchedulingPolicy> policy_;
  std::unique_ptr<AdmissionPolicy> admission_;
  const Limits limits_;
  StepTime step_time_;
  double now_s_ = 0;
  Sequences waiting_;  // hold no pages
  Sequences running_;  // in the policy's order
  int64_t preemptions_ = 0;
};

}  // namespace quire

#endif  // QUIRE_ENGINE_SCHEDULER_H_

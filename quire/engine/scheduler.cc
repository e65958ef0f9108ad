#include "quire/engine/scheduler.h"

#include <algorithm>
#include <utility>

#include "quire/base/check.h"

// Invariants:
// - Waiting sequences hold no pages, so when nobody runs the whole pool is available and the first of the
//   waiting fits: Submit refused everything that does not fit alone, and where the pool has become smaller
//   since, who runs alone goes beyond it.
// - What a sequence has computed was found good, so all of it may be shared: `computed` moves in Commit only,
//   and in Match.
// - A sequence takes pages only from those behind it in the policy's order, so the first always makes
//   progress; one that cannot take any keeps its pages and sits the step out until it is preempted or pages
//   come free. Together: a step with anybody running computes at least one token.

namespace quire {
namespace {

// Moves of pages between the pool and the tier below, at once: enough to keep a disk busy during a step.
int MovesAtOnce(size_t page_bytes) {
  constexpr size_t kMoveBytes = 64 << 20;
  return static_cast<int>(std::clamp<size_t>(kMoveBytes / page_bytes, 32, 256));
}

void AddWork(const Sequence& sequence, StepWork& work) {
  work.Add(sequence.computed, sequence.scheduled, sequence.reaches_end());
}

}  // namespace

Scheduler::Scheduler(std::unique_ptr<KvCache> cache, std::unique_ptr<PageTier> tier,
                     std::unique_ptr<SchedulingPolicy> policy, std::unique_ptr<AdmissionPolicy> admission,
                     Limits limits)
    : cache_(std::move(cache)),
      policy_(std::move(policy)),
      admission_(std::move(admission)),
      limits_(limits) {
  QUIRE_CHECK(limits_.step_tokens > 0 && limits_.sequences > 0);
  if (tier == nullptr || !limits_.prefix_caching) return;
  auto* const pages = dynamic_cast<PageCache*>(cache_.get());
  QUIRE_CHECK(pages != nullptr);
  archive_.emplace(*pages, std::move(tier), MovesAtOnce(pages->layout().page_bytes()));
}

void Scheduler::TellTime(TimePoint now) {
  now_s_ = Seconds(now.time_since_epoch());
  cache_->ExpirePins(now_s_);
}

void Scheduler::Add(std::unique_ptr<Sequence> sequence) {
  LiveRequest& owner = *sequence->owner;
  owner.session_s = sessions_.Arrive(owner.request, Seconds(owner.arrival.time_since_epoch()));
  waiting_.push_back(std::move(sequence));
}

PlannedStep Scheduler::Plan(TimePoint now) {
  if (archive_) archive_->Advance();
  const StepOrder order = Order(now);
  LineUp(order);
  Admit(order);
  Grow();
  PlannedStep step = Pack();
  step.start = now;
  return step;
}

void Scheduler::Took(const PlannedStep& step, TimePoint now) {
  StepWork work;
  for (const Sequence* sequence : step.sequences) AddWork(*sequence, work);
  step_time_.Learn(work, Seconds(now - step.start));
}

// -- The order ----------------------------------------------------------------------------------------------

SequenceFacts Scheduler::FactsOf(const Sequence& sequence) const {
  const LiveRequest& owner = *sequence.owner;
  SequenceFacts facts{.id = sequence.id,
                      .arrival_s = Seconds(owner.arrival.time_since_epoch()),
                      .session_s = owner.session_s,
                      .priority = owner.request.priority,
                      .tenant = owner.request.tenant,
                      .prompt = owner.request.prompt,
                      .output_tokens = sequence.output_tokens(),
                      .max_output_tokens = owner.max_output_tokens,
                      .tokens_due = sequence.tokens_due(),
                      .pages_held = sequence.pages.pages_held,
                      .preemptions = sequence.preemptions};
  facts.pages_to_admit = PagesDue(sequence, facts);
  return facts;
}

StepOrder Scheduler::Order(TimePoint now) {
  std::vector<SequenceFacts> waiting, running;
  for (const auto& sequence : waiting_) waiting.push_back(FactsOf(*sequence));
  for (const auto& sequence : running_) running.push_back(FactsOf(*sequence));
  StepOrder order = policy_->Order(waiting, running,
                                   {.now_s = Seconds(now.time_since_epoch()),
                                    .tokens = limits_.step_tokens,
                                    .free_pages = cache_->available_pages(),
                                    .free_sequences = FreePlaces()});
  QUIRE_CHECK(order.waiting.size() == waiting.size() && order.running.size() == running.size());
  return order;
}

// Puts the running sequences into the policy's order, without those that give way.
void Scheduler::LineUp(const StepOrder& order) {
  Sequences previous = std::exchange(running_, {});
  for (int i : order.give_way) Preempt(std::move(previous[i]));
  for (int i : order.running) {
    if (previous[i]) running_.push_back(std::move(previous[i]));
  }
}

// -- The four verbs -----------------------------------------------------------------------------------------

int64_t Scheduler::FreePlaces() const {
  int64_t places = limits_.sequences;
  for (const auto& sequence : running_) places -= sequence->places();
  return places;
}

// Pages it still needs to compute all its tokens and one more, or as many as it is to have room for, and to
// fork.
int64_t Scheduler::PagesDue(const Sequence& sequence, const SequenceFacts& facts) const {
  const int64_t room = std::min(admission_->RoomFor(facts, limits_.context), limits_.context);
  const int64_t whole = cache_->PagesFor(std::max(std::ssize(sequence.tokens) + 1, room), limits_.step_tokens,
                                         sequence.pages.layout);
  return std::max<int64_t>(0, whole - sequence.pages.pages_held) + sequence.forks_due * GroupsOf(sequence);
}

// A sequence comes in when the pages that the admission policy wants for it are available beside what it
// wants for the running ones and a page more for each to grow into: less would have it preempted at once.
// What is held back for sessions in tool calls is not, as long as anybody runs.
void Scheduler::Admit(const StepOrder& order) {
  int64_t places = FreePlaces();
  int64_t promised = 0;
  for (const auto& sequence : running_) promised += FactsOf(*sequence).pages_to_admit + GroupsOf(*sequence);

  for (int i : order.waiting) {
    Sequence& next = *waiting_[i];
    if (next.places() > places && !running_.empty()) break;
    if (archive_ && archive_->Restoring(next.id)) continue;
    Match(next);
    const int64_t due = FactsOf(next).pages_to_admit;
    const int64_t room = cache_->available_pages() - cache_->index_usage().held_back_pages;
    if (promised + due > room && !running_.empty()) {
      ReleasePages(next);
      break;
    }
    if (Restore(next)) continue;
    places -= next.places();
    promised += due + GroupsOf(next);
    running_.push_back(std::move(waiting_[i]));
  }
  std::erase(waiting_, nullptr);
}

// The last token is computed in any case: its logits are wanted, and all of them where the prompt's
// log-probabilities are.
bool Scheduler::MayMatch(const Sequence& sequence) const {
  return limits_.prefix_caching && sequence.tokens_due() > 1 && !sequence.owner->wants_prompt_logprobs();
}

// Goes on from what is cached of the sequence's tokens.
void Scheduler::Match(Sequence& sequence) {
  if (!MayMatch(sequence)) return;
  const auto all_but_last = std::span(sequence.tokens).first(sequence.tokens.size() - 1);
  const int64_t gained = cache_->Match(sequence.pages, sequence.owner->request.cache_salt, all_but_last);
  sequence.computed += gained;
  if (sequence.preemptions == 0) sequence.cached += gained;
}

// True when the sequence is better off waiting: more of its tokens are on their way up to the cache, where
// that is faster than computing them.
bool Scheduler::Restore(Sequence& sequence) {
  if (!archive_ || sequence.sought_below || !MayMatch(sequence)) return false;
  sequence.sought_below = true;
  const auto all_but_last = std::span(sequence.tokens).first(sequence.tokens.size() - 1);
  const std::string& salt = sequence.owner->request.cache_salt;
  const auto choose = [&](std::span<const PageBelow> pages, std::span<const TierFacts> tiers) {
    return PagesToRestore({.position = sequence.computed,
                           .tokens = std::ssize(sequence.tokens),
                           .page_tokens = cache_->LayoutOf(sequence.pages).page_tokens(),
                           .pages = pages,
                           .tiers = tiers,
                           .step_tokens = limits_.step_tokens,
                           .computation = step_time_});
  };
  if (!archive_->Restore(sequence.id, salt, all_but_last, sequence.pages, choose)) return false;
  ReleasePages(sequence);
  return true;
}

void Scheduler::Grow() {
  int64_t step_tokens = limits_.step_tokens;
  for (const auto& sequence : running_) sequence->scheduled = 0;
  for (const bool prompts : {false, true}) {
    // By index: Reclaim takes sequences away behind the current one.
    for (size_t i = 0; i < running_.size() && step_tokens > 0; ++i) {
      Sequence& sequence = *running_[i];
      if (sequence.scheduled > 0 || (sequence.tokens_due() > 1) != prompts) continue;
      Match(sequence);
      int64_t tokens = std::min(sequence.tokens_due(), step_tokens);
      if (WaitsForAnother(sequence, tokens)) continue;
      if (prompts) tokens = ChunkOf(sequence, tokens);
      if (tokens == 0) return;
      cache_->TrimWindows(sequence.pages, sequence.computed);
      if (!Reserve(sequence, tokens, &step_tokens)) continue;
      sequence.scheduled = tokens;
      step_tokens -= tokens;
    }
  }
}

// As much of a prompt, at most `most`, as keeps those who decode in this step waiting no longer than the
// goal. A goal that decodes alone miss leaves the first prompt a little: nobody starves.
int64_t Scheduler::ChunkOf(const Sequence& prompt, int64_t most) const {
  constexpr int64_t kLeast = 16;
  if (limits_.step_goal_s == 0) return most;
  StepWork work;
  bool decodes = false, chunks = false;
  for (const auto& sequence : running_) {
    if (sequence->scheduled == 0) continue;
    AddWork(*sequence, work);
    (sequence->tokens_due() > 1 ? chunks : decodes) = true;
  }
  if (!decodes) return most;
  const int64_t chunk = step_time_.ChunkWithin(limits_.step_goal_s, work, prompt.computed, most);
  return chunks ? chunk : std::max(chunk, std::min(kLeast, most));
}

// True when most of the `tokens` it would compute are being computed in this step for a sequence before it:
// in the next step it shares them.
bool Scheduler::WaitsForAnother(const Sequence& sequence, int64_t tokens) const {
  if (!MayMatch(sequence)) return false;
  for (const auto& other : running_) {
    if (other->scheduled == 0 || other->pages.layout != sequence.pages.layout ||
        other->pages.prefix != sequence.pages.prefix ||
        other->owner->request.cache_salt != sequence.owner->request.cache_salt) {
      continue;
    }
    const auto coming = std::span(other->tokens).first(other->computed + other->scheduled);
    const int64_t agreement = std::ranges::mismatch(coming, sequence.tokens).in1 - coming.begin();
    const int64_t page_tokens = cache_->LayoutOf(sequence.pages).page_tokens();
    const int64_t shared = agreement / page_tokens * page_tokens - sequence.computed;
    if (shared > 0 && 2 * shared >= tokens) return true;
  }
  return false;
}

// Alone a sequence goes on even when the pool has become too small for it since it was accepted.
bool Scheduler::Reserve(Sequence& sequence, int64_t tokens, int64_t* step_tokens) {
  do {
    if (cache_->Reserve(sequence.pages, tokens) == Verdict::kGranted) return true;
  } while (Reclaim(sequence, step_tokens));
  return running_.size() == 1 &&
         cache_->Reserve(sequence.pages, tokens, Room::kBeyondSize) == Verdict::kGranted;
}

// Takes pages for `needy` from who waits for more to be brought back, or else preempts the last in order, and
// gives back the step tokens it had. False when `needy` is the last itself.
bool Scheduler::Reclaim(const Sequence& needy, int64_t* step_tokens) {
  if (archive_ && archive_->AbandonYoungest()) return true;
  if (running_.back().get() == &needy) return false;
  *step_tokens += running_.back()->scheduled;
  Preempt(std::move(running_.back()));
  running_.pop_back();
  return true;
}

PlannedStep Scheduler::Pack() {
  PlannedStep step;
  for (const bool prompts : {false, true}) {
    for (const auto& sequence : running_) {
      if (sequence->scheduled == 0 || (sequence->scheduled > 1) != prompts) continue;
      const int64_t end = sequence->computed + sequence->scheduled;
      LogitsWanted logits = sequence->reaches_end() ? LogitsWanted::kLast : LogitsWanted::kNone;
      // The logits at position p tell about the prompt token at p + 1.
      const LiveRequest& owner = *sequence->owner;
      if (owner.wants_prompt_logprobs() && end >= std::ssize(owner.prompt_logprobs))
        logits = LogitsWanted::kAll;
      step.plan.sequences.push_back(
          {.tokens = std::span(sequence->tokens).subspan(sequence->computed, sequence->scheduled),
           .position = sequence->computed,
           .pages = &sequence->pages,
           .logits = logits,
           .selects_from = owner.prompt_tokens()});
      step.sequences.push_back(sequence.get());
    }
  }
  QUIRE_CHECK(running_.empty() || !step.sequences.empty());
  return step;
}

Status Scheduler::Resize(size_t kv_bytes) {
  QUIRE_TRY(cache_->Resize(kv_bytes));
  while (cache_->OverSize() && archive_ && archive_->AbandonYoungest()) {
  }
  for (; cache_->OverSize() && running_.size() > 1; running_.pop_back()) Preempt(std::move(running_.back()));
  return {};
}

// -- Lives of sequences -------------------------------------------------------------------------------------

void Scheduler::Commit(Sequence& sequence) {
  sequence.computed += sequence.scheduled;
  sequence.scheduled = 0;
  if (!limits_.prefix_caching) return;
  const auto computed = std::span(sequence.tokens).first(sequence.computed);
  cache_->Publish(sequence.pages, sequence.owner->request.cache_salt, computed);
  if (sequence.computed == sequence.owner->prompt_tokens()) {
    cache_->ExpectReturn(sequence.pages, sequence.computed);
    PinKept(sequence);
  }
}

// What it has computed stays cached.
void Scheduler::ReleasePages(Sequence& sequence) {
  if (limits_.prefix_caching) {
    const auto computed = std::span(sequence.tokens).first(sequence.computed);
    cache_->Release(sequence.pages, sequence.owner->request.cache_salt, computed);
  } else {
    cache_->Release(sequence.pages);
  }
  sequence.computed = 0;
  sequence.scheduled = 0;
  if (!sequence.first_step) sequence.cached = 0;
}

void Scheduler::Preempt(std::unique_ptr<Sequence> sequence) {
  ReleasePages(*sequence);
  ++sequence->preemptions;
  sequence->sought_below = false;
  ++preemptions_;
  waiting_.push_back(std::move(sequence));
}

Sequence& Scheduler::Fork(Sequence& parent) {
  QUIRE_CHECK(parent.forks_due > 0);
  auto fork = std::make_unique<Sequence>(parent);
  fork->pages = cache_->Fork(parent.pages);
  fork->computed = std::min(fork->computed, fork->pages.tokens);
  fork->forks_due = 0;
  fork->sample = parent.sample + parent.forks_due;
  fork->id = parent.id + parent.forks_due;
  --parent.forks_due;
  running_.push_back(std::move(fork));
  return *running_.back();
}

void Scheduler::Remove(Sequence& sequence) {
  const SequenceFacts facts = FactsOf(sequence);
  policy_->Finished(facts);
  admission_->Finished(facts);
  if (archive_) archive_->Abandon(sequence.id);
  PinForReturn(sequence);
  ReleasePages(sequence);
  const auto is_it = [&](const std::unique_ptr<Sequence>& s) { return s.get() == &sequence; };
  if (std::erase_if(running_, is_it) == 0) std::erase_if(waiting_, is_it);
}

}  // namespace quire

// The scheduler's pins: those that clients ask for, within the share of their owner, and those of sessions
// that wait for a tool.
#include <fmt/format.h>

#include "quire/engine/scheduler.h"
#include "quire/tiers/page_key.h"

namespace quire {
namespace {

constexpr std::string_view kKeptPrefix = "kept/";  // names of pins of prefixes that requests keep begin so

// Of the layout, not of what the request calls it: unnamed and named, the first type is the same.
std::string KeptName(const Request& request, const KvLayout& layout, int64_t tokens) {
  const auto prefix = std::span(request.prompt).first(tokens);
  const PageKey key = ChildKey(RootKey(request.cache_salt, layout.name()), prefix);
  return fmt::format("{}{}/{}", kKeptPrefix, request.owner, ToHex(key));
}

}  // namespace

Result<int64_t> Scheduler::PinTable(const std::string& name, const PageTable& table, int64_t tokens,
                                    PinFacts facts) {
  const int64_t most = static_cast<int64_t>(limits_.pin_share * static_cast<double>(cache_->pages()));
  const int64_t others = cache_->pins().PagesOf(facts.owner, name);
  const KvLayout& layout = cache_->LayoutOf(table);
  const int64_t pages = tokens / layout.page_tokens() * std::ssize(layout.groups());
  if (others + pages > most) {
    return Fail(ErrorCode::kResourceExhausted,
                "{} pages are pinned, and {} more would exceed the {} that an owner may pin; unpin something",
                others, pages, most);
  }
  facts.asked = true;
  facts.begin_s = now_s_;
  return cache_->Pin(name, table, tokens, std::move(facts));
}

Result<int64_t> Scheduler::Pin(const PinAsked& asked, int layout) {
  if (!limits_.prefix_caching) {
    return Fail(ErrorCode::kUnsupported,
                "nothing can be pinned without prefix caching; start with --prefix-caching on");
  }
  PageTable table{.layout = layout};
  cache_->Match(table, asked.salt, asked.tokens);
  const auto pinned =
      PinTable(asked.name, table, table.tokens, {.owner = asked.owner, .expiry_s = now_s_ + asked.ttl_s});
  cache_->Release(table);
  return pinned;
}

// Where the owner has its share already, its oldest ones of the kind go; what alone is more stays as long as
// everything else.
void Scheduler::PinKept(const Sequence& sequence) {
  const Request& request = sequence.owner->request;
  for (const KeptPrefix& kept : request.kept) {
    const std::string name = KeptName(request, cache_->LayoutOf(sequence.pages), kept.tokens);
    const PinFacts facts{.owner = request.owner, .expiry_s = now_s_ + kept.ttl_s};
    while (!PinTable(name, sequence.pages, kept.tokens, facts) &&
           cache_->YieldOldestPin(request.owner, kKeptPrefix, name)) {
    }
  }
}

void Scheduler::PinForReturn(Sequence& sequence) {
  const Request& request = sequence.owner->request;
  if (request.session.id.empty() || sequence.sample != 0 || !limits_.prefix_caching) return;
  const auto computed = std::span(sequence.tokens).first(sequence.computed);
  cache_->Publish(sequence.pages, request.cache_salt, computed);
  StepWork again;
  again.Add(0, sequence.computed, true);
  sessions_.Leave(request, sequence.called_tool, sequence.pages, step_time_.Seconds(again), !waiting_.empty(),
                  now_s_);
}

}  // namespace quire

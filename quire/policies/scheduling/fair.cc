// What:   tenants get equal shares of the tokens computed; a level of priority doubles or halves a share.
// Source: the virtual token counter of "Fairness in Serving Large Language Models" (Sheng et al., OSDI 2024,
// 4). Facts:  tenant, priority, prompt, output_tokens, id. Cost: O((n + tenants) log tenants) a step. Good:
// one tenant's flood delays that tenant; idle shares are used by whoever has work. Loses:  a running sequence
// keeps its place, so fairness sets in as places come free.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <queue>
#include <string>
#include <unordered_map>
#include <utility>

#include "quire/policies/scheduling/ordering.h"

namespace quire {
namespace {

class Fair final : public SchedulingPolicy {
 public:
  explicit Fair(double output_cost) : output_cost_(output_cost) {}

  StepOrder Order(std::span<const SequenceFacts> waiting, std::span<const SequenceFacts> running,
                  const StepBudget&) override {
    for (const SequenceFacts& f : running) Charge(f);
    MeetNewcomers(waiting, running);
    return {.waiting = ByTurns(waiting), .running = ByArrival(running), .give_way = {}};
  }

  void Finished(const SequenceFacts& sequence) override {
    Charge(sequence);
    charged_.erase(sequence.id);
  }

 private:
  struct Tenant {
    double served = 0;  // weighted cost
    bool active = false;
  };
  struct Charged {
    bool prompt = false;
    int64_t output_tokens = 0;
  };

  static double Weight(const SequenceFacts& f) { return std::exp2(std::clamp(-f.priority, -20, 20)); }
  Tenant& TenantOf(const SequenceFacts& f) {
    return tenants_.try_emplace(std::string(f.tenant)).first->second;
  }

  // What a sequence has computed since the last time. Its prompt counts when it first runs; computing it
  // again after a preemption is not the tenant's doing.
  void Charge(const SequenceFacts& f) {
    Charged& charged = charged_[f.id];
    double cost = output_cost_ * static_cast<double>(f.output_tokens - charged.output_tokens);
    if (!std::exchange(charged.prompt, true)) cost += static_cast<double>(f.prompt.size());
    charged.output_tokens = f.output_tokens;
    TenantOf(f).served += cost / Weight(f);
  }

  // Who was away does not come back with savings: it joins at the level of the least served of the others. A
  // tenant below that level need not be remembered.
  void MeetNewcomers(std::span<const SequenceFacts> waiting, std::span<const SequenceFacts> running) {
    double least = std::numeric_limits<double>::infinity();
    for (const auto& [name, tenant] : tenants_) {
      if (tenant.active) least = std::min(least, tenant.served);
    }
    std::map<std::string, Tenant, std::less<>> present;
    for (const auto facts : {waiting, running}) {
      for (const SequenceFacts& f : facts) {
        if (present.contains(f.tenant)) continue;
        Tenant tenant = TenantOf(f);
        if (!std::exchange(tenant.active, true) && std::isfinite(least)) {
          tenant.served = std::max(tenant.served, least);
        }
        present.emplace(f.tenant, tenant);
      }
    }
    for (auto& [name, tenant] : tenants_) {
      if (present.contains(name) || tenant.served <= least) continue;
      tenant.active = false;
      present.emplace(name, tenant);
    }
    tenants_ = std::move(present);
  }

  // The least served tenant's oldest request, and again, as if each were served its prompt at once.
  std::vector<int> ByTurns(std::span<const SequenceFacts> waiting) const {
    struct Line {
      double served = 0;
      std::vector<int> members;
      size_t next = 0;
    };
    std::map<std::string_view, Line> lines;
    for (int i : ByArrival(waiting)) {
      Line& line = lines[waiting[i].tenant];
      if (line.members.empty()) line.served = tenants_.find(waiting[i].tenant)->second.served;
      line.members.push_back(i);
    }
    using Turn = std::pair<std::pair<double, uint64_t>, Line*>;
    std::priority_queue<Turn, std::vector<Turn>, std::greater<>> turns;
    const auto line_up = [&](Line& line) {
      if (line.next == line.members.size()) return;
      turns.push({{line.served, waiting[line.members[line.next]].id}, &line});
    };
    for (auto& [name, line] : lines) line_up(line);
    std::vector<int> order;
    while (!turns.empty()) {
      Line& line = *turns.top().second;
      turns.pop();
      const int i = line.members[line.next++];
      order.push_back(i);
      line.served += static_cast<double>(waiting[i].prompt.size()) / Weight(waiting[i]);
      line_up(line);
    }
    return order;
  }

  const double output_cost_;
  std::map<std::string, Tenant, std::less<>> tenants_;
  std::unordered_map<uint64_t, Charged> charged_;  // by sequence
};

constexpr PolicyParam kParams[] = {
    {"output_cost", 2, 0.01, 1000, "what a token of output costs in tokens of prompt"},
};

}  // namespace

extern const SchedulingRow kFairScheduling{
    .name = "fair",
    .summary = "equal shares of the computed tokens per tenant",
    .params = kParams,
    .make = [](const PolicyParams& params) -> std::unique_ptr<SchedulingPolicy> {
      return std::make_unique<Fair>(params["output_cost"]);
    }};

}  // namespace quire

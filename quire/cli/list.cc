// `quire list`: every policy that a flag can name, with its parameters.
#include <fmt/format.h>

#include "quire/cli/generate.h"
#include "quire/cli/verb.h"
#include "quire/policies/admission.h"
#include "quire/policies/retention.h"
#include "quire/policies/scheduling.h"
#include "quire/policies/selection.h"

namespace quire {
namespace {

// What a parameter may be, with its default in brackets.
std::string Values(const PolicyParam& param) {
  if (param.choices.empty()) {
    return fmt::format("{:g} to {:g} [{:g}]", param.min, param.max, param.default_value);
  }
  return fmt::format("{} [{}]", JoinNames(param.choices),
                     param.choices[static_cast<size_t>(param.default_value)]);
}

class ListVerb final : public Verb {
 public:
  Flags MakeFlags() override {
    Flags flags("list", "[flags]", "Lists the policies and their parameters.");
    flags.AddNote("A policy is chosen as NAME or NAME:parameter=value,parameter=value.");
    return flags;
  }

  Result<int> Run() override {
    std::string text = "--scheduling: who runs first, and who gives way\n";
    for (const SchedulingRow* row : SchedulingTable()) text += Entry(*row);
    text += "--admission: for how many tokens there must be room before a sequence runs\n";
    for (const AdmissionRow* row : AdmissionTable()) text += Entry(*row);
    text += "--retention: what is pinned while a session waits for a tool\n";
    for (const RetentionRow* row : RetentionTable()) text += Entry(*row);
    text += "--kv-selection: which KV pages a query of an answer reads\n";
    for (const SelectionRow* row : SelectionTable()) text += Entry(*row);
    QUIRE_TRY(WriteOut(text));
    return 0;
  }

 private:
  template <typename Row>
  static std::string Entry(const Row& row) {
    std::string text = fmt::format("  {:<20}{}\n", row.name, row.summary);
    for (const PolicyParam& param : row.params) {
      text += fmt::format("    {:<18}{}; {}\n", param.name, param.help, Values(param));
    }
    return text;
  }
};

}  // namespace

std::unique_ptr<Verb> MakeList() { return std::make_unique<ListVerb>(); }

}  // namespace quire

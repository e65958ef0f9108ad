#include "quire/policies/selection.h"

namespace quire {

extern const SelectionRow kLowBitSelection;
extern const SelectionRow kQuestSelection;

namespace {
constexpr const SelectionRow* kTable[] = {&kLowBitSelection, &kQuestSelection};
}  // namespace

std::span<const SelectionRow* const> SelectionTable() { return kTable; }

Result<std::unique_ptr<SelectionPolicy>> MakeSelectionPolicy(std::string_view spec) {
  return MakePolicy<SelectionPolicy, SelectionRow>(spec, "selection", kTable);
}

}  // namespace quire

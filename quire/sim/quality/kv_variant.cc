#include "quire/sim/quality/kv_variant.h"

#include <algorithm>

#include "quire/kernels/kv_codec.h"
#include "quire/policies/selection.h"

namespace quire {
namespace {

constexpr int64_t kWindowBudget = 4;  // one page of so many that were read
constexpr int64_t kSinkPages = 1;

std::string NamesOf(const std::vector<KvVariant>& variants) {
  std::string names;
  for (const KvVariant& variant : variants) names += (names.empty() ? "" : ", ") + variant.name;
  return names;
}

bool IsSelection(std::string_view name) {
  return std::ranges::any_of(
      SelectionTable(), [&](const SelectionRow* row) { return row->name == name.substr(0, name.find(':')); });
}

KvVariant SelectionVariant(std::string_view spec) {
  return {.name = std::string(spec), .kv_class = KvClass::kSelection, .selection = std::string(spec)};
}

}  // namespace

std::string_view NameOf(KvClass kv_class) {
  switch (kv_class) {
    case KvClass::kFull:
      return "full";
    case KvClass::kCodec:
      return "codec";
    case KvClass::kEviction:
      return "eviction";
    case KvClass::kSelection:
      return "selection";
  }
  return "";
}

std::vector<KvVariant> KvVariants() {
  std::vector<KvVariant> variants = {{.name = "f16"}};
  for (const auto& [name, type] : KvTypes()) {
    if (type == DType::kF16) continue;
    variants.push_back({.name = std::string(name), .kv_class = KvClass::kCodec, .types = type});
  }
  variants.push_back({.name = "window",
                      .kv_class = KvClass::kEviction,
                      .leaves = OutsideSinksAndWindow,
                      .kept_share = 1.0 / kWindowBudget});
  for (const SelectionRow* row : SelectionTable()) variants.push_back(SelectionVariant(row->name));
  return variants;
}

Result<std::vector<KvVariant>> ChooseKvVariants(std::span<const std::string> names) {
  std::vector<KvVariant> all = KvVariants();
  if (names.empty()) return all;
  std::vector<KvVariant> chosen = {all.front()};
  for (const std::string& name : names) {
    if (std::ranges::find(chosen, name, &KvVariant::name) != chosen.end()) continue;
    const auto found = std::ranges::find(all, name, &KvVariant::name);
    if (found != all.end()) {
      chosen.push_back(*found);
    } else if (IsSelection(name)) {
      QUIRE_TRY(MakeSelectionPolicy(name));
      chosen.push_back(SelectionVariant(name));
    } else if (!name.contains(',')) {
      return Fail(ErrorCode::kInvalidArgument,
                  "there is no way '{}' to keep KV; there are {}, types by layer, as int4,0-1=f16, and "
                  "parameters, as quest:budget=0.125",
                  name, NamesOf(all));
    } else {
      QUIRE_ASSIGN(const LayerTypes types, LayerTypes::Parse(name));
      chosen.push_back({.name = name, .kv_class = KvClass::kCodec, .types = types});
    }
  }
  return chosen;
}

PageRange OutsideSinksAndWindow(const HeldPages& pages) {
  const int64_t kept = std::max(kSinkPages + 1, pages.read / kWindowBudget);
  return {kSinkPages, kSinkPages + std::max<int64_t>(0, pages.held - kept)};
}

}  // namespace quire

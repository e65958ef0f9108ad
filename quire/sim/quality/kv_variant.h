// The ways to keep a sequence's KV that are compared with each other. A variant says how its model is loaded
// and what stays of a text that was read; everything that measures quality takes any of them, always beside
// the full f16 cache.
//
// To add one: a row in KvVariants(); policies that select pages are all there already.
#ifndef QUIRE_SIM_QUALITY_KV_VARIANT_H_
#define QUIRE_SIM_QUALITY_KV_VARIANT_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quire/base/result.h"
#include "quire/kv/layer_types.h"

namespace quire {

// What is done about KV, as SCBench (Li et al. 2024, section 2) parts the field.
enum class KvClass {
  kFull,       // all of it, as it is
  kCodec,      // all of it, in fewer bits
  kEviction,   // a part of it, for good
  kSelection,  // all of it, of which a part is read
};
std::string_view NameOf(KvClass kv_class);

// Pages [begin, end) of a sequence.
struct PageRange {
  int64_t begin = 0;
  int64_t end = 0;
};

// What an eviction may know: pages that are full.
struct HeldPages {
  int64_t held = 0;
  int64_t read = 0;  // with those that left before
};

struct KvVariant {
  std::string name;
  KvClass kv_class = KvClass::kFull;
  LayerTypes types = DType::kF16;
  // What leaves when a piece of text has been read; null: nothing.
  PageRange (*leaves)(const HeldPages& pages) = nullptr;
  double kept_share = 1;  // of the tokens of a long text
  // By which policy what is said about a text reads it (policies/selection.h); empty: all of it. The text
  // itself is read in full.
  std::string selection = {};
};

// The full f16 cache first.
std::vector<KvVariant> KvVariants();

// Those of `names`, behind the full one; all of them for none. A name may also be types by layer, as
// LayerTypes has them, or a selection policy with parameters. Errors: kInvalidArgument, with the known ones.
Result<std::vector<KvVariant>> ChooseKvVariants(std::span<const std::string> names);

// A quarter of what was read: its first page, on which attention leans whatever it says, and the latest ones
// (StreamingLLM, Xiao et al. 2023, section 3.2; positions stay those of the text).
PageRange OutsideSinksAndWindow(const HeldPages& pages);

}  // namespace quire

#endif  // QUIRE_SIM_QUALITY_KV_VARIANT_H_

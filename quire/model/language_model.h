// What the engine needs from a model: its facts, and one forward pass over a step plan. Transformers
// implement it; tests and the simulator have their own.
#ifndef QUIRE_MODEL_LANGUAGE_MODEL_H_
#define QUIRE_MODEL_LANGUAGE_MODEL_H_

#include <cstdint>
#include <span>
#include <string>

#include "quire/kv/kv_layout.h"
#include "quire/kv/page_arena.h"
#include "quire/model/step_plan.h"

namespace quire {

struct ModelInfo {
  std::string name;          // general.name, or the file's name
  std::string architecture;  // "llama"
  int vocab_size = 0;
  int64_t context_length = 0;  // tokens the model was trained for
  int64_t parameters = 0;
  int64_t weight_bytes = 0;      // resident weights
  int64_t activation_bytes = 0;  // of the largest step
};

class LanguageModel {
 public:
  virtual ~LanguageModel() = default;
  virtual const ModelInfo& info() const = 0;
  // Of the pages that sequences may have, by PageTable::layout. They have equal bytes.
  virtual std::span<const KvLayout> kv_layouts() const = 0;
  const KvLayout& kv_layout() const { return kv_layouts().front(); }

  // Computes the plan's tokens: writes their K and V into their pages in `kv`, and hands the wanted logits
  // to `sink`. A token's logits depend only on its own sequence's tokens, never on the rest of the plan.
  // REQUIRES: token ids are in [0, vocab_size); one call at a time.
  virtual void Forward(const StepPlan& plan, const PageArena& kv, const LogitsSink& sink) = 0;
};

}  // namespace quire

#endif  // QUIRE_MODEL_LANGUAGE_MODEL_H_

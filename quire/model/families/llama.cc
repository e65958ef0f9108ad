// Llama 2 and 3, SmolLM2, Mistral: the plain transformer. GGUF files hold Q and K with their rows permuted so
// that neighbouring dimensions rotate together.
#include "quire/model/families/families.h"
#include "quire/model/families/sliding_window.h"

namespace quire {

Status ConfigureLlama(const ConfigSource& source, ModelConfig& config) {
  QUIRE_ASSIGN(const auto experts, source.Integer({"expert_count", "num_local_experts"}, {0, 1 << 20}));
  if (experts.value_or(0) > 0) {
    return Fail(ErrorCode::kUnsupported, "{} holds a mixture of {} experts, which is not supported.",
                source.file(), *experts);
  }
  config.rope.interleaved = source.is_gguf();
  return ReadUniformWindow(source, config);
}

}  // namespace quire

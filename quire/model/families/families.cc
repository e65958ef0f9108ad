#include "quire/model/families/families.h"

#include <algorithm>
#include <string>

#include "quire/files/quoted.h"

namespace quire {
namespace {

constexpr Family kFamilies[] = {
    {"gemma2", {"gemma2"}, nullptr, ConfigureGemma2},
    {"gemma3", {"gemma3", "gemma3_text"}, kGemma3Defaults, ConfigureGemma3},
    {"llama", {"llama", "mistral"}, nullptr, ConfigureLlama},
    {"phi3", {"phi3"}, nullptr, ConfigurePhi3},
    {"qwen2", {"qwen2"}, nullptr, ConfigureQwen2},
    {"qwen3", {"qwen3"}, nullptr, ConfigureQwen3},
};

}  // namespace

std::span<const Family> Families() { return kFamilies; }

Result<const Family*> FindFamily(const ConfigSource& source) {
  const std::string& wanted = source.architecture();
  std::string known;
  for (const Family& family : kFamilies) {
    const bool found = source.is_gguf()
                           ? family.name == wanted
                           : !wanted.empty() && std::ranges::count(family.hf_model_types, wanted) > 0;
    if (found) return &family;
    known += std::string(known.empty() ? "" : ", ") + std::string(family.name);
  }
  return Fail(ErrorCode::kUnsupported, "{} holds a model of family {}, which is not supported: known are {}.",
              source.file(), Quoted(wanted), known);
}

}  // namespace quire

// One answer from the engine of this process, for verbs that talk to a person.
#ifndef QUIRE_CLI_GENERATE_H_
#define QUIRE_CLI_GENERATE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "quire/base/clock.h"
#include "quire/base/result.h"
#include "quire/base/token.h"
#include "quire/engine/request.h"
#include "quire/engine/runtime.h"

namespace quire {

struct Generated {
  std::string text;
  FinishReason finish = FinishReason::kStop;
  int64_t prompt_tokens = 0;
  int64_t output_tokens = 0;
  Duration to_first_token{};
  Duration total{};

  // "prompt 12 tokens in 0.05 s (240.0 tok/s), output 80 tokens in 0.40 s (197.5 tok/s)"
  std::string Summary() const;
};

// Runs `request`, giving text to `on_text` (on this thread) as it comes. While `cancel` is set the request is
// cancelled, and what there is comes back. REQUIRES: the engine was started; n is 1.
Result<Generated> Generate(Engine& engine, Request request,
                           const std::function<void(std::string_view)>& on_text,
                           const std::atomic<bool>& cancel);

// The prompt that the model's chat template makes of OpenAI's messages. Errors: kNotFound where the model has
// no template, kInvalidArgument with what the template objects to.
Result<std::vector<Token>> EncodeChat(const Runtime& runtime, const nlohmann::ordered_json& messages);

// Writes to standard output at once. Errors: kIo.
Status WriteOut(std::string_view text);
// Writes a file, whose content an error calls `what`. Errors: kIo.
Status WriteFile(const std::string& path, std::string_view what, std::string_view text);
// Writes results to a file, or to standard output where the path is "-". Errors: kIo.
Status WriteJsonTo(const std::string& path, const nlohmann::ordered_json& json);

}  // namespace quire

#endif  // QUIRE_CLI_GENERATE_H_

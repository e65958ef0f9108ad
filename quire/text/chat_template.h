// The model's own Jinja chat template: turns messages into the prompt text the model was trained on.
#ifndef QUIRE_TEXT_CHAT_TEMPLATE_H_
#define QUIRE_TEXT_CHAT_TEMPLATE_H_

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "quire/base/result.h"
#include "quire/files/model_files.h"
#include "quire/text/tokenizer.h"

namespace quire {

struct ChatInput {
  nlohmann::ordered_json messages;  // OpenAI's array of {role, content, ...}, content a string
  nlohmann::ordered_json tools;     // OpenAI's array, or null
  bool add_generation_prompt = true;
  nlohmann::ordered_json extra = nlohmann::ordered_json::object();  // chat_template_kwargs
};

class ChatTemplate {
 public:
  // Compiles `source`. `bos`/`eos` are the texts of bos_token and eos_token inside the template.
  // Errors: kInvalidArgument with the template engine's complaint.
  static Result<std::unique_ptr<ChatTemplate>> Parse(const std::string& source, std::string bos,
                                                     std::string eos);
  // The model's own template: GGUF tokenizer.chat_template, chat_template.jinja, or tokenizer_config.json.
  // kNotFound, saying how to give one, where the model has none.
  static Result<std::unique_ptr<ChatTemplate>> Load(const ModelFiles& files, const Tokenizer& tokenizer);
  virtual ~ChatTemplate() = default;

  // Renders the prompt, special tokens as their text; chat_prompt.h turns it into tokens. Thread-safe.
  // Errors: kInvalidArgument with what the template raised (e.g. roles must alternate).
  virtual Result<std::string> Render(const ChatInput& input) const = 0;
  virtual const std::string& source() const = 0;
};

}  // namespace quire

#endif  // QUIRE_TEXT_CHAT_TEMPLATE_H_

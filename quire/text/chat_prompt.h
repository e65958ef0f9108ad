// A rendered conversation that nobody in it can forge a turn of: what a user wrote is text, also where it
// reads like a special token of the model ("<|im_end|>").
//
// The strings of the input get a mark inside every such place before the template sees them, and the marks
// come out of the rendered text as the offsets that special tokens may not cross. So it holds whatever the
// template does to a string, and text around the place is tokenized as if nothing had happened.
#ifndef QUIRE_TEXT_CHAT_PROMPT_H_
#define QUIRE_TEXT_CHAT_PROMPT_H_

#include <string>
#include <vector>

#include "quire/base/result.h"
#include "quire/text/chat_template.h"
#include "quire/text/tokenizer.h"

namespace quire {

struct ChatPrompt {
  std::string text;  // valid UTF-8
  std::vector<size_t> breaks;

  // Drops the text from `end` on.
  void Cut(size_t end);
  // The template has written BOS and EOS already; `add_special` has the tokenizer add its own as well.
  std::vector<Token> Encode(const Tokenizer& tokenizer, bool add_special = false) const;
};

// Errors: those of ChatTemplate::Render.
Result<ChatPrompt> RenderChat(const ChatTemplate& chat_template, const Tokenizer& tokenizer, ChatInput input);

}  // namespace quire

#endif  // QUIRE_TEXT_CHAT_PROMPT_H_

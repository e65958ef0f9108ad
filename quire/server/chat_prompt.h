// From the fields of a chat call to the prompt that the model's template makes of them.
#ifndef QUIRE_SERVER_CHAT_PROMPT_H_
#define QUIRE_SERVER_CHAT_PROMPT_H_

#include <string>

#include "quire/server/json_fields.h"
#include "quire/server/served_model.h"

namespace quire {

// Reads messages, tools, tool_choice, chat_template_kwargs, add_generation_prompt and continue_final_message.
// The text already has its special tokens. Nothing comes back when a field is wrong: see fields.error().
std::string ReadChatPrompt(JsonFields& fields, const ServedModel& served);

}  // namespace quire

#endif  // QUIRE_SERVER_CHAT_PROMPT_H_

// From the fields of a chat call to the prompt that the model's template makes of them.
#ifndef QUIRE_SERVER_CHAT_PROMPT_H_
#define QUIRE_SERVER_CHAT_PROMPT_H_

#include <vector>

#include "quire/server/json_fields.h"
#include "quire/server/served_model.h"
#include "quire/text/chat_prompt.h"

namespace quire {

// Reads messages, tools, tool_choice, chat_template_kwargs, add_generation_prompt and continue_final_message.
// Empty when a field is wrong: see fields.error().
ChatPrompt ReadChatPrompt(JsonFields& fields, const ServedModel& served);

// A place that the client marked with cache_control: the prompt up to there is to stay cached.
struct CacheMark {
  ChatPrompt prompt;  // what comes before; its end may be tokenized otherwise than in the whole
  double ttl_s = 0;
};
// Those of the tools, of the messages and of their parts, in order. REQUIRES: ReadChatPrompt found nothing
// wrong.
std::vector<CacheMark> ReadCacheMarks(JsonFields& fields, const ServedModel& served);

}  // namespace quire

#endif  // QUIRE_SERVER_CHAT_PROMPT_H_

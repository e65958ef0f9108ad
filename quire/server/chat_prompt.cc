#include "quire/server/chat_prompt.h"

#include "quire/server/json_body.h"

namespace quire {
namespace {

using nlohmann::ordered_json;

// Put behind the last message when it is to be continued; the prompt ends where it stands.
constexpr std::string_view kContinueMark = "\x01quire-continues-here\x01";

// Parts of type text, joined by line breaks.
std::string JoinParts(const ordered_json& parts, const std::string& where, JsonFields& fields) {
  std::string text;
  for (size_t i = 0; i < parts.size(); ++i) {
    const ordered_json& part = parts[i];
    const std::string place = fmt::format("{}.content[{}]", where, i);
    const std::string type = part.is_object() && part.contains("type") && part["type"].is_string()
                                 ? part["type"].get<std::string>()
                                 : "";
    const char* key = type == "refusal" ? "refusal" : "text";
    if (type != "text" && type != "refusal") {
      fields.Reject(place, type.empty()
                               ? "must be an object with a type, e.g. {\"type\": \"text\", \"text\": \"...\"}"
                               : fmt::format("is of type '{}'; this model reads only text", type));
    } else if (!part.contains(key) || !part[key].is_string()) {
      fields.Reject(place, fmt::format("must have its text under \"{}\"", key));
    } else {
      if (i > 0) text += '\n';
      text += part[key].get_ref<const std::string&>();
    }
  }
  return text;
}

std::string ReadContent(const ordered_json& message, const std::string& where, JsonFields& fields) {
  const auto content = message.find("content");
  if (content == message.end() || content->is_null()) {
    const auto role = message.find("role");
    // An assistant that called tools, or refused, may have said nothing.
    if (*role != "assistant") fields.Reject(where + ".content", "is missing; give a text");
    return "";
  }
  if (content->is_string()) return content->get<std::string>();
  if (content->is_array()) return JoinParts(*content, where, fields);
  fields.Reject(where + ".content", "must be a text or a list of parts");
  return "";
}

// Templates want the arguments of earlier calls as an object; OpenAI sends them as JSON text.
void ParseArguments(ordered_json& tool_calls, const std::string& where, JsonFields& fields) {
  if (!tool_calls.is_array()) return fields.Reject(where + ".tool_calls", "must be a list");
  for (ordered_json& call : tool_calls) {
    if (!call.is_object() || !call.contains("function") || !call["function"].is_object()) {
      return fields.Reject(where + ".tool_calls", "must be a list of objects with a function each");
    }
    ordered_json& function = call["function"];
    if (!function.contains("arguments") || !function["arguments"].is_string()) continue;
    auto arguments = ParseJsonText(function["arguments"].get_ref<const std::string&>(), "the text");
    if (arguments && arguments->is_object()) function["arguments"] = std::move(*arguments);
  }
}

ordered_json ReadMessages(JsonFields& fields) {
  const ordered_json* list = fields.Array("messages");
  ordered_json messages = ordered_json::array();
  if (!list || list->empty()) {
    fields.Reject("messages", "is missing or empty; give at least one message");
    return messages;
  }
  for (size_t i = 0; i < list->size() && !fields.error(); ++i) {
    const std::string where = fmt::format("messages[{}]", i);
    ordered_json message = (*list)[i];
    if (!message.is_object()) {
      fields.Reject(where, "must be an object with role and content");
    } else if (!message.contains("role") || !message["role"].is_string()) {
      fields.Reject(where + ".role", "must be a text such as \"user\"");
    } else {
      message["content"] = ReadContent(message, where, fields);
      // The new name of the same role; models know the old one.
      if (message["role"] == "developer") message["role"] = "system";
      if (message.contains("tool_calls") && !message["tool_calls"].is_null()) {
        ParseArguments(message["tool_calls"], where, fields);
      }
      messages.push_back(std::move(message));
    }
  }
  return messages;
}

ordered_json ReadTools(JsonFields& fields) {
  const ordered_json* tools = fields.Array("tools");
  const ordered_json* choice = fields.Find("tool_choice");
  if (choice && *choice != "none" && *choice != "auto") {
    fields.Reject("tool_choice", "must be \"none\" or \"auto\"; forcing a tool call is not supported yet");
  }
  if (!tools || tools->empty() || (choice && *choice == "none")) return nullptr;
  for (size_t i = 0; i < tools->size(); ++i) {
    const ordered_json& tool = (*tools)[i];
    if (!tool.is_object() || !tool.contains("function") || !tool["function"].is_object()) {
      fields.Reject(fmt::format("tools[{}]", i), "must be an object of type \"function\" with a function");
    }
  }
  return *tools;
}

}  // namespace

ChatPrompt ReadChatPrompt(JsonFields& fields, const ServedModel& served) {
  ChatInput input;
  input.add_generation_prompt =
      fields.Bool("add_generation_prompt", !fields.Bool("continue_final_message", false));
  const bool continues = fields.Bool("continue_final_message", false);
  if (continues && input.add_generation_prompt) {
    fields.Reject("continue_final_message", "and add_generation_prompt exclude each other; set one of them");
  }
  if (const ordered_json* extra = fields.Object("chat_template_kwargs")) input.extra = *extra;
  input.tools = ReadTools(fields);
  input.messages = ReadMessages(fields);
  if (!served.chat_template) {
    fields.Reject("messages", "cannot be used: " + served.chat_template_missing);
  }
  if (fields.error()) return {};

  if (continues) {
    ordered_json& content = input.messages.back()["content"];
    content = content.get_ref<const std::string&>() + std::string(kContinueMark);
  }
  Result<ChatPrompt> prompt = RenderChat(*served.chat_template, *served.tokenizer, std::move(input));
  if (!prompt) {
    fields.Reject("messages", "do not fit the model's chat template: " + prompt.error().message);
    return {};
  }
  if (continues) {
    const size_t end = prompt->text.rfind(kContinueMark);
    if (end == prompt->text.npos) {
      fields.Reject("continue_final_message",
                    "is not possible: the chat template does not show the last message");
      return {};
    }
    prompt->Cut(end);
  }
  return *std::move(prompt);
}

}  // namespace quire

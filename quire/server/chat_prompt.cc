#include "quire/server/chat_prompt.h"

#include "quire/server/json_body.h"

namespace quire {
namespace {

using nlohmann::ordered_json;

// Put behind the last message when it is to be continued; the prompt ends where it stands.
constexpr std::string_view kContinueMark = "\x01quire-continues-here\x01";
// Put where a prefix ends that is to stay cached, in a copy of the call that only tells where that is. JSON,
// as which templates write tools, shows it as it is; where a client writes it, less is kept.
constexpr std::string_view kCacheMark = "quire-keeps-up-to-here";
constexpr size_t kMaxCacheMarks = 4;

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
  ordered_json list = *tools;
  for (ordered_json& tool : list) {
    if (tool.is_object()) tool.erase("cache_control");  // not for the model
  }
  return list;
}

// What the client marked: a tool, or a message up to a place in its content, which is a text by now.
struct MarkedPlace {
  std::string_view list;  // "tools" or "messages"
  size_t index = 0;       // in the list
  size_t byte = 0;        // of the message's content
  double ttl_s = 0;
};

// {"type": "ephemeral", "ttl": "5m" or "1h"}
std::optional<double> ReadCacheControl(const ordered_json& object, const std::string& where,
                                       JsonFields& fields) {
  const auto control = object.find("cache_control");
  if (control == object.end() || control->is_null()) return std::nullopt;
  const std::string place = where + ".cache_control";
  if (!control->is_object() || control->value("type", ordered_json()) != "ephemeral") {
    fields.Reject(place, "must be an object of type \"ephemeral\"");
    return std::nullopt;
  }
  const ordered_json ttl = control->value("ttl", ordered_json("5m"));
  if (ttl != "5m" && ttl != "1h") fields.Reject(place + ".ttl", "must be \"5m\" or \"1h\"");
  return ttl == "1h" ? 3600 : 300;
}

void FindMarkedTools(JsonFields& fields, const ordered_json& tools, std::vector<MarkedPlace>& places) {
  for (size_t i = 0; i < tools.size(); ++i) {
    const auto ttl_s = ReadCacheControl(tools[i], fmt::format("tools[{}]", i), fields);
    if (ttl_s) places.push_back({.list = "tools", .index = i, .ttl_s = *ttl_s});
  }
}

void FindMarkedMessages(JsonFields& fields, const ordered_json& messages, std::vector<MarkedPlace>& places) {
  const auto mark = [&](size_t message, size_t byte, double ttl_s) {
    places.push_back({.list = "messages", .index = message, .byte = byte, .ttl_s = ttl_s});
  };
  for (size_t i = 0; i < messages.size(); ++i) {
    const ordered_json& message = messages[i];
    const std::string where = fmt::format("messages[{}]", i);
    const auto content = message.find("content");
    size_t end = 0;
    if (content != message.end() && content->is_array()) {
      for (size_t part = 0; part < content->size(); ++part) {
        const ordered_json only = ordered_json::array({(*content)[part]});
        end += (part > 0 ? 1 : 0) + JoinParts(only, where, fields).size();
        const auto ttl_s =
            ReadCacheControl((*content)[part], fmt::format("{}.content[{}]", where, part), fields);
        if (ttl_s) mark(i, end, *ttl_s);
      }
    } else if (content != message.end() && content->is_string()) {
      end = content->get_ref<const std::string&>().size();
    }
    if (const auto ttl_s = ReadCacheControl(message, where, fields)) mark(i, end, *ttl_s);
  }
}

// In the order of prompts, where tools come first.
std::vector<MarkedPlace> FindMarkedPlaces(JsonFields& fields, bool shows_tools) {
  std::vector<MarkedPlace> places;
  if (shows_tools) FindMarkedTools(fields, *fields.Array("tools"), places);
  FindMarkedMessages(fields, *fields.Array("messages"), places);
  if (places.size() > kMaxCacheMarks) {
    fields.Reject(places.back().list,
                  fmt::format("have cache_control at too many places: {} in the call; mark at most {}",
                              places.size(), kMaxCacheMarks));
  }
  return places;
}

// Behind a marked tool comes another one: the prompt agrees with that up to the tool's end.
void Mark(ChatInput& input, const MarkedPlace& place) {
  if (place.list == "tools") {
    const ordered_json next = {{"type", "function"},
                               {"function",
                                {{"name", kCacheMark},
                                 {"description", ""},
                                 {"parameters", ordered_json::object({{"type", "object"}})}}}};
    input.tools.insert(input.tools.begin() + static_cast<std::ptrdiff_t>(place.index) + 1, next);
  } else {
    input.messages[place.index]["content"].get_ref<std::string&>().insert(place.byte, kCacheMark);
  }
}

ChatInput ReadInput(JsonFields& fields) {
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
  return input;
}

}  // namespace

ChatPrompt ReadChatPrompt(JsonFields& fields, const ServedModel& served) {
  ChatInput input = ReadInput(fields);
  const bool continues = fields.Bool("continue_final_message", false);
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

// Rendered once more for every mark, so that the marks change nothing in the prompt itself.
std::vector<CacheMark> ReadCacheMarks(JsonFields& fields, const ServedModel& served) {
  std::vector<CacheMark> marks;
  const ChatInput unmarked = ReadInput(fields);
  const std::vector<MarkedPlace> places = FindMarkedPlaces(fields, !unmarked.tools.is_null());
  if (fields.error()) return marks;
  for (const MarkedPlace& place : places) {
    ChatInput input = unmarked;
    Mark(input, place);
    Result<ChatPrompt> prompt = RenderChat(*served.chat_template, *served.tokenizer, std::move(input));
    const size_t end = prompt ? prompt->text.find(kCacheMark) : std::string::npos;
    if (end == std::string::npos) {
      fields.Reject(fmt::format("{}[{}].cache_control", place.list, place.index),
                    "is at a place that the model's chat template does not show");
      return {};
    }
    prompt->Cut(end);
    marks.push_back({.prompt = *std::move(prompt), .ttl_s = place.ttl_s});
  }
  return marks;
}

}  // namespace quire

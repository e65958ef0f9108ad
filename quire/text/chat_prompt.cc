#include "quire/text/chat_prompt.h"

#include <algorithm>
#include <functional>

#include "quire/text/utf8.h"

// Invariant: the mark is a noncharacter (Unicode 23.7: for use inside of a program) that the input lacks, so
// every one in the rendered text comes from GuardText; a template that writes it itself only breaks its own
// text.

namespace quire {
namespace {

using nlohmann::ordered_json;

std::string Noncharacter(int index) {  // U+FDD0 to U+FDEF
  return {'\xEF', '\xB7', static_cast<char>(0x90 + index)};
}
constexpr int kNoncharacters = 32;

// Calls visit(text) for every string of `json`, keys included.
void ForEachText(const ordered_json& json, const std::function<void(const std::string&)>& visit) {
  if (json.is_string()) visit(json.get_ref<const std::string&>());
  if (!json.is_structured()) return;
  for (const auto& [key, value] : json.items()) {
    if (json.is_object()) visit(key);
    ForEachText(value, visit);
  }
}

using Change = std::function<std::string(const std::string&)>;

ordered_json ChangeTexts(const ordered_json& json, const Change& change) {
  if (json.is_string()) return change(json.get_ref<const std::string&>());
  ordered_json changed = json;
  if (json.is_array()) {
    for (ordered_json& value : changed) value = ChangeTexts(value, change);
  } else if (json.is_object()) {
    changed.clear();
    for (const auto& [key, value] : json.items()) changed[change(key)] = ChangeTexts(value, change);
  }
  return changed;
}

std::string GuardText(const std::string& text, const Tokenizer& tokenizer, const std::string& mark) {
  std::string guarded;
  size_t done = 0;
  for (const size_t at : tokenizer.SpecialTextAt(text)) {
    const size_t inside = at + std::max(1, CharacterLength(std::string_view(text).substr(at)));
    guarded.append(text, done, inside - done).append(mark);
    done = inside;
  }
  return guarded.append(text, done);
}

ChatPrompt TakeOutMarks(std::string_view text, std::string_view mark) {
  ChatPrompt prompt;
  for (size_t at; (at = text.find(mark)) != text.npos; text.remove_prefix(at + mark.size())) {
    prompt.text += text.substr(0, at);
    prompt.breaks.push_back(prompt.text.size());
  }
  prompt.text += text;
  return prompt;
}

}  // namespace

void ChatPrompt::Cut(size_t end) {
  text.resize(std::min(end, text.size()));
  std::erase_if(breaks, [&](size_t at) { return at >= text.size(); });
}

std::vector<Token> ChatPrompt::Encode(const Tokenizer& tokenizer, bool add_special) const {
  return tokenizer.Encode(text, {.add_special = add_special, .parse_special = true, .breaks = breaks});
}

Result<ChatPrompt> RenderChat(const ChatTemplate& chat_template, const Tokenizer& tokenizer,
                              ChatInput input) {
  bool special = false;
  std::vector<bool> taken(kNoncharacters, false);
  const auto look = [&](const std::string& text) {
    special = special || !tokenizer.SpecialTextAt(text).empty();
    for (int i = 0; i < kNoncharacters; ++i) taken[i] = taken[i] || text.find(Noncharacter(i)) != text.npos;
  };
  for (const ordered_json* json : {&input.messages, &input.tools, &input.extra}) ForEachText(*json, look);
  if (!special) {
    QUIRE_ASSIGN(std::string text, chat_template.Render(input));
    return ChatPrompt{ReplaceInvalidUtf8(text), {}};
  }
  const auto free = std::ranges::find(taken, false);
  if (free == taken.end()) {
    return Fail(ErrorCode::kInvalidArgument,
                "the conversation has the text of a special token and all noncharacters U+FDD0 to U+FDEF; "
                "leave one of them out");
  }
  const std::string mark = Noncharacter(static_cast<int>(free - taken.begin()));
  const auto guard = [&](const std::string& text) { return GuardText(text, tokenizer, mark); };
  for (ordered_json* json : {&input.messages, &input.tools, &input.extra}) *json = ChangeTexts(*json, guard);
  QUIRE_ASSIGN(const std::string text, chat_template.Render(input));
  return TakeOutMarks(ReplaceInvalidUtf8(text), mark);
}

}  // namespace quire

#include "quire/text/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

namespace quire {
namespace {

using nlohmann::ordered_json;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

std::string ReadText(const fs::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::unique_ptr<ChatTemplate> MustParse(const std::string& source) {
  auto parsed = ChatTemplate::Parse(source, "<bos>", "<eos>");
  EXPECT_TRUE(parsed) << parsed.error().message;
  return parsed ? std::move(*parsed) : nullptr;
}

ChatInput InputOf(const ordered_json& test) {
  ChatInput input;
  input.messages = test.value("messages", ordered_json::array());
  input.tools = test.value("tools", ordered_json());
  input.add_generation_prompt = test.value("add_generation_prompt", true);
  input.extra = test.value("extra", ordered_json::object());
  return input;
}

ChatInput Hello() { return InputOf({{"messages", {{{"role", "user"}, {"content", "hello"}}}}}); }

// The error of rendering `source`; empty when it renders.
std::string RenderError(const std::string& source, const ChatInput& input = Hello()) {
  auto parsed = ChatTemplate::Parse(source, "<bos>", "<eos>");
  if (!parsed) return parsed.error().message;
  auto text = (*parsed)->Render(input);
  if (text) return "";
  EXPECT_EQ(text.error().code, ErrorCode::kInvalidArgument);
  return text.error().message;
}

struct Tally {
  int same = 0, lenient = 0;
  std::vector<std::string> different;
};

// Renders every case of one file that make_goldens.py wrote. "lenient": we render what jinja2 refuses.
void CompareGoldens(const fs::path& path, Tally& tally) {
  const ordered_json golden = ordered_json::parse(ReadText(path));
  const auto parsed = ChatTemplate::Parse(
      ReadText(path.parent_path() / golden["template"].get<std::string>()), "<bos>", "<eos>");
  int number = 0;
  for (const auto& test : golden["cases"]) {
    const std::string name = path.stem().string() + " case " + std::to_string(number++);
    const auto text =
        parsed ? (*parsed)->Render(InputOf(test)) : Result<std::string>(std::unexpected(parsed.error()));
    const bool refused = test["expect"].is_null();
    if (refused ? !text : text && ordered_json(*text) == test["expect"]) {
      ++tally.same;
    } else if (refused) {
      ++tally.lenient;
    } else {
      tally.different.push_back(name + ": got " + (text ? *text : text.error().message) + "\nwant " +
                                test["expect"].get<std::string>());
    }
  }
}

TEST(ChatTemplateTest, RendersAsJinja2Does) {
  Tally tally;
  for (const auto& entry : fs::directory_iterator(QUIRE_SOURCE_DIR "/quire/text/testdata/chat")) {
    if (entry.path().extension() == ".json") CompareGoldens(entry.path(), tally);
  }
  EXPECT_GE(tally.same, 70);
  EXPECT_THAT(tally.different, ::testing::IsEmpty());
  // An undefined value is more forgiving in this engine: messages[0].role of no messages at all.
  EXPECT_LE(tally.lenient, 3);
}

// tests/text/test_chat_templates.py makes goldens of published models' templates and runs this with them.
TEST(ChatTemplateTest, RendersGivenGoldens) {
  const char* folder = std::getenv("QUIRE_CHAT_GOLDENS");
  if (!folder) GTEST_SKIP() << "QUIRE_CHAT_GOLDENS names no folder of goldens";
  Tally tally;
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  for (const auto& file : files) CompareGoldens(file, tally);
  for (const auto& difference : tally.different) std::cout << "different: " << difference << "\n";
  std::cout << "goldens: same=" << tally.same << " lenient=" << tally.lenient
            << " different=" << tally.different.size() << "\n";
}

TEST(ChatTemplateTest, GivesTheTemplateWhatHuggingFaceGivesIt) {
  ChatInput input = Hello();
  input.extra = {{"mood", "calm"}, {"messages", "not these"}};
  EXPECT_EQ(
      *MustParse("{{ bos_token }}|{{ eos_token }}|{{ tools is none }}|{{ documents is none }}|{{ mood }}|"
                 "{{ messages[0].content }}|{{ add_generation_prompt }}|{{ nothing is defined }}")
           ->Render(input),
      "<bos>|<eos>|True|True|calm|hello|True|False");
}

TEST(ChatTemplateTest, KnowsTheDate) {
  auto year = MustParse("{{ strftime_now('%Y') }}")->Render(Hello());
  ASSERT_TRUE(year);
  EXPECT_GE(std::stoi(*year), 2024);
}

TEST(ChatTemplateTest, SaysWhatATemplateRaised) {
  EXPECT_EQ(RenderError("line one\n{{ raise_exception('roles must alternate') }}"),
            "the chat template refused the request: roles must alternate (line 2 of the template)");
}

TEST(ChatTemplateTest, RefusesWhatIsNotJinja) {
  for (const char* source :
       {"{% if %}", "{% for x in %}{% endfor %}", "{{ (1 }}", "{% nonsense %}", "{{ 'open }}",
        "{% if true %}", "{{", "{%", "{#", "{{ 99999999999999999999999 }}", "{{ \"\\", "{{ a[ }}"}) {
    EXPECT_NE(RenderError(source), "") << source;
  }
}

TEST(ChatTemplateTest, EveryPrefixOfATemplateIsHandled) {
  const std::string source = ReadText(QUIRE_SOURCE_DIR "/quire/text/testdata/chat/features.jinja");
  for (size_t length = 0; length < source.size(); length += 3) RenderError(source.substr(0, length));
}

TEST(ChatTemplateTest, BombsEndWithAnError) {
  auto repeat = [](const std::string& text, int times) {
    std::string all;
    for (int i = 0; i < times; ++i) all += text;
    return all;
  };
  const std::vector<std::pair<std::string, std::string>> bombs = {
      {"a huge range", "{% for i in range(1000000000) %}{% endfor %}"},
      {"loops in loops", repeat("{% for i in range(1000) %}", 5) + "x" + repeat("{% endfor %}", 5)},
      {"a repeated string", "{{ 'x' * 100000000000 }}"},
      {"doubling",
       "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}"},
      {"doubling a list",
       "{% set ns = namespace(s=[1]) %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}"},
      {"recursion without end", "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}"},
      {"a list in itself", "{% set a = [1] %}{% set b = a.append(a) %}{{ a }}"},
      {"an object in itself", "{% set ns = namespace() %}{% set ns.me = ns %}{{ ns | tojson }}"},
      {"shared parts",
       "{% set ns = namespace(s=[1]) %}{% for i in range(60) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}"
       "{{ ns.s | tojson }}"},
      {"shared tuples",
       "{% set ns = namespace(s=(1, 2)) %}{% for i in range(60) %}{% set ns.s = (ns.s, ns.s) %}{% endfor %}"
       "{{ ns.s == ns.s }}"},
      {"shared text", "{% set s = 'x' * 10000000 %}" + repeat("{{ s }}", 1000)},
      {"a growing replacement", "{{ ('a' * 1000000).replace('a', 'b' * 1000000) }}"},
      {"a replacement of nothing", "{{ ('a' * 1000000).replace('', 'b' * 1000000) }}"},
      {"an indentation", "{{ 'a\nb' | indent(100000000000) }}"},
      {"a negative indentation", "{{ 'a\nb' | indent(-1) }}"},
      {"a joint", "{{ range(10000) | join('x' * 1000000) }}"},
      {"a division by zero", "{{ 3 is divisibleby 0 }}"},
      {"parentheses", "{{ " + repeat("(", 100000) + "1" + repeat(")", 100000) + " }}"},
      {"a long sum", "{{ 1" + repeat("+1", 100000) + " }}"},
      {"nots", "{{ " + repeat("not ", 50000) + "1 }}"},
      {"nested ifs", repeat("{% if 1 %}", 10000) + repeat("{% endif %}", 10000)},
      {"nested sets", repeat("{% set a %}", 10000) + repeat("{% endset %}", 10000)},
      {"elifs", "{% if 0 %}" + repeat("{% elif 0 %}", 15000) + "{% endif %}"},
      {"a huge source", std::string(10'000'000, 'x')},
  };
  for (const auto& [name, source] : bombs) EXPECT_NE(RenderError(source), "") << name;
}

TEST(ChatTemplateTest, ValuesNestAsDeeplyAsAModelNeeds) {
  const std::string nest = "{% set ns.s = [ns.s] %}{% endfor %}";
  EXPECT_EQ(RenderError("{% set ns = namespace(s=[]) %}{% for i in range(900) %}" + nest), "");
  EXPECT_THAT(RenderError("{% set ns = namespace(s=[]) %}{% for i in range(1100) %}" + nest),
              HasSubstr("nests values too deeply"));
  // A chain that grows at its end.
  EXPECT_EQ(
      RenderError("{% set a = [] %}{% set ns = namespace(end=a) %}{% for i in range(5000) %}{% set b = [] %}"
                  "{% set c = ns.end.append(b) %}{% set ns.end = b %}{% endfor %}"),
      "");
}

TEST(ChatTemplateTest, RefusesDeepMessages) {
  ChatInput input = Hello();
  for (int i = 0; i < 1000; ++i) input.extra = {{"deeper", input.extra}};
  EXPECT_THAT(RenderError("{{ messages }}", input), HasSubstr("nest deeper than 100"));
}

TEST(ChatTemplateTest, LongConversationsFitTheBudget) {
  const auto chat = MustParse(ReadText(QUIRE_SOURCE_DIR "/quire/text/testdata/chat/thinking.jinja"));
  ChatInput input;
  for (int i = 0; i < 2000; ++i) {
    input.messages.push_back({{"role", i % 2 ? "assistant" : "user"}, {"content", std::string(200, 'x')}});
  }
  input.messages.push_back({{"role", "user"}, {"content", std::string(4'000'000, 'y')}});
  auto text = chat->Render(input);
  ASSERT_TRUE(text) << text.error().message;
  EXPECT_GT(text->size(), 4'400'000u);
}

TEST(ChatTemplateTest, HostileTextIsHandledInLinearTime) {
  const auto chat = MustParse(ReadText(QUIRE_SOURCE_DIR "/quire/text/testdata/chat/thinking.jinja"));
  std::string content;
  for (int i = 0; i < 200'000; ++i) content += "</think>";
  ChatInput input;
  input.messages = {{{"role", "assistant"}, {"content", content}}};
  auto text = chat->Render(input);
  ASSERT_TRUE(text) << text.error().message;
  EXPECT_LT(text->size(), 100u);
}

TEST(ChatTemplateTest, ThreadsShareOneTemplate) {
  const auto chat = MustParse("{% for m in messages %}{{ m.content }};{% endfor %}");
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      ChatInput input;
      input.messages = ordered_json::array({{{"role", "user"}, {"content", std::to_string(t)}}});
      for (int i = 0; i < 50; ++i) EXPECT_EQ(*chat->Render(input), std::to_string(t) + ";");
    });
  }
  for (auto& thread : threads) thread.join();
}

}  // namespace
}  // namespace quire

#include "quire/cli/flags.h"

#include <gmock/gmock.h>

#include <map>

namespace quire {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

struct Values {
  bool on = false;
  int small = 7;
  int64_t large = 0;
  double share = 0.5;
  std::string text = "old", model;
  ByteSize size;
  std::chrono::milliseconds time{1500};
  std::optional<int64_t> limit = 512;
  std::optional<uint64_t> seed;
  std::vector<std::string> texts;
  std::vector<int64_t> numbers{1, 2};

  Flags MakeFlags() {
    Flags flags("verb", "MODEL [flags]", "Does it.");
    flags.Add({"MODEL", &model, "", "what", {}, true});
    flags.Add({"-o,--on", &on, "", "switch"});
    flags.Add({"--small", &small, "N", "number", {.min = 0, .max = 10}, false, "--tiny"});
    flags.Add({"--large-number", &large, "N", "number"});
    flags.Add({"--share", &share, "P", "share", {.min = 0, .max = 1}});
    flags.Add({"--text", &text, "TEXT", "text", {.choices = {"old", "new"}}});
    flags.Add({"--size", &size, "SIZE", "size"});
    flags.Add({"--time", &time, "S", "time", {.min = 0}});
    flags.Add({"-n,--limit", &limit, "N", "limit"});
    flags.Add({"--seed", &seed, "N", "seed"});
    flags.Add({"--texts", &texts, "TEXT", "texts"});
    flags.Add({"--numbers", &numbers, "N,...", "numbers"});
    return flags;
  }
};

Environment Variables(std::map<std::string, std::string> variables) {
  return [variables](const std::string& name) -> std::optional<std::string> {
    const auto it = variables.find(name);
    return it == variables.end() ? std::nullopt : std::optional(it->second);
  };
}

const Environment kNone = Variables({});

std::string ErrorOf(const std::vector<std::string>& arguments, const Environment& environment = kNone) {
  Values values;
  Flags flags = values.MakeFlags();
  auto parsed = flags.Parse(arguments, environment);
  if (parsed) parsed = flags.CheckRequired();
  return parsed ? "" : parsed.error().message;
}

TEST(FlagsTest, SetsEveryKindOfValue) {
  Values v;
  Flags flags = v.MakeFlags();
  const auto parsed = flags.Parse({"m",
                                   "--on",
                                   "--small=3",
                                   "--large-number",
                                   "-5",
                                   "--share",
                                   "0.25",
                                   "--text",
                                   "new",
                                   "--size",
                                   "2KiB",
                                   "--time",
                                   "0.25",
                                   "-n",
                                   "9",
                                   "--seed",
                                   "18446744073709551615",
                                   "--texts",
                                   "a b",
                                   "--texts",
                                   "c",
                                   "--numbers",
                                   "4,5",
                                   "--numbers",
                                   "6"},
                                  kNone);
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(v.model, "m");
  EXPECT_TRUE(v.on);
  EXPECT_EQ(v.small, 3);
  EXPECT_EQ(v.large, -5);
  EXPECT_EQ(v.share, 0.25);
  EXPECT_EQ(v.text, "new");
  EXPECT_EQ(v.size.bytes, 2048u);
  EXPECT_EQ(v.time.count(), 250);
  EXPECT_EQ(v.limit, 9);
  EXPECT_EQ(v.seed, UINT64_MAX);
  EXPECT_THAT(v.texts, ElementsAre("a b", "c"));
  EXPECT_THAT(v.numbers, ElementsAre(4, 5, 6));
}

TEST(FlagsTest, TimesHaveUnits) {
  for (const auto& [text, ms] : {std::pair("2", 2000), {"0.2s", 200}, {"30ms", 30}, {"1500ms", 1500}}) {
    Values v;
    Flags flags = v.MakeFlags();
    ASSERT_TRUE(flags.Parse({"m", "--time", text}, kNone)) << text;
    EXPECT_EQ(v.time.count(), ms) << text;
  }
  for (const char* wrong : {"ms", "s", "-3ms", "3 ms", "3us", "nans"}) {
    EXPECT_THAT(ErrorOf({"m", "--time", wrong}), HasSubstr("is not a number of 0 or more")) << wrong;
  }
}

TEST(FlagsTest, KeepsDefaults) {
  Values v;
  Flags flags = v.MakeFlags();
  ASSERT_TRUE(flags.Parse({"m"}, kNone));
  EXPECT_EQ(v.small, 7);
  EXPECT_EQ(v.limit, 512);
  EXPECT_FALSE(v.seed);
  EXPECT_THAT(v.numbers, ElementsAre(1, 2));
}

TEST(FlagsTest, ListsDoNotSwallowWhatFollows) {
  Values v;
  Flags flags = v.MakeFlags();
  ASSERT_TRUE(flags.Parse({"--numbers", "4", "m"}, kNone));
  EXPECT_THAT(v.numbers, ElementsAre(4));
  EXPECT_EQ(v.model, "m");
}

TEST(FlagsTest, FlagOverEnvironmentOverFile) {
  const Environment environment =
      Variables({{"QUIRE_SMALL", "2"}, {"QUIRE_LARGE_NUMBER", "20"}, {"QUIRE_MODEL", "e"}});
  const ConfigSection file = {{"small", {"1"}},      {"large-number", {"10"}}, {"share", {"0.1"}},
                              {"texts", {"x", "y"}}, {"on", {"true"}},         {"model", {"f"}}};
  Values v;
  Flags flags = v.MakeFlags();
  ASSERT_TRUE(flags.Parse({"--small", "3"}, environment));
  ASSERT_TRUE(flags.ApplyConfig(file, "q.toml"));
  EXPECT_TRUE(flags.CheckRequired());
  EXPECT_EQ(v.small, 3);
  EXPECT_EQ(v.large, 20);
  EXPECT_EQ(v.share, 0.1);
  EXPECT_EQ(v.model, "e");
  EXPECT_TRUE(v.on);
  EXPECT_THAT(v.texts, ElementsAre("x", "y"));
}

TEST(FlagsTest, SwitchesCanBeTurnedOff) {
  for (const auto& [environment, expected] : {std::pair(Variables({{"QUIRE_ON", "1"}}), true),
                                              std::pair(Variables({{"QUIRE_ON", "off"}}), false)}) {
    Values v;
    Flags flags = v.MakeFlags();
    ASSERT_TRUE(flags.Parse({"m"}, environment));
    EXPECT_EQ(v.on, expected);
  }
  Values v;
  Flags flags = v.MakeFlags();
  ASSERT_TRUE(flags.Parse({"m", "--on=false"}, Variables({{"QUIRE_ON", "true"}})));
  EXPECT_FALSE(v.on);
}

TEST(FlagsTest, ErrorsNameTheSource) {
  EXPECT_THAT(ErrorOf({"m", "--small", "11"}), HasSubstr("--small: '11' is not a whole number from 0 to 10"));
  EXPECT_THAT(ErrorOf({"m", "--tiny", "x"}), HasSubstr("--small: 'x'"));
  EXPECT_THAT(ErrorOf({"m"}, Variables({{"QUIRE_SHARE", "2"}})),
              HasSubstr("QUIRE_SHARE: '2' is not a number from 0 to 1"));
  EXPECT_THAT(ErrorOf({"m", "--share", "nan"}), HasSubstr("'nan'"));
  EXPECT_THAT(ErrorOf({"m", "--text", "odd"}), HasSubstr("'odd' is not one of old, new"));
  EXPECT_THAT(ErrorOf({"m", "--size", "50%"}), HasSubstr("'50%' is not a size"));
  EXPECT_THAT(ErrorOf({"m", "--time", "-1"}), HasSubstr("of 0 or more"));
  EXPECT_THAT(ErrorOf({"m", "--numbers", "1,,2"}), HasSubstr("''"));
  EXPECT_THAT(ErrorOf({"m", "--on=perhaps"}), HasSubstr("perhaps"));
  EXPECT_THAT(ErrorOf({}), HasSubstr("MODEL is missing"));
  EXPECT_THAT(ErrorOf({"m", "--smal", "3"}), HasSubstr("'--smal' is nothing that quire verb takes"));
  EXPECT_THAT(ErrorOf({"m", "extra"}), HasSubstr("'extra'"));
  EXPECT_THAT(ErrorOf({"m", "--small"}), HasSubstr("--small"));
}

TEST(FlagsTest, HelpShowsNamesDefaultsAndNotes) {
  Values v;
  Flags flags = v.MakeFlags();
  flags.AddNote("A note.");
  const std::string help = flags.Help();
  EXPECT_THAT(help, HasSubstr("usage: quire verb MODEL [flags]\nDoes it.\n"));
  EXPECT_THAT(help, HasSubstr("  -n, --limit N                limit [512]\n"));
  EXPECT_THAT(help, HasSubstr("  --time S                     time [1.5]\n"));
  EXPECT_THAT(help, HasSubstr("  --seed N                     seed\n"));
  EXPECT_THAT(help, HasSubstr("A note.\n"));
  EXPECT_THAT(help, testing::Not(HasSubstr("--tiny")));
}

TEST(FlagsTest, HelpIsWantedWhateverElseThereIs) {
  Values v;
  Flags flags = v.MakeFlags();
  EXPECT_TRUE(flags.Parse({"--help", "--nonsense"}, kNone));
  EXPECT_TRUE(flags.help_wanted());
}

TEST(FlagsTest, ConfigKeysAreTheLongNames) {
  Values v;
  EXPECT_THAT(v.MakeFlags().ConfigKeys(), testing::IsSupersetOf({"model", "on", "limit", "large-number"}));
}

}  // namespace
}  // namespace quire

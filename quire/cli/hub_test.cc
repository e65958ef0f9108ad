#include "quire/cli/hub.h"

#include <gmock/gmock.h>

namespace quire {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<HubFile> Files(const std::vector<std::string>& paths) {
  std::vector<HubFile> files;
  for (const std::string& path : paths) files.push_back({path, 1, std::nullopt});
  return files;
}

// The paths chosen, or the message.
std::vector<std::string> Choose(const std::string& name, const std::vector<std::string>& paths) {
  const auto chosen = ChooseFiles(ParseHubName(name).value(), Files(paths));
  if (!chosen) return {chosen.error().message};
  std::vector<std::string> result;
  for (const HubFile& file : *chosen) result.push_back(file.path);
  return result;
}

TEST(HubNameTest, Splits) {
  const HubName tagged = ParseHubName("org/repo:Q4_K_M").value();
  EXPECT_EQ(tagged.repository, "org/repo");
  EXPECT_EQ(tagged.tag, "Q4_K_M");
  const HubName file = ParseHubName("org/repo/sub/file.gguf").value();
  EXPECT_EQ(file.repository, "org/repo");
  EXPECT_EQ(file.file, "sub/file.gguf");
}

TEST(HubNameTest, RefusesWhatWouldLeaveTheCache) {
  for (const char* name : {"", "one", "/org/repo", "org/", "org/../x", "../org/repo", "org/repo/.hidden",
                           "org//repo", "org/repo:", "org/repo/file.gguf:Q4", "org\\repo/x"}) {
    EXPECT_FALSE(ParseHubName(name)) << name;
  }
}

TEST(ChooseFilesTest, TakesTheOnlyOneOrTheUsualOne) {
  EXPECT_THAT(Choose("o/r", {"README.md", "m.gguf"}), ElementsAre("m.gguf"));
  EXPECT_THAT(Choose("o/r", {"m-Q8_0.gguf", "m-q4_k_m.gguf"}), ElementsAre("m-q4_k_m.gguf"));
  EXPECT_THAT(Choose("o/r", {"m-Q8_0.gguf", "m-Q6_K.gguf"}), ElementsAre(HasSubstr("several models")));
  EXPECT_THAT(Choose("o/r", {"m.gguf", "mmproj-m.gguf"}), ElementsAre("m.gguf"));
}

TEST(ChooseFilesTest, TagsMatchWholeWords) {
  EXPECT_THAT(Choose("o/r:Q4_K", {"m-Q4_K_M.gguf", "m-Q4_K.gguf"}), ElementsAre("m-Q4_K.gguf"));
  EXPECT_THAT(Choose("o/r:Q4_0", {"m.Q4_0.gguf", "m.Q4_0_4_4.gguf"}), ElementsAre("m.Q4_0.gguf"));
  EXPECT_THAT(Choose("o/r:Q2_K", {"m-Q8_0.gguf"}), ElementsAre(HasSubstr("m-Q8_0.gguf")));
}

TEST(ChooseFilesTest, TakesAllPartsOrNone) {
  const std::vector<std::string> parts = {"q/m-00002-of-00002.gguf", "q/m-00001-of-00002.gguf"};
  EXPECT_THAT(Choose("o/r", parts), ElementsAre("q/m-00001-of-00002.gguf", "q/m-00002-of-00002.gguf"));
  EXPECT_THAT(Choose("o/r", {parts[1]}), ElementsAre(HasSubstr("lacks q/m-00002-of-00002.gguf")));
}

TEST(ChooseFilesTest, TakesSafetensorsWithTheirFiles) {
  EXPECT_THAT(
      Choose("o/r", {"config.json", "model.safetensors", "consolidated.safetensors", "x/model.safetensors"}),
      ElementsAre("config.json", "model.safetensors"));
  EXPECT_THAT(Choose("o/r", {"config.json", "weights.safetensors"}),
              ElementsAre("config.json", "weights.safetensors"));
  EXPECT_THAT(Choose("o/r", {"model.safetensors"}), ElementsAre(HasSubstr("neither")));
}

TEST(HubTest, AddressesFiles) {
  const Hub hub{.endpoint = "https://hub", .revision = "v 1", .token = "t"};
  EXPECT_EQ(hub.FileUrl("o/r", "a b.gguf").value().Text(), "https://hub/o/r/resolve/v%201/a%20b.gguf");
  EXPECT_THAT(hub.Headers(), ElementsAre(testing::Pair("Authorization", "Bearer t")));
}

}  // namespace
}  // namespace quire

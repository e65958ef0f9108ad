#include "quire/cli/model_path.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace quire {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class ModelPathTest : public testing::Test {
 protected:
  void SetUp() override {
    cache_ = fs::temp_directory_path() / fmt::format("quire_model_path_{}", getpid());
    fs::remove_all(cache_);
    fs::create_directories(cache_);
  }
  void TearDown() override { fs::remove_all(cache_); }

  void Make(const std::string& name) {
    fs::create_directories((cache_ / name).parent_path());
    std::ofstream(cache_ / name) << "12345";
  }
  // The path inside the cache, or the message.
  std::string Resolve(const std::string& model) const {
    const auto path = ResolveModel(model, cache_.string());
    return path ? fs::relative(*path, cache_).string() : path.error().message;
  }

  fs::path cache_;
};

TEST_F(ModelPathTest, PathsComeFirst) {
  Make("x.gguf");
  const std::string path = (cache_ / "x.gguf").string();
  EXPECT_EQ(ResolveModel(path, "/nowhere").value(), path);
  EXPECT_EQ(ResolveModel(cache_.string(), "/nowhere").value(), path);
}

TEST_F(ModelPathTest, NamesOfPulledModels) {
  Make("smollm2/S.Q4_1.gguf");
  Make("o/r/m-Q4_K_M.gguf");
  Make("o/r/m-Q8_0.gguf");
  Make("o/st/config.json");
  Make("o/st/model.safetensors");
  Make("plain.gguf");
  EXPECT_EQ(Resolve("smollm2"), "smollm2/S.Q4_1.gguf");
  EXPECT_EQ(Resolve("o/r:q8_0"), "o/r/m-Q8_0.gguf");
  EXPECT_EQ(Resolve("o/r/m-Q4_K_M.gguf"), "o/r/m-Q4_K_M.gguf");
  EXPECT_EQ(Resolve("o/st"), "o/st");
  EXPECT_EQ(Resolve("plain"), "plain.gguf");
  EXPECT_THAT(Resolve("o/r"), HasSubstr("name one of m-Q4_K_M.gguf, m-Q8_0.gguf"));
  EXPECT_THAT(Resolve("o/r:Q2_K"), HasSubstr("there is no model 'o/r:Q2_K'"));
  EXPECT_THAT(Resolve("o"), HasSubstr("smollm2/S.Q4_1.gguf"));
}

TEST_F(ModelPathTest, NothingOutsideTheCache) {
  Make("a/x.gguf");
  for (const char* name : {"../x", "a/../a", "", "./a", "a/..", "/a/x.gguf"}) {
    EXPECT_THAT(Resolve(name), HasSubstr("there is no model")) << name;
  }
}

TEST_F(ModelPathTest, ListsWhatIsComplete) {
  Make("o/r/big-00001-of-00002.gguf");
  Make("o/r/big-00002-of-00002.gguf");
  Make("o/r/half.gguf.part");
  Make(".packages/.cache/models/x.gguf");
  Make("o/st/config.json");
  Make("o/st/model.safetensors");
  const auto models = PulledModels(cache_.string());
  ASSERT_EQ(models.size(), 2u);
  EXPECT_EQ(models[0].name, "o/r/big-00001-of-00002.gguf");
  EXPECT_EQ(models[0].bytes, 10u);
  EXPECT_EQ(models[1].name, "o/st");
  EXPECT_TRUE(PulledModels("/nowhere").empty());
}

}  // namespace
}  // namespace quire

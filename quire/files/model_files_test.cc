#include "quire/files/model_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "quire/files/gguf_bytes.h"

namespace quire {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// Each test has a folder of its own, which goes away with it.
class ModelFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "quire_files_XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string Write(const std::string& name, const std::string& bytes) const {
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
    return (folder_ / name).string();
  }
  std::string Folder() const { return folder_.string(); }
  std::string Message(const std::string& path) const {
    const auto opened = ModelFiles::Open(path);
    return opened ? "opened" : opened.error().message;
  }

  fs::path folder_;
};

std::string OneTensor(const std::string& name, char fill = 'd') {
  return GgufBytes()
      .String("general.architecture", "llama")
      .Tensor(name, {4}, 0, std::string(16, fill))
      .Bytes();
}

std::string Part(uint32_t number, uint32_t count, const std::string& tensor, uint32_t all_tensors = 2) {
  GgufBytes file;
  file.Key("split.no", GgufBytes::kU16, GgufBytes::Number(static_cast<uint16_t>(number)));
  file.Key("split.count", GgufBytes::kU16, GgufBytes::Number(static_cast<uint16_t>(count)));
  file.Key("split.tensors.count", GgufBytes::kI32, GgufBytes::Number(all_tensors));
  file.Tensor(tensor, {4}, 0, std::string(16, tensor[0]));
  return file.Bytes();
}

std::string Safetensors(const std::string& name, char fill = 'd') {
  const std::string header = R"({")" + name + R"(":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}})";
  return GgufBytes::Text(header) + std::string(16, fill);
}

TEST_F(ModelFilesTest, OpensAGgufFile) {
  const std::string path = Write("m.gguf", OneTensor("w"));
  const auto files = ModelFiles::Open(path);
  ASSERT_TRUE(files) << files.error().message;
  EXPECT_EQ((*files)->format(), ModelFiles::Format::kGguf);
  EXPECT_EQ((*files)->path(), path);
  EXPECT_EQ((*files)->gguf().String("general.architecture")->value(), "llama");
  EXPECT_THAT((*files)->TensorNames(), ElementsAre("w"));
  ASSERT_NE((*files)->Find("w"), nullptr);
  EXPECT_EQ((*files)->Find("x"), nullptr);
  EXPECT_TRUE((*files)->Json("config.json")->is_null());
  EXPECT_EQ((*files)->Text("chat_template.jinja").error().code, ErrorCode::kNotFound);
  (*files)->Release(*(*files)->Find("w"));
  EXPECT_EQ((*files)->Find("w")->data.front(), std::byte{'d'});
}

TEST_F(ModelFilesTest, AFolderOfOneGgufIsThatFile) {
  Write("README.md", "x");
  fs::create_symlink(Write("blob", OneTensor("w")), folder_ / "m.gguf");
  const auto files = ModelFiles::Open(Folder());
  ASSERT_TRUE(files) << files.error().message;
  EXPECT_THAT((*files)->path(), EndsWith("/m.gguf"));
  Write("n.gguf", OneTensor("w"));
  EXPECT_THAT(Message(Folder()),
              HasSubstr("the folder has 2 GGUF models (m.gguf, n.gguf ...), name the file to open"));
}

TEST_F(ModelFilesTest, OpensAllPartsOfASplitGguf) {
  const std::string first = Write("m-00001-of-00002.gguf", Part(0, 2, "a"));
  const std::string second = Write("m-00002-of-00002.gguf", Part(1, 2, "b"));
  for (const std::string& path : {first, Folder()}) {
    const auto files = ModelFiles::Open(path);
    ASSERT_TRUE(files) << files.error().message;
    EXPECT_THAT((*files)->TensorNames(), ElementsAre("a", "b"));
    EXPECT_EQ((*files)->Find("b")->data.front(), std::byte{'b'});
    (*files)->Release(*(*files)->Find("b"));
    EXPECT_EQ((*files)->Find("b")->data.back(), std::byte{'b'});
  }
  EXPECT_THAT(Message(second), AllOf(HasSubstr("this is part 2 of 2; open the first part"), EndsWith(first)));
}

TEST_F(ModelFilesTest, SplitPartsMustBelongTogether) {
  const std::string first = Write("m-00001-of-00002.gguf", Part(0, 2, "a"));
  EXPECT_THAT(Message(first),
              HasSubstr("m-00002-of-00002.gguf: part 2 of 2 is missing, expected it next to"));
  Write("m-00002-of-00002.gguf", Part(0, 2, "b"));
  EXPECT_THAT(Message(first), HasSubstr("split.no and split.count are 0 and 2, expected 1 and 2"));
  Write("m-00002-of-00002.gguf", OneTensor("b"));
  EXPECT_THAT(Message(first), HasSubstr("split.no and split.count are -1 and -1, expected 1 and 2"));
  Write("m-00002-of-00002.gguf", Part(1, 2, "a"));
  EXPECT_THAT(Message(first), HasSubstr("tensor 'a' is in an earlier part too"));
  Write("m-00002-of-00002.gguf", "GG");
  EXPECT_THAT(Message(first), HasSubstr("m-00002-of-00002.gguf: the magic number"));
  Write("m-00002-of-00002.gguf", Part(1, 2, "b"));
  Write("m-00001-of-00002.gguf", Part(0, 2, "a", 3));
  EXPECT_THAT(Message(first), HasSubstr("split.tensors.count is 3, but all 2 parts together have 2 tensors"));
  EXPECT_THAT(Message(Write("other.gguf", Part(0, 2, "a"))),
              HasSubstr("a file name that ends in -00001-of-00002.gguf"));
  EXPECT_THAT(Message(Write("m-00001-of-00003.gguf", Part(0, 2, "a"))),
              HasSubstr("a file name that ends in"));
}

TEST_F(ModelFilesTest, OpensASafetensorsFolder) {
  Write("config.json", R"({"model_type": "llama"})");
  Write("chat_template.jinja", "{{ x }}");
  Write("model.safetensors", Safetensors("w", 'm'));
  Write("consolidated.safetensors", Safetensors("w", 'c'));
  const auto files = ModelFiles::Open(Folder());
  ASSERT_TRUE(files) << files.error().message;
  EXPECT_EQ((*files)->format(), ModelFiles::Format::kSafetensors);
  EXPECT_EQ((*files)->Find("w")->data.front(), std::byte{'m'});
  EXPECT_TRUE((*files)->gguf().values().empty());
  EXPECT_EQ((*(*files)->Json("config.json"))["model_type"], "llama");
  EXPECT_TRUE((*files)->Json("tokenizer.json")->is_null());
  EXPECT_TRUE((*files)->Json("../config.json")->is_null());
  EXPECT_EQ(*(*files)->Text("chat_template.jinja"), "{{ x }}");
  EXPECT_EQ((*files)->Text("absent").error().code, ErrorCode::kNotFound);
  Write("tokenizer.json", "{");
  EXPECT_THAT((*files)->Json("tokenizer.json").error().message,
              HasSubstr("tokenizer.json: not valid JSON at byte"));
  (*files)->Release(*(*files)->Find("w"));
  EXPECT_EQ((*files)->Find("w")->data.front(), std::byte{'m'});
}

TEST_F(ModelFilesTest, OpensShardsWithAndWithoutIndex) {
  Write("config.json", "{}");
  Write("model-00001-of-00002.safetensors", Safetensors("a", 'a'));
  Write("model-00002-of-00002.safetensors", Safetensors("b", 'b'));
  const auto plain = ModelFiles::Open(Folder());
  ASSERT_TRUE(plain) << plain.error().message;
  EXPECT_THAT((*plain)->TensorNames(), ElementsAre("a", "b"));

  Write("extra.safetensors", Safetensors("a", 'x'));
  EXPECT_THAT(Message(Folder()), HasSubstr("tensor 'a' is in extra.safetensors too, expected it once"));
  Write("model.safetensors.index.json", R"({"metadata": {}, "weight_map": {
      "a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}})");
  const auto indexed = ModelFiles::Open(Folder());
  ASSERT_TRUE(indexed) << indexed.error().message;
  EXPECT_EQ((*indexed)->Find("a")->data.front(), std::byte{'a'});
  EXPECT_EQ((*indexed)->Find("b")->data.front(), std::byte{'b'});
}

TEST_F(ModelFilesTest, AnIndexStaysInItsFolder) {
  Write("config.json", "{}");
  Write("s.safetensors", Safetensors("a"));
  const auto with_map = [&](const std::string& weight_map) {
    Write("model.safetensors.index.json", R"({"weight_map": )" + weight_map + "}");
    return Message(Folder());
  };
  for (const std::string name : {"../s.safetensors", "/etc/s.safetensors", "a/s.safetensors", "..", "",
                                 "s.bin", "..\\\\s.safetensors", "s\\u0000.safetensors"}) {
    EXPECT_THAT(with_map(R"({"a": ")" + name + R"("})"), HasSubstr("weight_map of tensor 'a': it is '"))
        << name;
  }
  EXPECT_THAT(with_map(R"({"a": 7})"), HasSubstr("it is no text, expected the name of a .safetensors file"));
  EXPECT_THAT(with_map("[]"), HasSubstr("weight_map: expected an object from tensor names to file names"));
  EXPECT_THAT(with_map(R"({"b": "s.safetensors"})"),
              HasSubstr("'b': expected it in 's.safetensors', but that file"));
  EXPECT_THAT(with_map(R"({"a": "gone.safetensors"})"), HasSubstr("gone.safetensors: no such file"));
  EXPECT_EQ(with_map(R"({"a": "s.safetensors"})"), "opened");
  Write("model.safetensors.index.json", "[]");
  EXPECT_THAT(Message(Folder()), HasSubstr("weight_map: expected an object"));
}

TEST_F(ModelFilesTest, SaysWhatIsMissing) {
  EXPECT_THAT(Message(Folder()), AllOf(StartsWith(Folder()), HasSubstr("the folder has no model in it")));
  EXPECT_THAT(Message(Folder() + "/gone.gguf"), EndsWith("gone.gguf: no such file"));
  const std::string shard = Write("model.safetensors", Safetensors("a"));
  EXPECT_THAT(Message(shard), HasSubstr("name the folder that holds the file"));
  EXPECT_THAT(Message(Folder()), HasSubstr("no config.json, expected both"));
  EXPECT_THAT(Message("/dev/null"), HasSubstr("not a regular file"));
}

TEST(ModelFiles, OpensTheRealModels) {
  const char* folder = std::getenv("QUIRE_MODELS");
  if (folder == nullptr) GTEST_SKIP() << "set QUIRE_MODELS to the folder of the real models";
  const auto files = ModelFiles::Open(std::string(folder) + "/SmolLM2-135M-Instruct.Q4_1.gguf");
  if (!files && files.error().code == ErrorCode::kNotFound) GTEST_SKIP() << files.error().message;
  ASSERT_TRUE(files) << files.error().message;
  EXPECT_EQ((*files)->TensorNames().size(), 272u);
}

}  // namespace
}  // namespace quire

#include "quire/tiers/record_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

namespace quire {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class RecordFolderTest : public testing::TestWithParam<std::string> {
 protected:
  RecordFolderTest()
      : path_(std::filesystem::temp_directory_path() / fmt::format("quire_records_{}", getpid())) {
    std::filesystem::remove_all(path_);
  }
  ~RecordFolderTest() override { std::filesystem::remove_all(path_); }
  RecordFolder Open(std::string_view format = "f") const { return {path_, format, GetParam()}; }
  std::string Bytes(const std::string& file) const {
    std::ifstream stream(path_ / file, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  void SetBytes(const std::string& file, const std::string& bytes) const {
    std::ofstream(path_ / file, std::ios::binary) << bytes;
  }

  const std::filesystem::path path_;
};

TEST_P(RecordFolderTest, WhatIsWrittenIsReadByTheNext) {
  EXPECT_THAT(Open().Names(), IsEmpty());
  EXPECT_FALSE(Open().Read("a").has_value());
  ASSERT_TRUE(Open().Write("b", "second").has_value());
  ASSERT_TRUE(Open().Write("a", "first").has_value());
  ASSERT_TRUE(Open().Write("a", std::string(100'000, 'x')).has_value());
  EXPECT_THAT(Open().Names(), ElementsAre("a", "b"));
  EXPECT_EQ(Open().Read("a"), std::string(100'000, 'x'));
  EXPECT_EQ(Open().Read("b"), "second");
  Open().Remove("a");
  Open().Remove("never");
  EXPECT_THAT(Open().Names(), ElementsAre("b"));
}

TEST_P(RecordFolderTest, WhatIsNotWhatWasWrittenIsAbsent) {
  ASSERT_TRUE(Open().Write("a", "a record that somebody counts on").has_value());
  const std::string good = Bytes("a.record");
  EXPECT_EQ(good.find("counts on") == std::string::npos, !GetParam().empty()) << "encrypted with a secret";
  for (size_t at = 0; at < good.size(); at += 7) {
    // Of a trailer a checksum takes the first 16 bytes, tag and nonce take 28.
    if (at >= good.size() - 32 + (GetParam().empty() ? 16 : 28)) break;
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 1);
    SetBytes("a.record", bad);
    EXPECT_FALSE(Open().Read("a").has_value()) << at;
    SetBytes("a.record", good.substr(0, at));
    EXPECT_FALSE(Open().Read("a").has_value()) << at;
  }
  SetBytes("b.record", good);
  EXPECT_FALSE(Open().Read("b").has_value()) << "under another name";
  SetBytes("a.record", good);
  EXPECT_FALSE(Open("g").Read("a").has_value()) << "of another format";
  EXPECT_TRUE(Open().Read("a").has_value());
}

TEST_P(RecordFolderTest, OtherFilesAreNoRecords) {
  ASSERT_TRUE(Open().Write("a", "").has_value());
  for (const char* name : {"x.draft", "..record", ".record", "no such name.record", "readme"})
    SetBytes(name, "x");
  EXPECT_THAT(Open().Names(), ElementsAre("a"));
  EXPECT_EQ(Open().Read("a"), "");
}

TEST_P(RecordFolderTest, ARefusalSaysWhereAndLeavesTheOldOne) {
  std::ofstream(path_) << "a file in the way";
  const Status refused = Open().Write("a", "x");
  ASSERT_FALSE(refused.has_value());
  EXPECT_THAT(refused.error().message, HasSubstr("a.record"));
  EXPECT_THAT(Open().Names(), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Secrets, RecordFolderTest, testing::Values("", std::string(32, 's')),
                         [](const auto& info) { return info.param.empty() ? "plain" : "encrypted"; });

}  // namespace
}  // namespace quire

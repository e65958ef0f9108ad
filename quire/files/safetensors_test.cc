#include "quire/files/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "quire/files/allocation_count.h"

namespace quire {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string File(const std::string& header, const std::string& data, int64_t claimed_length = -1) {
  const uint64_t length = claimed_length < 0 ? header.size() : static_cast<uint64_t>(claimed_length);
  return std::string(reinterpret_cast<const char*>(&length), sizeof(length)) + header + data;
}

// A file and what was parsed from it; the copy has exactly the file's size, so sanitizers see reads behind
// it.
struct Parsed {
  std::vector<char> bytes;
  Result<SafetensorsFile> file;
};

Parsed Parse(const std::string& text) {
  Parsed parsed{{text.begin(), text.end()}, SafetensorsFile()};
  const size_t before = AllocatedBytes();
  parsed.file = SafetensorsFile::Parse(std::as_bytes(std::span(parsed.bytes)), "m.safetensors");
  EXPECT_LT(AllocatedBytes() - before, size_t{1} << 20);
  if (!parsed.file) {
    EXPECT_THAT(parsed.file.error().message, StartsWith("m.safetensors: "));
    EXPECT_EQ(parsed.file.error().message.find_first_of("\n\r\t"), std::string::npos);
    return parsed;
  }
  for (const auto& [name, view] : parsed.file->tensors) {
    EXPECT_EQ(view.data.size(), static_cast<size_t>(view.rows()) * view.row_bytes());
    EXPECT_EQ(reinterpret_cast<uintptr_t>(view.data.data()) % Info(view.type).block_bytes, 0u);
    for (const std::byte byte : view.data) static_cast<void>(std::to_integer<volatile int>(byte));
  }
  return parsed;
}

std::string Padded(std::string header) {
  header.resize((header.size() + 7) / 8 * 8, ' ');
  return header;
}

const std::string kHeader = Padded(
    R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
    R"("b":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]},"c":{"dtype":"F16","shape":[],"data_offsets":[32,34]}})");
const std::string kData = std::string(24, 'a') + std::string(8, 'b') + "cc";

TEST(Safetensors, TensorsAreViewsOfTheFile) {
  const Parsed parsed = Parse(File(kHeader, kData));
  ASSERT_TRUE(parsed.file) << parsed.file.error().message;
  const auto& tensors = parsed.file->tensors;
  ASSERT_EQ(tensors.size(), 3u);
  EXPECT_EQ(tensors.at("a").type, DType::kF32);
  EXPECT_EQ(tensors.at("a").rows(), 2);
  EXPECT_EQ(tensors.at("a").cols(), 3);
  EXPECT_EQ(tensors.at("b").type, DType::kBF16);
  EXPECT_EQ(tensors.at("b").data.front(), std::byte{'b'});
  EXPECT_EQ(tensors.at("c").rank, 0);
  EXPECT_EQ(tensors.at("c").data.size(), 2u);
  const auto* begin = reinterpret_cast<const std::byte*>(parsed.bytes.data());
  EXPECT_EQ(tensors.at("a").data.data(), begin + 8 + kHeader.size());
  EXPECT_EQ(parsed.file->realigned.bytes(), 0u);
}

TEST(Safetensors, MisalignedTensorsAreCopiedIntoPlace) {
  const Parsed parsed = Parse(File(kHeader + " ", kData));
  ASSERT_TRUE(parsed.file) << parsed.file.error().message;
  for (const char* name : {"a", "b", "c"}) {
    for (const std::byte byte : parsed.file->tensors.at(name).data) EXPECT_EQ(byte, std::byte(name[0]));
  }
  EXPECT_GT(parsed.file->realigned.bytes(), 0u);
}

TEST(Safetensors, EveryTruncationIsAnError) {
  const std::string whole = File(kHeader, kData);
  for (size_t size = 0; size < whole.size(); ++size) ASSERT_FALSE(Parse(whole.substr(0, size)).file) << size;
}

TEST(Safetensors, EveryBitFlipIsAnErrorOrAFileInBounds) {
  const std::string whole = File(kHeader, kData);
  for (size_t bit = 0; bit < (8 + kHeader.size()) * 8; ++bit) {
    std::string flipped = whole;
    flipped[bit / 8] ^= static_cast<char>(1 << (bit % 8));
    Parse(flipped);
  }
}

struct Hostile {
  std::string header;
  std::string message;
};

std::string Tensor(const std::string& type, const std::string& shape, const std::string& offsets) {
  return R"({"w":{"dtype":)" + type + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
}

TEST(Safetensors, HostileHeadersAreRefused) {
  const std::string f32 = R"("F32")";
  const std::vector<Hostile> table = {
      {"[]", "the header: expected a JSON object of tensors"},
      {"{}}", "the header: not valid JSON at byte 3"},
      {R"({"w":1})", "tensor 'w': expected a JSON object"},
      {R"({"":{}})", "a tensor has an empty name"},
      {R"({"w":{}})", "dtype of tensor 'w': expected a text such as \"BF16\""},
      {Tensor("7", "[1]", "[0,4]"), "dtype of tensor 'w': expected a text"},
      {Tensor(R"("F8_E4M3")", "[1]", "[0,1]"), "'F8_E4M3' is not supported, expected F32, F16 or BF16"},
      {Tensor(R"("Q4_0")", "[32]", "[0,18]"), "'Q4_0' is not supported"},
      {Tensor(f32, "4", "[0,4]"), "shape of tensor 'w': expected an array of at most 4 dimensions"},
      {Tensor(f32, "[1,1,1,1,1]", "[0,4]"), "expected an array of at most 4 dimensions"},
      {Tensor(f32, "[0]", "[0,0]"), "shape of tensor 'w': expected positive integers"},
      {Tensor(f32, "[-1]", "[0,4]"), "expected positive integers"},
      {Tensor(f32, "[1.0]", "[0,4]"), "expected positive integers"},
      {Tensor(f32, "[\"1\"]", "[0,4]"), "expected positive integers"},
      {Tensor(f32, "[4294967296,4294967296]", "[0,4]"), "less than 2^56 elements"},
      {Tensor(f32, "[18446744073709551615,18446744073709551615]", "[0,4]"), "less than 2^56 elements"},
      {Tensor(f32, "[1]", "[0]"), "data_offsets of tensor 'w': expected two offsets [begin, end]"},
      {Tensor(f32, "[1]", "[0,-4]"), "expected two offsets"},
      {Tensor(f32, "[1]", "{}"), "expected two offsets"},
      {Tensor(f32, "[1]", "[4,0]"), "they are [4, 0], expected a range inside the 64 bytes of data"},
      {Tensor(f32, "[17]", "[0,68]"), "they are [0, 68], expected a range inside"},
      {Tensor(f32, "[1]", "[18446744073709551612,18446744073709551615]"), "expected a range inside"},
      {Tensor(f32, "[2]", "[0,4]"), "they hold 4 bytes, expected the 8 bytes of its shape"},
      {R"({"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"b":{"dtype":"F32","shape":[4],"data_offsets":[12,28]}})",
       "data_offsets of tensor 'b': it begins inside the data of 'a'"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
       "the header: the key 'a' is there twice, expected once"},
      {R"({"a":)" + std::string(100'000, '[') + "1" + std::string(100'000, ']') + "}",
       "nested deeper than 4 levels"},
  };
  for (const Hostile& hostile : table) {
    SCOPED_TRACE(hostile.header.substr(0, 100));
    const Parsed parsed = Parse(File(hostile.header, std::string(64, 'd')));
    ASSERT_FALSE(parsed.file);
    EXPECT_THAT(parsed.file.error().message, HasSubstr(hostile.message));
  }
}

TEST(Safetensors, HostileHeaderLengthsAreRefused) {
  const auto message = [](int64_t claimed) {
    return Parse(File(kHeader, kData, claimed)).file.error().message;
  };
  EXPECT_THAT(message(0), HasSubstr("the header length: it is 0, expected 2 to"));
  EXPECT_THAT(message(INT64_MAX), HasSubstr("the header length: it is 9223372036854775807, expected 2 to"));
  EXPECT_THAT(message(static_cast<int64_t>(kHeader.size()) - 20), HasSubstr("the header: not valid JSON"));
  EXPECT_THAT(Parse("short").file.error().message,
              HasSubstr("the header length: expected 8 bytes, but the file has 5"));
}

}  // namespace
}  // namespace quire

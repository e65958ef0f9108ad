#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "quire/files/allocation_count.h"
#include "quire/files/gguf.h"
#include "quire/files/gguf_bytes.h"

namespace quire {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using G = GgufBytes;

constexpr size_t kMostMemory = size_t{1} << 20;  // for files of a few hundred bytes

// Parses a copy of exactly that size, so that the sanitizers see a read behind it, and watches memory.
Result<GgufFile> Parse(const std::string& bytes) {
  const std::vector<char> copy(bytes.begin(), bytes.end());
  const size_t before = AllocatedBytes();
  auto file = GgufFile::Parse(std::as_bytes(std::span(copy)), "m.gguf");
  EXPECT_LT(AllocatedBytes() - before, kMostMemory);
  if (file) {
    for (const auto& [name, view] : file->tensors) {
      EXPECT_GE(view.data.data(), std::as_bytes(std::span(copy)).data());
      EXPECT_LE(view.data.data() + view.data.size(), std::as_bytes(std::span(copy)).data() + copy.size());
      EXPECT_EQ(view.data.size(), static_cast<size_t>(view.rows()) * view.row_bytes());
    }
  } else {
    EXPECT_THAT(file.error().message, StartsWith("m.gguf: "));
    EXPECT_EQ(file.error().message.find_first_of("\n\r\t"), std::string::npos);
  }
  return file;
}

GgufBytes SmallFile() {
  GgufBytes file;
  file.String("general.architecture", "llama")
      .U32("llama.block_count", 2)
      .F32("eps", 0.5f)
      .Bool("flag", true);
  file.U32("general.alignment", 32);
  file.Strings("tokens", {"a", "", "\xc3\xa9"});
  file.Array("heads", G::kI32, {G::Number(int32_t{4}), G::Number(int32_t{-1})});
  file.Tensor("norm", {3}, 0, std::string(12, 'n'));
  file.Tensor("w", {64, 2}, 2, std::string(2 * 2 * 18, 'q'));
  return file;
}

TEST(GgufHostile, EveryTruncationIsAnError) {
  const std::string whole = SmallFile().Bytes();
  ASSERT_TRUE(Parse(whole));
  for (size_t size = 0; size < whole.size(); ++size) ASSERT_FALSE(Parse(whole.substr(0, size))) << size;
}

TEST(GgufHostile, EveryBitFlipIsAnErrorOrAFileInBounds) {
  const GgufBytes file = SmallFile();
  const std::string whole = file.Bytes();
  int refused = 0;
  for (size_t bit = 0; bit < file.Header().size() * 8; ++bit) {
    std::string flipped = whole;
    flipped[bit / 8] ^= static_cast<char>(1 << (bit % 8));
    refused += !Parse(flipped);
  }
  // Flips inside names and values of metadata change nothing that could be checked.
  EXPECT_GT(refused, static_cast<int>(file.Header().size() * 8 / 2));
}

TEST(GgufHostile, EveryByteSetToTheExtremes) {
  const GgufBytes file = SmallFile();
  const std::string whole = file.Bytes();
  for (size_t at = 0; at + 8 <= file.Header().size(); ++at) {
    for (const uint64_t value :
         {UINT64_MAX, uint64_t{INT64_MAX}, uint64_t{1} << 63, uint64_t{1} << 32, uint64_t{0}}) {
      std::string changed = whole;
      changed.replace(at, 8, G::Number(value));
      Parse(changed);
    }
  }
}

struct Hostile {
  std::string name;
  std::string bytes;
  ErrorCode code;
  std::string message;  // a part of it
};

GgufBytes Header(const std::function<void(GgufBytes&)>& change) {
  GgufBytes file;
  change(file);
  return file;
}

std::string TensorOnly(const std::vector<uint64_t>& dimensions, uint32_t type, uint64_t offset = 0) {
  return GgufBytes().TensorHeader("w", dimensions, type, offset).Data(std::string(256, 'd')).Bytes();
}

std::vector<Hostile> HostileHeaders() {
  using enum ErrorCode;
  const auto with = [](auto change) { return Header(change).Bytes(); };
  return {
      {"empty", "", kCorrupt, "the magic number: expected 4 bytes at byte 0, but only 0 are left"},
      {"another format", "PK\3\4" + std::string(64, '\0'), kCorrupt,
       "the first four bytes are 0x504b0304, expected the text GGUF"},
      {"version 1", with([](G& f) { f.version = 1; }), kUnsupported, "the version: it is 1, expected 2 or 3"},
      {"version 4", with([](G& f) { f.version = 4; }), kUnsupported, "the version: it is 4, expected 2 or 3"},
      {"big-endian", with([](G& f) { f.version = 0x03000000; }), kUnsupported,
       "this is a big-endian GGUF file, expected little-endian"},
      {"keys 2^62", with([](G& f) { f.claimed_keys = int64_t{1} << 62; }), kCorrupt,
       "the metadata key count: it is 4611686018427387904, expected at most 0"},
      {"tensors 2^62", with([](G& f) { f.claimed_tensors = int64_t{1} << 62; }), kCorrupt,
       "the tensor count: it is 4611686018427387904, expected at most 0"},
      {"a key more", with([](G& f) { f.U32("a", 1).Data(std::string(40, '\0')).claimed_keys = 2; }), kCorrupt,
       "the name of metadata key 2 of 2: it has 0 bytes, expected 1 to 65535"},
  };
}

std::vector<Hostile> HostileMetadata() {
  using enum ErrorCode;
  const auto with = [](auto change) { return Header(change).Bytes(); };
  const auto array = [](uint32_t type, uint64_t count) { return G::Number(type) + G::Number(count); };
  return {
      {"long key",
       G::Number(uint32_t{0x46554747}) + G::Number(uint32_t{3}) + G::Number(uint64_t{0}) +
           G::Number(uint64_t{1}) + G::Number(UINT64_MAX) + std::string(32, 'k'),
       kCorrupt,
       "the name of metadata key 1 of 1: expected 18446744073709551615 bytes at byte 32, but only 32"},
      {"long string", with([](G& f) { f.Key("s", G::kString, G::Number(UINT64_MAX) + "short"); }), kCorrupt,
       "the value of metadata key 's': expected 18446744073709551615 bytes"},
      {"value type", with([](G& f) { f.Key("s", static_cast<G::Type>(13), G::Number(0)); }), kCorrupt,
       "the value of metadata key 's': its type is 13, expected 0 to 12"},
      {"element type", with([&](G& f) { f.Key("s", G::kArray, array(99, 1)); }), kCorrupt,
       "its array element type is 99, expected 0 to 12"},
      {"array of arrays", with([&](G& f) { f.Key("s", G::kArray, array(9, 1) + array(0, 0)); }), kUnsupported,
       "it is an array of arrays, expected an array of plain values"},
      {"array 2^63", with([&](G& f) { f.Key("s", G::kArray, array(8, uint64_t{1} << 63) + G::Text("x")); }),
       kCorrupt, "the array claims 9223372036854775808 elements, expected at most 1 here"},
      {"array 2^62 wide",
       with([&](G& f) { f.Key("s", G::kArray, array(10, uint64_t{1} << 62) + G::Text("")); }), kCorrupt,
       "the array claims 4611686018427387904 elements, expected at most 1 here"},
      {"bool 2", with([](G& f) { f.Key("s", G::kBool, "\2"); }), kCorrupt, "a bool is 2 at byte"},
      {"twice", with([](G& f) { f.U32("s", 1).U32("s", 2); }), kCorrupt,
       "metadata key 's': the key is there twice, expected once"},
      {"control characters", with([](G& f) { f.U32("a\nb\x1b", 1).U32("a\nb\x1b", 2); }), kCorrupt,
       "metadata key 'a\\x0ab\\x1b': the key is there twice"},
      {"alignment 0", with([](G& f) { f.U32("general.alignment", 0); }), kCorrupt,
       "general.alignment: it is 0, expected a power of two of at least 8"},
      {"alignment 24", with([](G& f) { f.U32("general.alignment", 24); }), kCorrupt,
       "it is 24, expected a power of"},
      {"alignment 2^63",
       with([](G& f) { f.Key("general.alignment", G::kU64, G::Number(uint64_t{1} << 63)); }), kCorrupt,
       "general.alignment: metadata key 'general.alignment' is an integer, expected an integer that fits"},
      {"alignment text", with([](G& f) { f.String("general.alignment", "32"); }), kCorrupt,
       "'general.alignment' is a string, expected an integer"},
  };
}

std::vector<Hostile> HostileTensors() {
  using enum ErrorCode;
  constexpr uint64_t k2To63 = uint64_t{1} << 63;
  return {
      {"no dimensions", TensorOnly({}, 0), kCorrupt,
       "the shape of tensor 'w': it has 0 dimensions, expected 1 to 4"},
      {"five dimensions", TensorOnly({1, 1, 1, 1, 1}, 0), kCorrupt, "it has 5 dimensions, expected 1 to 4"},
      {"zero dimension", TensorOnly({4, 0}, 0), kCorrupt, "a dimension is 0, expected at least 1"},
      {"negative dimension", TensorOnly({UINT64_MAX}, 0), kCorrupt, "a dimension is 18446744073709551615"},
      {"product 2^64", TensorOnly({uint64_t{1} << 32, uint64_t{1} << 32}, 0), kCorrupt,
       "less than 2^56 elements"},
      {"product wraps to 1", TensorOnly({k2To63 + 1, k2To63 + 1}, 0), kCorrupt, "less than 2^56 elements"},
      {"product 2^55", TensorOnly({uint64_t{1} << 30, uint64_t{1} << 25}, 0), kCorrupt,
       "the data of tensor 'w': expected 144115188075855872 bytes at offset 0, but the file has only 256"},
      {"unknown type", TensorOnly({32}, 77), kUnsupported,
       "the type of tensor 'w': type 77 is unknown, expected one of F32 F16 Q4_0"},
      {"other type", TensorOnly({32}, 20), kUnsupported, "the type of tensor 'w': IQ4_NL is not supported"},
      {"half a block", TensorOnly({48}, 2), kCorrupt,
       "a row has 48 elements, expected a multiple of 32 for Q4_0"},
      {"half a K block", TensorOnly({128, 2}, 12), kCorrupt,
       "a row has 128 elements, expected a multiple of 256"},
      {"odd offset", TensorOnly({4}, 0, 8), kCorrupt,
       "the offset of tensor 'w': it is 8, expected a multiple of 32"},
      {"behind the end", TensorOnly({4}, 0, 256), kCorrupt,
       "expected 16 bytes at offset 256, but the file has only 256 bytes of data"},
      {"far behind", TensorOnly({4}, 0, UINT64_MAX - 31), kCorrupt, "at offset 18446744073709551584"},
      {"too long", TensorOnly({65}, 0), kCorrupt, "expected 260 bytes at offset 0"},
      {"no data at all", GgufBytes().TensorHeader("w", {1}, 0, 0).Bytes(), kCorrupt,
       "the file has only 0 bytes of data"},
      {"overlap",
       GgufBytes()
           .TensorHeader("a", {16}, 0, 0)
           .TensorHeader("b", {4}, 0, 32)
           .Data(std::string(256, 'd'))
           .Bytes(),
       kCorrupt, "the data of tensor 'b': it begins at offset 32, inside the data of 'a'"},
      {"same name",
       GgufBytes()
           .Tensor("a", {4}, 0, std::string(16, 'd'))
           .Tensor("a", {4}, 0, std::string(16, 'd'))
           .Bytes(),
       kCorrupt, "the data of tensor 'a': the name is there twice, expected once"},
      {"no name", GgufBytes().Tensor("", {4}, 0, std::string(16, 'd')).Bytes(), kCorrupt,
       "the name of tensor 1 of 1: it has 0 bytes, expected 1 to 65535"},
  };
}

void ExpectRefused(const std::vector<Hostile>& table) {
  for (const Hostile& hostile : table) {
    SCOPED_TRACE(hostile.name);
    const auto file = Parse(hostile.bytes);
    ASSERT_FALSE(file);
    EXPECT_EQ(file.error().code, hostile.code);
    EXPECT_THAT(file.error().message, HasSubstr(hostile.message));
  }
}

TEST(GgufHostile, HeadersAreRefused) { ExpectRefused(HostileHeaders()); }
TEST(GgufHostile, MetadataIsRefused) { ExpectRefused(HostileMetadata()); }
TEST(GgufHostile, TensorsAreRefused) { ExpectRefused(HostileTensors()); }

TEST(GgufHostile, AllArraysTogetherAreBounded) {
  GgufBytes file;
  const std::string million(1 << 20, '\1');
  for (int i = 0; i < 9; ++i) {
    file.Key(std::string(1, static_cast<char>('a' + i)), G::kArray,
             G::Number(uint32_t{G::kU8}) + G::Number(uint64_t{million.size()}) + million);
  }
  const std::string bytes = file.Bytes();
  const auto parsed = GgufFile::Parse(std::as_bytes(std::span(bytes)), "m.gguf");
  ASSERT_FALSE(parsed);
  EXPECT_THAT(parsed.error().message,
              EndsWith("'i': the array claims 1048576 elements, expected at most 0 here"));
}

}  // namespace
}  // namespace quire

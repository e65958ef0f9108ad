#include "quire/base/byte_size.h"

#include <gtest/gtest.h>

namespace quire {
namespace {

TEST(ByteSize, ParsesUnits) {
  EXPECT_EQ(ParseByteSize("512MiB", 0).value(), 512ull << 20);
  EXPECT_EQ(ParseByteSize("4GiB", 0).value(), 4ull << 30);
  EXPECT_EQ(ParseByteSize("4g", 0).value(), 4ull << 30);
  EXPECT_EQ(ParseByteSize("1.5 GB", 0).value(), 1500000000ull);
  EXPECT_EQ(ParseByteSize("100", 0).value(), 100ull);
  EXPECT_EQ(ParseByteSize("50%", 1000).value(), 500ull);
}

TEST(ByteSize, RefusesNonsense) {
  for (const char* text : {"", "x", "-1MiB", "nan", "inf", "1e300TiB", "4 parsecs", "101%", "GiB"}) {
    EXPECT_FALSE(ParseByteSize(text, 1000).has_value()) << text;
  }
}

TEST(ByteSize, Formats) {
  EXPECT_EQ(FormatByteSize(640), "640 B");
  EXPECT_EQ(FormatByteSize(1536), "1.50 KiB");
  EXPECT_EQ(FormatByteSize(12ull << 30), "12.0 GiB");
}

}  // namespace
}  // namespace quire

#include "quire/kv/layer_types.h"

#include <gtest/gtest.h>

#include <string>

namespace quire {
namespace {

std::string ErrorOf(std::string_view text) {
  const auto types = LayerTypes::Parse(text);
  return types ? "" : types.error().message;
}

TEST(LayerTypes, GiveEachLayerItsType) {
  const LayerTypes types = LayerTypes::Parse("int4,28-29=bf16,0-1=f16").value();
  EXPECT_EQ(types.Name(), "int4,0-1=f16,28-29=bf16");
  const std::vector<DType> of = types.Of(30).value();
  ASSERT_EQ(of.size(), 30u);
  for (int layer = 0; layer < 30; ++layer) {
    EXPECT_EQ(of[layer], layer < 2 ? DType::kF16 : layer < 28 ? DType::kInt4 : DType::kBF16) << layer;
  }
}

TEST(LayerTypes, OneTypeIsAllLayers) {
  EXPECT_EQ(LayerTypes::Parse("int8").value().Of(3).value(), std::vector<DType>(3, DType::kInt8));
  EXPECT_EQ(LayerTypes(DType::kFp8).Of(1).value(), std::vector<DType>(1, DType::kFp8));
  EXPECT_EQ(LayerTypes::Parse("f16,2=int8").value().Name(), "f16,2=int8");
}

TEST(LayerTypes, RefuseWhatIsNoType) {
  EXPECT_NE(ErrorOf("f8").find("'f8' is no type of KV pages; choose f32, f16"), std::string::npos);
  EXPECT_NE(ErrorOf("").find("'' is no type"), std::string::npos);
  EXPECT_NE(ErrorOf("int8,0-1=q8").find("'q8' is no type"), std::string::npos);
}

TEST(LayerTypes, RefuseWhatIsNoRange) {
  for (const char* range : {"", "f16", "0", "0=", "=f16", "-1=f16", "3-1=f16", "1-=f16", "a=f16", "1-2-3=f16",
                            "99999999999=f16", " 1=f16"}) {
    const std::string error = ErrorOf(std::string("int8,") + range);
    EXPECT_NE(error.find("is no range of layers"), std::string::npos) << range << ": " << error;
  }
}

TEST(LayerTypes, RefuseRangesThatOverlap) {
  EXPECT_NE(ErrorOf("int8,4-7=f16,7=f32").find("layer 7 is in 4-7 and in 7"), std::string::npos);
  EXPECT_NE(ErrorOf("int8,3=f16,3=f16").find("layer 3"), std::string::npos);
  EXPECT_EQ(ErrorOf("int8,4-7=f16,8=f32,3=f32"), "");
}

TEST(LayerTypes, RefuseLayersThatTheModelDoesNotHave) {
  const auto types = LayerTypes::Parse("int8,29-31=f16").value();
  EXPECT_TRUE(types.Of(32).has_value());
  const auto few = types.Of(30);
  ASSERT_FALSE(few.has_value());
  EXPECT_NE(few.error().message.find("gives layer 30 a type of KV pages, and the model's layers are 0 to 29"),
            std::string::npos)
      << few.error().message;
  EXPECT_NE(types.Of(1).error().message.find("gives layer 29"), std::string::npos);
}

}  // namespace
}  // namespace quire

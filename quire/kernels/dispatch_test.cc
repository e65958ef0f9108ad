#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>
#include <sstream>
#include <string>

#include "quire/kernels/cpu_features.h"
#include "quire/kernels/kernels.h"

namespace quire {
namespace {

TEST(SupportedKernels, StartWithGenericAndFollowTheFeatures) {
  const std::vector<const KernelTable*> tables = SupportedKernels();
  ASSERT_FALSE(tables.empty());
  EXPECT_EQ(tables.front()->name, "generic");
  const CpuFeatures features = DetectCpuFeatures();
  std::set<std::string_view> names;
  for (const KernelTable* table : tables) names.insert(table->name);
  EXPECT_EQ(names.contains("avx2"), features.RunsAvx2Kernels());
  EXPECT_EQ(names.contains("avx512"), features.RunsAvx512Kernels());
  EXPECT_EQ(names.contains("avx512_bf16"), features.RunsAvx512Bf16Kernels());
  EXPECT_EQ(names.contains("amx"), features.RunsAmxKernels());
}

TEST(CpuFeatures, TellWhetherBFloatsAreWorthMultiplying) {
  EXPECT_TRUE((CpuFeatures{.avx512_bf16 = true}.MultipliesBFloatsFast()));
  EXPECT_FALSE((CpuFeatures{.avx512_bf16 = true, .avx512_fp16 = true}.MultipliesBFloatsFast()));
  EXPECT_FALSE(CpuFeatures{}.MultipliesBFloatsFast());
}

TEST(CpuFeatures, AreNamed) {
  const auto named = CpuFeatures{.avx2 = true, .amx_int8 = true}.Named();
  std::map<std::string_view, bool> features(named.begin(), named.end());
  EXPECT_EQ(features.size(), 14u);
  EXPECT_TRUE(features["avx2"] && features["amx_int8"]);
  EXPECT_FALSE(features["avx512f"]);
}

// BestKernels chooses once per process, so every case is a process of its own.
[[noreturn]] void PrintChoiceAndExit(const char* forced) {
  setenv("QUIRE_FORCE_ISA", forced, 1);
  std::fprintf(stderr, "chose <%s>", std::string(BestKernels().name).c_str());
  std::exit(0);
}

TEST(BestKernels, ObeysQuireForceIsa) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  const std::string best(SupportedKernels().back()->name);
  for (const KernelTable* table : SupportedKernels()) {
    const std::string name(table->name);
    EXPECT_EXIT(PrintChoiceAndExit(name.c_str()), testing::ExitedWithCode(0), "^chose <" + name + ">$");
  }
  EXPECT_EXIT(PrintChoiceAndExit(""), testing::ExitedWithCode(0), "^chose <" + best + ">$");
  EXPECT_EXIT(PrintChoiceAndExit("sse9"), testing::ExitedWithCode(0),
              "QUIRE_FORCE_ISA=sse9 is not .*: using " + best + ".*chose <" + best + ">$");
}

std::string OutputOf(const std::string& command) {
  std::string text;
  FILE* pipe = popen(command.c_str(), "r");
  char buffer[4096];
  while (pipe != nullptr && std::fgets(buffer, sizeof(buffer), pipe) != nullptr) text += buffer;
  if (pipe != nullptr) pclose(pipe);
  return text;
}

// See kernel_tables.h: an inline function that leaves one of these objects could be linked into the whole
// program.
TEST(OneSymbol, EachIsaObjectDefinesItsTableOnly) {
#ifdef QUIRE_SANITIZED
  GTEST_SKIP() << "sanitizers add symbols of their own";
#endif
  const std::string symbols =
      OutputOf("nm --defined-only --extern-only " QUIRE_KERNELS_ARCHIVE " 2>/dev/null");
  if (symbols.empty()) GTEST_SKIP() << "nm is not installed";
  std::map<std::string, std::vector<std::string>> by_object;
  std::string object;
  std::istringstream lines(symbols);
  for (std::string line; std::getline(lines, line);) {
    if (line.ends_with(".o:"))
      object = line.substr(0, line.find('.'));
    else if (!line.empty())
      by_object[object].push_back(line.substr(line.rfind(' ') + 1));
  }
  EXPECT_THAT(by_object["generic"], testing::ElementsAre("_ZN5quire15kGenericKernelsE"));
  EXPECT_THAT(by_object["avx2"], testing::ElementsAre("_ZN5quire12kAvx2KernelsE"));
  EXPECT_THAT(by_object["avx512"], testing::ElementsAre("_ZN5quire14kAvx512KernelsE"));
  EXPECT_THAT(by_object["avx512_bf16"], testing::ElementsAre("_ZN5quire18kAvx512Bf16KernelsE"));
  EXPECT_THAT(by_object["amx"], testing::ElementsAre("_ZN5quire11kAmxKernelsE"));
}

}  // namespace
}  // namespace quire

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "quire/cli/advice.h"
#include "quire/cli/disk_speed.h"
#include "quire/cli/energy_meter.h"
#include "quire/cli/machine_facts.h"
#include "quire/cli/machine_speed.h"

namespace quire {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class MachineFactsTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::temp_directory_path() / fmt::format("quire_machine_{}", getpid());
    fs::remove_all(root_);
  }
  void TearDown() override { fs::remove_all(root_); }
  void Write(const std::string& path, const std::string& text) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  fs::path root_;
};

TEST_F(MachineFactsTest, ReadsAnotherMachine) {
  Write("proc/cpuinfo",
        "processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: fpu hypervisor\n\nprocessor\t: 1\nmodel name\t: "
        "Some CPU\n");
  Write("proc/meminfo", "MemTotal:  1024 kB\nSwapTotal: 100 kB\nSwapFree: 60 kB\n");
  Write("proc/loadavg", "1.50 1 1 1/2 3\n");
  Write("proc/stat", "cpu  10 0 10 70 0 0 0 10 0 0\n");
  Write("proc/self/cgroup", "0::/a/b\n");
  Write("sys/fs/cgroup/a/memory.max", "4096\n");
  Write("sys/fs/cgroup/a/b/memory.max", "max\n");
  Write("sys/fs/cgroup/a/b/cpu.max", "150000 100000\n");
  Write("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave\n");
  Write("sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n");
  const MachineFacts facts = ReadMachineFacts(root_.string());
  EXPECT_EQ(facts.cpu, "Some CPU");
  EXPECT_EQ(facts.online_cpus, 2);
  EXPECT_TRUE(facts.virtual_machine);
  EXPECT_EQ(facts.memory_bytes, 1u << 20);
  EXPECT_EQ(facts.swap_used_bytes, 40u * 1024);
  EXPECT_EQ(facts.load, 1.5);
  EXPECT_EQ(facts.steal_share, 0.1);
  EXPECT_EQ(facts.cgroup_memory_bytes, 4096u);
  EXPECT_EQ(facts.cgroup_cpus, 1.5);
  EXPECT_EQ(facts.governor, "powersave");
  EXPECT_EQ(facts.huge_pages, "never");
}

TEST_F(MachineFactsTest, EnergyIsWhatThePackagesCounted) {
  EXPECT_EQ(EnergyMeter(root_.string()).Take(), std::nullopt) << "nothing to read";
  const std::string cap = "sys/class/powercap/";
  for (const char* package : {"intel-rapl:0", "intel-rapl:1"}) {
    Write(cap + package + "/energy_uj", "9000000\n");
    Write(cap + package + "/max_energy_range_uj", "10000000\n");
  }
  Write(cap + "intel-rapl:0:0/energy_uj", "1\n");  // a part of package 0
  Write(cap + "dtpm/energy_uj", "1\n");
  EnergyMeter meter(root_.string());
  EXPECT_EQ(meter.Take(), 0.0);
  Write(cap + "intel-rapl:0/energy_uj", "9500000\n");
  Write(cap + "intel-rapl:1/energy_uj", "1000000\n");  // begins anew
  EXPECT_EQ(meter.Take(), 2.5);
  Write(cap + "intel-rapl:1/energy_uj", "");
  EXPECT_EQ(meter.Take(), std::nullopt) << "half a machine is no measurement";
}

TEST_F(MachineFactsTest, MissingFilesAreNoTrouble) {
  const MachineFacts facts = ReadMachineFacts(root_.string());
  EXPECT_EQ(facts.online_cpus, 0);
  EXPECT_FALSE(facts.cgroup_memory_bytes);
  EXPECT_FALSE(facts.cgroup_cpus);
  EXPECT_FALSE(facts.steal_share);
}

TEST(DiskSpeedTest, MeasuresAndLeavesNothing) {
  const fs::path folder = fs::temp_directory_path() / fmt::format("quire_disk_{}", getpid());
  fs::create_directories(folder);
  MachineProfile profile;
  ASSERT_TRUE(MeasureDisk(folder, profile));
  EXPECT_GT(profile.disk_write_bytes_per_s, 0);
  EXPECT_GT(profile.disk_read_bytes_per_s, 0);
  EXPECT_TRUE(fs::is_empty(folder));
  fs::remove_all(folder);
  std::ofstream(folder) << "a file";
  EXPECT_FALSE(MeasureDisk(folder, profile));
  fs::remove(folder);
}

TEST(MachineSpeedTest, InterruptedPiecesDoNotCount) {
  ThreadPool pool(1);
  const double seconds = SecondsPerPiece(pool, 9, 0, [](int64_t piece, int) {
    std::this_thread::sleep_for(std::chrono::milliseconds(piece < 3 ? 50 : 1));
  });
  EXPECT_GE(seconds, 1e-3);
  EXPECT_LT(seconds, 40e-3);
}

TEST(MachineSpeedTest, EveryThreadTakesPart) {
  ThreadPool pool(3);
  MachineProfile profile;
  SpeedBench bench{BestKernels(), pool, {}, profile};
  std::array<std::atomic<int>, 3> runs{};
  for (int i = 0; i < 10; ++i) bench.RunOnEveryThread([&](int worker) { ++runs[worker]; });
  for (const auto& count : runs) EXPECT_EQ(count, 10);
  bench.MeasureHandOver();
  EXPECT_GT(profile.region_s, 0);
  EXPECT_GE(profile.exchange_s, 0);
}

TEST(FolderFactsTest, LooksAtTheNearestFolderThatExists) {
  EXPECT_GT(ReadFolderFacts("/proc/../tmp/not/there").free_bytes, 0u);
}

// A machine on which nothing is wrong.
Findings Good() {
  Findings f;
  f.machine.online_cpus = f.usable_cpus = f.threads = 8;
  f.machine.huge_pages = "madvise";
  f.features.avx2 = f.features.fma = f.features.f16c = true;
  f.features.avx512f = f.features.avx512bw = f.features.avx512dq = f.features.avx512vl =
      f.features.avx512_vnni = true;
  f.kernels = f.best_kernels = "avx512";
  f.available_bytes = uint64_t{16} << 30;
  f.cache.free_bytes = uint64_t{100} << 30;
  f.read_one = 10e9;
  f.read_all = 40e9;
  return f;
}

TEST(AdviceTest, NothingWhereNothingIsWrong) { EXPECT_TRUE(GiveAdvice(Good()).empty()); }

TEST(AdviceTest, EachTroubleIsNamed) {
  const std::vector<std::pair<std::function<void(Findings&)>, std::string>> troubles = {
      {[](Findings& f) { f.features.avx2 = false; }, "no AVX2"},
      {[](Findings& f) { f.features.avx512_vnni = false; }, "no AVX-512"},
      {[](Findings& f) { f.kernels = "generic"; }, "QUIRE_FORCE_ISA"},
      {[](Findings& f) { f.machine.governor = "powersave"; }, "powersave"},
      {[](Findings& f) { f.threads = 9; }, "9 threads share 8 processors"},
      {[](Findings& f) { f.machine.online_cpus = 16; }, "8 of 16"},
      {[](Findings& f) { f.machine.load = 9; }, "load"},
      {[](Findings& f) { f.machine.steal_share = 0.5; }, "50 %"},
      {[](Findings& f) { f.machine.huge_pages = "never"; }, "huge pages"},
      {[](Findings& f) { f.machine.swap_used_bytes = uint64_t{1} << 30; }, "swapped"},
      {[](Findings& f) { f.available_bytes = 1 << 20; }, "memory"},
      {[](Findings& f) { f.read_all = f.read_one; }, "hardly faster"},
      {[](Findings& f) { f.cache.over_network = true; }, "network"},
      {[](Findings& f) { f.cache.in_memory = true; }, "tmpfs"},
      {[](Findings& f) { f.cache.free_bytes = 0; }, "disk"},
  };
  for (const auto& [spoil, words] : troubles) {
    Findings found = Good();
    spoil(found);
    const auto advice = GiveAdvice(found);
    ASSERT_EQ(advice.size(), 1u) << words;
    EXPECT_THAT(advice[0].problem, HasSubstr(words));
    EXPECT_FALSE(advice[0].remedy.empty());
  }
}

TEST(AdviceTest, AboutAModel) {
  Findings found = Good();
  found.model = ModelReport();
  found.model->all.bytes = int64_t{4} << 30;
  EXPECT_TRUE(GiveAdvice(found).empty());
  found.model->needs = {{1, 100000, int64_t{14} << 30}};
  EXPECT_THAT(GiveAdvice(found).at(0).remedy, HasSubstr("--max-context"));
  found.model->needs.clear();
  found.model->types["BF16"].bytes = int64_t{3} << 30;
  EXPECT_THAT(GiveAdvice(found).at(0).problem, HasSubstr("not quantized"));
  found.model->all.bytes = int64_t{40} << 30;
  EXPECT_THAT(GiveAdvice(found).at(0).problem, HasSubstr("loading will fail"));
  found.model->refusal = "unknown family";
  EXPECT_THAT(GiveAdvice(found).at(0).problem, HasSubstr("unknown family"));
}

}  // namespace
}  // namespace quire

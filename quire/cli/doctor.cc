// `quire doctor [MODEL]`: what this machine has, what Quire makes of it, and what would be slow and why.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "quire/base/byte_size.h"
#include "quire/cli/advice.h"
#include "quire/cli/forecast.h"
#include "quire/cli/generate.h"
#include "quire/cli/model_path.h"
#include "quire/cli/profile_source.h"
#include "quire/cli/progress.h"
#include "quire/cli/runtime_flags.h"
#include "quire/cli/user_folders.h"
#include "quire/cli/verb.h"
#include "quire/engine/runtime.h"
#include "quire/kernels/kv_codec.h"
#include "quire/model/transformer.h"

namespace quire {
namespace {

std::string Gigabytes(double bytes_per_second) { return fmt::format("{:.1f} GB/s", bytes_per_second / 1e9); }
std::string Gigaops(double ops_per_second) { return fmt::format("{:.0f} Gop/s", ops_per_second / 1e9); }

std::string Line(const char* name, const std::string& value) {
  return fmt::format("{:<14}{}\n", name, value);
}

class DoctorVerb final : public Verb {
 public:
  Flags MakeFlags() override {
    Flags flags("doctor", "[MODEL] [flags]",
                "Looks at this machine: what is used, what would be slow, and why.");
    flags.Add({"MODEL", &model_, "", "also predict how fast this model is, and what fits"});
    AddThreads(flags, &threads_);
    AddKvType(flags, &kv_types_);
    flags.Add({"--check", &check_, "", "also run the model, and compare what was predicted"});
    flags.Add({"--kv-disk", &disk_, "FOLDER", "also measure a disk tier there"});
    flags.Add({"--json", &json_, "", "as one JSON object, which quire plan reads"});
    return flags;
  }

  Result<int> Run() override {
    Findings found;
    std::shared_ptr<const ModelFiles> files;
    if (check_ && model_.empty()) {
      return Fail(ErrorCode::kInvalidArgument,
                  "--check runs a model: say which, as in quire doctor MODEL --check");
    }
    if (!model_.empty()) {
      QUIRE_ASSIGN(const std::string path, ResolveModel(model_, ModelCacheFolder()));
      QUIRE_ASSIGN(files, ModelFiles::Open(path));
      QUIRE_ASSIGN(found.model, ReportModel(*files, {.sequences = {1}, .tokens = {0}}));
    }
    found.machine = ReadMachineFacts();
    found.cache = ReadFolderFacts(ModelCacheFolder());
    found.features = DetectCpuFeatures();
    found.kernels = BestKernels().name;
    found.best_kernels = SupportedKernels().back()->name;
    found.usable_cpus = UsableProcessors();
    found.threads = threads_ > 0 ? threads_ : found.usable_cpus;
    found.available_bytes = AvailableMemoryBytes();
    QUIRE_ASSIGN(profile_, MeasureProfile(found.threads, disk_));
    TakeSpeeds(found);
    if (files != nullptr && found.model->refusal.empty()) QUIRE_TRY(Predict(files, found));
    const std::vector<Advice> advice = GiveAdvice(found);
    QUIRE_TRY(WriteOut(json_ ? Json(found, advice) : Text(found, advice)));
    return 0;
  }

 private:
  void TakeSpeeds(Findings& found) const {
    found.read_one = profile_.read_one;
    found.read_all = profile_.read.points().back().second;
    found.int8_ops = profile_.OperationsPerSecond(DType::kQ8_0);
    found.f32_ops = profile_.OperationsPerSecond(DType::kF32);
  }

  Status Predict(std::shared_ptr<const ModelFiles> files, const Findings& found) {
    const ShapeOptions options{.kv_types = kv_types_};
    QUIRE_ASSIGN(ModelShape shape, ReadModelShape(*files, options));
    const int64_t context = shape.context;
    QUIRE_ASSIGN(const Roofline roofline, Roofline::Create(std::move(shape), profile_));
    for (const BenchCase& what : ForecastCases(context)) {
      forecasts_.push_back(quire::Predict(roofline, what, options.max_step_tokens));
    }
    for (const int64_t tokens : {int64_t{1024}, int64_t{4096}, context}) {
      if (tokens > context || (!costs_.empty() && costs_.back().context == tokens)) continue;
      costs_.push_back(CostsOf(roofline, {.context = tokens, .memory_bytes = found.available_bytes}));
    }
    return check_ ? Check(std::move(files), options, found.threads) : Status();
  }

  Status Check(std::shared_ptr<const ModelFiles> files, const ShapeOptions& options, int threads) {
    ProgressBar bar("checking the predictions");
    ThreadPool pool(threads);
    QUIRE_ASSIGN(const auto model, LoadTransformer(std::move(files),
                                                   {.kv_types = options.kv_types,
                                                    .page_tokens = options.page_tokens,
                                                    .max_step_tokens = options.max_step_tokens},
                                                   BestKernels(), pool));
    return Measure(*model, options.max_step_tokens, forecasts_, [&bar](double share) { bar.Set(share); });
  }

  static std::string Features(const CpuFeatures& features, bool present) {
    std::string names;
    for (const auto& [name, has] : features.Named()) {
      if (has == present) names += (names.empty() ? "" : " ") + std::string(name);
    }
    return names.empty() ? "-" : names;
  }

  static std::string Kernels() {
    std::string names;
    for (const KernelTable* table : SupportedKernels())
      names += (names.empty() ? "" : ", ") + std::string(table->name);
    return fmt::format("{} (can run: {})", BestKernels().name, names);
  }

  static std::string Memory(const Findings& f) {
    std::string text = fmt::format("{}, {} can be taken now", FormatByteSize(f.machine.memory_bytes),
                                   FormatByteSize(f.available_bytes));
    if (f.machine.cgroup_memory_bytes) {
      text += fmt::format(", cgroup limit {}", FormatByteSize(*f.machine.cgroup_memory_bytes));
    }
    return text;
  }

  static std::string Processors(const Findings& f) {
    std::string text = fmt::format("{} of {} usable, {} threads, load {:.1f}", f.usable_cpus,
                                   f.machine.online_cpus, f.threads, f.machine.load);
    if (f.machine.cgroup_cpus) text += fmt::format(", cgroup quota {:.1f}", *f.machine.cgroup_cpus);
    if (!f.machine.governor.empty()) text += ", governor " + f.machine.governor;
    return text;
  }

  std::string Text(const Findings& f, const std::vector<Advice>& advice) {
    const std::string huge = f.machine.huge_pages.empty() ? "unknown" : f.machine.huge_pages;
    std::string text =
        Line("processor", f.machine.cpu + (f.machine.virtual_machine ? " (virtual machine)" : ""));
    text += Line("has", Features(f.features, true)) + Line("has not", Features(f.features, false));
    text += Line("kernels", Kernels()) + Line("processors", Processors(f)) + Line("memory", Memory(f));
    text += Line("huge pages", huge);
    text += Line("reading",
                 fmt::format("{} on all threads, {} on one", Gigabytes(f.read_all), Gigabytes(f.read_one)));
    text += Line("multiplying", fmt::format("{} int8, {} float", Gigaops(f.int8_ops), Gigaops(f.f32_ops)));
    text += Line("model cache", fmt::format("{} ({}, {} free)", ModelCacheFolder(), f.cache.file_system,
                                            FormatByteSize(f.cache.free_bytes)));
    if (f.model) {
      text += Line("model", fmt::format("{} ({}), {}", f.model->name, f.model->architecture,
                                        FormatByteSize(static_cast<uint64_t>(f.model->all.bytes))));
      if (!forecasts_.empty())
        text += "\npredicted\n" + ForecastTable(forecasts_) + "\n" + CostsTable(costs_);
    }
    text += advice.empty() ? "\nNothing stands in the way.\n" : "\n";
    for (const Advice& a : advice) text += fmt::format("! {}\n  -> {}\n", a.problem, a.remedy);
    return text;
  }

  std::string Json(const Findings& f, const std::vector<Advice>& advice) {
    nlohmann::ordered_json json = {{"cpu", f.machine.cpu},
                                   {"virtual_machine", f.machine.virtual_machine},
                                   {"online_cpus", f.machine.online_cpus},
                                   {"usable_cpus", f.usable_cpus},
                                   {"threads", f.threads},
                                   {"load", f.machine.load},
                                   {"kernels", BestKernels().name},
                                   {"memory_bytes", f.machine.memory_bytes},
                                   {"available_memory_bytes", f.available_bytes},
                                   {"huge_pages", f.machine.huge_pages},
                                   {"read_bytes_per_second", f.read_all},
                                   {"read_bytes_per_second_one_thread", f.read_one},
                                   {"int8_ops_per_second", f.int8_ops},
                                   {"f32_ops_per_second", f.f32_ops},
                                   {"cache_folder", ModelCacheFolder()},
                                   {"cache_file_system", f.cache.file_system},
                                   {"cache_free_bytes", f.cache.free_bytes}};
    for (const auto& [name, has] : f.features.Named()) json["features"][std::string(name)] = has;
    for (const KernelTable* table : SupportedKernels()) json["supported_kernels"].push_back(table->name);
    if (f.machine.cgroup_memory_bytes) json["cgroup_memory_bytes"] = *f.machine.cgroup_memory_bytes;
    if (f.machine.cgroup_cpus) json["cgroup_cpus"] = *f.machine.cgroup_cpus;
    if (f.model) {
      json["model"] = {{"path", f.model->path},
                       {"weight_bytes", f.model->all.bytes},
                       {"forecast", ForecastJson(forecasts_)},
                       {"costs", CostsJson(costs_)}};
    }
    json["profile"] = ProfileJson(profile_);
    json["advice"] = nlohmann::ordered_json::array();
    for (const Advice& a : advice) json["advice"].push_back({{"problem", a.problem}, {"remedy", a.remedy}});
    return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  }

  LayerTypes kv_types_ = DType::kF16;
  std::string model_, disk_;
  int threads_ = 0;
  bool json_ = false, check_ = false;
  MachineProfile profile_;
  std::vector<Forecast> forecasts_;
  std::vector<DeploymentCosts> costs_;
};

}  // namespace

std::unique_ptr<Verb> MakeDoctor() { return std::make_unique<DoctorVerb>(); }

}  // namespace quire

// `quire plan MODEL`: what serving a model would cost, for contexts and memory, without loading it.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "quire/base/byte_size.h"
#include "quire/cli/forecast.h"
#include "quire/cli/generate.h"
#include "quire/cli/model_path.h"
#include "quire/cli/profile_source.h"
#include "quire/cli/runtime_flags.h"
#include "quire/cli/user_folders.h"
#include "quire/cli/verb.h"
#include "quire/kernels/kv_codec.h"

namespace quire {
namespace {

class PlanVerb final : public Verb {
 public:
  Flags MakeFlags() override {
    Flags flags("plan", "MODEL [flags]",
                "Predicts what serving a model costs: prefill, users, decoding, switching.");
    flags.Add(
        {"MODEL", &model_, "", "a file, a folder, or a name from quire pull; it is not loaded", {}, true});
    flags.Add(
        {"--context", &contexts_, "N,...", "tokens of every user: 1k,4k,7.5k; default: up to the model's"});
    flags.Add({"--memory", &memory_, "SIZE", "for weights and KV; default: what the machine has free"});
    AddKvType(flags, &options_.kv_types);
    AddPageTokens(flags, &options_.page_tokens);
    flags.Add({"--max-step-tokens",
               &options_.max_step_tokens,
               "N",
               "largest piece of a prompt",
               {.min = 1, .max = 65536}});
    flags.Add({"--max-sequences", &at_once_, "N", "users that decode together", {.min = 1, .max = 1e5}});
    flags.Add({"--machine", &machine_, "FILE",
               "what quire doctor --json wrote on it; default: this one, measured now"});
    flags.Add({"--threads",
               &threads_,
               "N",
               "of this machine; default: usable processors",
               {.min = 0, .max = 1024}});
    flags.Add({"--kv-disk", &disk_, "FOLDER", "also measure a disk tier there, to switch users"});
    flags.Add({"--json", &json_, "", "as one JSON object"});
    return flags;
  }

  Result<int> Run() override {
    QUIRE_TRY(CheckPageTokens(options_.page_tokens));
    QUIRE_ASSIGN(const std::string path, ResolveModel(model_, ModelCacheFolder()));
    QUIRE_ASSIGN(const auto files, ModelFiles::Open(path));
    QUIRE_ASSIGN(ModelShape shape, ReadModelShape(*files, options_));
    QUIRE_ASSIGN(const std::vector<int64_t> contexts, Contexts(shape.context));
    QUIRE_ASSIGN(MachineProfile machine,
                 machine_.empty() ? MeasureProfile(Threads(), disk_) : ReadProfile(machine_));
    QUIRE_ASSIGN(const uint64_t memory, Memory(machine));
    QUIRE_ASSIGN(const Roofline roofline, Roofline::Create(std::move(shape), std::move(machine)));
    std::vector<DeploymentCosts> costs;
    for (const int64_t context : contexts) {
      costs.push_back(CostsOf(roofline, {.context = context,
                                         .memory_bytes = memory,
                                         .chunk_tokens = options_.max_step_tokens,
                                         .most_at_once = at_once_}));
    }
    QUIRE_TRY(WriteOut(json_ ? Json(roofline, memory, costs) : Text(roofline, memory, costs)));
    return 0;
  }

 private:
  int Threads() const { return threads_ > 0 ? threads_ : UsableProcessors(); }

  Result<std::vector<int64_t>> Contexts(int64_t most) const {
    std::vector<int64_t> contexts;
    if (contexts_.empty()) {
      for (int64_t context = 1024; context < most; context *= 4) contexts.push_back(context);
      contexts.push_back(most);
      return contexts;
    }
    for (size_t at = 0; at <= contexts_.size();) {
      const size_t end = std::min(contexts_.find(',', at), contexts_.size());
      const std::string text = contexts_.substr(at, end - at);
      const auto tokens = ParseByteSize(text, 0);
      if (!tokens || *tokens < 1 || *tokens > static_cast<uint64_t>(most)) {
        return Fail(ErrorCode::kInvalidArgument,
                    "--context: '{}' is no number of tokens from 1 to the model's {}; write 4096, 4k or 7.5k",
                    text, most);
      }
      contexts.push_back(static_cast<int64_t>(*tokens));
      at = end + 1;
    }
    return contexts;
  }

  Result<uint64_t> Memory(const MachineProfile& machine) const {
    if (memory_.empty()) return machine.memory_bytes;
    const auto bytes = ParseByteSize(memory_, machine.memory_bytes);
    if (!bytes) return Fail(bytes.error().code, "--memory: {}", bytes.error().message);
    return *bytes;
  }

  std::string Text(const Roofline& roofline, uint64_t memory,
                   const std::vector<DeploymentCosts>& costs) const {
    const ModelShape& model = roofline.model();
    const MachineProfile& machine = roofline.machine();
    return fmt::format("{} on {}, {} kernels, {} threads\n", model.name, machine.name, machine.kernels,
                       machine.threads) +
           fmt::format("{} for weights ({}), activations ({}) and {} KV ({} per token)\n",
                       FormatByteSize(memory), FormatByteSize(static_cast<uint64_t>(model.weight_bytes)),
                       FormatByteSize(static_cast<uint64_t>(model.activation_bytes)),
                       options_.kv_types.Name(), FormatByteSize(model.kv.BytesPerToken())) +
           CostsTable(costs);
  }

  std::string Json(const Roofline& roofline, uint64_t memory,
                   const std::vector<DeploymentCosts>& costs) const {
    const ModelShape& model = roofline.model();
    const nlohmann::ordered_json json = {{"model", model.name},
                                         {"cpu", roofline.machine().name},
                                         {"kernels", roofline.machine().kernels},
                                         {"threads", roofline.machine().threads},
                                         {"memory_bytes", memory},
                                         {"weight_bytes", model.weight_bytes},
                                         {"activation_bytes", model.activation_bytes},
                                         {"kv_type", options_.kv_types.Name()},
                                         {"kv_bytes_per_token", model.kv.BytesPerToken()},
                                         {"costs", CostsJson(costs)}};
    return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  }

  std::string model_, contexts_, memory_, machine_, disk_;
  ShapeOptions options_;
  int64_t at_once_ = 256;
  int threads_ = 0;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Verb> MakePlan() { return std::make_unique<PlanVerb>(); }

}  // namespace quire

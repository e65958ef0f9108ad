// `quire inspect MODEL`: what a model is and what it needs, without loading its weights.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "quire/base/byte_size.h"
#include "quire/cli/generate.h"
#include "quire/cli/model_path.h"
#include "quire/cli/model_report.h"
#include "quire/cli/runtime_flags.h"
#include "quire/cli/text_table.h"
#include "quire/cli/user_folders.h"
#include "quire/cli/verb.h"
#include "quire/engine/runtime.h"
#include "quire/kernels/kv_codec.h"

namespace quire {
namespace {

std::string ShapeText(const TensorView& tensor) {
  std::string text;
  for (int i = 0; i < tensor.rank; ++i) text += fmt::format("{}{}", i == 0 ? "" : " x ", tensor.shape[i]);
  return text;
}

std::string Line(const char* name, const std::string& value) {
  return fmt::format("{:<14}{}\n", name, value);
}

std::string ShapeLines(const ModelReport& r) {
  std::string text = Line("model", fmt::format("{} ({})", r.name, r.architecture));
  text += Line("shape", fmt::format("{} layers, hidden {}, {} heads of {}, {} KV heads", r.layers, r.hidden,
                                    r.heads, r.head_dim, r.kv_heads));
  if (r.window > 0) {
    text +=
        Line("window", fmt::format("{} of {} layers see {} tokens", r.windowed_layers, r.layers, r.window));
  }
  return text + Line("context", fmt::format("{} tokens", r.context));
}

std::string TypeTable(const ModelReport& r) {
  TextTable table({"type", "tensors", "parameters", "bytes"});
  for (const auto& [type, sum] : r.types) {
    table.Add({type, fmt::format("{}", sum.tensors), fmt::format("{}", sum.parameters),
               FormatByteSize(static_cast<uint64_t>(sum.bytes))});
  }
  return table.Render();
}

std::string NeedTable(const ModelReport& r, uint64_t available) {
  TextTable table({"sequences", "tokens each", "KV", "with weights", "free now"});
  for (const KvNeed& need : r.needs) {
    const auto total = static_cast<uint64_t>(need.bytes + r.all.bytes);
    table.Add({fmt::format("{}", need.sequences), fmt::format("{}", need.tokens),
               FormatByteSize(static_cast<uint64_t>(need.bytes)), FormatByteSize(total),
               total <= available ? "fits" : "too much"});
  }
  return table.Render();
}

nlohmann::ordered_json TensorsJson(const ModelFiles& files) {
  auto tensors = nlohmann::ordered_json::array();
  for (const std::string& name : files.TensorNames()) {
    const TensorView& tensor = *files.Find(name);
    const std::vector<int64_t> shape(tensor.shape.begin(), tensor.shape.begin() + tensor.rank);
    tensors.push_back(
        {{"name", name}, {"type", Info(tensor.type).name}, {"shape", shape}, {"bytes", tensor.data.size()}});
  }
  return tensors;
}

nlohmann::ordered_json ReportJson(const ModelReport& r, uint64_t available) {
  nlohmann::ordered_json json = {{"path", r.path},
                                 {"format", r.format},
                                 {"runs", r.refusal.empty()},
                                 {"refusal", r.refusal},
                                 {"name", r.name},
                                 {"architecture", r.architecture},
                                 {"parameters", r.all.parameters},
                                 {"weight_bytes", r.all.bytes},
                                 {"layers", r.layers},
                                 {"hidden", r.hidden},
                                 {"heads", r.heads},
                                 {"kv_heads", r.kv_heads},
                                 {"head_dim", r.head_dim},
                                 {"context_length", r.context},
                                 {"vocab_size", r.vocab},
                                 {"sliding_window", r.window},
                                 {"windowed_layers", r.windowed_layers},
                                 {"kv_bytes_per_token", r.kv_bytes_per_token},
                                 {"tokenizer", r.tokenizer},
                                 {"chat_template", r.chat_template},
                                 {"available_memory_bytes", available}};
  for (const auto& [type, sum] : r.types) {
    json["types"][type] = {{"tensors", sum.tensors}, {"parameters", sum.parameters}, {"bytes", sum.bytes}};
  }
  json["memory"] = nlohmann::ordered_json::array();
  for (const KvNeed& need : r.needs) {
    json["memory"].push_back(
        {{"sequences", need.sequences}, {"tokens", need.tokens}, {"kv_bytes", need.bytes}});
  }
  for (const auto& [key, value] : r.metadata) json["metadata"][key] = value;
  return json;
}

class InspectVerb final : public Verb {
 public:
  Flags MakeFlags() override {
    Flags flags("inspect", "MODEL [flags]", "Shows a model's metadata, tensors and memory needs.");
    AddModel(flags, &model_);
    flags.Add({"--sequences",
               &options_.sequences,
               "N,...",
               "memory for so many sequences",
               {.min = 1, .max = 1e6}});
    flags.Add({"--tokens",
               &options_.tokens,
               "N,...",
               "of so many tokens; 0: the model's context",
               {.min = 0, .max = 1e9}});
    AddKvType(flags, &options_.kv_types);
    flags.Add({"--tensors", &tensors_, "", "list every tensor"});
    flags.Add({"--json", &json_, "", "as one JSON object"});
    return flags;
  }

  Result<int> Run() override {
    QUIRE_ASSIGN(const std::string path, ResolveModel(model_, ModelCacheFolder()));
    QUIRE_ASSIGN(const auto files, ModelFiles::Open(path));
    QUIRE_ASSIGN(const ModelReport report, ReportModel(*files, options_));
    const uint64_t available = AvailableMemoryBytes();
    if (json_) {
      auto json = ReportJson(report, available);
      if (tensors_) json["tensors"] = TensorsJson(*files);
      QUIRE_TRY(WriteOut(json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n"));
    } else {
      QUIRE_TRY(WriteOut(Text(report, *files, available)));
    }
    return 0;
  }

 private:
  std::string Text(const ModelReport& r, const ModelFiles& files, uint64_t available) const {
    std::string text = Line("file", fmt::format("{} ({})", r.path, r.format));
    text += r.refusal.empty() ? ShapeLines(r) : Line("cannot run", r.refusal);
    text += Line("parameters", fmt::format("{} in {} tensors, {}", r.all.parameters, r.all.tensors,
                                           FormatByteSize(static_cast<uint64_t>(r.all.bytes))));
    text += Line("tokenizer", r.tokenizer) + Line("chat template", r.chat_template);
    text += "\ntensors by type\n" + TypeTable(r);
    if (!r.needs.empty()) {
      text += fmt::format("\nmemory: {} of KV per token in {}; {} can be taken now\n",
                          FormatByteSize(static_cast<uint64_t>(r.kv_bytes_per_token)),
                          options_.kv_types.Name(), FormatByteSize(available));
      text += NeedTable(r, available);
    }
    text += "\nmetadata\n";
    for (const auto& [key, value] : r.metadata) text += fmt::format("  {} = {}\n", key, value);
    if (!tensors_) return text;
    TextTable table({"tensor", "type", "shape", "bytes"});
    for (const std::string& name : files.TensorNames()) {
      const TensorView& tensor = *files.Find(name);
      table.Add({name, std::string(Info(tensor.type).name), ShapeText(tensor),
                 fmt::format("{}", tensor.data.size())});
    }
    return text + "\ntensors\n" + table.Render();
  }

  std::string model_;
  ReportOptions options_{.sequences = {1, 8, 32}, .tokens = {1024, 4096, 0}};
  bool tensors_ = false, json_ = false;
};

}  // namespace

std::unique_ptr<Verb> MakeInspect() { return std::make_unique<InspectVerb>(); }

}  // namespace quire

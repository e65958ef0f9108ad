#include "quire/cli/model_report.h"

#include <algorithm>

#include "quire/model/config.h"
#include "quire/model/transformer.h"
#include "quire/text/chat_template.h"
#include "quire/text/tokenizer.h"

namespace quire {
namespace {

constexpr size_t kLongestValue = 60;

std::string Shorten(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < ' ') c = ' ';
  }
  if (text.size() <= kLongestValue) return text;
  size_t end = kLongestValue;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;  // not inside a character
  return fmt::format("{}... ({} bytes)", text.substr(0, end), text.size());
}

std::string ValueText(const GgufValue& value) {
  return std::visit(
      [](const auto& v) -> std::string {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, std::string>)
          return Shorten(v);
        else if constexpr (requires { v.size(); })
          return fmt::format("[{} values]", v.size());
        else
          return fmt::format("{}", v);
      },
      value);
}

void AddMetadata(const ModelFiles& files, ModelReport& report) {
  for (const auto& [key, value] : files.gguf().values()) report.metadata.emplace_back(key, ValueText(value));
  if (files.format() == ModelFiles::Format::kGguf) return;
  const auto config = files.Json("config.json");
  if (!config || !config->is_object()) return;
  for (const auto& [key, value] : config->items()) {
    const bool list = value.is_array() && value.size() > 8;
    report.metadata.emplace_back(key,
                                 list ? fmt::format("[{} values]", value.size())
                                      : Shorten(value.is_string() ? value.get<std::string>() : value.dump()));
  }
}

void AddTensors(const ModelFiles& files, ModelReport& report) {
  for (const std::string& name : files.TensorNames()) {
    const TensorView& tensor = *files.Find(name);
    TensorSum& sum = report.types[std::string(Info(tensor.type).name)];
    for (TensorSum* s : {&sum, &report.all}) {
      s->tensors += 1;
      s->parameters += tensor.rows() * tensor.cols();
      s->bytes += static_cast<int64_t>(tensor.data.size());
    }
  }
}

Status AddNeeds(const ModelConfig& config, const ReportOptions& options, ModelReport& report) {
  QUIRE_ASSIGN(const KvLayout layout, KvLayoutOf(config, options.kv_types, options.page_tokens));
  report.kv_bytes_per_token = static_cast<int64_t>(layout.BytesPerToken());
  constexpr int64_t kChunk = 512;
  for (int64_t sequences : options.sequences) {
    for (int64_t tokens : options.tokens) {
      if (tokens == 0) tokens = config.context_length;
      if (tokens > config.context_length) continue;
      const KvNeed need{
          sequences, tokens,
          sequences * layout.PagesFor(tokens, kChunk) * static_cast<int64_t>(layout.page_bytes())};
      const auto same = [&](const KvNeed& n) { return n.sequences == sequences && n.tokens == tokens; };
      if (std::ranges::none_of(report.needs, same)) report.needs.push_back(need);
    }
  }
  return {};
}

Status AddConfig(const ModelFiles& files, const ReportOptions& options, ModelReport& report) {
  const auto config = ReadModelConfig(files);
  if (!config) {
    report.refusal = config.error().message;
    return {};
  }
  report.name = config->name;
  report.architecture = config->architecture;
  report.layers = static_cast<int64_t>(config->layers.size());
  report.hidden = config->hidden;
  report.heads = config->heads;
  report.kv_heads = config->kv_heads;
  report.head_dim = config->head_dim;
  report.context = config->context_length;
  report.vocab = config->vocab;
  for (const LayerConfig& layer : config->layers) {
    report.window = std::max(report.window, layer.window);
    report.windowed_layers += layer.window > 0 ? 1 : 0;
  }
  return AddNeeds(*config, options, report);
}

std::string TokenText(const Tokenizer& tokenizer, const char* role, std::optional<Token> token) {
  return token ? fmt::format(", {} '{}' ({})", role, tokenizer.TokenBytes(*token, true), *token) : "";
}

void AddText(const ModelFiles& files, ModelReport& report) {
  const auto tokenizer = Tokenizer::Load(files);
  if (!tokenizer) {
    report.tokenizer = "none: " + tokenizer.error().message;
    report.chat_template = "unknown without a tokenizer";
    return;
  }
  const Tokenizer& t = **tokenizer;
  report.tokenizer = fmt::format("{} entries{}{}", t.vocab_size(), TokenText(t, "bos", t.bos()),
                                 TokenText(t, "eos", t.eos()));
  if (report.vocab == 0) report.vocab = t.vocab_size();
  const auto chat = ChatTemplate::Load(files, t);
  report.chat_template = chat ? fmt::format("yes, {} characters", (*chat)->source().size())
                         : chat.error().code == ErrorCode::kNotFound ? "no"
                                                                     : "broken: " + chat.error().message;
}

}  // namespace

Result<ModelReport> ReportModel(const ModelFiles& files, const ReportOptions& options) {
  ModelReport report;
  report.path = files.path();
  report.format = files.format() == ModelFiles::Format::kGguf ? "GGUF" : "safetensors";
  AddMetadata(files, report);
  AddTensors(files, report);
  QUIRE_TRY(AddConfig(files, options, report));
  AddText(files, report);
  return report;
}

}  // namespace quire

// What can be said of a model without loading it: its files' metadata, its tensors, and the memory it needs.
#ifndef QUIRE_CLI_MODEL_REPORT_H_
#define QUIRE_CLI_MODEL_REPORT_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "quire/base/result.h"
#include "quire/files/model_files.h"
#include "quire/kv/layer_types.h"

namespace quire {

struct TensorSum {
  int64_t tensors = 0;
  int64_t parameters = 0;
  int64_t bytes = 0;
};

struct KvNeed {
  int64_t sequences = 0;
  int64_t tokens = 0;  // of each
  int64_t bytes = 0;
};

struct ModelReport {
  std::string path;
  std::string format;                                         // "GGUF", "safetensors"
  std::vector<std::pair<std::string, std::string>> metadata;  // arrays as their size
  std::map<std::string, TensorSum> types;                     // by name of the element type
  TensorSum all;

  // Where the model can run.
  std::string refusal;  // why it cannot; empty when it can
  std::string name, architecture;
  int64_t layers = 0, hidden = 0, heads = 0, kv_heads = 0, head_dim = 0, context = 0, vocab = 0;
  int64_t window = 0;  // of its sliding-window layers; 0: none
  int64_t windowed_layers = 0;
  int64_t kv_bytes_per_token = 0;  // while every layer keeps it
  std::vector<KvNeed> needs;

  std::string tokenizer;      // "49152 entries, bos <s>, ..."; or why there is none
  std::string chat_template;  // "yes, 1234 characters"; or why there is none
};

struct ReportOptions {
  LayerTypes kv_types = DType::kF16;
  int page_tokens = 16;
  std::vector<int64_t> sequences;
  std::vector<int64_t> tokens;  // 0 stands for the model's context
};

// Errors: those of LayerTypes::Of.
Result<ModelReport> ReportModel(const ModelFiles& files, const ReportOptions& options);

}  // namespace quire

#endif  // QUIRE_CLI_MODEL_REPORT_H_

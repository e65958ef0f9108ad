// Hugging Face's tokenizer.json, the parts of it that BPE models use. A component this build does not know is
// refused by name: guessing would give wrong ids silently.
#include <algorithm>
#include <array>
#include <span>

#include "quire/text/pre_tokenizer.h"
#include "quire/text/tokenizer_spec.h"

namespace quire {
namespace {

using Json = nlohmann::json;

// Ids above this are no vocabulary: the largest known have about 300,000.
constexpr int64_t kMostPieces = int64_t{1} << 22;

std::string TypeOf(const Json& component) {
  return component.is_object() && component.contains("type") && component["type"].is_string()
             ? component["type"].get<std::string>()
             : std::string();
}

bool Flag(const Json& object, const char* key, bool otherwise = false) {
  const auto it = object.find(key);
  return it != object.end() && it->is_boolean() ? it->get<bool>() : otherwise;
}

std::string TextField(const Json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

// The components of a Sequence under `list`, or the component itself.
std::vector<Json> Components(const Json& component, const char* list) {
  if (component.is_null()) return {};
  if (TypeOf(component) != "Sequence") return {component};
  std::vector<Json> out;
  if (component.contains(list) && component[list].is_array()) {
    for (const Json& part : component[list]) {
      for (Json& inner : Components(part, list)) out.push_back(std::move(inner));
    }
  }
  return out;
}

class JsonReader {
 public:
  JsonReader(const Json& root, std::string source) : root_(root) { spec_.source = std::move(source); }
  Result<TokenizerSpec> Read();

 private:
  Status ReadModel();
  Status ReadVocabulary(const Json& vocab);
  Status ReadMerges(const Json& merges);
  Status ReadAddedTokens();
  Status ReadNormalizer();
  Status ReadPreTokenizer();
  Status ReadSplit(const Json& split);
  void ReadPostProcessor();
  Status SetPiece(int64_t id, std::string text, PieceKind kind);
  const Json& At(const char* key) const;
  std::unexpected<Error> Unknown(const char* what, const std::string& type) const {
    return Fail(ErrorCode::kUnsupported, "{}: {} is of type '{}', which this build does not know",
                spec_.source, what, type);
  }

  const Json& root_;
  TokenizerSpec spec_;
};

const Json& JsonReader::At(const char* key) const {
  static const Json null;
  const auto it = root_.find(key);
  return it == root_.end() ? null : *it;
}

Status JsonReader::SetPiece(int64_t id, std::string text, PieceKind kind) {
  if (id < 0 || id >= kMostPieces) {
    return Fail(ErrorCode::kCorrupt, "{}: the token '{}' has the id {}; expected 0 to {}", spec_.source, text,
                id, kMostPieces - 1);
  }
  if (id >= std::ssize(spec_.pieces))
    spec_.pieces.resize(id + 1, VocabularyPiece{.text = {}, .kind = PieceKind::kUnused});
  spec_.pieces[id] = {.text = std::move(text), .kind = kind};
  return {};
}

Status JsonReader::ReadVocabulary(const Json& vocab) {
  if (!vocab.is_object() || vocab.empty()) {
    return Fail(ErrorCode::kCorrupt, "{}: model.vocab is not an object of pieces and ids", spec_.source);
  }
  const bool byte_fallback = Flag(At("model"), "byte_fallback");
  for (const auto& [text, id] : vocab.items()) {
    if (!id.is_number_integer()) {
      return Fail(ErrorCode::kCorrupt, "{}: model.vocab['{}'] is no id", spec_.source, text);
    }
    const bool byte = byte_fallback && text.size() == 6 && text.starts_with("<0x");
    QUIRE_TRY(SetPiece(id.get<int64_t>(), text, byte ? PieceKind::kByte : PieceKind::kNormal));
  }
  return {};
}

Status JsonReader::ReadMerges(const Json& merges) {
  if (!merges.is_array()) return Fail(ErrorCode::kCorrupt, "{}: model.merges is not a list", spec_.source);
  for (const Json& merge : merges) {
    if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      spec_.merges.emplace_back(merge[0].get<std::string>(), merge[1].get<std::string>());
      continue;
    }
    const std::string text = merge.is_string() ? merge.get<std::string>() : std::string();
    const size_t space = text.find(' ', text.empty() ? 0 : 1);
    if (space == std::string::npos || space + 1 >= text.size()) {
      return Fail(ErrorCode::kCorrupt, "{}: model.merges[{}] is no pair of pieces", spec_.source,
                  spec_.merges.size());
    }
    spec_.merges.emplace_back(text.substr(0, space), text.substr(space + 1));
  }
  return {};
}

Status JsonReader::ReadModel() {
  const Json& model = At("model");
  if (!model.is_object()) return Fail(ErrorCode::kCorrupt, "{}: model is missing", spec_.source);
  const std::string type = TypeOf(model);
  if (!type.empty() && type != "BPE") return Unknown("model", type);
  if (!model.contains("vocab") || !model.contains("merges")) {
    return Fail(ErrorCode::kUnsupported, "{}: model has no vocab and merges; this build reads BPE models",
                spec_.source);
  }
  QUIRE_TRY(ReadVocabulary(model["vocab"]));
  QUIRE_TRY(ReadMerges(model["merges"]));
  spec_.ignore_merges = Flag(model, "ignore_merges");
  const std::string unknown = TextField(model, "unk_token");
  if (!unknown.empty() && model["vocab"].contains(unknown))
    spec_.unknown = model["vocab"][unknown].get<Token>();
  return {};
}

Status JsonReader::ReadAddedTokens() {
  const Json& added = At("added_tokens");
  if (!added.is_array()) return {};
  for (const Json& token : added) {
    if (!token.is_object() || !token.contains("id") || !token["id"].is_number_integer()) {
      return Fail(ErrorCode::kCorrupt, "{}: an entry of added_tokens has no id", spec_.source);
    }
    const auto id = token["id"].get<int64_t>();
    QUIRE_TRY(SetPiece(id, TextField(token, "content"),
                       Flag(token, "special") ? PieceKind::kControl : PieceKind::kAdded));
    spec_.pieces[id].strips_left = Flag(token, "lstrip");
    spec_.pieces[id].strips_right = Flag(token, "rstrip");
  }
  return {};
}

Status JsonReader::ReadNormalizer() {
  for (const Json& part : Components(At("normalizer"), "normalizers")) {
    const std::string type = TypeOf(part);
    if (type == "NFC") {
      spec_.nfc = true;
    } else if (type == "Prepend") {
      spec_.space_prefix = SpacePrefix::kAlways;
    } else if (type != "Replace" || TextField(part, "content") != "\xE2\x96\x81") {
      return Unknown("a part of normalizer", type);
    }
  }
  return {};
}

Status JsonReader::ReadSplit(const Json& split) {
  const Json& pattern = split.contains("pattern") ? split["pattern"] : Json();
  const std::string regex = pattern.is_object() ? TextField(pattern, "Regex") : std::string();
  // SentencePiece-style files cut at spaces that their normalizer has replaced: nothing is left to cut.
  if (regex.empty() && pattern.is_object() && TextField(pattern, "String") == " ") return {};
  const std::string behavior = TextField(split, "behavior");
  const bool isolates = behavior == "Isolated" || (behavior == "Removed" && Flag(split, "invert"));
  if (regex.empty() || !isolates) return Unknown("a Split of pre_tokenizer", behavior);
  spec_.patterns.push_back(regex);
  return {};
}

Status JsonReader::ReadPreTokenizer() {
  for (const Json& part : Components(At("pre_tokenizer"), "pretokenizers")) {
    const std::string type = TypeOf(part);
    if (type == "ByteLevel") {
      spec_.byte_level = true;
      if (Flag(part, "add_prefix_space")) return Unknown("add_prefix_space of pre_tokenizer", "true");
      if (Flag(part, "use_regex", true)) spec_.patterns.push_back(kGpt2Pattern);
    } else if (type == "Split") {
      QUIRE_TRY(ReadSplit(part));
    } else if (type == "Digits") {
      spec_.patterns.push_back(Flag(part, "individual_digits") ? R"(\p{N})" : R"(\p{N}+)");
    } else if (type == "Punctuation") {
      spec_.patterns.push_back(R"([!-/:-@\[-`{-~\p{P}])");
    } else if (type == "Metaspace") {
      const std::string scheme = TextField(part, "prepend_scheme");
      const bool prepends = scheme.empty() ? Flag(part, "add_prefix_space", true) : scheme != "never";
      if (prepends) spec_.space_prefix = scheme == "first" ? SpacePrefix::kFirst : SpacePrefix::kAlways;
    } else {
      return Unknown("a part of pre_tokenizer", type);
    }
  }
  return {};
}

// Only whether a text begins with BOS and ends with EOS; pairs of texts do not occur here.
void JsonReader::ReadPostProcessor() {
  for (const Json& part : Components(At("post_processor"), "processors")) {
    if (TypeOf(part) != "TemplateProcessing" || !part.contains("single") || !part["single"].is_array())
      continue;
    bool text_seen = false;
    for (const Json& item : part["single"]) {
      if (!item.is_object()) continue;
      if (item.contains("Sequence")) text_seen = true;
      if (!item.contains("SpecialToken") || !item["SpecialToken"].is_object()) continue;
      const std::string text = TextField(item["SpecialToken"], "id");
      const auto piece = std::ranges::find(spec_.pieces, text, &VocabularyPiece::text);
      if (piece == spec_.pieces.end()) continue;
      const auto id = static_cast<Token>(piece - spec_.pieces.begin());
      (text_seen ? spec_.eos : spec_.bos) = id;
      (text_seen ? spec_.add_eos : spec_.add_bos) = true;
    }
  }
}

Result<TokenizerSpec> JsonReader::Read() {
  QUIRE_TRY(ReadModel());
  QUIRE_TRY(ReadAddedTokens());
  QUIRE_TRY(ReadNormalizer());
  QUIRE_TRY(ReadPreTokenizer());
  ReadPostProcessor();
  return std::move(spec_);
}

// bos_token and eos_token of tokenizer_config.json: a text, or an object with `content`.
std::optional<Token> NamedToken(const Json& config, const char* key, const TokenizerSpec& spec) {
  if (!config.is_object() || !config.contains(key)) return std::nullopt;
  const Json& value = config[key];
  const std::string text = value.is_string()   ? value.get<std::string>()
                           : value.is_object() ? TextField(value, "content")
                                               : "";
  const auto piece = std::ranges::find(spec.pieces, text, &VocabularyPiece::text);
  if (text.empty() || piece == spec.pieces.end()) return std::nullopt;
  return static_cast<Token>(piece - spec.pieces.begin());
}

// eos_token_id is one id or a list of them.
void AddStopIds(const Json& config, TokenizerSpec& spec) {
  if (!config.is_object() || !config.contains("eos_token_id")) return;
  const Json& value = config["eos_token_id"];
  for (const Json& id : value.is_array() ? value : Json::array({value})) {
    if (!id.is_number_integer()) continue;
    const auto token = id.get<int64_t>();
    if (token < 0 || token >= std::ssize(spec.pieces)) continue;
    if (!spec.eos) spec.eos = static_cast<Token>(token);
    if (std::ranges::find(spec.stop_tokens, token) == spec.stop_tokens.end()) {
      spec.stop_tokens.push_back(static_cast<Token>(token));
    }
  }
}

}  // namespace

Result<TokenizerSpec> TokenizerSpecFromJson(const ModelFiles& files) {
  const std::string source = files.path() + "/tokenizer.json";
  QUIRE_ASSIGN(const Json root, files.Json("tokenizer.json"));
  if (!root.is_object())
    return Fail(ErrorCode::kNotFound, "{}: no such file; the model has no tokenizer", source);
  QUIRE_ASSIGN(TokenizerSpec spec, JsonReader(root, source).Read());
  QUIRE_ASSIGN(const Json config, files.Json("tokenizer_config.json"));
  if (const auto bos = NamedToken(config, "bos_token", spec)) spec.bos = bos;
  if (const auto eos = NamedToken(config, "eos_token", spec)) spec.eos = eos;
  for (const char* file : {"generation_config.json", "config.json"}) {
    QUIRE_ASSIGN(const Json ids, files.Json(file));
    AddStopIds(ids, spec);
  }
  AddWellKnownStops(spec);
  return spec;
}

}  // namespace quire

// Hugging Face's tokenizer.json, the parts of it that BPE models use.
#include <algorithm>

#include "quire/files/quoted.h"
#include "quire/text/tokenizer_spec.h"

namespace quire {
namespace {

using Json = nlohmann::json;

// Ids above this are no vocabulary: the largest known have about 300,000.
constexpr int64_t kMostPieces = int64_t{1} << 22;

const Json& At(const Json& object, const char* key) {
  static const Json null;
  if (!object.is_object()) return null;
  const auto it = object.find(key);
  return it == object.end() ? null : *it;
}

bool Flag(const Json& object, const char* key) {
  const Json& value = At(object, key);
  return value.is_boolean() && value.get<bool>();
}

std::string Text(const Json& object, const char* key) {
  const Json& value = At(object, key);
  return value.is_string() ? value.get<std::string>() : std::string();
}

class JsonReader {
 public:
  JsonReader(const TokenizerJsonFiles& files, std::string source) : files_(files) {
    spec_.source = std::move(source);
  }
  Result<TokenizerSpec> Read();

 private:
  Status ReadModel();
  Status ReadVocabulary(const Json& model);
  Status ReadMerges(const Json& merges);
  Status ReadAddedTokens();
  Status ReadPostProcessor(const Json& processor);
  Status ReadTemplate(const Json& items);
  Status ReadPair(const Json& pair, std::vector<Token>& out);
  void ReadEnds();
  void AddStopIds(const Json& config);
  std::optional<Token> NamedToken(const char* key) const;
  Status SetPiece(int64_t id, std::string text, PieceKind kind);
  bool IsId(const Json& value) const {
    return value.is_number_integer() && value.get<int64_t>() >= 0 &&
           value.get<int64_t>() < std::ssize(spec_.pieces);
  }
  template <typename... Args>
  std::unexpected<Error> Corrupt(fmt::format_string<Args...> format, Args&&... args) const {
    return Fail(ErrorCode::kCorrupt, "{}: {}", spec_.source,
                fmt::format(format, std::forward<Args>(args)...));
  }

  const TokenizerJsonFiles& files_;
  TokenizerSpec spec_;
};

Result<TokenizerSpec> JsonReader::Read() {
  QUIRE_TRY(ReadPipeline(files_.tokenizer, spec_));
  QUIRE_TRY(ReadModel());
  QUIRE_TRY(ReadAddedTokens());
  QUIRE_TRY(ReadPostProcessor(At(files_.tokenizer, "post_processor")));
  ReadEnds();
  return std::move(spec_);
}

Status JsonReader::SetPiece(int64_t id, std::string text, PieceKind kind) {
  if (id < 0 || id >= kMostPieces) {
    return Corrupt("the token {} has the id {}; expected 0 to {}", Quoted(text), id, kMostPieces - 1);
  }
  if (id >= std::ssize(spec_.pieces)) spec_.pieces.resize(id + 1);
  spec_.pieces[id] = {std::move(text), kind};
  return {};
}

Status JsonReader::ReadModel() {
  const Json& model = At(files_.tokenizer, "model");
  if (!model.is_object()) return Corrupt("model is missing; expected an object");
  const std::string type = Text(model, "type");
  if ((!type.empty() && type != "BPE") || !model.contains("merges")) {
    return Fail(ErrorCode::kUnsupported, "{}: model is of type {}; this build reads 'BPE'", spec_.source,
                Quoted(type));
  }
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (Text(model, key).empty()) continue;
    return Fail(ErrorCode::kUnsupported, "{}: model.{} is {}; this build reads models without one",
                spec_.source, key, Quoted(Text(model, key)));
  }
  QUIRE_TRY(ReadVocabulary(model));
  QUIRE_TRY(ReadMerges(At(model, "merges")));
  spec_.ignore_merges = Flag(model, "ignore_merges");
  spec_.fuse_unknown = Flag(model, "fuse_unk");
  const Json& unknown = At(At(model, "vocab"), Text(model, "unk_token").c_str());
  if (IsId(unknown)) spec_.unknown = unknown.get<Token>();
  return {};
}

Status JsonReader::ReadVocabulary(const Json& model) {
  const Json& vocab = At(model, "vocab");
  if (!vocab.is_object() || vocab.empty()) return Corrupt("model.vocab is no object of pieces and their ids");
  const bool byte_fallback = Flag(model, "byte_fallback");
  for (const auto& [text, id] : vocab.items()) {
    if (!id.is_number_integer()) return Corrupt("model.vocab has {} with no id", Quoted(text));
    const bool byte = byte_fallback && ByteOfPiece(text) >= 0;
    QUIRE_TRY(SetPiece(id.get<int64_t>(), text, byte ? PieceKind::kByte : PieceKind::kNormal));
  }
  return {};
}

Status JsonReader::ReadMerges(const Json& merges) {
  if (!merges.is_array()) return Corrupt("model.merges is no list");
  spec_.merges.reserve(merges.size());
  for (const Json& merge : merges) {
    if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      const auto& left = merge[0].get_ref<const std::string&>();
      spec_.merges.emplace_back(left + " " + merge[1].get_ref<const std::string&>(), left.size());
      continue;
    }
    const std::string text = merge.is_string() ? merge.get<std::string>() : std::string();
    const size_t space = text.find(' ', 1);
    if (text.empty() || space == std::string::npos || space + 1 >= text.size()) {
      return Corrupt("model.merges[{}] is no pair of pieces", spec_.merges.size());
    }
    spec_.merges.emplace_back(text, space);
  }
  return {};
}

Status JsonReader::ReadAddedTokens() {
  const Json& added = At(files_.tokenizer, "added_tokens");
  if (!added.is_null() && !added.is_array()) return Corrupt("added_tokens is no list");
  for (const Json& entry : added) {
    if (!At(entry, "id").is_number_integer() || !At(entry, "content").is_string()) {
      return Corrupt("added_tokens[{}] has no id and content", spec_.added.size());
    }
    const auto id = entry["id"].get<int64_t>();
    const auto text = entry["content"].get<std::string>();
    const bool special = Flag(entry, "special");
    QUIRE_TRY(SetPiece(id, text, special ? PieceKind::kControl : PieceKind::kAdded));
    spec_.added.push_back({.token = {.text = text,
                                     .token = static_cast<Token>(id),
                                     .special = special,
                                     .single_word = Flag(entry, "single_word"),
                                     .strips_left = Flag(entry, "lstrip"),
                                     .strips_right = Flag(entry, "rstrip")},
                           .normalized = Flag(entry, "normalized")});
  }
  return {};
}

// Only what goes around a single text; pairs of texts do not occur here.
Status JsonReader::ReadPostProcessor(const Json& processor) {
  const std::string type = Text(processor, "type");
  if (processor.is_null() || type == "ByteLevel") return {};
  if (type == "TemplateProcessing") return ReadTemplate(processor);
  if (type == "RobertaProcessing" || type == "BertProcessing") {
    QUIRE_TRY(ReadPair(At(processor, "cls"), spec_.prefix));
    return ReadPair(At(processor, "sep"), spec_.suffix);
  }
  if (type == "Sequence") {
    for (const Json& part : At(processor, "processors")) QUIRE_TRY(ReadPostProcessor(part));
    return {};
  }
  return Fail(ErrorCode::kUnsupported, "{}: post_processor is of type {}, which this build does not know",
              spec_.source, Quoted(type));
}

Status JsonReader::ReadTemplate(const Json& processor) {
  std::vector<Token>* side = &spec_.prefix;
  for (const Json& item : At(processor, "single")) {
    if (!At(item, "Sequence").is_null()) side = &spec_.suffix;
    const Json& special = At(item, "SpecialToken");
    if (special.is_null()) continue;
    const std::string name = Text(special, "id");
    const Json& ids = At(At(At(processor, "special_tokens"), name.c_str()), "ids");
    if (!ids.is_array()) return Corrupt("post_processor has no ids for {}", Quoted(name));
    for (const Json& id : ids) {
      if (!IsId(id))
        return Corrupt("post_processor has an id for {} that the vocabulary lacks", Quoted(name));
      side->push_back(id.get<Token>());
    }
  }
  return {};
}

// ["</s>", 2]
Status JsonReader::ReadPair(const Json& pair, std::vector<Token>& out) {
  if (!pair.is_array() || pair.size() != 2 || !IsId(pair[1])) {
    return Corrupt("post_processor has a token that the vocabulary lacks");
  }
  out.push_back(pair[1].get<Token>());
  return {};
}

// bos_token and eos_token of tokenizer_config.json: a text, or an object with `content`.
std::optional<Token> JsonReader::NamedToken(const char* key) const {
  const Json& value = At(files_.tokenizer_config, key);
  const std::string text = value.is_string() ? value.get<std::string>() : Text(value, "content");
  const auto piece = std::ranges::find(spec_.pieces, text, &VocabularyPiece::text);
  if (text.empty() || piece == spec_.pieces.end()) return std::nullopt;
  return static_cast<Token>(piece - spec_.pieces.begin());
}

// eos_token_id is one id or a list of them.
void JsonReader::AddStopIds(const Json& config) {
  const Json& value = At(config, "eos_token_id");
  for (const Json& id : value.is_array() ? value : Json::array({value})) {
    if (!IsId(id)) continue;
    const auto token = id.get<Token>();
    if (!spec_.eos) spec_.eos = token;
    if (std::ranges::find(spec_.stop_tokens, token) == spec_.stop_tokens.end())
      spec_.stop_tokens.push_back(token);
  }
}

void JsonReader::ReadEnds() {
  spec_.bos = NamedToken("bos_token");
  spec_.eos = NamedToken("eos_token");
  if (!spec_.bos && !spec_.prefix.empty()) spec_.bos = spec_.prefix.front();
  AddStopIds(files_.generation_config);
  AddStopIds(files_.config);
  AddWellKnownStops(spec_);
}

}  // namespace

Result<TokenizerSpec> TokenizerSpecFromJson(const TokenizerJsonFiles& files, const std::string& source) {
  if (!files.tokenizer.is_object()) {
    return Fail(ErrorCode::kNotFound, "{}: no such file; the model has no tokenizer", source);
  }
  return JsonReader(files, source).Read();
}

}  // namespace quire

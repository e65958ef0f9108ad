// The parts of tokenizer.json around the model.
#include "quire/files/quoted.h"
#include "quire/text/tokenizer_spec.h"
#include "quire/text/utf8.h"

namespace quire {
namespace {

using Json = nlohmann::json;
using Kind = NormalizerStep::Kind;

const Json& At(const Json& object, const char* key) {
  static const Json null;
  if (!object.is_object()) return null;
  const auto it = object.find(key);
  return it == object.end() ? null : *it;
}

bool Flag(const Json& object, const char* key, bool otherwise) {
  const Json& value = At(object, key);
  return value.is_boolean() ? value.get<bool>() : otherwise;
}

std::string Text(const Json& object, const char* key) {
  const Json& value = At(object, key);
  return value.is_string() ? value.get<std::string>() : std::string();
}

class PipelineReader {
 public:
  explicit PipelineReader(TokenizerSpec& spec) : spec_(spec) {}

  Status Normalizer(const Json& part);
  Status PreTokenizer(const Json& part);
  Status Decoder(const Json& part);

 private:
  Status Split(const Json& part);
  Status Metaspace(const Json& part);
  void Add(SplitStep step) { spec_.pre_tokenizer.emplace_back(std::move(step)); }
  std::unexpected<Error> Unknown(std::string_view what, const std::string& value) const {
    return Fail(ErrorCode::kUnsupported, "{}: {} is {}, which this build does not know", spec_.source, what,
                Quoted(value));
  }

  TokenizerSpec& spec_;
};

std::optional<Kind> SimpleNormalizer(const std::string& type) {
  constexpr std::pair<std::string_view, Kind> kSimple[] = {
      {"NFC", Kind::kNfc},
      {"NFD", Kind::kNfd},
      {"NFKC", Kind::kNfkc},
      {"NFKD", Kind::kNfkd},
      {"Lowercase", Kind::kLowercase},
      {"StripAccents", Kind::kStripAccents},
  };
  for (const auto& [name, kind] : kSimple) {
    if (name == type) return kind;
  }
  return std::nullopt;
}

Status PipelineReader::Normalizer(const Json& part) {
  if (part.is_null()) return {};
  const std::string type = Text(part, "type");
  if (type == "Sequence") {
    for (const Json& inner : At(part, "normalizers")) QUIRE_TRY(Normalizer(inner));
  } else if (const auto kind = SimpleNormalizer(type)) {
    spec_.normalizer.push_back({.kind = *kind});
  } else if (type == "Strip") {
    if (Flag(part, "strip_left", true)) spec_.normalizer.push_back({.kind = Kind::kStripLeft});
    if (Flag(part, "strip_right", true)) spec_.normalizer.push_back({.kind = Kind::kStripRight});
  } else if (type == "Prepend") {
    spec_.normalizer.push_back({.kind = Kind::kPrepend, .content = Text(part, "prepend")});
  } else if (type == "Replace") {
    const Json& pattern = At(part, "pattern");
    const bool literal = At(pattern, "String").is_string();
    spec_.normalizer.push_back({.kind = Kind::kReplace,
                                .pattern = Text(pattern, literal ? "String" : "Regex"),
                                .literal = literal,
                                .content = Text(part, "content")});
  } else {
    return Unknown("a type in normalizer", type);
  }
  return {};
}

std::optional<SplitBehavior> BehaviorOf(const std::string& name) {
  constexpr std::pair<std::string_view, SplitBehavior> kBehaviors[] = {
      {"Removed", SplitBehavior::kRemoved},
      {"Isolated", SplitBehavior::kIsolated},
      {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
      {"MergedWithNext", SplitBehavior::kMergedWithNext},
      {"Contiguous", SplitBehavior::kContiguous},
  };
  for (const auto& [text, behavior] : kBehaviors) {
    if (text == name) return behavior;
  }
  return std::nullopt;
}

Status PipelineReader::Split(const Json& part) {
  const Json& pattern = At(part, "pattern");
  const bool literal = At(pattern, "String").is_string();
  const auto behavior = BehaviorOf(Text(part, "behavior"));
  if (!behavior) return Unknown("a behavior in pre_tokenizer", Text(part, "behavior"));
  Add({.pattern = Text(pattern, literal ? "String" : "Regex"),
       .literal = literal,
       .behavior = *behavior,
       .invert = Flag(part, "invert", false)});
  return {};
}

Status PipelineReader::Metaspace(const Json& part) {
  const std::string mark = Text(part, "replacement");
  if (mark != kSpaceMark) return Unknown("the replacement of Metaspace in pre_tokenizer", mark);
  MetaspaceStep step{.split = Flag(part, "split", true)};
  const std::string scheme = Text(part, "prepend_scheme");
  if (scheme == "never" || (scheme.empty() && !Flag(part, "add_prefix_space", true))) {
    step.prefix = SpacePrefix::kNever;
  } else if (scheme == "first") {
    step.prefix = SpacePrefix::kFirst;
  } else if (scheme != "always" && !scheme.empty()) {
    return Unknown("a prepend_scheme in pre_tokenizer", scheme);
  }
  spec_.pre_tokenizer.emplace_back(step);
  return {};
}

Status PipelineReader::PreTokenizer(const Json& part) {
  if (part.is_null()) return {};
  const std::string type = Text(part, "type");
  if (type == "Sequence") {
    for (const Json& inner : At(part, "pretokenizers")) QUIRE_TRY(PreTokenizer(inner));
  } else if (type == "ByteLevel") {
    spec_.byte_level = true;
    spec_.pre_tokenizer.emplace_back(ByteLevelStep{.add_prefix_space = Flag(part, "add_prefix_space", true),
                                                   .use_regex = Flag(part, "use_regex", true)});
  } else if (type == "Split") {
    return Split(part);
  } else if (type == "Metaspace") {
    return Metaspace(part);
  } else if (type == "Digits") {
    Add({.pattern = Flag(part, "individual_digits", false) ? R"(\p{N})" : R"(\p{N}+)"});
  } else if (type == "Punctuation") {
    const std::string name = Text(part, "behavior");
    const auto behavior = name.empty() ? SplitBehavior::kIsolated : BehaviorOf(name);
    if (!behavior) return Unknown("a behavior in pre_tokenizer", name);
    Add({.pattern = kPunctuationPattern, .behavior = *behavior});
  } else if (type == "Whitespace") {
    Add({.pattern = R"(\w+|[^\w\s]+)", .behavior = SplitBehavior::kRemoved, .invert = true});
  } else if (type == "WhitespaceSplit") {
    Add({.pattern = R"(\s)", .behavior = SplitBehavior::kRemoved});
  } else if (type == "CharDelimiterSplit") {
    Add({.pattern = Text(part, "delimiter"), .literal = true, .behavior = SplitBehavior::kRemoved});
  } else {
    return Unknown("a type in pre_tokenizer", type);
  }
  return {};
}

Status PipelineReader::Decoder(const Json& part) {
  if (part.is_null()) return {};
  const std::string type = Text(part, "type");
  if (type == "Sequence") {
    for (const Json& inner : At(part, "decoders")) QUIRE_TRY(Decoder(inner));
  } else if (type == "Metaspace") {
    spec_.mark_is_space = true;
    const std::string scheme = Text(part, "prepend_scheme");
    spec_.strips_leading_space = scheme.empty() ? Flag(part, "add_prefix_space", true) : scheme != "never";
  } else if (type == "Replace" && Text(At(part, "pattern"), "String") == kSpaceMark &&
             Text(part, "content") == " ") {
    spec_.mark_is_space = true;
  } else if (type == "Strip" && Text(part, "content") == " ") {
    const Json& start = At(part, "start");
    spec_.strips_leading_space = start.is_number_integer() && start.get<int64_t>() > 0;
  } else if (type != "ByteLevel" && type != "ByteFallback" && type != "Fuse") {
    return Unknown("a type in decoder", type);
  }
  return {};
}

}  // namespace

Status ReadPipeline(const Json& tokenizer, TokenizerSpec& spec) {
  PipelineReader reader(spec);
  QUIRE_TRY(reader.Normalizer(At(tokenizer, "normalizer")));
  QUIRE_TRY(reader.PreTokenizer(At(tokenizer, "pre_tokenizer")));
  return reader.Decoder(At(tokenizer, "decoder"));
}

}  // namespace quire

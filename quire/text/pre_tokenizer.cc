#include "quire/text/pre_tokenizer.h"

#include "quire/text/byte_alphabet.h"

namespace quire {
namespace {

constexpr const char* kGpt2Words =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// Steps run inside each other.
constexpr size_t kMostSteps = 32;

Result<Regex> CompileStep(const PreTokenizerStep& step) {
  if (const auto* metaspace = std::get_if<MetaspaceStep>(&step)) return Regex::Literal(metaspace->mark);
  if (std::holds_alternative<ByteLevelStep>(step)) return Regex::Compile(kGpt2Words);
  const auto& split = std::get<SplitStep>(step);
  return split.literal ? Regex::Literal(split.pattern) : Regex::Compile(split.pattern);
}

// Gathers matches and what lies between them into pieces.
class Pieces {
 public:
  Pieces(SplitBehavior behavior, const std::function<void(size_t, size_t)>& piece)
      : behavior_(behavior), piece_(piece) {}

  // The next part of the text, in order.
  void Add(size_t begin, size_t end, bool is_match) {
    const bool joins = Joins(is_match);
    previous_match_ = is_match;
    if (begin == end) return;
    if (behavior_ == SplitBehavior::kRemoved && is_match) return Flush();
    if (!joins) Flush();
    if (open_begin_ == open_end_) open_begin_ = begin;
    open_end_ = end;
  }
  void Flush() {
    if (open_begin_ != open_end_) piece_(open_begin_, open_end_);
    open_begin_ = open_end_ = 0;
  }

 private:
  // Whether a part continues the piece before it.
  bool Joins(bool is_match) const {
    switch (behavior_) {
      case SplitBehavior::kContiguous:
        return is_match == previous_match_;
      case SplitBehavior::kMergedWithPrevious:
        return is_match && !previous_match_;
      case SplitBehavior::kMergedWithNext:
        return !is_match && previous_match_;
      default:
        return false;
    }
  }

  SplitBehavior behavior_;
  const std::function<void(size_t, size_t)>& piece_;
  bool previous_match_ = false;
  size_t open_begin_ = 0, open_end_ = 0;
};

}  // namespace

Result<PreTokenizer> PreTokenizer::Compile(std::vector<PreTokenizerStep> steps) {
  PreTokenizer pre_tokenizer;
  if (steps.size() > kMostSteps) {
    return Fail(ErrorCode::kUnsupported, "the pre-tokenizer has {} steps; expected at most {}", steps.size(),
                kMostSteps);
  }
  for (size_t i = 0; i < steps.size(); ++i) {
    QUIRE_ASSIGN(Regex pattern, CompileStep(steps[i]));
    pre_tokenizer.patterns_.push_back(std::move(pattern));
    if (std::holds_alternative<ByteLevelStep>(steps[i]) && i + 1 < steps.size())
      pre_tokenizer.in_alphabet_ = true;
  }
  pre_tokenizer.steps_ = std::move(steps);
  return pre_tokenizer;
}

// One text on its way through the steps.
struct PreTokenizer::Walk {
  const PreTokenizer& owner;
  const Words& word;
  Regex::MemoryPtr memory = Regex::NewMemory();

  void Run(size_t step, std::string_view text, bool first);
  void Cut(size_t step, std::string_view text, bool first, SplitBehavior behavior, bool invert);
  void Run(const SplitStep& split, size_t step, std::string_view text, bool first) {
    Cut(step, text, first, split.behavior, split.invert);
  }
  void Run(const ByteLevelStep& bytes, size_t step, std::string_view text, bool first);
  void Run(const MetaspaceStep& metaspace, size_t step, std::string_view text, bool first);
};

void PreTokenizer::Split(std::string_view text, bool first, const Words& word) const {
  if (steps_.empty()) {
    if (!text.empty()) word(text);
    return;
  }
  Walk{*this, word}.Run(0, text, first);
}

void PreTokenizer::Walk::Run(size_t step, std::string_view text, bool first) {
  if (text.empty()) return;
  if (step < owner.steps_.size()) {
    return std::visit([&](const auto& kind) { Run(kind, step, text, first); }, owner.steps_[step]);
  }
  if (!owner.in_alphabet_) return word(text);
  std::string bytes;
  AppendFromByteAlphabet(text, bytes);
  word(bytes);
}

void PreTokenizer::Walk::Cut(size_t step, std::string_view text, bool first, SplitBehavior behavior,
                             bool invert) {
  const std::function<void(size_t, size_t)> next = [&](size_t begin, size_t end) {
    Run(step + 1, text.substr(begin, end - begin), first && begin == 0);
  };
  Pieces pieces(behavior, next);
  size_t done = 0;
  owner.patterns_[step].ForEachMatch(text, *memory, [&](size_t begin, size_t end) {
    if (done < begin) pieces.Add(done, begin, invert);
    pieces.Add(begin, end, !invert);
    done = end;
  });
  if (done < text.size()) pieces.Add(done, text.size(), invert);
  pieces.Flush();
}

void PreTokenizer::Walk::Run(const ByteLevelStep& bytes, size_t step, std::string_view text, bool first) {
  if (bytes.add_prefix_space && !text.starts_with(' ')) {
    const std::string prefixed = " " + std::string(text);
    return Run(ByteLevelStep{.use_regex = bytes.use_regex}, step, prefixed, first);
  }
  if (!owner.in_alphabet_) {
    if (!bytes.use_regex) return word(text);
    return Cut(step, text, first, SplitBehavior::kIsolated, false);
  }
  const auto next = [&](std::string_view part, bool part_first) {
    std::string written;
    AppendInByteAlphabet(part, written);
    Run(step + 1, written, part_first);
  };
  if (!bytes.use_regex) return next(text, first);
  size_t done = 0;
  owner.patterns_[step].ForEachMatch(text, *memory, [&](size_t begin, size_t end) {
    if (done < begin) next(text.substr(done, begin - done), first && done == 0);
    next(text.substr(begin, end - begin), first && begin == 0);
    done = end;
  });
  if (done < text.size()) next(text.substr(done), first && done == 0);
}

void PreTokenizer::Walk::Run(const MetaspaceStep& metaspace, size_t step, std::string_view text, bool first) {
  std::string marked;
  marked.reserve(text.size() + text.size() / 2);
  for (char c : text) c == ' ' ? marked.append(metaspace.mark) : marked.append(1, c);
  const bool prefixes =
      metaspace.prefix == SpacePrefix::kAlways || (metaspace.prefix == SpacePrefix::kFirst && first);
  if (prefixes && !marked.starts_with(metaspace.mark)) marked.insert(0, metaspace.mark);
  if (!metaspace.split) return Run(step + 1, marked, first);
  Cut(step, marked, first, SplitBehavior::kMergedWithNext, false);
}

}  // namespace quire

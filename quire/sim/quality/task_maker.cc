#include "quire/sim/quality/task_maker.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <set>

#include "quire/base/check.h"

namespace quire {
namespace {

constexpr std::array kPlaces = {"Lisbon", "Oslo",  "Cairo",  "Lima",   "Tokyo",   "Dublin",
                                "Prague", "Delhi", "Athens", "Havana", "Nairobi", "Vienna"};
constexpr int64_t kQuoteTokens = 32;
constexpr int64_t kLongestArticle = 4096;  // tokens of an article that can be used
constexpr size_t kExampleChars = 160;

// A position of [0, size). Not of <random>, whose distributions differ between libraries.
int64_t Draw(std::mt19937& random, int64_t size) {
  return static_cast<int64_t>(random() % static_cast<uint64_t>(size));
}

// `count` different positions of [0, size), in the order they were drawn.
std::vector<size_t> DrawSome(std::mt19937& random, size_t size, size_t count) {
  std::vector<size_t> all(size);
  for (size_t i = 0; i < size; ++i) all[i] = i;
  for (size_t i = 0; i < count; ++i) {
    std::swap(all[i], all[i + static_cast<size_t>(Draw(random, static_cast<int64_t>(size - i)))]);
  }
  all.resize(count);
  return all;
}

Passage Append(std::vector<Token>& text, std::span<const Token> more) {
  const Passage passage{std::ssize(text), std::ssize(text) + std::ssize(more)};
  text.insert(text.end(), more.begin(), more.end());
  return passage;
}

std::string Code(std::mt19937& random) { return fmt::format("{}", 10'000 + Draw(random, 90'000)); }

bool IsNumber(std::string_view bytes) {
  return !bytes.empty() && std::ranges::all_of(bytes, [](char c) { return c >= '0' && c <= '9'; });
}

// The title of WikiText's line " = Robert Boulter = "; empty for other lines.
std::string_view TitleOf(std::string_view line) {
  while (line.ends_with(' ')) line.remove_suffix(1);
  if (!line.starts_with(" = ") || !line.ends_with(" =")) return {};
  line = line.substr(3, line.size() - 5);
  return line.find('=') == line.npos && line.find("<unk>") == line.npos ? line : std::string_view();
}

std::string_view NextLine(std::string_view& text) {
  const std::string_view line = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(text.size(), line.size() + 1));
  return line;
}

}  // namespace

Result<std::vector<Example>> ParseExamples(std::string_view lines) {
  std::vector<Example> examples;
  for (int number = 1; !lines.empty(); ++number) {
    const std::string_view line = NextLine(lines);
    if (line.empty()) continue;
    const auto json = nlohmann::json::parse(line, nullptr, false);
    const bool fits = json.is_object() && json.contains("category") && json["category"].is_string() &&
                      json.contains("turns") && json["turns"].is_array() && !json["turns"].empty() &&
                      json["turns"][0].is_string();
    if (!fits) {
      return Fail(ErrorCode::kCorrupt,
                  "line {} of the examples is no JSON object with a category and turns of text", number);
    }
    Example& example = examples.emplace_back();
    example.category = json["category"];
    std::ranges::replace(example.category, '_', ' ');
    example.text = json["turns"][0].get<std::string>().substr(0, kExampleChars);
    std::ranges::replace(example.text, '\n', ' ');
  }
  return examples;
}

TaskMaker::TaskMaker(const Tokenizer& tokenizer, std::string_view text, std::vector<Example> examples)
    : tokenizer_(tokenizer), beginning_(tokenizer.Encode("", {})), filler_(Encode(text)) {
  for (Token token = 0; token < tokenizer.vocab_size(); ++token) {
    const std::string bytes = tokenizer.TokenBytes(token, false);
    if (IsNumber(bytes)) digits_.push_back(token);
    if (bytes.starts_with(' ') && IsNumber(std::string_view(bytes).substr(1)))
      spaced_digits_.push_back(token);
  }
  std::string title, body;
  const auto end_article = [&] {
    if (!title.empty()) {
      std::vector<Token> tokens = Encode(body.substr(0, kLongestArticle * 8));
      articles_.push_back({title, std::move(tokens)});
    }
    body.clear();
  };
  while (!text.empty()) {
    const std::string_view line = NextLine(text);
    if (const std::string_view found = TitleOf(line); !found.empty()) {
      end_article();
      title = found;
    }
    body += line;
    body += '\n';
  }
  end_article();
  for (Example& example : examples) {
    auto place = std::ranges::find(categories_, example.category, [](const auto& c) { return c.first; });
    if (place == categories_.end()) place = categories_.insert(place, {example.category, {}});
    place->second.push_back(std::move(example.text));
  }
}

std::vector<Token> TaskMaker::Encode(std::string_view text) const {
  return tokenizer_.Encode(text, {.add_special = false});
}

std::span<const Token> TaskMaker::PassageOf(int64_t tokens, std::mt19937& random) const {
  QUIRE_CHECK(tokens <= std::ssize(filler_));
  tokens = std::max<int64_t>(0, tokens);
  return std::span(filler_).subspan(Draw(random, std::ssize(filler_) - tokens + 1), tokens);
}

QualityTask TaskMaker::PassKey(int64_t tokens, int index) const {
  std::mt19937 random(static_cast<uint32_t>(index));
  const std::string key = Code(random);
  const std::vector<Token> hidden =
      Encode(fmt::format("\nThe pass key is {0}. Remember it. {0} is the pass key.\n", key));
  QualityTask task;
  QualityQuestion& question = task.questions.emplace_back();
  question.ask = Encode("\nThe pass key is");
  question.alphabets = {digits_, spaced_digits_};
  question.answers.push_back(Encode(" " + key));
  while (std::ssize(question.answers) < kQuestions) {
    if (const std::string other = Code(random); other != key) question.answers.push_back(Encode(" " + other));
  }
  task.context = beginning_;
  const int64_t own = std::ssize(beginning_) + std::ssize(hidden) + std::ssize(question.ask);
  const std::span<const Token> passage = PassageOf(tokens - own, random);
  const int64_t before = Draw(random, std::ssize(passage) + 1);
  Append(task.context, passage.first(before));
  question.evidence.push_back(Append(task.context, hidden));
  Append(task.context, passage.subspan(before));
  return task;
}

std::vector<TaskMaker::Fact> TaskMaker::DrawFacts(std::mt19937& random) const {
  std::vector<Fact> facts;
  std::set<std::string> codes;
  for (const size_t place : DrawSome(random, kPlaces.size(), kQuestions)) {
    std::string code = Code(random);
    while (!codes.insert(code).second) code = Code(random);
    facts.push_back({kPlaces[place], code});
  }
  return facts;
}

std::vector<Token> TaskMaker::LineOf(const Fact& fact) const {
  return Encode(fmt::format("\nThe access code of {} is {}.\n", fact.place, fact.code));
}

QualityQuestion TaskMaker::QuestionAbout(const std::vector<Fact>& facts, size_t asked) const {
  QualityQuestion question;
  question.ask = Encode(fmt::format("\nThe access code of {} is", facts[asked].place));
  for (size_t i = 0; i < facts.size(); ++i) {
    question.answers.push_back(Encode(" " + facts[(asked + i) % facts.size()].code));
  }
  question.alphabets = {digits_, spaced_digits_};
  return question;
}

QualityTask TaskMaker::Facts(int64_t tokens, int index) const {
  std::mt19937 random(static_cast<uint32_t>(index));
  const std::vector<Fact> facts = DrawFacts(random);
  QualityTask task;
  std::vector<std::vector<Token>> lines;
  int64_t own = std::ssize(beginning_);
  for (size_t i = 0; i < facts.size(); ++i) {
    lines.push_back(LineOf(facts[i]));
    own += std::ssize(lines.back());
    task.questions.push_back(QuestionAbout(facts, i));
  }
  std::span<const Token> passage = PassageOf(tokens - own - std::ssize(task.questions[0].ask), random);
  std::vector<int64_t> places;
  for (size_t i = 0; i < lines.size(); ++i) places.push_back(Draw(random, std::ssize(passage) + 1));
  std::ranges::sort(places);
  task.context = beginning_;
  for (size_t i = 0; i < lines.size(); ++i) {
    const int64_t from = i == 0 ? 0 : places[i - 1];
    Append(task.context, passage.subspan(from, places[i] - from));
    task.questions[i].evidence.push_back(Append(task.context, lines[i]));
  }
  Append(task.context, passage.subspan(places.back()));
  // Asked in another order than they stand.
  std::ranges::rotate(task.questions, task.questions.begin() + Draw(random, kQuestions));
  return task;
}

Result<QualityTask> TaskMaker::ArticlesWith(int64_t tokens, std::mt19937& random,
                                            const std::function<void(QualityTask&, size_t)>& between) const {
  const int64_t each = tokens / kQuestions;
  std::vector<const Article*> long_enough;
  for (const Article& article : articles_) {
    if (std::ssize(article.text) >= each) long_enough.push_back(&article);
  }
  if (std::ssize(long_enough) < kQuestions || each < 3 * kQuoteTokens) {
    return Fail(ErrorCode::kInvalidArgument,
                "{} articles of the text, headed by lines such as ' = Title = ', have {} tokens; {} of at "
                "least {} are wanted: give another --text, or change --tokens",
                long_enough.size(), each, kQuestions, 3 * kQuoteTokens);
  }
  std::vector<const Article*> chosen;
  for (const size_t i : DrawSome(random, long_enough.size(), kQuestions)) chosen.push_back(long_enough[i]);
  QualityTask task;
  task.context = beginning_;
  for (size_t i = 0; i < chosen.size(); ++i) {
    const std::span<const Token> text = std::span(chosen[i]->text).first(each);
    QualityQuestion question;
    question.evidence.push_back(Append(task.context, text));
    // From the second half, where the heading is far.
    const int64_t from = each / 2 + Draw(random, each / 2 - kQuoteTokens + 1);
    question.ask = Encode("\n\"");
    Append(question.ask, text.subspan(from, kQuoteTokens));
    Append(question.ask, Encode("\" is from the article titled"));
    for (size_t other = 0; other < chosen.size(); ++other) {
      question.answers.push_back(Encode(" " + chosen[(i + other) % chosen.size()]->title));
    }
    task.questions.push_back(std::move(question));
    between(task, i);
  }
  return task;
}

Result<QualityTask> TaskMaker::Articles(int64_t tokens, int index) const {
  std::mt19937 random(static_cast<uint32_t>(index));
  QUIRE_ASSIGN(QualityTask task, ArticlesWith(tokens, random, [](QualityTask&, size_t) {}));
  std::ranges::rotate(task.questions, task.questions.begin() + Draw(random, kQuestions));
  return task;
}

Result<QualityTask> TaskMaker::Mixed(int64_t tokens, int index) const {
  std::mt19937 random(static_cast<uint32_t>(index));
  const std::vector<Fact> facts = DrawFacts(random);
  std::vector<QualityQuestion> codes;
  QUIRE_ASSIGN(QualityTask task, ArticlesWith(tokens, random, [&](QualityTask& mixed, size_t i) {
                 QualityQuestion& question = codes.emplace_back(QuestionAbout(facts, i));
                 question.evidence.push_back(Append(mixed.context, LineOf(facts[i])));
               }));
  // An article, a code, an article ... none of them next to each other in the text.
  std::vector<QualityQuestion> both;
  const size_t first = static_cast<size_t>(Draw(random, kQuestions));
  for (size_t i = 0; i < kQuestions; ++i) {
    const size_t at = (first + 2 * i) % kQuestions;
    both.push_back(std::move(i % 2 == 0 ? task.questions[at] : codes[at]));
  }
  task.questions = std::move(both);
  return task;
}

Result<QualityTask> TaskMaker::Examples(int64_t tokens, int index) const {
  std::mt19937 random(static_cast<uint32_t>(index));
  std::vector<size_t> kinds;  // with an example to show and one to ask
  for (size_t i = 0; i < categories_.size(); ++i) {
    if (categories_[i].second.size() > 1) kinds.push_back(i);
  }
  if (kinds.size() < kQuestions) {
    return Fail(ErrorCode::kInvalidArgument,
                "the examples have {} categories with two texts or more, and {} are wanted; give others",
                kinds.size(), kQuestions);
  }
  // Those that have most.
  std::ranges::stable_sort(kinds, std::greater(), [&](size_t k) { return categories_[k].second.size(); });
  kinds.resize(kQuestions);
  QualityTask task;
  std::vector<std::vector<size_t>> orders;  // the first of each is asked, the others are shown
  for (size_t i = 0; i < kinds.size(); ++i) {
    const auto& texts = categories_[kinds[i]].second;
    orders.push_back(DrawSome(random, texts.size(), texts.size()));
    QualityQuestion& question = task.questions.emplace_back();
    question.ask = Encode(fmt::format("\nQuestion: {}\nCategory:", texts[orders[i][0]]));
    for (size_t other = 0; other < kinds.size(); ++other) {
      question.answers.push_back(Encode(" " + categories_[kinds[(i + other) % kinds.size()]].first));
    }
  }
  task.context = beginning_;
  for (size_t shown = 0;; ++shown) {
    const size_t kind = shown % kinds.size(), at = 1 + shown / kinds.size();
    if (at >= orders[kind].size()) break;
    const auto& [category, texts] = categories_[kinds[kind]];
    const auto example =
        Encode(fmt::format("\nQuestion: {}\nCategory: {}\n", texts[orders[kind][at]], category));
    if (std::ssize(task.context) + std::ssize(example) > tokens) break;
    task.questions[kind].evidence.push_back(Append(task.context, example));
  }
  std::ranges::rotate(task.questions, task.questions.begin() + Draw(random, kQuestions));
  return task;
}

}  // namespace quire

// Makes tasks out of a text at hand: facts hidden in it, passages whose article is asked, examples whose
// category is asked. Equal arguments make equal tasks, whatever the machine.
//
//   PassKey    five digits, hidden in a passage that ends in the question
//   Facts      five places and their five digits; all five are asked
//   Articles   the beginnings of five articles; asked is where a passage of each is from
//   Examples   questions of five categories and their names; five more are to be named
//   Mixed      articles with facts between them; both are asked, in turn
//
// The last four are SCBench's (Li et al. 2024, table 1) kinds of task: string retrieval, information about
// the whole, learning from many examples, and several tasks at once, made so that a small model can do them.
#ifndef QUIRE_SIM_QUALITY_TASK_MAKER_H_
#define QUIRE_SIM_QUALITY_TASK_MAKER_H_

#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "quire/base/result.h"
#include "quire/sim/quality/quality_task.h"
#include "quire/text/tokenizer.h"

namespace quire {

// A short text and what it is an example of.
struct Example {
  std::string text;
  std::string category;
};
// JSON lines with `category` and `turns`, as of MT-Bench and Spec-Bench. Errors: kCorrupt, naming the line.
Result<std::vector<Example>> ParseExamples(std::string_view lines);

class TaskMaker {
 public:
  static constexpr int kQuestions = 5;

  // `tokenizer` outlives the maker, and the maker its tasks.
  TaskMaker(const Tokenizer& tokenizer, std::string_view text, std::vector<Example> examples);

  // The text in tokens.
  const std::vector<Token>& filler() const { return filler_; }
  // Tasks of about `tokens` tokens; `index` chooses everything else. REQUIRES: the filler is as long.
  QualityTask PassKey(int64_t tokens, int index) const;
  QualityTask Facts(int64_t tokens, int index) const;
  // Errors, of the next three: kInvalidArgument where text or examples do not have five of a kind.
  Result<QualityTask> Articles(int64_t tokens, int index) const;
  Result<QualityTask> Examples(int64_t tokens, int index) const;
  Result<QualityTask> Mixed(int64_t tokens, int index) const;

 private:
  struct Article {
    std::string title;
    std::vector<Token> text;
  };
  struct Fact {
    std::string place;
    std::string code;
  };

  std::vector<Token> Encode(std::string_view text) const;
  std::span<const Token> PassageOf(int64_t tokens, std::mt19937& random) const;
  std::vector<Fact> DrawFacts(std::mt19937& random) const;
  std::vector<Token> LineOf(const Fact& fact) const;
  // Its evidence is still to come; wrong answers are the codes of the others.
  QualityQuestion QuestionAbout(const std::vector<Fact>& facts, size_t asked) const;
  // Five articles of about `tokens` tokens in all, behind each of which `between` may add to the context.
  Result<QualityTask> ArticlesWith(int64_t tokens, std::mt19937& random,
                                   const std::function<void(QualityTask&, size_t)>& between) const;

  const Tokenizer& tokenizer_;
  std::vector<Token> beginning_;  // what the model expects in front
  std::vector<Token> filler_;
  std::vector<Token> digits_, spaced_digits_;  // tokens of digits, without and with a space in front
  std::vector<Article> articles_;
  std::vector<std::pair<std::string, std::vector<std::string>>> categories_;
};

}  // namespace quire

#endif  // QUIRE_SIM_QUALITY_TASK_MAKER_H_

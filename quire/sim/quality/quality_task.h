// Questions about a text, and how an answer is judged: data only, so that whatever keeps the text in memory
// can be asked the same.
//
// An answer is judged by its negative log-likelihood against those of other answers that the text suggests as
// well. One task is solved when the right answer is a nat likelier than the best other: what was only lucky
// is no measure of what a way of keeping KV has lost.
#ifndef QUIRE_SIM_QUALITY_QUALITY_TASK_H_
#define QUIRE_SIM_QUALITY_QUALITY_TASK_H_

#include <algorithm>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "quire/base/token.h"

namespace quire {

// Tokens [begin, end) of a text.
struct Passage {
  int64_t begin = 0;
  int64_t end = 0;
};

struct QualityQuestion {
  std::vector<Token> ask;                   // behind what was read
  std::vector<std::vector<Token>> answers;  // the right one first
  // Tokens that are alike, such as all digits. An answer counts as right when each of its tokens is the
  // likeliest of those alike; where there are no such lists, when it is the likeliest of `answers`.
  std::vector<std::span<const Token>> alphabets;
  std::vector<Passage> evidence;  // of the context, where the right answer stands

  bool is_choice() const { return alphabets.empty(); }
};

struct QualityTask {
  std::vector<Token> context;
  std::vector<QualityQuestion> questions;
};

struct AnswerScore {
  std::vector<double> nlls;  // of each answer, summed over its tokens
  bool generated = false;    // every token of the right answer was the likeliest of those alike

  // By how many nats the right answer is likelier than the best other.
  double margin() const {
    double best = std::numeric_limits<double>::infinity();
    for (size_t i = 1; i < nlls.size(); ++i) best = std::min(best, nlls[i]);
    return best - nlls.front();
  }
};

inline constexpr double kSolvedMargin = 1;  // nats

inline bool IsRight(const QualityQuestion& question, const AnswerScore& score) {
  return question.is_choice() ? score.margin() > 0 : score.generated;
}
inline bool IsSolved(const QualityQuestion& question, const AnswerScore& score) {
  return IsRight(question, score) && score.margin() >= kSolvedMargin;
}

}  // namespace quire

#endif  // QUIRE_SIM_QUALITY_QUALITY_TASK_H_

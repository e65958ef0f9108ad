#include "quire/sim/quality/quality_run.h"

#include "quire/base/check.h"

namespace quire {

std::string_view NameOf(TurnMode mode) { return mode == TurnMode::kRequests ? "requests" : "conversation"; }

namespace {

// Takes off what each answer has without the text: how likely it is as words.
void TakeOff(const AnswerScore& without, AnswerScore& score) {
  for (size_t a = 0; a < score.nlls.size(); ++a) score.nlls[a] -= without.nlls[a];
}

}  // namespace

std::vector<AnswerScore> AskAll(KvSession& session, const QualityTask& task, TurnMode mode) {
  std::vector<AnswerScore> scores, without;
  for (const QualityQuestion& question : task.questions) {
    without.push_back(question.is_choice() ? session.Ask(question) : AnswerScore{});
  }
  session.Read(task.context);
  for (const QualityQuestion& question : task.questions) {
    scores.push_back(session.Ask(question));
    if (question.is_choice()) TakeOff(without[scores.size() - 1], scores.back());
    if (mode == TurnMode::kRequests || scores.size() == task.questions.size()) continue;
    std::vector<Token> turn = question.ask;
    turn.insert(turn.end(), question.answers.front().begin(), question.answers.front().end());
    session.Read(turn);
  }
  session.Forget();
  return scores;
}

int64_t LongestTokens(const QualityTask& task) {
  int64_t tokens = std::ssize(task.context);
  for (const QualityQuestion& question : task.questions) {
    int64_t longest = 0;
    for (const auto& answer : question.answers) longest = std::max<int64_t>(longest, std::ssize(answer));
    tokens += std::ssize(question.ask) + longest;
  }
  return tokens;
}

void AnswerCount::Add(const QualityQuestion& question, const AnswerScore& full, const AnswerScore& score) {
  const bool is_right = IsRight(question, score), full_solves = IsSolved(question, full);
  ++asked;
  right += is_right;
  solved += IsSolved(question, score);
  full_solved += full_solves;
  kept += full_solves && is_right;
}

AnswerCount& AnswerCount::operator+=(const AnswerCount& other) {
  asked += other.asked;
  right += other.right;
  solved += other.solved;
  full_solved += other.full_solved;
  kept += other.kept;
  return *this;
}

AnswerCount CountAnswers(std::span<const QualityQuestion> questions, std::span<const AnswerScore> full,
                         std::span<const AnswerScore> scores) {
  QUIRE_CHECK(questions.size() == full.size() && full.size() == scores.size());
  AnswerCount count;
  for (size_t i = 0; i < questions.size(); ++i) count.Add(questions[i], full[i], scores[i]);
  return count;
}

}  // namespace quire

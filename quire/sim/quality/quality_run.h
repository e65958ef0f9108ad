// Asks a session all questions of a task, in one of two modes, and counts what was answered.
#ifndef QUIRE_SIM_QUALITY_QUALITY_RUN_H_
#define QUIRE_SIM_QUALITY_QUALITY_RUN_H_

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "quire/sim/quality/kv_session.h"
#include "quire/sim/quality/quality_task.h"

namespace quire {

// SCBench's two modes (Li et al. 2024, section 3).
enum class TurnMode {
  kRequests,      // every question is put to the text alone, which requests share
  kConversation,  // behind all questions before it, with their right answers
};
std::string_view NameOf(TurnMode mode);

// By question. Where an answer is chosen among several, its likelihood without the text is taken off, since
// some are likelier as words whatever was read (Holtzman et al. 2021, section 3). The session is as empty
// afterwards as before. REQUIRES: it is empty.
std::vector<AnswerScore> AskAll(KvSession& session, const QualityTask& task, TurnMode mode);

// The tokens that a session needs room for, whatever the mode.
int64_t LongestTokens(const QualityTask& task);

struct AnswerCount {
  int64_t asked = 0;
  int64_t right = 0;
  int64_t solved = 0;
  int64_t full_solved = 0;  // by the full cache
  int64_t kept = 0;         // right, of those

  void Add(const QualityQuestion& question, const AnswerScore& full, const AnswerScore& score);
  AnswerCount& operator+=(const AnswerCount& other);

  double right_share() const { return Share(right, asked); }
  double solved_share() const { return Share(solved, asked); }
  double kept_share() const { return Share(kept, full_solved); }

 private:
  static double Share(int64_t part, int64_t whole) {
    return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0;
  }
};

// REQUIRES: scores of the same questions.
AnswerCount CountAnswers(std::span<const QualityQuestion> questions, std::span<const AnswerScore> full,
                         std::span<const AnswerScore> scores);

}  // namespace quire

#endif  // QUIRE_SIM_QUALITY_QUALITY_RUN_H_

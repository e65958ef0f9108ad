// Traces of real servers: when requests came, and how many tokens went in and out. The form is found in the
// file:
//
//   CSV with a header, as of Azure's LLM inference traces (TIMESTAMP,ContextTokens,GeneratedTokens) and of
//   BurstGPT (Timestamp,...,Request tokens,Response tokens,...); times are dates or seconds
//   JSON lines, as of Mooncake: timestamp (ms), input_length, output_length, hash_ids; and, for conversations
//   and agents, turns: what follows, each with input_length, output_length, pause (ms after the answer before
//   it) and tool, the name of the one that ran in the pause
//   JSON lines, as of MT-Bench-101: history, a list of turns with the texts of user and bot; they come a
//   second apart
#ifndef QUIRE_SIM_TRACE_FILE_H_
#define QUIRE_SIM_TRACE_FILE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "quire/base/result.h"

namespace quire {

// A later turn of a conversation.
struct TraceTurn {
  double pause_s = 0;         // after the answer before it
  std::string tool;           // that ran meanwhile; empty: somebody thought
  int64_t prompt_tokens = 0;  // that are new
  int64_t output_tokens = 0;
};

// What was said in a turn, and answered.
struct TraceTexts {
  std::string said, answered;
};

struct TraceRequest {
  double arrival_s = 0;  // after the first one
  int64_t prompt_tokens = 0;
  int64_t output_tokens = 0;  // 0: it failed, or its client went away
  // What the prompt consists of, kHashTokens tokens each: equal ids are equal text. Empty: not known.
  std::vector<int64_t> hash_ids = {};
  std::vector<TraceTurn> turns = {};  // that follow
  // The texts of a whole conversation; then there are no numbers of tokens.
  std::vector<TraceTexts> dialogue = {};
};
inline constexpr int64_t kHashTokens = 512;

// By arrival. Errors: kInvalidArgument, kCorrupt, naming the line.
Result<std::vector<TraceRequest>> ParseTrace(std::string_view text);
// Errors: also kIo, kNotFound. `limit` requests at most, the earliest; 0: all.
Result<std::vector<TraceRequest>> ReadTrace(const std::string& path, int64_t limit);

}  // namespace quire

#endif  // QUIRE_SIM_TRACE_FILE_H_

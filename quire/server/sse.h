// Server-sent events: the chunks of a streamed answer. Most chunks are a fixed text around a few characters,
// so the fixed text is rendered once.
#ifndef QUIRE_SERVER_SSE_H_
#define QUIRE_SERVER_SSE_H_

#include <string>

#include "quire/server/answer.h"
#include "quire/server/api_error.h"

namespace quire {

class SseWriter {
 public:
  // REQUIRES: `answer` outlives the writer.
  explicit SseWriter(Answer& answer);

  // Appends what `event` adds to `choice`, which has not taken it yet: possibly nothing.
  void AppendEvent(std::string& out, Choice& choice, const OutputEvent& event) const;
  // The chunk without choices that has the usage, where it was asked for, and the end mark.
  void AppendEnd(std::string& out) const;
  // In place of the end: what went wrong.
  static void AppendError(std::string& out, const ApiError& error);

 private:
  void Begin(std::string& out, Choice& choice) const;
  void AppendChoice(std::string& out, const Choice& choice, std::string_view json) const;
  void AppendUsage(std::string& out, const Choice& choice) const;
  bool IsPlain(const OutputEvent& event) const;

  Answer& answer_;
  bool chat_;
  std::string head_;  // data: {"id": ... "choices":[
};

}  // namespace quire

#endif  // QUIRE_SERVER_SSE_H_

// From sampled tokens to the text a client may see, one token at a time. It holds back what cannot be shown
// yet: half a UTF-8 character, and anything that could be the beginning of a stop string. When a stop string
// is complete the stream is finished and nothing of the string was ever shown.
#ifndef QUIRE_TEXT_TEXT_STREAM_H_
#define QUIRE_TEXT_TEXT_STREAM_H_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "quire/text/tokenizer.h"

namespace quire {

struct TextStreamOptions {
  std::vector<std::string> stop = {};  // stop strings; empty ones are ignored
  bool include_stop = false;           // show the stop string itself (include_stop_str_in_output)
  bool skip_special = true;            // special tokens give no text
  bool at_start = true;                // the text starts a sequence: a SentencePiece dummy space is dropped
};

class TextStream {
 public:
  // REQUIRES: `tokenizer` outlives the stream.
  TextStream(const Tokenizer& tokenizer, TextStreamOptions options);

  // Takes the next token and returns the text that became visible, valid UTF-8 and possibly empty.
  std::string Push(Token token);
  // The stop string that ended the stream, once one did; Push must not be called after that.
  const std::optional<std::string>& stopped_by() const { return stopped_by_; }
  // Call when generation ends for another reason: returns all that was held back, an unfinished character
  // as U+FFFD.
  std::string Finish();

 private:
  std::string Release(bool all);
  const Tokenizer& tokenizer_;
  TextStreamOptions options_;
  std::string bytes_;  // an unfinished character
  std::string held_;   // complete characters that may begin a stop string
  bool at_start_;
  std::optional<std::string> stopped_by_;
};

}  // namespace quire

#endif  // QUIRE_TEXT_TEXT_STREAM_H_

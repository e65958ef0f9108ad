#include "quire/text/text_stream.h"

#include <algorithm>

#include "quire/text/utf8.h"

namespace quire {

TextStream::TextStream(const Tokenizer& tokenizer, TextStreamOptions options)
    : tokenizer_(tokenizer), options_(std::move(options)), at_start_(options_.at_start) {
  std::erase(options_.stop, std::string());
}

std::string TextStream::Push(Token token) {
  std::string piece = tokenizer_.TokenBytes(token, !options_.skip_special);
  if (at_start_ && !piece.empty()) {
    if (tokenizer_.strips_leading_space() && piece.front() == ' ') piece.erase(0, 1);
    at_start_ = false;
  }
  bytes_ += piece;
  held_ += TakeWholeCharacters(bytes_);
  return Release(false);
}

std::string TextStream::Finish() {
  held_ += ReplaceInvalidUtf8(bytes_);
  bytes_.clear();
  return Release(true);
}

// What of held_ may be shown: up to the first stop string, else all but a suffix that may begin one.
std::string TextStream::Release(bool all) {
  size_t found = std::string::npos;
  const std::string* match = nullptr;
  for (const std::string& stop : options_.stop) {
    const size_t at = held_.find(stop);
    if (at < found) found = at, match = &stop;
  }
  if (match != nullptr) {
    stopped_by_ = *match;
    std::string shown = held_.substr(0, found + (options_.include_stop ? match->size() : 0));
    held_.clear();
    return shown;
  }
  size_t keep = 0;
  if (!all) {
    for (const std::string& stop : options_.stop) {
      for (size_t n = std::min(stop.size() - 1, held_.size()); n > keep; --n) {
        if (held_.ends_with(std::string_view(stop).substr(0, n))) keep = n;
      }
    }
  }
  std::string shown = held_.substr(0, held_.size() - keep);
  held_.erase(0, shown.size());
  return shown;
}

}  // namespace quire

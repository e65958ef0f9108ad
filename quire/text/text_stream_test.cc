#include "quire/text/text_stream.h"

#include <gtest/gtest.h>

#include <map>

#include "quire/text/utf8.h"

namespace quire {
namespace {

// Every token is the bytes it was made with.
class PieceTokenizer final : public Tokenizer {
 public:
  explicit PieceTokenizer(std::vector<std::string> pieces, bool strips = false)
      : pieces_(std::move(pieces)), strips_(strips) {}
  std::vector<Token> Encode(std::string_view, const EncodeOptions&) const override { return {}; }
  std::vector<size_t> SpecialTextAt(std::string_view) const override { return {}; }
  std::string TokenBytes(Token token, bool special) const override {
    return IsSpecial(token) && !special ? "" : pieces_[token];
  }
  std::string Decode(std::span<const Token>, bool) const override { return ""; }
  bool strips_leading_space() const override { return strips_; }
  int vocab_size() const override { return static_cast<int>(pieces_.size()); }
  bool IsSpecial(Token token) const override { return pieces_[token].starts_with("<|"); }
  std::optional<Token> Find(std::string_view) const override { return std::nullopt; }
  std::optional<Token> bos() const override { return std::nullopt; }
  std::optional<Token> eos() const override { return std::nullopt; }
  const std::vector<Token>& stop_tokens() const override { return stops_; }

 private:
  std::vector<std::string> pieces_;
  bool strips_;
  std::vector<Token> stops_;
};

struct Shown {
  std::string text;
  std::optional<std::string> stop;
};

// Streams `text` cut at every multiple of `step` bytes, and checks each delta.
Shown Stream(const std::string& text, size_t step, TextStreamOptions options) {
  std::vector<std::string> pieces;
  for (size_t at = 0; at < text.size(); at += step) pieces.push_back(text.substr(at, step));
  const PieceTokenizer tokenizer(pieces);
  TextStream stream(tokenizer, std::move(options));
  Shown shown;
  for (Token token = 0; token < tokenizer.vocab_size() && !stream.stopped_by(); ++token) {
    const std::string delta = stream.Push(token);
    EXPECT_EQ(ReplaceInvalidUtf8(delta), delta) << "half a character was shown";
    shown.text += delta;
  }
  if (!stream.stopped_by()) shown.text += stream.Finish();
  shown.stop = stream.stopped_by();
  return shown;
}

TEST(TextStream, NeverShowsHalfACharacter) {
  const std::string text = "aé漢🙂 ñ 👩‍👩‍👧 end";
  for (size_t step = 1; step <= 7; ++step) EXPECT_EQ(Stream(text, step, {}).text, text);
}

TEST(TextStream, InvalidBytesBecomeReplacements) {
  EXPECT_EQ(Stream("a\xFF"
                   "b\xC3",
                   1, {})
                .text,
            "a\xEF\xBF\xBD"
            "b\xEF\xBF\xBD");
  EXPECT_EQ(Stream("\xE6\xBC"
                   "x",
                   1, {})
                .text,
            "\xEF\xBF\xBDx");
  EXPECT_EQ(Stream("\xF0\x9F\x99", 3, {}).text, "\xEF\xBF\xBD");
}

TEST(TextStream, StopStringsWorkAcrossTokenBorders) {
  for (size_t step = 1; step <= 12; ++step) {
    const Shown shown = Stream("one two END three", step, {.stop = {"END", "three"}});
    EXPECT_EQ(shown.text, "one two ") << step;
    EXPECT_EQ(shown.stop, "END");
    EXPECT_EQ(Stream("one two END three", step, {.stop = {"END"}, .include_stop = true}).text, "one two END");
  }
}

TEST(TextStream, ABeginningOfAStopStringIsShownWhenItIsNone) {
  for (size_t step = 1; step <= 5; ++step) {
    const Shown shown = Stream("ababac abab", step, {.stop = {"ababad", "zz"}});
    EXPECT_EQ(shown.text, "ababac abab");
    EXPECT_FALSE(shown.stop);
  }
}

TEST(TextStream, TheEarliestStopStringWins) {
  for (size_t step = 1; step <= 9; ++step) {
    const Shown shown = Stream("xx aab yy", step, {.stop = {"b", "aab", ""}});
    EXPECT_EQ(shown.text, step <= 3 || shown.stop == "aab" ? "xx " : "xx aa") << step;
    EXPECT_TRUE(shown.stop == "aab") << *shown.stop;
  }
}

TEST(TextStream, MultibyteStopStrings) {
  for (size_t step = 1; step <= 6; ++step) {
    EXPECT_EQ(Stream("漢字かな", step, {.stop = {"か"}}).text, "漢字");
  }
}

TEST(TextStream, SpecialTokensGiveTextOnlyWhereAsked) {
  const PieceTokenizer tokenizer({"a", "<|im_end|>", "b"});
  for (const bool skip : {true, false}) {
    TextStream stream(tokenizer, {.skip_special = skip});
    std::string text;
    for (Token token : {0, 1, 2}) text += stream.Push(token);
    EXPECT_EQ(text, skip ? "ab" : "a<|im_end|>b");
  }
}

TEST(TextStream, DropsTheDummySpaceOnlyAtTheStart) {
  const PieceTokenizer tokenizer({" hello", " world"}, true);
  for (const bool at_start : {true, false}) {
    TextStream stream(tokenizer, {.at_start = at_start});
    std::string text;
    for (Token token : {0, 1}) text += stream.Push(token);
    EXPECT_EQ(text, at_start ? "hello world" : " hello world");
  }
}

}  // namespace
}  // namespace quire

// Lines from a person: with editing and history on a terminal, plainly from anything else.
#ifndef QUIRE_CLI_LINE_EDITOR_H_
#define QUIRE_CLI_LINE_EDITOR_H_

#include <memory>
#include <string>

namespace quire {

class LineEditor {
 public:
  enum class Got { kLine, kInterrupted, kEnd };

  // `history_file` may be empty. `interrupts` is an eventfd that Ctrl-C adds to: while a line is read, that
  // gives kInterrupted. A descriptor, since a signal may come just before the read that it should end.
  LineEditor(std::string prompt, std::string history_file, int interrupts);
  ~LineEditor();

  // Reads one line, without its end.
  Got Read(std::string& line);
  bool terminal() const { return editor_ != nullptr; }

 private:
  struct Editor;
  std::unique_ptr<Editor> editor_;  // null when standard input is no terminal
};

}  // namespace quire

#endif  // QUIRE_CLI_LINE_EDITOR_H_

#include "quire/cli/line_editor.h"

#include <histedit.h>
#include <langinfo.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <clocale>
#include <cstdio>
#include <cstring>
#include <cwchar>
#include <iostream>

namespace quire {
namespace {

constexpr int kHistoryLines = 1000;

// libedit decodes what is typed by the locale; a bare C locale would break everything but ASCII.
void UseUtf8() {
  std::setlocale(LC_CTYPE, "");
  if (std::strcmp(nl_langinfo(CODESET), "UTF-8") != 0) std::setlocale(LC_CTYPE, "C.UTF-8");
}

}  // namespace

struct LineEditor::Editor {
  EditLine* line = nullptr;
  History* history = nullptr;
  HistEvent event{};
  std::string prompt, history_file;
  int interrupts = -1;

  ~Editor() {
    if (!history_file.empty()) ::history(history, &event, H_SAVE, history_file.c_str());
    history_end(history);
    el_end(line);
  }
  static char* Prompt(EditLine* line) {
    Editor* self = nullptr;
    el_get(line, EL_CLIENTDATA, &self);
    return self->prompt.data();
  }
  static int ReadCharacter(EditLine* line, wchar_t* character);
};

// 1, 0 at the end, -1 with errno, which is EINTR after Ctrl-C.
int LineEditor::Editor::ReadCharacter(EditLine* line, wchar_t* character) {
  Editor* self = nullptr;
  el_get(line, EL_CLIENTDATA, &self);
  std::mbstate_t partial{};
  while (true) {
    pollfd waiting[] = {{STDIN_FILENO, POLLIN, 0}, {self->interrupts, POLLIN, 0}};
    if (poll(waiting, 2, -1) < 0 && errno != EINTR) return -1;
    if (waiting[1].revents != 0) {
      errno = EINTR;
      return -1;
    }
    if (waiting[0].revents == 0) continue;
    char byte = 0;
    const ssize_t got = read(STDIN_FILENO, &byte, 1);
    if (got <= 0) return static_cast<int>(got);
    const size_t length = std::mbrtowc(character, &byte, 1, &partial);
    if (length == static_cast<size_t>(-2)) continue;  // more bytes to come
    if (length == static_cast<size_t>(-1)) *character = L'?';
    return 1;
  }
}

LineEditor::LineEditor(std::string prompt, std::string history_file, int interrupts) {
  if (isatty(STDIN_FILENO) == 0) return;
  UseUtf8();
  editor_ = std::make_unique<Editor>();
  editor_->prompt = std::move(prompt);
  editor_->history_file = std::move(history_file);
  editor_->interrupts = interrupts;
  editor_->line = el_init("quire", stdin, stdout, stderr);
  editor_->history = history_init();
  ::history(editor_->history, &editor_->event, H_SETSIZE, kHistoryLines);
  ::history(editor_->history, &editor_->event, H_SETUNIQUE, 1);
  if (!editor_->history_file.empty()) {
    ::history(editor_->history, &editor_->event, H_LOAD, editor_->history_file.c_str());
  }
  el_set(editor_->line, EL_CLIENTDATA, editor_.get());
  el_set(editor_->line, EL_GETCFN, &Editor::ReadCharacter);
  el_set(editor_->line, EL_PROMPT, &Editor::Prompt);
  el_set(editor_->line, EL_EDITOR, "emacs");
  el_set(editor_->line, EL_HIST, ::history, editor_->history);
  el_set(editor_->line, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  el_source(editor_->line, nullptr);  // the user's ~/.editrc
}

LineEditor::~LineEditor() = default;

LineEditor::Got LineEditor::Read(std::string& line) {
  if (!editor_) return std::getline(std::cin, line) ? Got::kLine : Got::kEnd;
  eventfd_t earlier = 0;
  eventfd_read(editor_->interrupts, &earlier);
  el_set(editor_->line, EL_PREP_TERM, 1);  // before the prompt: what is typed at it is echoed once
  int count = 0;
  errno = 0;
  const char* text = el_gets(editor_->line, &count);
  if (text == nullptr || count <= 0) {
    const bool interrupted = count < 0 && errno == EINTR;
    std::fputs("\n", stdout);
    if (interrupted) el_reset(editor_->line);
    return interrupted ? Got::kInterrupted : Got::kEnd;
  }
  line.assign(text, static_cast<size_t>(count));
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.pop_back();
  if (line.find_first_not_of(" \t") != std::string::npos) {
    ::history(editor_->history, &editor_->event, H_ENTER, line.c_str());
  }
  return Got::kLine;
}

}  // namespace quire

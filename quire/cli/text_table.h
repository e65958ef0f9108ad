// Rows of text in aligned columns: numbers to the right, words to the left.
#ifndef QUIRE_CLI_TEXT_TABLE_H_
#define QUIRE_CLI_TEXT_TABLE_H_

#include <string>
#include <vector>

namespace quire {

class TextTable {
 public:
  explicit TextTable(std::vector<std::string> header) : rows_{std::move(header)} {}
  // REQUIRES: as many cells as the header has.
  void Add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  // Lines that end in '\n'. A column is right-aligned when all its cells below the header start with a digit,
  // a sign or a dot, or are empty.
  std::string Render() const;

 private:
  bool IsNumeric(size_t column) const;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace quire

#endif  // QUIRE_CLI_TEXT_TABLE_H_

// Result<T> is what every function returns that can fail because of the world: a file, a socket, a flag,
// a limit. Its Error carries a code (what kind of failure; the HTTP server maps it to a status) and one
// sentence for a person that says what is wrong, where, and what to do about it.
//
//   Result<GgufFile> OpenGguf(const std::string& path);
//   QUIRE_ASSIGN(auto file, OpenGguf(path));   // returns the Error to the caller on failure
//
// Alternatives that are expected (not found in a cache, no page free now) are optionals or enums instead,
// and bugs of ours hit QUIRE_CHECK.
#ifndef QUIRE_BASE_RESULT_H_
#define QUIRE_BASE_RESULT_H_

#include <fmt/format.h>

#include <expected>
#include <string>
#include <utility>

namespace quire {

enum class ErrorCode {
  kInvalidArgument,    // the caller asked for something malformed: fix the request
  kNotFound,           // a named thing does not exist
  kCorrupt,            // a file's content contradicts itself or its format
  kUnsupported,        // well-formed, but not something this build can do
  kResourceExhausted,  // a limit was hit: memory, queue, pages, connections
  kUnavailable,        // not now: loading, draining, peer unreachable
  kIo,                 // the operating system refused: open, read, write, bind
  kInternal,           // a bug of ours that was contained
};

struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
};

template <typename T>
using Result = std::expected<T, Error>;
using Status = Result<void>;

// Fail(kNotFound, "no tensor '{}' in {}", name, path) builds the failing Result of any type.
template <typename... Args>
std::unexpected<Error> Fail(ErrorCode code, fmt::format_string<Args...> format, Args&&... args) {
  return std::unexpected(Error{code, fmt::format(format, std::forward<Args>(args)...)});
}

}  // namespace quire

#define QUIRE_CONCAT_INNER(a, b) a##b
#define QUIRE_CONCAT(a, b) QUIRE_CONCAT_INNER(a, b)

// QUIRE_ASSIGN(auto x, Expr()); assigns the value, or returns the error from the enclosing function.
#define QUIRE_ASSIGN(lhs, expr) QUIRE_ASSIGN_INNER(QUIRE_CONCAT(quire_result_, __LINE__), lhs, expr)
#define QUIRE_ASSIGN_INNER(result, lhs, expr)                     \
  auto result = (expr);                                           \
  if (!result) return std::unexpected(std::move(result).error()); \
  lhs = std::move(*result)

// QUIRE_TRY(Expr()); returns the error of a Status from the enclosing function.
#define QUIRE_TRY(expr)                                                                                     \
  do {                                                                                                      \
    if (auto quire_status = (expr); !quire_status) return std::unexpected(std::move(quire_status).error()); \
  } while (false)

#endif  // QUIRE_BASE_RESULT_H_

// QUIRE_CHECK(condition): an invariant of our own code. When it is false the program is wrong, so it says
// where and stops. Never use it on input: files, requests and flags return an Error.
#ifndef QUIRE_BASE_CHECK_H_
#define QUIRE_BASE_CHECK_H_

namespace quire {
[[noreturn]] void CheckFailed(const char* condition, const char* file, int line);
}  // namespace quire

#define QUIRE_CHECK(condition)                              \
  do {                                                      \
    if (!(condition)) [[unlikely]]                          \
      ::quire::CheckFailed(#condition, __FILE__, __LINE__); \
  } while (false)

#endif  // QUIRE_BASE_CHECK_H_

// What one rendering of a chat template may use: time, steps, bytes and nesting. The template engine itself
// has no limits, so cmake/QuireJinja.cmake compiles it with calls to this header in the places where work or
// memory can grow without bound. Whoever runs the engine puts a Budget in place for the thread; without one
// nothing is counted.
#ifndef QUIRE_CMAKE_JINJA_BUDGET_H_
#define QUIRE_CMAKE_JINJA_BUDGET_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <stdexcept>
#include <utility>

namespace quire::jinja_budget {

struct BudgetExceeded : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Budget {
  std::chrono::steady_clock::time_point deadline;
  size_t steps;   // nodes of the template still to be run
  size_t bytes;   // bytes of values still to be made
  size_t levels;  // nesting still allowed
  // Empties the containers that were changed after they were made: values are reference counted, and only
  // such a change can have made one contain itself.
  std::map<const void*, std::function<void()>> at_end;

  // Makes this the budget of the calling thread while it lives.
  Budget(std::chrono::milliseconds time, size_t steps, size_t bytes, size_t levels)
      : deadline(std::chrono::steady_clock::now() + time), steps(steps), bytes(bytes), levels(levels) {
    current = this;
  }
  ~Budget() {
    current = nullptr;
    for (const auto& [container, empty] : at_end) empty();
  }
  Budget(const Budget&) = delete;
  Budget& operator=(const Budget&) = delete;

  static inline thread_local Budget* current = nullptr;
};

// Takes `bytes` from the budget before, or just after, they are made.
inline void Charge(size_t bytes) {
  Budget* budget = Budget::current;
  if (!budget) return;
  if (bytes > budget->bytes) throw BudgetExceeded("the template makes more text than a prompt can need");
  budget->bytes -= bytes;
}

// `count` things of `size` bytes; the product may be larger than any number.
inline void Charge(size_t count, size_t size) {
  size_t bytes = 0;
  Charge(__builtin_mul_overflow(count, size, &bytes) ? SIZE_MAX : bytes);
}

inline void AtEnd(const void* container, std::function<void()> empty) {
  if (Budget* budget = Budget::current) budget->at_end.try_emplace(container, std::move(empty));
}

// One level of recursion, for as long as it lives.
class Nest {
 public:
  Nest() : budget_(Budget::current) {
    if (!budget_) return;
    if (budget_->levels == 0)
      throw BudgetExceeded("the template nests too deeply or a value contains itself");
    --budget_->levels;
  }
  ~Nest() {
    if (budget_) ++budget_->levels;
  }
  Nest(const Nest&) = delete;
  Nest& operator=(const Nest&) = delete;

 private:
  Budget* budget_;
};

// A recursive function's look at one value.
struct Visit : Nest {
  template <typename Value>
  explicit Visit(const Value& value) {
    Charge(64 + value->val_str.length());
  }
};

// The run of one node of the template.
class Step : Nest {
 public:
  Step() {
    Budget* budget = Budget::current;
    if (!budget) return;
    if (budget->steps == 0) throw BudgetExceeded("the template takes too many steps");
    --budget->steps;
    if (budget->steps % 16 == 0 && std::chrono::steady_clock::now() > budget->deadline) {
      throw BudgetExceeded("the template takes too long");
    }
  }
};

// How deeply values nest: freeing one recurses into its parts.
constexpr unsigned kMaxDepth = 1000;

// `container` holds `part` from now on.
template <typename Value>
void Contains(Value& container, const Value& part) {
  if (!part || part->depth < container->depth) return;
  container->depth = part->depth + 1;
  if (container->depth > kMaxDepth) throw BudgetExceeded("the template nests values too deeply");
}

// Charges the value a node made, unless somebody else holds it too: then it is not new. The engine's values
// are visited through its own types, which this header does not name.
template <typename Value>
Value Charged(Value value) {
  if (!value || value.use_count() != 1) return value;
  Charge(value->val_str.length() + 64 * value->val_str.parts.size() + 16 * value->val_arr.size() +
         64 * value->val_obj.size());
  for (const auto& part : value->val_arr) Contains(value, part);
  for (const auto& [key, part] : value->val_obj) Contains(value, part);
  return value;
}

}  // namespace quire::jinja_budget

#endif  // QUIRE_CMAKE_JINJA_BUDGET_H_

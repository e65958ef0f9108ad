// What the tests of the API share: a fake model behind ServedModel, and an exchange that keeps what is
// answered.
#ifndef QUIRE_SERVER_API_TESTING_H_
#define QUIRE_SERVER_API_TESTING_H_

#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>

#include "quire/server/fake_model.h"
#include "quire/server/http.h"
#include "quire/server/served_model.h"

namespace quire {

// A fake model, not started.
struct FakeServed {
  explicit FakeServed(const FakeOptions& options = {}) : runtime(FakeRuntime(options)) {
    served.engine = runtime.engine.get();
    served.tokenizer = runtime.tokenizer.get();
    served.chat_template = runtime.chat_template.get();
    served.context_length = options.context;
    served.names = {"fake", "alias"};
  }
  Runtime runtime;
  ServedModel served;
};

// Runs posted work when told to.
class RecordedExchange final : public HttpExchange {
 public:
  void Post(std::function<void()> work) override {
    std::lock_guard lock(mutex_);
    work_.push_back(std::move(work));
  }
  void Respond(HttpResponse given) override {
    response = std::move(given);
    ended = true;
  }
  void BeginStream(HttpResponse given) override { response = std::move(given); }
  void Write(std::string_view part) override { text += part; }
  void End() override { ended = true; }
  void OnClosed(std::function<void()> given) override { closed = std::move(given); }

  void RunPosted() {
    while (true) {
      std::function<void()> next;
      {
        std::lock_guard lock(mutex_);
        if (work_.empty()) return;
        next = std::move(work_.front());
        work_.pop_front();
      }
      next();
    }
  }

  HttpResponse response{.status = 0, .body = {}, .headers = {}};
  std::string text;
  bool ended = false;
  std::function<void()> closed;

 private:
  std::mutex mutex_;
  std::deque<std::function<void()>> work_;
};

}  // namespace quire

#endif  // QUIRE_SERVER_API_TESTING_H_

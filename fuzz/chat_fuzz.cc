// Any bytes as the body of a call: an error with a 4xx status, or requests that keep every promise the engine
// relies on. All four routes read every body; the template is that of a real family of models.
#include <memory>

#include "fuzz/fuzz_checks.h"
#include "quire/server/api_testing.h"
#include "quire/server/chat.h"
#include "quire/server/completions.h"
#include "quire/server/json_body.h"
#include "quire/server/token_routes.h"

namespace quire {
namespace {

constexpr char kTemplate[] =
    "{% for message in messages %}{% if message.role not in ['system', 'user', 'assistant', 'tool'] %}"
    "{{ raise_exception('unknown role ' + message.role) }}{% endif %}"
    "<|start|>{{ message['role'] }}\n{{ message['content'] | trim }}"
    "{% for call in message.tool_calls or [] %}{{ call | tojson }}{% endfor %}<|end|>\n{% endfor %}"
    "{% if tools %}{{ tools | tojson(indent=2) }}{% endif %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}";

struct Fake {
  Fake() {
    auto parsed = ChatTemplate::Parse(kTemplate, "", "<|end|>");
    QUIRE_CHECK(parsed.has_value());
    chat_template = std::move(*parsed);
    fake.served.chat_template = chat_template.get();
  }
  FakeServed fake;
  std::unique_ptr<ChatTemplate> chat_template;
};

void CheckError(const ApiError& error) {
  QUIRE_CHECK(error.status >= 400 && error.status < 500);
  QUIRE_CHECK(!error.message.empty() && IsUtf8(ErrorBody(error)));
}

void CheckCall(const ApiResult<Call>& call, const ServedModel& served) {
  if (!call) return CheckError(call.error());
  QUIRE_CHECK(!call->requests.empty());
  for (const Request& request : call->requests) {
    QUIRE_CHECK(!request.prompt.empty());
    for (const Token token : request.prompt) {
      QUIRE_CHECK(token >= 0 && token < served.tokenizer->vocab_size());
    }
  }
}

}  // namespace
}  // namespace quire

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace quire;
  static const Fake fake;
  const ServedModel& served = fake.fake.served;
  const auto body = ParseJsonBody({reinterpret_cast<const char*>(data), size});
  if (!body) {
    CheckError(body.error());
    return 0;
  }
  CheckCall(ReadChat(*body, served), served);
  CheckCall(ReadCompletion(*body, served), served);
  for (const auto& answer : {Tokenize(*body, served), Detokenize(*body, served)}) {
    if (answer) {
      QUIRE_CHECK(IsUtf8(DumpJson(*answer)));
    } else {
      CheckError(answer.error());
    }
  }
  return 0;
}

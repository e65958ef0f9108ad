// Requests that tests of the engine make for HashModel.
#ifndef QUIRE_ENGINE_REQUEST_TESTING_H_
#define QUIRE_ENGINE_REQUEST_TESTING_H_

#include <vector>

#include "quire/engine/request.h"

namespace quire {

// Texts of different salts differ from their first token on.
inline std::vector<Token> TestPrompt(int length, int salt = 0) {
  std::vector<Token> prompt;
  for (int i = 0; i < length; ++i) prompt.push_back((i * 7 + salt * 13 + 3) % 61);
  return prompt;
}

inline Request Greedy(int prompt_tokens, int max_tokens, int salt = 0) {
  Request request;
  request.prompt = TestPrompt(prompt_tokens, salt);
  request.sampling.temperature = 0;
  request.sampling.max_tokens = max_tokens;
  return request;
}

}  // namespace quire

#endif  // QUIRE_ENGINE_REQUEST_TESTING_H_

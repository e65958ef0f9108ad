#include "quire/text/added_tokens.h"

namespace quire {

void AddedTokens::Add(std::string_view text, Token token) {
  uint32_t node = 0;
  for (unsigned char byte : text) {
    const auto [edge, fresh] =
        edges_.try_emplace(uint64_t{node} << 8 | byte, static_cast<uint32_t>(ends_.size()));
    if (fresh) ends_.push_back(kNoToken);
    node = edge->second;
  }
  if (ends_[node] == kNoToken) ends_[node] = token;
  starts_[static_cast<unsigned char>(text[0])] = true;
}

AddedTokens::Match AddedTokens::MatchAt(std::string_view text) const {
  Match best;
  if (!starts_[static_cast<unsigned char>(text[0])]) return best;
  uint32_t node = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto edge = edges_.find(uint64_t{node} << 8 | static_cast<unsigned char>(text[i]));
    if (edge == edges_.end()) break;
    node = edge->second;
    if (ends_[node] != kNoToken) best = {i + 1, ends_[node]};
  }
  return best;
}

}  // namespace quire

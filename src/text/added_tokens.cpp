#include "text/added_tokens.h"

#include <algorithm>

namespace argosy::text {

void AddedTokens::add(std::string name, Token token) {
  if (name.empty()) return;
  std::vector<size_t>& lengths = lengths_[static_cast<uint8_t>(name[0])];
  const auto at = std::lower_bound(lengths.begin(), lengths.end(), name.size(), std::greater());
  if (at == lengths.end() || *at != name.size()) lengths.insert(at, name.size());
  tokens_.emplace(std::move(name), token);
}

void AddedTokens::split(std::string_view bytes, const std::function<void(std::string_view)>& text,
                        const std::function<void(Token)>& found) const {
  size_t done = 0;
  for (size_t at = 0; at < bytes.size();) {
    const auto* token = static_cast<const std::pair<const std::string, Token>*>(nullptr);
    for (const size_t length : lengths_[static_cast<uint8_t>(bytes[at])]) {
      if (length > bytes.size() - at) continue;
      const auto entry = tokens_.find(bytes.substr(at, length));
      if (entry == tokens_.end()) continue;
      token = &*entry;
      break;
    }
    if (!token) {
      ++at;
      continue;
    }
    if (at > done) text(bytes.substr(done, at - done));
    found(token->second);
    done = at += token->first.size();
  }
  if (done < bytes.size()) text(bytes.substr(done));
}

}  // namespace argosy::text

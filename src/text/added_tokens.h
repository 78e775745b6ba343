#pragma once
#include <array>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/tokenizer.h"

namespace argosy::text {

/// Finds the names of tokens in texts, of several that begin at the same place the longest.
class AddedTokens {
 public:
  void add(std::string name, Token token);

  /// The text between names, and the names' tokens, in order.
  void split(std::string_view bytes, const std::function<void(std::string_view)>& text,
             const std::function<void(Token)>& found) const;

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view name) const { return std::hash<std::string_view>()(name); }
  };
  std::unordered_map<std::string, Token, Hash, std::equal_to<>> tokens_;
  std::array<std::vector<size_t>, 256> lengths_;  // of names by first byte, the longest first
};

}  // namespace argosy::text

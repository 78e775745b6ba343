#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/pattern.h"

namespace argosy::text {

/// Cuts a text into the pieces that no merge may reach over: by the first pattern, what comes of it
/// by the second, and so on. Bytes that are no UTF-8 are pieces of their own.
/// threads  any number at once
class PreTokenizer {
 public:
  /// throws Error, with `where`: an expression is none
  PreTokenizer(std::span<const std::string> expressions, const std::string& where);

  /// The pieces in order: together they are `bytes`.
  void split(std::string_view bytes, const Piece& piece) const;

 private:
  void split_from(size_t pattern, std::string_view text, const Piece& piece) const;

  std::vector<Pattern> patterns_;
};

/// The expressions that a GGUF file's tokenizer.ggml.pre names. Several names may mean the same.
struct NamedSplit {
  const char* name;
  std::vector<std::string> expressions;
  bool whole_piece_first = false, composed = false;  ///< see BpeDefinition
};
std::span<const NamedSplit> named_splits();
const NamedSplit* find_named_split(std::string_view name);

inline constexpr const char* kGpt2Split =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

}  // namespace argosy::text

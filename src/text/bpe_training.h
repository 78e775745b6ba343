#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

#include "text/bpe_tokenizer.h"

namespace argosy::text {

/// Learns a byte-level vocabulary from texts: again and again the most frequent pair of neighbours
/// becomes a token (of equally frequent ones the pair of the smaller tokens, as Hugging Face's
/// trainer has it).
class BpeTraining {
 public:
  /// splits  see PreTokenizer
  explicit BpeTraining(std::vector<std::string> splits = {kGpt2Split});

  /// Counts the pieces of a text.
  void add(std::string_view text);

  /// The special tokens come first, then the 256 bytes, then the merges. Fewer tokens than asked
  /// for where the texts have no more pairs.
  /// throws Error, with `where`: `vocabulary` is smaller than specials and bytes
  BpeDefinition finish(int64_t vocabulary, std::span<const std::string> special,
                       const std::string& where) const;

 private:
  std::vector<std::string> splits_;
  PreTokenizer pre_tokenizer_;
  std::unordered_map<std::string, int64_t> pieces_;
  std::string piece_;
};

}  // namespace argosy::text

#pragma once
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "text/bpe_tokenizer.h"
#include "text/bpe_training.h"

/// Small tokenizers and texts for the tests of text/.
namespace argosy::test {

inline const std::string kSpecial[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};

inline constexpr const char* kVerse =
    "First Citizen:\nBefore we proceed any further, hear me speak.\n\nAll:\nSpeak, speak.\n\n"
    "First Citizen:\nYou are all resolved rather to die than to famish?\n\nAll:\nResolved. "
    "resolved.\n\nFirst Citizen:\nFirst, you know Caius Marcius is chief enemy to the people.\n";

inline text::BpeDefinition verse_definition(int64_t vocabulary = 300) {
  text::BpeTraining training;
  training.add(kVerse);
  return training.finish(vocabulary, kSpecial, "test");
}

inline std::unique_ptr<text::BpeTokenizer> verse_tokenizer(int64_t vocabulary = 300) {
  return std::make_unique<text::BpeTokenizer>(verse_definition(vocabulary), "test");
}

/// Bytes of many kinds: letters, spaces, digits, characters of several bytes, what is no UTF-8.
inline std::string random_text(Random& random, size_t parts) {
  static const std::vector<std::string> kParts = {
      "a",  "b",  "First",  " Citizen", " ",        "  ",   "\n",         "\r\n",
      "1",  "23", "'s",     "'S",       "ß",        "é",    "世界",       "👩‍👧",
      "\t", "…",  "\xFF",   "\xC3",     "\xF0\x9F", "\x01", "<|im_end|>", "▁",
      ".",  "--", "\u00A0", "\u2003",   "\u180E",   "ſ"};
  std::string text;
  for (size_t i = 0; i < parts; ++i) text += kParts[random.below(kParts.size())];
  return text;
}

}  // namespace argosy::test

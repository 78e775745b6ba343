#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/files.h"

namespace argosy::run {

/// What a run learns from, so that it is known again: text.json in the run's folder.
struct LearnedText {
  std::string path;
  int64_t size = 0;     ///< bytes of a text, tokens of a store
  uint32_t crc32c = 0;  ///< of the text, or of the store's description
  bool same_as(const LearnedText& other) const {
    return size == other.size && crc32c == other.crc32c;
  }
};

LearnedText text_learned(const Path& file, const std::string& text);
LearnedText store_learned(const Path& folder);

void write_learned_texts(const Path& run, const std::vector<LearnedText>& texts);
/// Empty if the run has no such note. Throws Error (file) if it is damaged.
std::vector<LearnedText> read_learned_texts(const Path& run);

}  // namespace argosy::run

#pragma once
#include <cstdint>
#include <string>

enum class Bare {
  decode,  ///< nothing but decoding
  rgb,     ///< each frame is converted by swscale into one buffer
  copies,  ///< and copied to four places of 16-sample batches, as overlapping clips of 4 need it
};

/// Decodes `file` from begin to end through libavcodec on one thread, nothing else in between.
/// Returns the number of frames.
int64_t bare_decode(const std::string& file, Bare what);

#pragma once
#include <cstdint>
#include <string>

/// Decodes `file` from begin to end through libavcodec on one thread, nothing else in between; with
/// `to_rgb` each frame is converted by swscale into one buffer. Returns the number of frames.
int64_t bare_decode(const std::string& file, bool to_rgb);

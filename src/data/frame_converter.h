#pragma once
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "data/ffmpeg.h"
#include "data/video.h"

namespace argosy::data {

/// Turns decoded frames into what is delivered: crop, resize and colour in one pass.
/// threads  one at a time
class FrameConverter {
 public:
  /// `to` is uint8 [to_height, to_width, 3] R G B. Returns what is wrong with the frame, or
  /// nothing.
  std::string convert(const AVFrame& frame, const VideoReader::Delivery& delivery, int to_height,
                      int to_width, uint8_t* to);

 private:
  struct Scaling {  ///< what swscale's contexts depend on
    int width, height, format, to_width, to_height, range, space;
    auto operator<=>(const Scaling&) const = default;
  };
  SwsContext* scaler(const Scaling& key);

  std::map<Scaling, ScalerHolder> scalers_;
  std::vector<uint8_t> row_buffer_;
};

/// Height and width of what is delivered of a picture. Throws Error, naming `where`, where nothing
/// is left of it.
std::pair<int, int> delivered_size(const VideoReader::Delivery& delivery, int height, int width,
                                   const std::string& where);

/// The decoder that this project takes for a codec, or null.
const AVCodec* find_decoder(AVCodecID id);

}  // namespace argosy::data

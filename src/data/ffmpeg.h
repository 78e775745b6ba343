#pragma once
// FFmpeg for the few files of this folder that use it; no other header includes this one.
#include <fmt/format.h>

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
}

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/files.h"

namespace argosy::data {

/// unique_ptr whose deleter is one of FFmpeg's functions that take a pointer to the pointer.
template <auto Free>
struct FreeAt {
  template <typename T>
  void operator()(T* object) const {
    Free(&object);
  }
};
struct FreeScaler {
  void operator()(SwsContext* scaler) const { sws_freeContext(scaler); }
};
using PacketHolder = std::unique_ptr<AVPacket, FreeAt<av_packet_free>>;
using FrameHolder = std::unique_ptr<AVFrame, FreeAt<av_frame_free>>;
using CodecHolder = std::unique_ptr<AVCodecContext, FreeAt<avcodec_free_context>>;
using ParametersHolder = std::unique_ptr<AVCodecParameters, FreeAt<avcodec_parameters_free>>;
using ScalerHolder = std::unique_ptr<SwsContext, FreeScaler>;

/// Largest picture that is accepted, so that a lying header cannot ask for all memory.
inline constexpr int64_t kMaxPixels = int64_t{8192} * 8192;

std::string ffmpeg_text(int code);  ///< what FFmpeg says about an error code
/// An Error for a failed write to `file`, with the meaning of FFmpeg's `code`.
Error ffmpeg_write_error(const Path& file, int code);
void quiet_ffmpeg();  ///< its own lines would stand between ours; errors reach us as codes

/// One compressed frame: where it stands in the file and when it is shown.
struct PacketPlace {
  int64_t offset = 0;
  int32_t size = 0;
  bool key = false;
  bool shown = true;    ///< false: decoded but cut off by the edit list
  int64_t pts = 0;      ///< in the stream's time base
  int64_t number = -1;  ///< of the frame in order of presentation; -1 where not shown
};

/// What an mp4 says about its one video stream, read from the container alone.
struct VideoIndex {
  ParametersHolder parameters;
  double fps = 0, start_s = 0;
  std::vector<PacketPlace> packets;  ///< in decoding order
  std::vector<int64_t> shown;        ///< packet of each frame, in order of presentation
  std::vector<int64_t> keys;         ///< frame numbers where decoding can begin, ascending
  std::vector<int64_t> key_packets;  ///< the packet to begin with for each of `keys`
};

/// Reads the container of `file` without touching the frames' bytes.
/// throws Error: not an mp4, cut off, no video stream, variable frame rate
VideoIndex read_video_index(const Path& file);

}  // namespace argosy::data

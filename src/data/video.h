#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/files.h"
#include "data/image.h"

namespace argosy::data {

/// Frames of one mp4 by number, decoded in this process through FFmpeg's libraries.
/// Numbers are integers from presentation times, so that no float drift picks a neighbour.
/// threads  one at a time each; make one per thread
class VideoReader {
 public:
  /// The packet index is read at once (no decoding, no frame bytes), so counts and key frames are
  /// known. A video of a data set must begin at 0 s, or its frames are not where the data set says;
  /// `any_start` is for recordings, whose frames are numbered from the first one.
  /// throws Error: not an mp4, cut off, variable frame rate, does not begin at 0 s
  explicit VideoReader(const Path& file, int decoder_threads = 1, bool any_start = false);
  ~VideoReader();
  VideoReader(VideoReader&&) noexcept;
  VideoReader& operator=(VideoReader&&) noexcept;

  int height() const;
  int width() const;
  int64_t frames() const;
  double fps() const;
  const std::string& codec() const;
  /// Number of the last key frame at or before `frame`, and the number of the first one after it
  /// (frames() if none): [begin, end) is the group of pictures.
  int64_t group_begin(int64_t frame) const;
  int64_t group_end(int64_t frame) const;

  /// How a decoded frame is delivered: crop first (in source pixels), then resize to height x
  /// width.
  struct Delivery {
    int height = 0, width = 0;                     ///< 0: as the (cropped) source
    int top = 0, bottom = 0, left = 0, right = 0;  ///< pixels cut off
  };

  /// Frame `number` as uint8 [H, W, 3] R G B into `out`. Going forwards inside a group, or from one
  /// group to the next, decodes no frame twice; otherwise it seeks to the key frame before.
  /// throws Error: number out of range, a packet that cannot be decoded (file and frame named)
  void read(int64_t number, const Delivery& delivery, std::span<uint8_t> out);
  Image read(int64_t number);
  /// Decodes frame `number` and delivers nothing: to know that it can be read.
  void decode(int64_t number);

  /// Says which frames are read next, ascending, until expect() is called again. Frames between
  /// them that no other frame refers to are then not decoded, which changes no pixel. With
  /// `then_elsewhere` nothing is prepared for the frames after the last one. Empty: any frame.
  void expect(std::span<const int64_t> numbers, bool then_elsewhere = false);

  /// Frames decoded so far, those on the way from a key frame included.
  int64_t frames_decoded() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Encodes frames to an mp4 that begins at 0 with constant frame rate (moov first, yuv420p). The
/// same frames and options give the same bytes, on any number of cores.
class VideoWriter {
 public:
  /// codec "h264", "hevc" or "av1"; height and width even; quality: the encoder's CRF
  VideoWriter(const Path& file, int height, int width, int fps, const std::string& codec, int gop,
              int quality);
  ~VideoWriter();
  void write(const Image& image);
  void finish();  ///< without it the file is not whole

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Appends the packets of `parts` in order to a new mp4 without encoding again (moov first).
/// All parts need equal codec, size and encoder parameters, and `fps` frames per second.
void concatenate_videos(std::span<const Path> parts, const Path& to, int fps);

/// Decodes a JPEG or PNG held in memory, of any colour kind, to R G B. `where` names it in errors.
Image decode_image(std::span<const std::byte> bytes, const std::string& where);

/// A JPEG of `quality` 1..100, for reports and recordings.
std::string encode_jpeg(const Image& image, int quality);

}  // namespace argosy::data

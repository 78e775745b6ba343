#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "data/ffmpeg.h"
#include "data/video.h"

namespace argosy::data {
namespace {

/// An encoder and how it is asked for speed. One frame at a time each: with more, x264 and x265
/// depend on the number of threads, and x264 gives other bytes from run to run.
struct Encoder {
  const char* codec;
  const char* name;
  const char* preset;
  const char* parameters_key;
  const char* parameters;
};
constexpr Encoder kEncoders[] = {
    {"h264", "libx264", "veryfast", "x264-params", "scenecut=0:open-gop=0:mbtree=0"},
    {"hevc", "libx265", "ultrafast", "x265-params",
     "scenecut=0:open-gop=0:frame-threads=1:log-level=none"},
    {"av1", "libsvtav1", "10", "svtav1-params", "scd=0:enable-overlays=0"},
};

constexpr int kThreads = 4;

struct CloseOutput {
  void operator()(AVFormatContext* output) const {
    if (output->pb) avio_closep(&output->pb);
    avformat_free_context(output);
  }
};

/// An mp4 being written, moov first at the end.
class Mp4 {
 public:
  explicit Mp4(const Path& file) : file_(file) {
    quiet_ffmpeg();
    AVFormatContext* output = nullptr;
    avformat_alloc_output_context2(&output, nullptr, "mp4", file.c_str());
    check(output != nullptr, "FFmpeg has no mp4 muxer");
    output_.reset(output);
  }

  AVFormatContext* context() { return output_.get(); }

  AVStream* begin(AVRational fps, AVRational base, const AVCodecParameters* parameters) {
    stream_ = avformat_new_stream(output_.get(), nullptr);
    avcodec_parameters_copy(stream_->codecpar, parameters);
    stream_->codecpar->codec_tag = 0;
    stream_->time_base = base;
    stream_->avg_frame_rate = stream_->r_frame_rate = fps;
    require(avio_open(&output_->pb, file_.c_str(), AVIO_FLAG_WRITE));
    AVDictionary* options = nullptr;
    av_dict_set(&options, "movflags", "+faststart", 0);
    const int code = avformat_write_header(output_.get(), &options);
    av_dict_free(&options);
    require(code);
    return stream_;
  }

  void write(AVPacket* packet, AVRational base) {
    packet->stream_index = stream_->index;
    packet->pos = -1;
    av_packet_rescale_ts(packet, base, stream_->time_base);
    require(av_write_frame(output_.get(), packet));
    require(output_->pb->error);
  }

  void finish() {
    require(av_write_trailer(output_.get()));
    avio_flush(output_->pb);
    require(output_->pb->error);
    require(avio_closep(&output_->pb));
  }

 private:
  void require(int code) const {
    if (code < 0) throw ffmpeg_write_error(file_, code);
  }

  Path file_;
  std::unique_ptr<AVFormatContext, CloseOutput> output_;
  AVStream* stream_ = nullptr;
};

const Encoder& find_encoder(const Path& file, const std::string& codec) {
  for (const Encoder& encoder : kEncoders)
    if (codec == encoder.codec) return encoder;
  throw Error({.what = fmt::format("there is no video codec \"{}\"", codec),
               .where = file,
               .fix = "use h264, hevc or av1"});
}

}  // namespace

struct VideoWriter::State {
  Path file;
  Mp4 mp4;
  CodecHolder encoder;
  FrameHolder frame{av_frame_alloc()};
  PacketHolder packet{av_packet_alloc()};
  ScalerHolder scaler;
  std::vector<uint8_t> padded;  ///< swscale reads whole SIMD blocks, some bytes behind the last row
  AVRational base;
  int64_t written = 0, packets = 0, delay = 0;
  bool finished = false;

  State(const Path& path, int fps) : file(path), mp4(path), base{1, fps} {}

  void open(int height, int width, const Encoder& kind, int gop, int quality) {
    const AVCodec* codec = avcodec_find_encoder_by_name(kind.name);
    if (!codec)
      throw Error({.what = fmt::format("FFmpeg was built without {}", kind.name),
                   .where = file,
                   .fix = "choose another video codec",
                   .kind = ErrorKind::device});
    encoder.reset(avcodec_alloc_context3(codec));
    AVCodecContext& e = *encoder;
    e.width = width;
    e.height = height;
    e.pix_fmt = AV_PIX_FMT_YUV420P;
    e.time_base = base;
    e.framerate = {base.den, 1};
    e.gop_size = gop;
    e.thread_count = kThreads;
    e.flags |= AV_CODEC_FLAG_GLOBAL_HEADER | AV_CODEC_FLAG_BITEXACT;
    // in so short a group they save nothing, and every seek would wait for them
    if (gop < 5) e.max_b_frames = 0;
    // B-frames of B-frames come two places early; AV1 hides its reordering inside the packets
    delay = gop < 5 || e.codec_id == AV_CODEC_ID_AV1 ? 0 : 2;
    av_opt_set(e.priv_data, "preset", kind.preset, 0);
    av_opt_set(e.priv_data, "crf", fmt::format("{}", quality).c_str(), 0);
    av_opt_set(e.priv_data, kind.parameters_key, kind.parameters, 0);
    if (const int code = avcodec_open2(&e, codec, nullptr); code < 0)
      throw Error({.what = fmt::format(
                       "{} does not take {} x {} pixels, a key frame every {}, quality {}: {}",
                       kind.name, width, height, gop, quality, ffmpeg_text(code)),
                   .where = file,
                   .fix = "change the size or the video options, or choose another codec"});
    scaler.reset(sws_getContext(width, height, AV_PIX_FMT_RGB24, width, height, AV_PIX_FMT_YUV420P,
                                SWS_BILINEAR | SWS_FULL_CHR_H_INP | SWS_ACCURATE_RND, nullptr,
                                nullptr, nullptr));
    check(scaler != nullptr, "swscale converts RGB to YUV");
    frame->width = width;
    frame->height = height;
    frame->format = AV_PIX_FMT_YUV420P;
    ParametersHolder parameters(avcodec_parameters_alloc());
    avcodec_parameters_from_context(parameters.get(), &e);
    mp4.begin({base.den, 1}, base, parameters.get());
  }

  void send(const AVFrame* next) {
    int code = avcodec_send_frame(encoder.get(), next);
    while (code >= 0) {
      code = avcodec_receive_packet(encoder.get(), packet.get());
      if (code == AVERROR(EAGAIN) || code == AVERROR_EOF) return;
      if (code < 0) break;
      // x265 gives decoding times that nobody set when there are fewer frames than it reorders
      packet->dts = packets++ - delay;
      packet->duration = 1;
      mp4.write(packet.get(), base);
    }
    throw Error({.what = fmt::format("frame {} cannot be encoded: {}", written, ffmpeg_text(code)),
                 .where = file,
                 .fix = "choose other video options"});
  }
};

VideoWriter::VideoWriter(const Path& file, int height, int width, int fps, const std::string& codec,
                         int gop, int quality) {
  const auto refuse = [&](std::string what, std::string fix) {
    throw Error({.what = std::move(what), .where = file, .fix = std::move(fix)});
  };
  const Encoder& kind = find_encoder(file, codec);
  if (height < 2 || width < 2 || int64_t{height} * width > kMaxPixels || height % 2 || width % 2)
    refuse(
        fmt::format(
            "the picture is {} x {} pixels, but yuv420p video needs even sizes, {} pixels at most",
            width, height, kMaxPixels),
        "crop or resize the frames");
  if (fps < 1 || fps > 1000)
    refuse(fmt::format("{} frames per second, the range is 1 to 1000", fps), "check fps");
  if (gop < 1 || gop > 1000)
    refuse(fmt::format("a key frame every {} frames, the range is 1 to 1000", gop), "check gop");
  if (quality < 0 || quality > 51)
    refuse(fmt::format("quality {}, the range is 0 to 51", quality), "check quality");
  state_ = std::make_unique<State>(file, fps);
  state_->open(height, width, kind, gop, quality);
}

VideoWriter::~VideoWriter() = default;

void VideoWriter::write(const Image& image) {
  State& s = *state_;
  check(!s.finished, "a finished video takes no frame");
  if (image.height != s.frame->height || image.width != s.frame->width ||
      image.pixels.size() != size_t(3) * image.height * image.width)
    throw Error(
        {.what = fmt::format("frame {} is {} x {} pixels, the first one was {} x {}", s.written,
                             image.width, image.height, s.frame->width, s.frame->height),
         .where = s.file,
         .fix = "give all frames of a camera one size"});
  // the encoder may still hold the buffer of the frame before
  av_buffer_unref(&s.frame->buf[0]);
  std::fill(std::begin(s.frame->buf), std::end(s.frame->buf), nullptr);
  if (av_frame_get_buffer(s.frame.get(), 0) < 0) throw std::bad_alloc();
  s.padded.resize(image.pixels.size() + 64);
  std::copy(image.pixels.begin(), image.pixels.end(), s.padded.begin());
  const std::array<const uint8_t*, 4> planes = {s.padded.data()};
  const std::array<int, 4> strides = {3 * image.width};
  sws_scale(s.scaler.get(), planes.data(), strides.data(), 0, image.height, s.frame->data,
            s.frame->linesize);
  s.frame->pts = s.written;
  s.frame->pict_type = AV_PICTURE_TYPE_NONE;
  s.send(s.frame.get());
  ++s.written;
}

void VideoWriter::finish() {
  State& s = *state_;
  check(!s.finished && s.written > 0, "a video is finished once and has frames");
  s.send(nullptr);
  s.mp4.finish();
  s.finished = true;
}

void concatenate_videos(std::span<const Path> parts, const Path& to, int fps) {
  check(!parts.empty(), "nothing to concatenate");
  const auto refuse = [](const Path& part, std::string what) {
    throw Error({.what = std::move(what),
                 .where = part,
                 .fix = "encode the parts with the same options",
                 .kind = ErrorKind::file});
  };
  std::vector<VideoIndex> indexes;
  int64_t frames = 0, delay = 0;
  for (const Path& part : parts) {
    indexes.push_back(read_video_index(part));
    const VideoIndex& index = indexes.back();
    const AVCodecParameters &a = *indexes[0].parameters, &b = *index.parameters;
    if (a.codec_id != b.codec_id || a.width != b.width || a.height != b.height ||
        a.extradata_size != b.extradata_size ||
        (a.extradata_size > 0 &&
         std::memcmp(a.extradata, b.extradata, size_t(a.extradata_size)) != 0))
      refuse(part, fmt::format("its codec or size differs from that of {}", parts[0].string()));
    if (index.shown.size() != index.packets.size())
      refuse(part, "an edit list hides some of its frames");
    if (index.shown.size() > 1 && std::abs(index.fps - fps) > 1e-6 * fps)
      refuse(part, fmt::format("it has {} frames per second instead of {}", index.fps, fps));
    for (size_t i = 0; i < index.packets.size(); ++i)
      delay = std::max(delay, int64_t(i) - index.packets[i].number);
  }
  // Decoding times are counted anew, the same way for all parts: packet i at i - delay frames.
  Mp4 mp4(to);
  const AVRational base{1, fps};
  mp4.begin({fps, 1}, base, indexes[0].parameters.get());
  const PacketHolder packet(av_packet_alloc());
  for (size_t p = 0; p < parts.size(); ++p) {
    const MappedFile bytes(parts[p]);
    for (size_t i = 0; i < indexes[p].packets.size(); ++i) {
      const PacketPlace& place = indexes[p].packets[i];
      av_packet_unref(packet.get());
      if (av_new_packet(packet.get(), place.size) < 0) throw std::bad_alloc();
      if (size_t(place.offset) + size_t(place.size) > bytes.bytes().size())
        refuse(parts[p], "it has become shorter");
      std::memcpy(packet->data, bytes.bytes().data() + place.offset, size_t(place.size));
      packet->flags = place.key ? AV_PKT_FLAG_KEY : 0;
      packet->pts = frames + place.number;
      packet->dts = frames + int64_t(i) - delay;
      packet->duration = 1;
      mp4.write(packet.get(), base);
    }
    frames += int64_t(indexes[p].packets.size());
  }
  mp4.finish();
}

}  // namespace argosy::data

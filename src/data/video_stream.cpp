#include "data/video_stream.h"

#include <dlfcn.h>

#include <atomic>
#include <limits>
#include <mutex>
#include <thread>

#include "base/check.h"
#include "data/frame_converter.h"

namespace argosy::data {
namespace {

using Clock = std::chrono::steady_clock;

constexpr Clock::rep kNoDeadline = std::numeric_limits<Clock::rep>::max();

struct CloseInput {
  void operator()(AVFormatContext* context) const { avformat_close_input(&context); }
};

/// Camera devices are in a library of their own, which brings half a desktop along: it is loaded
/// where a device is asked for, so that no other command waits for it. Its version goes with
/// libavformat's.
std::string device_library() { return fmt::format("libavdevice.so.{}", LIBAVFORMAT_VERSION_MAJOR); }

bool load_devices() {
  static const bool loaded = [] {
    void* library = dlopen(device_library().c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!library) return false;
    const auto register_all = reinterpret_cast<void (*)()>(dlsym(library, "avdevice_register_all"));
    if (register_all) register_all();
    return register_all != nullptr;
  }();
  return loaded;
}

const AVInputFormat* input_format(const std::string& name, const std::string& source) {
  if (name.empty()) return nullptr;
  if (const AVInputFormat* format = av_find_input_format(name.c_str())) return format;
  const bool devices = load_devices();
  if (const AVInputFormat* format = av_find_input_format(name.c_str())) return format;
  throw Error({.what = fmt::format("FFmpeg has no input format {} here", name),
               .where = source,
               .fix = devices ? "check its name, e.g. v4l2 for a camera device"
                              : fmt::format("for devices install {} (Debian: libavdevice{})",
                                            device_library(), LIBAVFORMAT_VERSION_MAJOR),
               .kind = ErrorKind::device});
}

}  // namespace

struct VideoStream::State {
  std::string source;
  StreamOptions options;
  std::atomic<bool> stopped{false};
  std::atomic<Clock::rep> deadline{kNoDeadline};  ///< of what is waited for now

  std::unique_ptr<AVFormatContext, CloseInput> input;
  AVStream* stream = nullptr;
  CodecHolder decoder;
  PacketHolder packet{av_packet_alloc()};
  FrameHolder frame{av_frame_alloc()};
  FrameConverter converter;

  bool live = false, drained = false;
  double fps = 0, time_s = 0;
  int height = 0, width = 0;
  Clock::time_point read_at;
  int64_t frames = 0, damaged = 0, of_other_size = 0;

  bool late() const { return Clock::now().time_since_epoch().count() > deadline; }
  void allow(double seconds) {
    const auto time = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                         std::chrono::duration<double>(seconds));
    deadline = time.time_since_epoch().count();
  }

  [[noreturn]] void fail(int code, const char* action) const {
    if (late())
      throw Error({.what = fmt::format("the source sends nothing"),
                   .where = source,
                   .fix = "check that the camera or the sender runs",
                   .kind = ErrorKind::device});
    const int number = AVUNERROR(code);
    if (number > 0 && number < 4096) throw file_error(action, source, number);
    throw Error({.what = fmt::format("cannot {} it as video: {}", action, ffmpeg_text(code)),
                 .where = source,
                 .fix = "give a video, a camera device or a stream that FFmpeg reads",
                 .kind = ErrorKind::file});
  }

  void open() {
    quiet_ffmpeg();
    static const int network = avformat_network_init();
    (void)network;
    AVFormatContext* context = avformat_alloc_context();
    if (!context) throw std::bad_alloc();
    context->interrupt_callback = {[](void* opaque) {
                                     const auto* state = static_cast<const State*>(opaque);
                                     return state->stopped || state->late() ? 1 : 0;
                                   },
                                   this};
    const std::string url = source == "-" ? "pipe:0" : source;
    std::string format = options.format;
    if (format.empty() && source.starts_with("/dev/video")) format = "v4l2";
    allow(options.open_timeout_s);
    const AVInputFormat* wanted = nullptr;
    try {
      wanted = input_format(format, source);
    } catch (...) {
      avformat_free_context(context);
      throw;
    }
    int code = avformat_open_input(&context, url.c_str(), wanted, nullptr);
    if (code < 0) fail(code, "open");  // FFmpeg has freed the context
    input.reset(context);
    code = avformat_find_stream_info(context, nullptr);
    if (code < 0) fail(code, "read");
    const int best = av_find_best_stream(context, AVMEDIA_TYPE_VIDEO, -1, -1, nullptr, 0);
    if (best < 0) fail(best, "read");
    stream = context->streams[best];
    for (unsigned i = 0; i < context->nb_streams; ++i)
      if (static_cast<int>(i) != best) context->streams[i]->discard = AVDISCARD_ALL;
    live = context->pb ? !(context->pb->seekable & AVIO_SEEKABLE_NORMAL)
                       : context->duration == AV_NOPTS_VALUE;
    const AVRational rate = av_guess_frame_rate(context, stream, nullptr);
    if (rate.num > 0 && rate.den > 0) fps = av_q2d(rate);
    open_decoder();
    deadline = kNoDeadline;
  }

  void open_decoder() {
    const AVCodec* codec = find_decoder(stream->codecpar->codec_id);
    if (!codec)
      throw Error({.what = fmt::format("no decoder for {} is installed",
                                       avcodec_get_name(stream->codecpar->codec_id)),
                   .where = source,
                   .fix = "send H.264, HEVC, AV1 or MJPEG",
                   .kind = ErrorKind::file});
    decoder.reset(avcodec_alloc_context3(codec));
    avcodec_parameters_to_context(decoder.get(), stream->codecpar);
    decoder->pkt_timebase = stream->time_base;
    decoder->thread_count = 1;  // threads over frames hold frames back
    decoder->max_pixels = kMaxPixels;
    decoder->err_recognition = AV_EF_CRCCHECK | AV_EF_BITSTREAM | AV_EF_BUFFER;
    // H.264 may be told to forget frames that it never saw, which is no damage (see VideoReader)
    if (codec->id != AV_CODEC_ID_H264) decoder->err_recognition |= AV_EF_EXPLODE;
    if (codec->id == AV_CODEC_ID_AV1) decoder->flags |= AV_CODEC_FLAG_LOW_DELAY;
    if (const int code = avcodec_open2(decoder.get(), codec, nullptr); code < 0) fail(code, "read");
  }

  /// One more packet into the decoder; false where stop() ended the wait.
  bool feed() {
    using namespace std::chrono_literals;
    if (live) allow(options.read_timeout_s);
    int code = 0;
    while (true) {
      av_packet_unref(packet.get());
      code = av_read_frame(input.get(), packet.get());
      if (stopped) return false;
      if (code == AVERROR(EAGAIN) && !late()) {
        std::this_thread::sleep_for(1ms);
        continue;
      }
      if (code < 0 || packet->stream_index == stream->index) break;
    }
    if (code == AVERROR_EOF) {
      drained = true;
      avcodec_send_packet(decoder.get(), nullptr);
      return true;
    }
    if (code < 0) fail(code, "read");
    read_at = Clock::now();
    if (avcodec_send_packet(decoder.get(), packet.get()) < 0) ++damaged;
    return true;
  }

  bool next() {
    while (!stopped) {
      const int code = avcodec_receive_frame(decoder.get(), frame.get());
      if (code == AVERROR_EOF || (code == AVERROR(EAGAIN) && drained)) return false;
      if (code == AVERROR(EAGAIN)) {
        if (!feed()) return false;
        continue;
      }
      if (code < 0 || (frame->flags & AV_FRAME_FLAG_CORRUPT) || frame->decode_error_flags) {
        ++damaged;
        continue;
      }
      if (frames > 0 && (frame->height != height || frame->width != width)) {
        ++of_other_size;
        continue;
      }
      const int64_t pts = frame->best_effort_timestamp;
      time_s = pts != AV_NOPTS_VALUE ? static_cast<double>(pts) * av_q2d(stream->time_base)
               : frames > 0          ? time_s + (fps > 0 ? 1 / fps : 0)
                                     : 0;
      height = frame->height;
      width = frame->width;
      ++frames;
      return true;
    }
    return false;
  }

  void convert(const VideoReader::Delivery& delivery, int to_height, int to_width, uint8_t* to) {
    const std::string problem = converter.convert(*frame, delivery, to_height, to_width, to);
    if (!problem.empty())
      throw Error({.what = fmt::format("frame {} cannot be used: {}", frames - 1, problem),
                   .where = source,
                   .fix = "have the source send another pixel format",
                   .kind = ErrorKind::file});
  }
};

VideoStream::VideoStream(const std::string& source, StreamOptions options)
    : state_(std::make_unique<State>()) {
  state_->source = source;
  state_->options = std::move(options);
  state_->open();
  state_->height = state_->decoder->height;
  state_->width = state_->decoder->width;
}

VideoStream::~VideoStream() = default;

int VideoStream::height() const { return state_->height; }
int VideoStream::width() const { return state_->width; }
double VideoStream::fps() const { return state_->fps; }
bool VideoStream::live() const { return state_->live; }
bool VideoStream::timed() const { return !(state_->input->iformat->flags & AVFMT_NOTIMESTAMPS); }
bool VideoStream::next() { return state_->next(); }
double VideoStream::time_s() const { return state_->time_s; }
Clock::time_point VideoStream::read_at() const { return state_->read_at; }
int64_t VideoStream::damaged() const { return state_->damaged; }
int64_t VideoStream::of_other_size() const { return state_->of_other_size; }
void VideoStream::stop() { state_->stopped = true; }

void VideoStream::require(const VideoReader::Delivery& delivery) const {
  if (state_->width > 0) delivered_size(delivery, state_->height, state_->width, state_->source);
}

void VideoStream::deliver(const VideoReader::Delivery& delivery, std::span<uint8_t> out) {
  const auto [to_height, to_width] =
      delivered_size(delivery, state_->height, state_->width, state_->source);
  check(int64_t(out.size()) == int64_t{3} * to_height * to_width,
        "the buffer has {} bytes for {} x {} pixels", out.size(), to_width, to_height);
  state_->convert(delivery, to_height, to_width, out.data());
}

void VideoStream::picture(Image& image) {
  image.height = state_->height;
  image.width = state_->width;
  image.pixels.resize(size_t{3} * image.height * image.width);
  state_->convert({}, image.height, image.width, image.pixels.data());
}

}  // namespace argosy::data

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "data/ffmpeg.h"

namespace argosy::data {

std::string ffmpeg_text(int code) {
  char text[AV_ERROR_MAX_STRING_SIZE] = {};
  av_strerror(code, text, sizeof text);
  return text;
}

Error ffmpeg_write_error(const Path& file, int code) {
  const int number = AVUNERROR(code);
  if (number > 0 && number < 4096) return file_error("write", file, number);
  return Error({.what = fmt::format("cannot write the video: {}", ffmpeg_text(code)),
                .where = file,
                .fix = "check the disk and the video options",
                .kind = ErrorKind::file});
}

void quiet_ffmpeg() {
  static const bool once = [] {
    av_log_set_level(AV_LOG_QUIET);
    setenv("SVT_LOG", "0", 0);  // the AV1 encoder's own lines
    return true;
  }();
  (void)once;
}

namespace {

Error broken(const Path& file, std::string what, std::string fix) {
  return Error(
      {.what = std::move(what), .where = file, .fix = std::move(fix), .kind = ErrorKind::file});
}

constexpr const char* kAgain = "copy or record the file again";

/// Input for FFmpeg's demuxer. Once the header is read, `skip_payload` delivers zeros instead of
/// the frames' bytes: the packet table is in the header, so nothing more needs to come from disk.
class Source {
 public:
  explicit Source(const Path& file) : descriptor_(open(file.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (descriptor_ < 0) throw file_error("open", file, errno);
    struct stat info{};
    if (fstat(descriptor_, &info) != 0 || S_ISDIR(info.st_mode)) {
      const int why = S_ISDIR(info.st_mode) ? EISDIR : errno;
      close(descriptor_);
      throw file_error("read", file, why);
    }
    size_ = info.st_size;
    constexpr int kBuffer = 1 << 15;
    context_ = avio_alloc_context(static_cast<unsigned char*>(av_malloc(kBuffer)), kBuffer, 0, this,
                                  read_some, nullptr, seek_to);
  }
  ~Source() {
    if (context_) av_freep(&context_->buffer);
    avio_context_free(&context_);
    close(descriptor_);
  }
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  AVIOContext* context() { return context_; }
  int64_t size() const { return size_; }
  bool skip_payload = false;

 private:
  static int read_some(void* self, uint8_t* to, int count) {
    auto& source = *static_cast<Source*>(self);
    const int64_t left = source.size_ - source.position_;
    if (left <= 0) return AVERROR_EOF;
    auto take = static_cast<ssize_t>(std::min<int64_t>(count, left));
    if (source.skip_payload) {
      std::memset(to, 0, static_cast<size_t>(take));
    } else {
      take = pread(source.descriptor_, to, static_cast<size_t>(take), source.position_);
      if (take < 0) return AVERROR(errno);
      if (take == 0) return AVERROR_EOF;
    }
    source.position_ += take;
    return static_cast<int>(take);
  }
  static int64_t seek_to(void* self, int64_t offset, int whence) {
    auto& source = *static_cast<Source*>(self);
    switch (whence & ~AVSEEK_FORCE) {
      case AVSEEK_SIZE:
        return source.size_;
      case SEEK_SET:
        break;
      case SEEK_CUR:
        offset += source.position_;
        break;
      case SEEK_END:
        offset += source.size_;
        break;
      default:
        return AVERROR(EINVAL);
    }
    if (offset < 0) return AVERROR(EINVAL);
    return source.position_ = offset;
  }

  int descriptor_;
  int64_t size_ = 0, position_ = 0;
  AVIOContext* context_ = nullptr;
};

struct CloseInput {
  void operator()(AVFormatContext* input) const { avformat_close_input(&input); }
};

/// Numbers the frames in order of presentation and makes sure that one time step fits them all.
void number_frames(const Path& file, AVRational base, VideoIndex& index) {
  auto& packets = index.packets;
  for (size_t i = 0; i < packets.size(); ++i)
    if (packets[i].shown) index.shown.push_back(static_cast<int64_t>(i));
  std::stable_sort(index.shown.begin(), index.shown.end(),
                   [&](int64_t a, int64_t b) { return packets[a].pts < packets[b].pts; });
  const auto count = static_cast<int64_t>(index.shown.size());
  if (count == 0) throw broken(file, "the video has no frames", kAgain);
  const auto pts = [&](int64_t n) { return packets[index.shown[n]].pts; };
  const double tick_s = av_q2d(base);
  index.start_s = static_cast<double>(pts(0)) * tick_s;
  if (count > 1) {
    const double step =
        static_cast<double>(pts(count - 1) - pts(0)) / static_cast<double>(count - 1);
    // one tick of rounding by the container is legal, as is LeRobot's tolerance
    const double tolerance = std::max(1.001, 1e-4 / tick_s);
    for (int64_t n = 0; n < count; ++n) {
      const double expected = static_cast<double>(n) * step;
      const double actual = static_cast<double>(pts(n) - pts(0));
      if (std::abs(actual - expected) > tolerance || (n > 0 && pts(n) <= pts(n - 1)))
        throw broken(
            file,
            fmt::format("frame {} of {} is shown at {:.4f} s, but at a constant frame rate "
                        "it would be at {:.4f} s",
                        n, count, actual * tick_s, expected * tick_s),
            "encode it again at a constant frame rate (ffmpeg -vsync cfr)");
    }
    index.fps = 1.0 / (step * tick_s);
  }
  for (int64_t n = 0; n < count; ++n) packets[index.shown[n]].number = n;
  // A key frame that the edit list cuts off still begins the first frames that are shown.
  for (size_t i = 0; i < packets.size(); ++i) {
    if (!packets[i].key) continue;
    const auto first = std::lower_bound(index.shown.begin(), index.shown.end(), packets[i].pts,
                                        [&](int64_t p, int64_t t) { return packets[p].pts < t; });
    const auto number = static_cast<int64_t>(first - index.shown.begin());
    if (number == count) continue;
    if (!index.keys.empty() && index.keys.back() >= number) {
      if (index.keys.back() > number) throw broken(file, "its key frames are out of order", kAgain);
      index.key_packets.back() = static_cast<int64_t>(i);
      continue;
    }
    index.keys.push_back(number);
    index.key_packets.push_back(static_cast<int64_t>(i));
  }
  if (index.keys.empty() || index.keys.front() != 0)
    throw broken(file, "the video does not begin with a key frame", "encode it again");
}

}  // namespace

VideoIndex read_video_index(const Path& file) {
  quiet_ffmpeg();
  Source source(file);
  AVFormatContext* context = avformat_alloc_context();
  context->pb = source.context();
  context->flags |= AVFMT_FLAG_NOPARSE | AVFMT_FLAG_NOFILLIN | AVFMT_FLAG_CUSTOM_IO;
  const int opened =
      avformat_open_input(&context, file.c_str(), av_find_input_format("mp4"), nullptr);
  if (opened < 0)  // context is freed by FFmpeg
    throw broken(
        file,
        fmt::format("not a whole mp4 file ({} bytes): {}", source.size(), ffmpeg_text(opened)),
        kAgain);
  const std::unique_ptr<AVFormatContext, CloseInput> input(context);
  const AVStream* stream = nullptr;
  for (unsigned i = 0; i < input->nb_streams; ++i) {
    AVStream* candidate = input->streams[i];
    const bool picture = candidate->disposition & AV_DISPOSITION_ATTACHED_PIC;
    if (candidate->codecpar->codec_type == AVMEDIA_TYPE_VIDEO && !picture && !stream)
      stream = candidate;
    else
      candidate->discard = AVDISCARD_ALL;
  }
  if (!stream)
    throw broken(file, "the file has no video stream", "check that this is the file you meant");

  VideoIndex index;
  index.parameters.reset(avcodec_parameters_alloc());
  avcodec_parameters_copy(index.parameters.get(), stream->codecpar);
  const AVCodecParameters& par = *index.parameters;
  if (par.width <= 0 || par.height <= 0 || int64_t{par.width} * par.height > kMaxPixels)
    throw broken(file,
                 fmt::format("the picture is {} x {} pixels, the limit is {} in all", par.width,
                             par.height, kMaxPixels),
                 kAgain);
  if (stream->time_base.num <= 0 || stream->time_base.den <= 0)
    throw broken(file, "the video has no time base", kAgain);

  const int64_t promised = avformat_index_get_entries_count(stream);
  source.skip_payload = true;
  const PacketHolder packet(av_packet_alloc());
  int result = 0;
  while ((result = av_read_frame(input.get(), packet.get())) >= 0) {
    if (packet->stream_index == stream->index) {
      if (packet->pts == AV_NOPTS_VALUE || std::abs(packet->pts) > (int64_t{1} << 53))
        throw broken(file, fmt::format("frame {} has no valid time", index.packets.size()), kAgain);
      if (packet->pos < 0 || packet->size <= 0 || packet->pos + packet->size > source.size())
        throw broken(file,
                     fmt::format("frame {} lies outside the file's {} bytes", index.packets.size(),
                                 source.size()),
                     "the file is cut off or damaged; copy or record it again");
      if (av_packet_get_side_data(packet.get(), AV_PKT_DATA_NEW_EXTRADATA, nullptr))
        throw broken(file, fmt::format("the encoding changes at frame {}", index.packets.size()),
                     "encode the file again in one piece");
      index.packets.push_back({.offset = packet->pos,
                               .size = packet->size,
                               .key = (packet->flags & AV_PKT_FLAG_KEY) != 0,
                               .shown = (packet->flags & AV_PKT_FLAG_DISCARD) == 0,
                               .pts = packet->pts});
    }
    av_packet_unref(packet.get());
  }
  if (result != AVERROR_EOF || static_cast<int64_t>(index.packets.size()) != promised)
    throw broken(file,
                 fmt::format("the file holds {} of the {} frames that its index lists",
                             index.packets.size(), promised),
                 "the file is cut off or damaged; copy or record it again");
  number_frames(file, stream->time_base, index);
  if (index.fps == 0) index.fps = av_q2d(stream->avg_frame_rate);
  return index;
}

}  // namespace argosy::data

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "data/ffmpeg.h"
#include "data/frame_converter.h"
#include "data/video.h"

namespace argosy::data {
namespace {

/// Feeding so many packets in vain costs less than flushing the decoder and starting anew.
constexpr int64_t kSkipPackets = 4;
constexpr int kStrict = AV_EF_CRCCHECK | AV_EF_BITSTREAM | AV_EF_BUFFER;
constexpr int64_t kCutOff = -1;  // the number of a frame that the edit list hides

}  // namespace

struct VideoReader::State {
  Path file;
  VideoIndex index;
  std::string codec_name;
  int descriptor = -1;
  CodecHolder decoder;
  PacketHolder packet{av_packet_alloc()};
  FrameHolder frame{av_frame_alloc()};
  FrameConverter converter;

  int64_t next_packet = 0;   ///< the one to feed next
  int64_t last_number = -1;  ///< of the frame held in `frame`; -1: none
  int64_t first_number = 0;  ///< the first one that the decoder can still deliver
  int64_t entry_number = 0;  ///< the key frame that decoding began with
  bool entering = false;     ///< frames that need the group before may be in the decoder
  bool dirty = false;    ///< an exception came in the middle: where the decoder stands is unknown
  bool drained = false;  ///< takes no packet until it is flushed, as the last expected one was fed

  std::vector<int64_t> expected;  ///< see expect()
  bool then_elsewhere = false;
  int64_t last_expected_packet = 0;
  std::vector<int64_t> passed_by;  ///< since the last flush: fed, but decoded only if referred to
  int64_t decoded = 0;

  ~State() {
    if (descriptor >= 0) close(descriptor);
  }

  [[noreturn]] void fail(int64_t number, const std::string& why) {
    throw Error({.what = fmt::format("frame {} of {} cannot be decoded: {}", number,
                                     index.shown.size(), why),
                 .where = file,
                 .fix = "the file is damaged; copy or record it again",
                 .kind = ErrorKind::file});
  }

  /// H.264 that begins at a recovery point may tell the decoder to forget frames it never saw. That
  /// is no damage, so there it must not stop; damaged frames are told by their flags.
  int strictness() const {
    return index.parameters->codec_id == AV_CODEC_ID_H264 ? kStrict : kStrict | AV_EF_EXPLODE;
  }

  void open_decoder(int threads) {
    const AVCodec* codec = find_decoder(index.parameters->codec_id);
    codec_name = avcodec_get_name(index.parameters->codec_id);
    if (!codec)
      throw Error({.what = fmt::format("no decoder for {} is installed", codec_name),
                   .where = file,
                   .fix = "encode the file as H.264, HEVC or AV1",
                   .kind = ErrorKind::file});
    decoder.reset(avcodec_alloc_context3(codec));
    avcodec_parameters_to_context(decoder.get(), index.parameters.get());
    decoder->thread_count = std::max(1, threads);
    decoder->max_pixels = kMaxPixels;
    // A damaged frame shall be an error and not a guess: decode() looks at the flags. Concealment
    // stays on, because without it H.264 frames of several slices count as damaged.
    decoder->err_recognition = kStrict;
    // dav1d would otherwise hold frames back; AV1's own order of presentation is not touched.
    if (index.parameters->codec_id == AV_CODEC_ID_AV1 && threads <= 1)
      decoder->flags |= AV_CODEC_FLAG_LOW_DELAY;
    if (const int code = avcodec_open2(decoder.get(), codec, nullptr); code < 0)
      throw Error(
          {.what = fmt::format("the {} stream cannot be opened: {}", codec_name, ffmpeg_text(code)),
           .where = file,
           .fix = "the file is damaged; copy or record it again",
           .kind = ErrorKind::file});
  }

  size_t group_of(int64_t number) const {
    const auto& keys = index.keys;
    return static_cast<size_t>(std::upper_bound(keys.begin(), keys.end(), number) - keys.begin() -
                               1);
  }

  /// Puts the decoder where it reaches `number` with the least work.
  void approach(int64_t number) {
    const size_t group = group_of(number);
    const int64_t entry = index.key_packets[group];
    const bool passed = std::find(passed_by.begin(), passed_by.end(), number) != passed_by.end();
    const bool lost = passed || (drained && !expects(number));
    if (!dirty && !lost && number >= first_number && entry <= next_packet + kSkipPackets) return;
    avcodec_flush_buffers(decoder.get());
    passed_by.clear();
    drained = false;
    next_packet = entry;
    first_number = entry_number = index.keys[group];
    entering = false;
  }

  bool expects(int64_t number) const {
    return std::binary_search(expected.begin(), expected.end(), number);
  }

  /// Is a frame unwanted, so that it is decoded only if others refer to it?
  bool can_pass_by(const PacketPlace& place) const {
    if (place.key) return false;
    if (place.number > expected.back()) return then_elsewhere;
    return !expects(place.number);
  }

  void feed(int64_t number) {
    const auto count = static_cast<int64_t>(index.packets.size());
    // Frames come out late where they are shown in another order than decoded; draining the decoder
    // gets the last one out without decoding those behind it, but ends the run.
    if (then_elsewhere && expects(number) && next_packet > last_expected_packet) drained = true;
    if (next_packet >= count || drained) {
      avcodec_send_packet(decoder.get(), nullptr);
      return;
    }
    const PacketPlace& place = index.packets[next_packet];
    // Shown before the key frame where decoding began, so it may need the group before, which was
    // not decoded: whatever becomes of it is not asked for.
    const bool leading = place.shown && place.number < entry_number;
    entering |= leading;
    decoder->err_recognition = leading ? 0 : strictness();
    av_packet_unref(packet.get());
    if (av_new_packet(packet.get(), place.size) < 0) throw std::bad_alloc();
    for (int done = 0; done < place.size;) {
      const ssize_t n = pread(descriptor, packet->data + done,
                              static_cast<size_t>(place.size - done), place.offset + done);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) throw file_error("read", file, errno);
      if (n == 0) fail(number, "the file has become shorter");
      done += static_cast<int>(n);
    }
    packet->pts = place.pts;
    packet->dts = AV_NOPTS_VALUE;
    packet->flags = (place.key ? AV_PKT_FLAG_KEY : 0) | (place.shown ? 0 : AV_PKT_FLAG_DISCARD);
    const bool unwanted = expects(number) && can_pass_by(place);
    decoder->skip_frame = unwanted ? AVDISCARD_NONREF : AVDISCARD_DEFAULT;
    if (place.key) std::erase_if(passed_by, [&](int64_t number) { return number < first_number; });
    if (unwanted)
      passed_by.push_back(place.number);
    else
      ++decoded;
    const int code = avcodec_send_packet(decoder.get(), packet.get());
    if (code < 0 && code != AVERROR(EAGAIN) && !entering) fail(number, ffmpeg_text(code));
    check(code != AVERROR(EAGAIN), "a decoder without output takes input");
    ++next_packet;
  }

  /// The frame's number, from its presentation time.
  int64_t number_at(int64_t pts) {
    const auto place =
        std::lower_bound(index.shown.begin(), index.shown.end(), pts,
                         [&](int64_t p, int64_t t) { return index.packets[p].pts < t; });
    if (place != index.shown.end() && index.packets[*place].pts == pts)
      return place - index.shown.begin();
    for (const PacketPlace& packet : index.packets)
      if (packet.pts == pts) return kCutOff;
    fail(first_number, "the decoder delivers a frame with an unknown time");
  }

  /// After this `frame` holds frame `number`, and no other.
  void decode(int64_t number) {
    if (last_number == number) return;
    approach(number);
    dirty = true;
    last_number = -1;
    while (true) {
      const int code = avcodec_receive_frame(decoder.get(), frame.get());
      if (code == AVERROR(EAGAIN)) {
        feed(number);
        continue;
      }
      if (code == AVERROR_EOF)
        fail(number, "the decoder delivers fewer frames than the file lists");
      if (code < 0 && entering) continue;
      if (code < 0) fail(number, ffmpeg_text(code));
      const int64_t got = number_at(frame->pts);
      if (std::find(passed_by.begin(), passed_by.end(), got) != passed_by.end()) ++decoded;
      if (got == kCutOff || got < first_number) continue;
      if (got > number) fail(number, "the decoder left it out");
      if ((frame->flags & AV_FRAME_FLAG_CORRUPT) || frame->decode_error_flags)
        fail(got, "its data are damaged");
      first_number = got + 1;
      entering = entering && got <= entry_number;
      if (got == number) break;
    }
    if (frame->width != index.parameters->width || frame->height != index.parameters->height)
      fail(number, fmt::format("it is {} x {} pixels, but the file says {} x {}", frame->width,
                               frame->height, index.parameters->width, index.parameters->height));
    last_number = number;
    dirty = false;
  }
};

VideoReader::VideoReader(const Path& file, int decoder_threads, bool any_start)
    : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.file = file;
  s.index = read_video_index(file);
  if (!any_start && std::abs(s.index.start_s) >= 1e-4)
    throw Error(
        {.what = fmt::format("the video begins at {:.4f} s instead of 0 s", s.index.start_s),
         .where = file,
         .fix = "encode it again so that it begins at 0 s",
         .kind = ErrorKind::file});
  s.descriptor = open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (s.descriptor < 0) throw file_error("open", file, errno);
  s.open_decoder(decoder_threads);
}

VideoReader::~VideoReader() = default;
VideoReader::VideoReader(VideoReader&&) noexcept = default;
VideoReader& VideoReader::operator=(VideoReader&&) noexcept = default;

int VideoReader::height() const { return state_->index.parameters->height; }
int VideoReader::width() const { return state_->index.parameters->width; }
int64_t VideoReader::frames() const { return static_cast<int64_t>(state_->index.shown.size()); }
double VideoReader::fps() const { return state_->index.fps; }
const std::string& VideoReader::codec() const { return state_->codec_name; }

namespace {

void require_frame(const Path& file, int64_t number, int64_t frames) {
  if (number >= 0 && number < frames) return;
  throw Error({.what = fmt::format("there is no frame {}, the video has {}", number, frames),
               .where = file,
               .fix = fmt::format("ask for a frame in [0, {}]", frames - 1)});
}

}  // namespace

int64_t VideoReader::group_begin(int64_t frame) const {
  require_frame(state_->file, frame, frames());
  return state_->index.keys[state_->group_of(frame)];
}

int64_t VideoReader::group_end(int64_t frame) const {
  require_frame(state_->file, frame, frames());
  const auto& keys = state_->index.keys;
  const auto next = std::upper_bound(keys.begin(), keys.end(), frame);
  return next == keys.end() ? frames() : *next;
}

void VideoReader::read(int64_t number, const Delivery& delivery, std::span<uint8_t> out) {
  require_frame(state_->file, number, frames());
  const auto [to_height, to_width] = delivered_size(delivery, height(), width(), state_->file);
  check(int64_t(out.size()) == int64_t{3} * to_width * to_height,
        "the buffer has {} bytes for {} x {} pixels", out.size(), to_width, to_height);
  state_->decode(number);
  const std::string problem =
      state_->converter.convert(*state_->frame, delivery, to_height, to_width, out.data());
  if (!problem.empty()) state_->fail(number, problem);
}

void VideoReader::expect(std::span<const int64_t> numbers, bool then_elsewhere) {
  State& s = *state_;
  for (const int64_t number : numbers) require_frame(s.file, number, frames());
  s.expected.assign(numbers.begin(), numbers.end());
  check(std::is_sorted(numbers.begin(), numbers.end()), "expected frames are not ascending");
  s.then_elsewhere = then_elsewhere && !numbers.empty();
  s.dirty |= s.drained;
  s.last_expected_packet = 0;
  for (const int64_t number : numbers)
    s.last_expected_packet = std::max(s.last_expected_packet, s.index.shown[number]);
}

int64_t VideoReader::frames_decoded() const { return state_->decoded; }

void VideoReader::decode(int64_t number) {
  require_frame(state_->file, number, frames());
  state_->decode(number);
}

Image VideoReader::read(int64_t number) {
  Image image{height(), width(), std::vector<uint8_t>(size_t(3) * height() * width())};
  read(number, {}, image.pixels);
  return image;
}

}  // namespace argosy::data

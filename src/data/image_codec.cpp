#include <turbojpeg.h>

#include <array>
#include <cstring>

#include "data/ffmpeg.h"
#include "data/video.h"

namespace argosy::data {
namespace {

struct FreeJpeg {
  void operator()(void* handle) const { tjDestroy(handle); }
};
using JpegHolder = std::unique_ptr<void, FreeJpeg>;

Error broken(const std::string& where, std::string what) {
  return Error({.what = std::move(what),
                .where = where,
                .fix = "the image is damaged; leave it out or copy it again",
                .kind = ErrorKind::file});
}

bool too_large(int64_t width, int64_t height) {
  return width < 1 || height < 1 || width > kMaxPixels || height > kMaxPixels ||
         width * height > kMaxPixels;
}

Image decode_jpeg(std::span<const std::byte> bytes, const std::string& where) {
  // one decoder per thread: making one costs as much as a small picture
  thread_local const JpegHolder jpeg(tjInitDecompress());
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  int width = 0, height = 0, subsampling = 0, colours = 0;
  if (tjDecompressHeader3(jpeg.get(), data, bytes.size(), &width, &height, &subsampling,
                          &colours) != 0)
    throw broken(where, fmt::format("not a readable JPEG ({} bytes): {}", bytes.size(),
                                    tjGetErrorStr2(jpeg.get())));
  if (too_large(width, height))
    throw broken(where, fmt::format("the picture is {} x {} pixels, the limit is {} in all", width,
                                    height, kMaxPixels));
  Image image{height, width, std::vector<uint8_t>(size_t(3) * height * width)};
  // a warning (cut off, wrong bytes) counts as an error: grey blocks are not a recording
  if (colours == TJCS_CMYK || colours == TJCS_YCCK)
    throw broken(where, "the JPEG has the colours of a printer (CMYK)");
  if (tjDecompress2(jpeg.get(), data, bytes.size(), image.pixels.data(), width, 0, height, TJPF_RGB,
                    0) != 0)
    throw broken(where, fmt::format("damaged JPEG: {}", tjGetErrorStr2(jpeg.get())));
  return image;
}

/// PNG of any kind (grey, palette, 16 bits, transparent) through FFmpeg's decoder.
Image decode_png(std::span<const std::byte> bytes, const std::string& where) {
  quiet_ffmpeg();
  const AVCodec* codec = avcodec_find_decoder(AV_CODEC_ID_PNG);
  const CodecHolder decoder(avcodec_alloc_context3(codec));
  decoder->max_pixels = kMaxPixels;
  decoder->thread_count = 1;
  decoder->err_recognition = AV_EF_CRCCHECK | AV_EF_EXPLODE;
  const PacketHolder packet(av_packet_alloc());
  const FrameHolder frame(av_frame_alloc());
  if (bytes.size() > (size_t{1} << 30) || avcodec_open2(decoder.get(), codec, nullptr) < 0 ||
      av_new_packet(packet.get(), static_cast<int>(bytes.size())) < 0)
    throw broken(where, fmt::format("a PNG of {} bytes cannot be opened", bytes.size()));
  std::memcpy(packet->data, bytes.data(), bytes.size());
  int code = avcodec_send_packet(decoder.get(), packet.get());
  if (code >= 0) code = avcodec_receive_frame(decoder.get(), frame.get());
  if (code < 0)
    throw broken(where,
                 fmt::format("not a readable PNG ({} bytes): {}", bytes.size(), ffmpeg_text(code)));
  Image image{frame->height, frame->width,
              std::vector<uint8_t>(size_t(3) * frame->height * frame->width)};
  const ScalerHolder scaler(sws_getContext(
      frame->width, frame->height, static_cast<AVPixelFormat>(frame->format), frame->width,
      frame->height, AV_PIX_FMT_RGB24, SWS_POINT, nullptr, nullptr, nullptr));
  if (!scaler) throw broken(where, "the PNG's pixel format is not supported");
  // swscale writes whole SIMD blocks, so it gets rows with room behind them
  const int stride = (3 * frame->width + 63) / 32 * 32;
  std::vector<uint8_t> rows(size_t(stride) * frame->height + 64);
  const std::array<uint8_t*, 4> to = {rows.data()};
  const std::array<int, 4> strides = {stride};
  sws_scale(scaler.get(), frame->data, frame->linesize, 0, frame->height, to.data(),
            strides.data());
  for (int y = 0; y < frame->height; ++y)
    std::memcpy(&image.pixels[size_t(3) * frame->width * y], &rows[size_t(stride) * y],
                size_t(3) * frame->width);
  return image;
}

}  // namespace

Image decode_image(std::span<const std::byte> bytes, const std::string& where) {
  constexpr std::array<unsigned char, 4> kPng = {0x89, 'P', 'N', 'G'};
  constexpr std::array<unsigned char, 2> kJpeg = {0xFF, 0xD8};
  if (bytes.size() > 8 && std::memcmp(bytes.data(), kPng.data(), kPng.size()) == 0)
    return decode_png(bytes, where);
  if (bytes.size() > 4 && std::memcmp(bytes.data(), kJpeg.data(), kJpeg.size()) == 0)
    return decode_jpeg(bytes, where);
  throw broken(where, fmt::format("neither a JPEG nor a PNG ({} bytes)", bytes.size()));
}

std::string encode_jpeg(const Image& image, int quality) {
  const JpegHolder jpeg(tjInitCompress());
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  const int code = tjCompress2(jpeg.get(), image.pixels.data(), image.width, 0, image.height,
                               TJPF_RGB, &bytes, &size, TJSAMP_420, quality, TJFLAG_ACCURATEDCT);
  std::string result(reinterpret_cast<const char*>(bytes), code == 0 ? size : 0);
  tjFree(bytes);
  if (code != 0)
    throw Error({.what = fmt::format("cannot encode a picture of {} x {} pixels: {}", image.width,
                                     image.height, tjGetErrorStr2(jpeg.get())),
                 .where = "JPEG",
                 .fix = "use quality 1 to 100 and a size of at least one pixel"});
  return result;
}

}  // namespace argosy::data

#include "data/frame_converter.h"

#include <algorithm>
#include <array>

namespace argosy::data {

/// libdav1d is FFmpeg's choice for AV1 where it is there; the native one needs hardware.
const AVCodec* find_decoder(AVCodecID id) {
  if (id == AV_CODEC_ID_AV1)
    if (const AVCodec* dav1d = avcodec_find_decoder_by_name("libdav1d")) return dav1d;
  return avcodec_find_decoder(id);
}

std::pair<int, int> delivered_size(const VideoReader::Delivery& d, int height, int width,
                                   const std::string& where) {
  const int64_t cropped_width = int64_t{width} - d.left - d.right;
  const int64_t cropped_height = int64_t{height} - d.top - d.bottom;
  if (std::min({d.left, d.right, d.top, d.bottom}) < 0 || cropped_width < 1 || cropped_height < 1)
    throw Error({.what = fmt::format("nothing is left of {} x {} pixels after cutting off left {}, "
                                     "right {}, top {}, bottom {}",
                                     width, height, d.left, d.right, d.top, d.bottom),
                 .where = where,
                 .fix = "cut off less"});
  return {d.height > 0 ? d.height : static_cast<int>(cropped_height),
          d.width > 0 ? d.width : static_cast<int>(cropped_width)};
}

SwsContext* FrameConverter::scaler(const Scaling& key) {
  ScalerHolder& scaler = scalers_[key];
  if (scaler) return scaler.get();
  const bool shrinks = key.width > 2 * key.to_width || key.height > 2 * key.to_height;
  scaler.reset(sws_getContext(key.width, key.height, static_cast<AVPixelFormat>(key.format),
                              key.to_width, key.to_height, AV_PIX_FMT_RGB24,
                              shrinks ? SWS_AREA : SWS_BILINEAR, nullptr, nullptr, nullptr));
  if (!scaler) return nullptr;
  sws_setColorspaceDetails(scaler.get(), sws_getCoefficients(key.space), key.range,
                           sws_getCoefficients(SWS_CS_DEFAULT), 1, 0, 1 << 16, 1 << 16);
  return scaler.get();
}

std::string FrameConverter::convert(const AVFrame& frame, const VideoReader::Delivery& d,
                                    int to_height, int to_width, uint8_t* out) {
  const int width = frame.width - d.left - d.right, height = frame.height - d.top - d.bottom;
  const AVPixFmtDescriptor* format = av_pix_fmt_desc_get(static_cast<AVPixelFormat>(frame.format));
  if (!format ||
      (format->flags & (AV_PIX_FMT_FLAG_PAL | AV_PIX_FMT_FLAG_HWACCEL | AV_PIX_FMT_FLAG_BITSTREAM)))
    return "its pixel format is not supported";
  std::array<const uint8_t*, 4> planes{};
  std::array<int, 4> strides{};
  for (int c = 0; c < format->nb_components; ++c) {
    const AVComponentDescriptor& component = format->comp[c];
    const bool chroma = (c == 1 || c == 2) && !(format->flags & AV_PIX_FMT_FLAG_RGB);
    const int x = d.left >> (chroma ? format->log2_chroma_w : 0);
    const int y = d.top >> (chroma ? format->log2_chroma_h : 0);
    const int p = component.plane;
    if (planes[p]) continue;  // interleaved: the first component gives the place
    strides[p] = frame.linesize[p];
    planes[p] = frame.data[p] + ptrdiff_t{y} * strides[p] + ptrdiff_t{x} * component.step;
  }
  const int space = frame.colorspace == AVCOL_SPC_UNSPECIFIED ? SWS_CS_DEFAULT : frame.colorspace;
  const bool full = frame.color_range == AVCOL_RANGE_JPEG || frame.format == AV_PIX_FMT_YUVJ420P ||
                    frame.format == AV_PIX_FMT_YUVJ422P || frame.format == AV_PIX_FMT_YUVJ444P;
  SwsContext* context = scaler({width, height, frame.format, to_width, to_height, full, space});
  if (!context) return fmt::format("pixels of format {} cannot be converted", format->name);
  // swscale writes whole SIMD blocks: rows of other widths go through a buffer with room behind
  const int row_bytes = 3 * to_width;
  const bool direct = to_width % 16 == 0;
  const int stride = direct ? row_bytes : (row_bytes + 63) / 32 * 32;
  if (!direct) row_buffer_.resize(size_t(stride) * to_height + 64);
  const std::array<uint8_t*, 4> to = {direct ? out : row_buffer_.data()};
  const std::array<int, 4> to_strides = {stride};
  if (sws_scale(context, planes.data(), strides.data(), 0, height, to.data(), to_strides.data()) !=
      to_height)
    return "the conversion to RGB failed";
  if (!direct)
    for (int y = 0; y < to_height; ++y)
      std::copy_n(row_buffer_.data() + size_t(stride) * y, row_bytes, out + size_t(row_bytes) * y);
  return {};
}

}  // namespace argosy::data

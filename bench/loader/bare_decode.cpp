#include "bare_decode.h"

#include <cstring>
#include <vector>

#include "base/check.h"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libswscale/swscale.h>
}

int64_t bare_decode(const std::string& file, Bare what) {
  using argosy::check;
  AVFormatContext* input = nullptr;
  check(avformat_open_input(&input, file.c_str(), nullptr, nullptr) >= 0, "{} cannot be opened",
        file);
  check(avformat_find_stream_info(input, nullptr) >= 0, "{} cannot be read", file);
  const int stream = av_find_best_stream(input, AVMEDIA_TYPE_VIDEO, -1, -1, nullptr, 0);
  check(stream >= 0, "{} has no video", file);
  const AVCodecParameters* parameters = input->streams[stream]->codecpar;
  AVCodecContext* decoder = avcodec_alloc_context3(nullptr);
  avcodec_parameters_to_context(decoder, parameters);
  decoder->thread_count = 1;
  check(avcodec_open2(decoder, avcodec_find_decoder(parameters->codec_id), nullptr) >= 0,
        "no decoder");
  const int width = parameters->width, height = parameters->height;
  SwsContext* scaler =
      sws_getContext(width, height, static_cast<AVPixelFormat>(parameters->format), width, height,
                     AV_PIX_FMT_RGB24, SWS_BILINEAR, nullptr, nullptr, nullptr);
  std::vector<uint8_t> rgb(size_t{3} * width * height);
  const size_t places = what == Bare::copies ? 3 * 16 * 4 : 0;  // three batches in turn
  std::vector<uint8_t> batches(places * rgb.size());
  size_t place = 0;
  uint8_t* to[] = {rgb.data()};
  const int stride[] = {3 * width};
  AVPacket* packet = av_packet_alloc();
  AVFrame* frame = av_frame_alloc();
  int64_t frames = 0;
  for (bool end = false; !end;) {
    end = av_read_frame(input, packet) < 0;
    if (!end && packet->stream_index != stream) {
      av_packet_unref(packet);
      continue;
    }
    avcodec_send_packet(decoder, end ? nullptr : packet);
    av_packet_unref(packet);
    while (avcodec_receive_frame(decoder, frame) >= 0) {
      ++frames;
      if (what == Bare::decode) continue;
      sws_scale(scaler, frame->data, frame->linesize, 0, height, to, stride);
      if (what == Bare::rgb) continue;
      for (size_t copy = 0; copy < 4; ++copy, place = (place + 1) % places)
        std::memcpy(&batches[place * rgb.size()], rgb.data(), rgb.size());
    }
  }
  av_frame_free(&frame);
  av_packet_free(&packet);
  sws_freeContext(scaler);
  avcodec_free_context(&decoder);
  avformat_close_input(&input);
  return frames;
}

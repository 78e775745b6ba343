#include "data/video.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <thread>

#include "base/error.h"
#include "base/random.h"
#include "pictures.h"
#include "shared.h"

using namespace argosy;
using data::Image;
using data::VideoReader;
using data::VideoWriter;
using test::number_in;
using test::numbered_picture;

namespace {

void write_video(const Path& file, int64_t frames, const std::string& codec, int gop,
                 int64_t first = 0, int height = 64, int width = 96, int fps = 30) {
  VideoWriter writer(file, height, width, fps, codec, gop, 23);
  for (int64_t i = 0; i < frames; ++i) writer.write(numbered_picture(first + i, height, width));
  writer.finish();
}

double mean_difference(const Image& a, const Image& b) {
  REQUIRE(a.pixels.size() == b.pixels.size());
  double sum = 0;
  for (size_t i = 0; i < a.pixels.size(); ++i) sum += std::abs(int(a.pixels[i]) - int(b.pixels[i]));
  return sum / double(a.pixels.size());
}

}  // namespace

TEST_CASE("video: every order of seeking gives the frame that was asked for") {
  const test::TemporaryFolder temporary;
  for (const std::string codec : {"h264", "hevc", "av1"})
    for (const int gop : {2, 15, 60})
      for (const int threads : {1, 3}) {
        if (threads > 1 && gop != 15) continue;
        INFO(codec, " gop ", gop, " threads ", threads);
        const Path file = temporary.path() / fmt::format("{}-{}.mp4", codec, gop);
        constexpr int64_t kFrames = 130;
        if (threads == 1) write_video(file, kFrames, codec, gop);
        VideoReader reader(file, threads);
        REQUIRE(reader.frames() == kFrames);
        CHECK(reader.fps() == doctest::Approx(30));
        CHECK(reader.codec() == codec);
        for (int64_t n = 0; n < kFrames; ++n) {
          CHECK(reader.group_begin(n) == n / gop * gop);
          CHECK(reader.group_end(n) == std::min<int64_t>(kFrames, (n / gop + 1) * gop));
        }
        for (int64_t n = 0; n < kFrames; ++n) REQUIRE(number_in(reader.read(n)) == n);
        for (int64_t n = kFrames - 1; n >= 0; n -= 7) REQUIRE(number_in(reader.read(n)) == n);
        Random random(7);
        for (int i = 0; i < 80; ++i) {
          const auto n = int64_t(random.below(kFrames));
          REQUIRE(number_in(reader.read(n)) == n);
          if (random.below(3) == 0) REQUIRE(number_in(reader.read(n)) == n);
        }
        for (int64_t n = 0; n < kFrames; n += 3) REQUIRE(number_in(reader.read(n)) == n);
      }
}

TEST_CASE("video: the order of reading does not change the pixels") {
  const test::TemporaryFolder temporary;
  const Path file = temporary.path() / "v.mp4";
  write_video(file, 50, "h264", 15);
  VideoReader forwards(file), random(file);
  std::vector<Image> frames;
  for (int64_t n = 0; n < 50; ++n) frames.push_back(forwards.read(n));
  for (int64_t n = 49; n >= 0; --n) CHECK(random.read(n).pixels == frames[size_t(n)].pixels);
}

TEST_CASE("video: concatenated parts keep every frame, and each part begins with a key frame") {
  const test::TemporaryFolder temporary;
  for (const std::string codec : {"h264", "hevc", "av1"}) {
    INFO(codec);
    std::vector<Path> parts;
    int64_t first = 0;
    std::vector<int64_t> begins;
    for (const int64_t length : {17, 1, 2, 40, 3, 1, 5}) {
      parts.push_back(temporary.path() / fmt::format("{}-{}.mp4", codec, parts.size()));
      write_video(parts.back(), length, codec, 15, first);
      begins.push_back(first);
      first += length;
    }
    const Path whole = temporary.path() / (codec + ".mp4");
    data::concatenate_videos(parts, whole, 30);
    VideoReader reader(whole);
    REQUIRE(reader.frames() == first);
    for (int64_t n = first - 1; n >= 0; --n) REQUIRE(number_in(reader.read(n)) == n);
    for (int64_t n = 0; n < first; ++n) REQUIRE(number_in(reader.read(n)) == n);
    for (const int64_t begin : begins) CHECK(reader.group_begin(begin) == begin);
  }
}

TEST_CASE("video: frames come back with the colours that went in") {
  const test::TemporaryFolder temporary;
  const Path file = temporary.path() / "v.mp4";
  VideoWriter writer(file, 64, 96, 30, "h264", 2, 10);
  Image red{64, 96, {}};
  for (int i = 0; i < 64 * 96; ++i) red.pixels.insert(red.pixels.end(), {200, 40, 90});
  writer.write(red);
  writer.finish();
  CHECK(mean_difference(VideoReader(file).read(0), red) < 2.5);
}

TEST_CASE(
    "video: crop and resize deliver the same picture, smaller, into exactly the buffer given") {
  const test::TemporaryFolder temporary;
  const Path file = temporary.path() / "v.mp4";
  write_video(file, 3, "h264", 2, 0, 120, 160);
  VideoReader reader(file);
  const Image whole = reader.read(1);
  SUBCASE("crop alone is the same pixels") {
    std::vector<uint8_t> out(size_t(3) * 80 * 128);
    reader.read(1, {.top = 20, .bottom = 20, .left = 16, .right = 16}, out);
    double sum = 0;
    for (int y = 0; y < 80; ++y)
      for (int i = 0; i < 3 * 128; ++i)
        sum += std::abs(int(out[size_t(y * 3 * 128 + i)]) -
                        int(whole.pixels[size_t((y + 20) * 3 * 160 + 48 + i)]));
    CHECK(sum / (80 * 128 * 3) < 1.0);
  }
  SUBCASE("any size keeps the mean and nothing is written behind the buffer") {
    for (const auto& [height, width] :
         {std::pair{120, 160}, {60, 80}, {33, 47}, {7, 5}, {1, 1}, {240, 321}}) {
      INFO(height, " x ", width);
      std::vector<uint8_t> memory(size_t(3) * height * width + 256, 77);
      reader.read(1, {.height = height, .width = width},
                  std::span(memory).first(size_t(3) * height * width));
      for (size_t i = memory.size() - 256; i < memory.size(); ++i) REQUIRE(memory[i] == 77);
      double mean = 0, expected = 0;
      for (size_t i = 0; i < memory.size() - 256; ++i) mean += memory[i];
      for (const uint8_t p : whole.pixels) expected += p;
      CHECK(mean / double(memory.size() - 256) ==
            doctest::Approx(expected / double(whole.pixels.size())).epsilon(0.04));
    }
  }
  SUBCASE("cutting off everything is an error") {
    std::vector<uint8_t> out(3);
    CHECK_THROWS_AS(reader.read(1, {.left = 100, .right = 60}, out), Error);
  }
}

TEST_CASE("video: a number outside, an odd size and an unknown codec name the limit") {
  const test::TemporaryFolder temporary;
  const Path file = temporary.path() / "v.mp4";
  write_video(file, 3, "h264", 2);
  VideoReader reader(file);
  CHECK_THROWS_WITH_AS(
      reader.read(3),
      doctest::Contains("there is no frame 3, the video has 3; ask for a frame in [0, 2]"), Error);
  CHECK_THROWS_AS(reader.read(-1), Error);
  CHECK_THROWS_WITH_AS(VideoWriter(temporary.path() / "a", 61, 96, 30, "h264", 2, 23),
                       doctest::Contains("96 x 61"), Error);
  CHECK_THROWS_WITH_AS(VideoWriter(temporary.path() / "a", 64, 96, 30, "vp9", 2, 23),
                       doctest::Contains("h264, hevc or av1"), Error);
}

TEST_CASE("video: the same frames give the same bytes") {
  const test::TemporaryFolder temporary;
  for (const std::string codec : {"h264", "hevc", "av1"}) {
    INFO(codec);
    write_video(temporary.path() / "a", 40, codec, 15);
    write_video(temporary.path() / "b", 40, codec, 15);
    CHECK(read_file(temporary.path() / "a") == read_file(temporary.path() / "b"));
  }
}

TEST_CASE("video: a cut or changed file ends in an Error or in pictures, never in a crash") {
  const test::TemporaryFolder temporary;
  const Path file = temporary.path() / "v.mp4", bad = temporary.path() / "bad.mp4";
  Random random(11);
  int errors = 0, wrong_number = 0;
  for (const std::string codec : {"h264", "av1"}) {
    write_video(file, 12, codec, 4);
    const std::string bytes = read_file(file);
    for (int round = 0; round < 150; ++round) {
      std::string changed = bytes;
      if (round % 3 == 0) {
        changed.resize(random.below(bytes.size()));
      } else {
        // half of them in the header, where sizes and offsets stand
        const size_t range = round % 2 ? bytes.size() : bytes.size() / 4;
        for (uint64_t flips = 1 + random.below(4); flips > 0; --flips)
          changed[random.below(range)] ^= char(1 << random.below(8));
      }
      write_file(bad, changed);
      try {
        VideoReader reader(bad);
        REQUIRE(reader.frames() < 100000);
        for (int64_t n = reader.frames() - 1; n >= 0; n -= 5) {
          const int64_t seen = number_in(reader.read(n));
          wrong_number += seen != n && reader.frames() == 12;
        }
      } catch (const Error&) {
        ++errors;
      }
    }
  }
  MESSAGE(errors, " of 300 changed files were refused, ", wrong_number,
          " frames showed another number");
  CHECK(errors > 150);
}

TEST_CASE("video: files of other makers decode to the right frames or say what is wrong") {
  if (std::system("ffmpeg -version > /dev/null 2>&1") != 0) {
    MESSAGE("skipped: no ffmpeg program");
    return;
  }
  const test::TemporaryFolder temporary;
  const Path numbered = temporary.path() / "numbered.mp4";
  write_video(numbered, 60, "h264", 1);
  const auto make = [&](const std::string& options) {
    const Path file = temporary.path() / "made.mp4";
    const std::string command =
        fmt::format("ffmpeg -v quiet -y -i {} {} {}", numbered.string(), options, file.string());
    REQUIRE(std::system(command.c_str()) == 0);
    return file;
  };
  const auto expect_numbers = [](VideoReader reader, int64_t first, int64_t frames) {
    REQUIRE(reader.frames() == frames);
    for (int64_t n = 0; n < frames; ++n) REQUIRE(number_in(reader.read(n)) == first + n);
    for (int64_t n = frames - 1; n >= 0; n -= 4) REQUIRE(number_in(reader.read(n)) == first + n);
  };
  SUBCASE("several slices a picture") {
    expect_numbers(VideoReader(make("-c:v libx264 -x264-params slices=4:keyint=12")), 0, 60);
  }
  SUBCASE("open groups, whose first pictures need the group before") {
    expect_numbers(
        VideoReader(make("-c:v libx264 -x264-params open-gop=1:keyint=12:bframes=3:scenecut=0")), 0,
        60);
    expect_numbers(VideoReader(make(
                       "-c:v libx265 -x265-params open-gop=1:keyint=12:bframes=3:log-level=none")),
                   0, 60);
  }
  SUBCASE("an edit list that cuts off the beginning") {
    const Path grouped = make("-c:v libx264 -x264-params keyint=30:bframes=2:scenecut=0");
    const Path cut = temporary.path() / "cut.mp4";
    const std::string command =
        fmt::format("ffmpeg -v quiet -y -ss 0.4 -i {} -c copy {}", grouped.string(), cut.string());
    REQUIRE(std::system(command.c_str()) == 0);
    VideoReader reader(cut, 1, true);
    const int64_t first = number_in(reader.read(0));
    CHECK(first >= 10);
    for (int64_t n = reader.frames() - 1; n >= 0; --n)
      REQUIRE(number_in(reader.read(n)) == first + n);
  }
  SUBCASE("a variable frame rate") {
    const Path file = make("-vf select='not(eq(mod(n\\,7)\\,3))' -vsync vfr -c:v libx264");
    CHECK_THROWS_WITH_AS(VideoReader{file}, doctest::Contains("constant frame rate"), Error);
  }
  SUBCASE("a start later than zero") {
    const Path file = make("-vf setpts=PTS+1/TB -vsync passthrough -copyts -c:v libx264 -bf 0");
    CHECK_THROWS_WITH_AS(VideoReader{file}, doctest::Contains("begins at 1.0000 s"), Error);
    expect_numbers(VideoReader(file, 1, true), 0, 60);
  }
}

TEST_CASE("video: LeRobot's own file decodes, forwards and backwards") {
  const Path shared = test::shared_data();
  if (shared.empty()) {
    MESSAGE("skipped: no shared data");
    return;
  }
  VideoReader reader(shared /
                     "lerobot-v3-sample/videos/observation.images.cam_high/chunk-000/file-000.mp4");
  CHECK(reader.frames() == 2316);
  CHECK(reader.codec() == "h264");
  const Image late = reader.read(2315);
  CHECK(mean_difference(reader.read(0), late) > 1);
  CHECK(reader.read(2315).pixels == late.pixels);
}

TEST_CASE("images: a JPEG and back; grey, cut and foreign bytes") {
  const Image picture = numbered_picture(321);
  const std::string jpeg = data::encode_jpeg(picture, 95);
  const auto bytes = std::as_bytes(std::span(jpeg));
  CHECK(mean_difference(data::decode_image(bytes, "x"), picture) < 4);
  CHECK_THROWS_WITH_AS(data::decode_image(bytes.first(bytes.size() / 2), "record 7"),
                       doctest::Contains("record 7"), Error);
  CHECK_THROWS_AS(data::decode_image(bytes.first(3), "x"), Error);
  CHECK_THROWS_AS(data::decode_image(std::as_bytes(std::span("hello world, no image")), "x"),
                  Error);
  Random random(5);
  for (int i = 0; i < 200; ++i) {
    std::string changed = jpeg;
    changed[random.below(changed.size())] ^= char(1 << random.below(8));
    try {
      data::decode_image(std::as_bytes(std::span(changed)), "x");
    } catch (const Error&) {
    }
  }
}

#if defined(__SANITIZE_ADDRESS__)
// x265 keeps a few hundred bytes of every encoder.
extern "C" const char* __lsan_default_suppressions() { return "leak:libx265\n"; }
#endif

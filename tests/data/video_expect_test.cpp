#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/random.h"
#include "data/video.h"
#include "pictures.h"
#include "shared.h"

using namespace argosy;
using data::Image;
using data::VideoReader;

namespace {

constexpr int64_t kFrames = 120;

Path numbered_video(const Path& folder, const std::string& codec, int gop) {
  const Path file = folder / fmt::format("{}-{}.mp4", codec, gop);
  data::VideoWriter writer(file, 64, 96, 30, codec, gop, 23);
  for (int64_t i = 0; i < kFrames; ++i) writer.write(test::numbered_picture(i));
  writer.finish();
  return file;
}

}  // namespace

TEST_CASE(
    "video: saying which frames are wanted changes no pixel of them, in any order of asking") {
  const test::TemporaryFolder folder;
  for (const std::string codec : {"h264", "hevc", "av1"})
    for (const int gop : {2, 15, 60}) {
      const Path file = numbered_video(folder.path(), codec, gop);
      VideoReader plain(file), asked(file);
      std::vector<Image> frames;
      for (int64_t n = 0; n < kFrames; ++n) frames.push_back(plain.read(n));
      Random random(gop);
      for (int round = 0; round < 60; ++round) {
        // some frames near one another, told as the last ones or not; some of them left unread
        std::set<int64_t> chosen;
        const auto from = static_cast<int64_t>(random.below(kFrames));
        for (uint64_t i = 0; i <= random.below(6); ++i)
          chosen.insert(
              std::min<int64_t>(kFrames - 1, from + static_cast<int64_t>(random.below(20))));
        const std::vector<int64_t> numbers(chosen.begin(), chosen.end());
        asked.expect(numbers, random.below(2) == 0);
        const uint64_t reads = random.below(4) == 0 ? 1 : numbers.size();
        for (uint64_t i = 0; i < reads; ++i) {
          INFO(codec, " gop ", gop, " round ", round, " frame ", numbers[i]);
          REQUIRE(asked.read(numbers[i]).pixels == frames[numbers[i]].pixels);
        }
        // one that was not announced is delivered all the same
        const auto other = static_cast<int64_t>(random.below(kFrames));
        if (random.below(3) == 0) REQUIRE(asked.read(other).pixels == frames[other].pixels);
      }
      asked.expect({});
      for (int64_t n = 0; n < kFrames; ++n) REQUIRE(asked.read(n).pixels == frames[n].pixels);
    }
}

TEST_CASE("video: frames that nobody refers to are decoded only when they are wanted") {
  const Path shared = test::shared_data();
  if (shared.empty()) {
    MESSAGE("skipped: no shared data");
    return;
  }
  const Path file =
      shared / "lerobot-v3-sample/videos/observation.images.cam_high/chunk-000/file-000.mp4";
  VideoReader plain(file), asked(file);
  int64_t checked = 0;
  for (int64_t last = 14; last < 600; last += 31) {
    const std::vector<int64_t> wanted = {last - 9, last - 6, last - 3, last};
    asked.expect(wanted, true);
    for (const int64_t n : wanted) REQUIRE(asked.read(n).pixels == plain.read(n).pixels);
    ++checked;
  }
  CHECK(asked.frames_decoded() < plain.frames_decoded() * 7 / 10);
  MESSAGE("decoded ", asked.frames_decoded(), " instead of ", plain.frames_decoded(), " for ",
          checked, " clips");
}

#include "eval/film.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <vector>

#include "base/check.h"
#include "base/files.h"
#include "data/video.h"

namespace argosy::eval {
namespace {

constexpr int kPanelWidth = 320, kPanelHeight = 240;
constexpr int kQuality = 30;  // small files; the pictures are plain

/// A file that is gone when the film has been read.
struct ScratchFile {
  Path path = std::filesystem::temp_directory_path() /
              fmt::format("argosy-film-{}-{:p}.mp4", getpid(), static_cast<const void*>(this));
  ScratchFile() = default;
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;
  ~ScratchFile() {
    std::error_code gone;
    std::filesystem::remove(path, gone);
  }
};

/// One drive on its way through the film.
class Replay {
 public:
  explicit Replay(const Filmed& filmed)
      : drive_(*filmed.drive),
        simulation_(filmed.world),
        title_(filmed.title),
        panel_(3 * kPanelWidth * kPanelHeight) {}

  void advance() {
    if (over()) return;
    const DriveStep& step = drive_.steps[at_++];
    simulation_.step({.angle = step.angle, .throttle = step.throttle});
    if (!over() && drive_.steps[at_].intervention) simulation_.put_back();
  }
  bool over() const { return at_ == drive_.steps.size(); }

  /// Draws both views into column `column` of the picture.
  void draw(data::Image& picture, int column) {
    int row = 0;
    for (const world::View view : {world::View::chase, world::View::driver}) {
      simulation_.picture(view, kPanelWidth, kPanelHeight, panel_, row == 0 ? title_ : "");
      for (int y = 0; y < kPanelHeight; ++y)
        std::copy_n(panel_.begin() + std::ptrdiff_t{3} * y * kPanelWidth, 3 * kPanelWidth,
                    picture.pixels.begin() +
                        std::ptrdiff_t{3} *
                            ((row * kPanelHeight + y) * picture.width + column * kPanelWidth));
      ++row;
    }
  }

 private:
  const DriveTrace& drive_;
  world::Simulation simulation_;
  std::string title_;
  size_t at_ = 0;
  std::vector<uint8_t> panel_;
};

}  // namespace

std::string film(std::span<const Filmed> drives, double from_s, double to_s) {
  check(!drives.empty(), "a film of no drive");
  std::vector<Replay> replays;
  for (const Filmed& filmed : drives) replays.emplace_back(filmed);
  const auto width = static_cast<int>(drives.size()) * kPanelWidth;
  data::Image picture{2 * kPanelHeight, width,
                      std::vector<uint8_t>(size_t{6} * kPanelHeight * width)};
  const ScratchFile file;
  data::VideoWriter writer(file.path, picture.height, picture.width,
                           static_cast<int>(world::kControlRate_hz), "h264", 40, kQuality);
  const auto periods = [](double s) { return std::lround(s * world::kControlRate_hz); };
  for (long period = 0; period < periods(to_s); ++period) {
    if (period >= periods(from_s)) {
      for (size_t i = 0; i < replays.size(); ++i) replays[i].draw(picture, static_cast<int>(i));
      writer.write(picture);
    }
    if (std::ranges::all_of(replays, &Replay::over) && period >= periods(from_s)) break;
    for (Replay& replay : replays) replay.advance();
  }
  writer.finish();
  return read_file(file.path);
}

}  // namespace argosy::eval

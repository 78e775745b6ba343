#include "drive/stream_source.h"

#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "base/error.h"
#include "base/threads.h"
#include "data/dataset.h"
#include "drive/drive.h"
#include "run/driving.h"
#include "run_maker.h"
#include "shared.h"
#include "sources.h"

using namespace argosy;
using namespace argosy::drive;

namespace {

std::string jpeg(int64_t i, int width = 40, int height = 32) {
  data::Image image = test::tiny_picture(test::tiny_angle(i));
  if (width != 40) image = {height, width, std::vector<uint8_t>(size_t{3} * height * width, 9)};
  return data::encode_jpeg(image, 90);
}

/// JPEGs one after the other, as cameras send them.
Path pictures(const Path& folder, const std::string& bytes) {
  write_file(folder / "clip.mjpeg", bytes);
  return folder / "clip.mjpeg";
}

/// A camera on the network, at 127.0.0.1.
class NetworkCamera {
 public:
  NetworkCamera() : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    bind(socket_, reinterpret_cast<sockaddr*>(&address), size);
    listen(socket_, 4);
    getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
  }
  ~NetworkCamera() { close(socket_); }
  std::string url() const { return fmt::format("tcp://127.0.0.1:{}", port_); }

  /// Sends to whoever comes next, while `going` says so, and hangs up: breaking the connection, or
  /// as one does at the end.
  template <typename Going>
  void serve(Going going, bool break_it) const {
    const int connection = accept(socket_, nullptr, nullptr);
    for (int64_t i = 0; going(); ++i) {
      const std::string picture = jpeg(i);
      if (send(connection, picture.data(), picture.size(), MSG_NOSIGNAL) < 0) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    if (break_it) setsockopt(connection, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    close(connection);
  }

 private:
  int socket_, port_ = 0;
};

std::vector<Frame> all_frames(StreamSource& source) {
  source.deliver_as({.height = source.height(), .width = source.width()}, true);
  std::vector<Frame> frames;
  for (Frame frame; source.next(frame);) frames.push_back(frame);
  return frames;
}

}  // namespace

TEST_CASE("stream: a recorded video gives the outputs that evaluation gives for its frames") {
  const test::TemporaryFolder temporary;
  const Path folder = temporary.path() / "data", run = temporary.path() / "run";
  set_thread_count(1);
  test::write_drives(folder, {{"monday", {50}}});
  for (const std::string model : {"pilotnet", "clip_transformer"}) {
    CAPTURE(model);
    const run::Recipe recipe =
        test::make_run(run, model, {"data.crop_top=3", "data.crop_left=2", "data.holdout_share=0"});
    const data::Dataset dataset = data::Dataset::open(folder);
    const run::DrivingData driving(dataset, recipe);
    run::Policy policy(recipe, 16);
    policy.load(run::find_checkpoint(run, "last").folder / run::kStateFile);
    data::Loader loader(dataset, driving.evaluation_clips({0}, 16));
    std::vector<float> expected;
    for (int64_t b = 0; b < loader.batches_per_epoch(); ++b) {
      const data::Batch& batch = loader.next();
      const auto outputs = policy.predict(batch.cameras[0].pixels, batch.size);
      expected.insert(expected.end(), outputs.begin(), outputs.end());
    }

    StreamSource source(dataset.episodes()[0].videos.at(driving.camera()).file, "", false);
    Pilot pilot(run, "last", 0, source.fps());
    source.deliver_as(pilot.delivery(), false);
    size_t i = 0;
    for (Frame frame; source.next(frame); ++i) {
      const Prediction prediction = pilot.predict(frame);
      CHECK(prediction.angle == doctest::Approx(expected.at(2 * i)).epsilon(1e-5));
      CHECK(prediction.throttle == doctest::Approx(expected.at(2 * i + 1)).epsilon(1e-5));
    }
    CHECK(i == 50);
    std::filesystem::remove_all(run);
  }
}

TEST_CASE("stream: pictures that are damaged, or of another size, are passed over and counted") {
  const test::TemporaryFolder temporary;
  std::string bytes;
  for (int64_t i = 0; i < 40; ++i) {
    std::string picture = i == 20 || i == 21 ? jpeg(i, 64, 48) : jpeg(i);
    if (i == 10) picture = picture.substr(0, picture.size() - 60) + "\xFF\xD9";
    bytes += picture;
  }
  StreamSource source(pictures(temporary.path(), bytes), "", false);
  CHECK(source.width() == 40);
  const std::vector<Frame> frames = all_frames(source);
  CHECK(frames.size() == 37);
  for (const Frame& frame : frames) CHECK(frame.picture.pixels.size() == size_t{3} * 32 * 40);
  const std::vector<std::string> notes = source.notes();
  REQUIRE(notes.size() == 2);
  CHECK(notes[0].ends_with("1 damaged frames were passed over"));
  CHECK(notes[1].ends_with("2 frames were not 40 x 32 pixels and passed over"));
}

TEST_CASE("stream: a file cut at any place gives the frames before, and ends or is refused") {
  const test::TemporaryFolder temporary;
  std::string bytes;
  for (int64_t i = 0; i < 12; ++i) bytes += jpeg(i);
  for (size_t size = 0; size < bytes.size(); size += 97) {
    CAPTURE(size);
    try {
      StreamSource source(pictures(temporary.path(), bytes.substr(0, size)), "", false);
      CHECK(all_frames(source).size() <= 12);
    } catch (const Error& error) {
      CHECK(error.kind() == ErrorKind::file);
    }
  }
}

TEST_CASE("stream: a file may be played for longer than it may take to open" *
          doctest::test_suite("slow")) {
  const test::TemporaryFolder temporary;
  std::string bytes;
  for (int64_t i = 0; i < 2000; ++i) bytes += jpeg(i);
  data::VideoStream stream(pictures(temporary.path(), bytes), {.open_timeout_s = 2});
  CHECK(stream.next());
  std::this_thread::sleep_for(std::chrono::milliseconds(2100));
  int64_t frames = 1;
  while (stream.next()) ++frames;
  CHECK(frames == 2000);
}

TEST_CASE("stream: what cannot be driven by says so") {
  const test::TemporaryFolder temporary;
  const auto error = [&](const std::string& source, const std::string& format = "") {
    try {
      StreamSource(source, format, false);
    } catch (const Error& caught) {
      return std::string(caught.what());
    }
    return std::string();
  };
  CHECK(error(temporary.path() / "none.mp4").find("No such file") != std::string::npos);
  write_file(temporary.path() / "text.mp4", "no video");
  CHECK(error(temporary.path() / "text.mp4").find("cannot open it as video") != std::string::npos);
  CHECK(error("x", "nonsense").find("no input format nonsense") != std::string::npos);
}

TEST_CASE(
    "stream: a pipe that stalls brakes the car; it is driven when frames are back, and stands at "
    "the end") {
  const test::TemporaryFolder temporary;
  const Path pipe = temporary.path() / "camera.mjpeg";
  mkfifo(pipe.c_str(), 0600);
  test::Told told;
  std::thread camera([&] {
    std::ofstream out(pipe, std::ios::binary);
    int64_t i = 0;
    const auto send_until = [&](State state) {
      while (told.state != state) {
        out << jpeg(i++) << std::flush;
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
      }
    };
    send_until(State::driving);
    while (told.state != State::no_frame) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    send_until(State::driving);
  });
  StreamSource source(pipe, "mjpeg", false);
  CHECK(source.realtime());
  source.deliver_as({.height = 16, .width = 20}, false);
  ControlSink* sinks[] = {&told};
  const DriveResult result = drive_in_real_time(source, test::answer, sinks, {.rate = 100});
  camera.join();
  CHECK(result.faults.contains(State::no_frame));
  CHECK(told.all.back().state == State::ended);
}

TEST_CASE("stream: a connection that breaks brakes the car, and is made again" *
          doctest::test_suite("slow")) {
  const NetworkCamera camera;
  test::Told told;
  std::thread sender([&] {
    camera.serve([&] { return told.state != State::driving; }, true);
    while (told.state != State::no_frame) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    camera.serve([&] { return told.state != State::driving; }, false);
  });
  StreamSource source(camera.url(), "mjpeg", false);
  CHECK(source.realtime());
  source.deliver_as({.height = 16, .width = 20}, false);
  ControlSink* sinks[] = {&told};
  const DriveResult result = drive_in_real_time(source, test::answer, sinks, {.rate = 100});
  sender.join();
  CHECK(result.faults.contains(State::no_frame));
  CHECK(told.all.back().state == State::ended);
  REQUIRE(source.notes().size() >= 1);
  CHECK(source.notes().back().ends_with("1 times it failed and was opened again"));
}

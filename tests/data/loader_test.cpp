#include "data/loader.h"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/error.h"
#include "data/video.h"
#include "sample.h"
#include "shared.h"

using namespace argosy;
using namespace argosy::data;

namespace {

constexpr const char* kFront = "observation.images.front";
constexpr const char* kRear = "observation.images.rear";

// Episodes of 47, 5, 61 and 30 rows at 10 fps, a key frame every 15; written once for all tests.
const Dataset& small_set() {
  static const test::TemporaryFolder folder;
  static const Dataset set = [] {
    DatasetOptions options = test::sample_options();
    options.video.gop = 15;
    test::write_sample(folder.path() / "set", {47, 5, 61, 30}, options);
    return Dataset::open(folder.path() / "set");
  }();
  return set;
}
constexpr int64_t kRows = 143;

// Clips of 4 frames that reach 9 rows back, two cameras, three columns.
LoaderOptions clip_options(Order order = Order::shuffled) {
  LoaderOptions options;
  options.cameras = {{.camera = kFront, .deltas_s = {-0.9, -0.6, -0.3, 0.0}}, {.camera = kRear}};
  options.columns = {{.column = "observation.state", .deltas_s = {0.0, 0.1, 0.2}},
                     {.column = "speed"}};
  options.batch_size = 8;
  options.order = order;
  options.seed = 3;
  options.cache_bytes = 0;
  return options;
}

LoaderOptions front_only(Order order) {
  LoaderOptions options = clip_options(order);
  options.cameras.resize(1);
  return options;
}

int64_t number_at(const ImageBatch& images, int64_t sample, int64_t time) {
  const size_t bytes = static_cast<size_t>(images.height * images.width * 3);
  Image image{static_cast<int>(images.height), static_cast<int>(images.width), {}};
  const uint8_t* from =
      images.pixels.data() + static_cast<size_t>(sample * images.times + time) * bytes;
  image.pixels.assign(from, from + bytes);
  return test::number_in(image);
}

// NaN counts as equal to NaN, so values are compared as bytes.
bool same_bytes(const Batch& a, const Batch& b) {
  if (a.size != b.size || a.epoch != b.epoch || a.position != b.position || a.rows != b.rows)
    return false;
  for (size_t c = 0; c < a.cameras.size(); ++c)
    if (a.cameras[c].pixels != b.cameras[c].pixels || a.cameras[c].padded != b.cameras[c].padded)
      return false;
  for (size_t c = 0; c < a.columns.size(); ++c) {
    const auto &x = a.columns[c].values, &y = b.columns[c].values;
    if (x.size() != y.size() || std::memcmp(x.data(), y.data(), 4 * x.size()) != 0) return false;
    if (a.columns[c].padded != b.columns[c].padded) return false;
  }
  return true;
}

int64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  int64_t all = 0, resident = 0;
  file >> all >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

void run_epochs(Loader& loader, int64_t epochs) {
  for (int64_t i = 0; i < epochs * loader.batches_per_epoch(); ++i) loader.next();
}

}  // namespace

TEST_CASE("loader: every clip shows the frames and values of its own rows, inside its episode") {
  const Dataset& set = small_set();
  for (const Order order : {Order::sequential, Order::windowed, Order::shuffled}) {
    Loader loader(set, clip_options(order));
    CHECK(loader.samples_per_epoch() == kRows);
    CHECK(loader.batches_per_epoch() == 17);
    std::vector<int> seen(kRows);
    for (int64_t k = 0; k < 17; ++k) {
      const Batch& batch = loader.next();
      REQUIRE(batch.size == 8);
      for (int64_t i = 0; i < batch.size; ++i) {
        const int64_t row = batch.rows[i];
        ++seen[row];
        INFO("order ", static_cast<int>(order), ", row ", row);
        const Episode& episode = set.episode_of(row);
        for (int64_t t = 0; t < 4; ++t) {
          const int64_t wanted = row - 9 + 3 * t;
          REQUIRE(number_at(batch.cameras[0], i, t) == std::max(wanted, episode.from));
          REQUIRE(batch.cameras[0].padded[i * 4 + t] == (wanted < episode.from));
        }
        REQUIRE(number_at(batch.cameras[1], i, 0) == 20000 + row);
        REQUIRE(batch.cameras[1].padded[i] == 0);
        for (int64_t t = 0; t < 3; ++t) {
          const int64_t at = std::min(row + t, episode.to - 1);
          REQUIRE(batch.columns[0].padded[i * 3 + t] == (row + t >= episode.to));
          for (int64_t e = 0; e < 3; ++e)
            REQUIRE(batch.columns[0].values[(i * 3 + t) * 3 + e] ==
                    float(test::sample_value(0, at, e)));
        }
        const float speed = batch.columns[1].values[i];
        REQUIRE(std::isnan(speed) == std::isnan(test::sample_value(2, row, 0)));
      }
    }
    CHECK(*std::max_element(seen.begin(), seen.end()) == 1);
  }
}

TEST_CASE("loader: padding and pixels of a real data set are those that LeRobot gave") {
  const Path shared = test::shared_data();
  if (shared.empty()) {
    MESSAGE("skipped: no shared data");
    return;
  }
  const Dataset set = Dataset::open(shared / "lerobot-v3-sample");
  LoaderOptions options;
  options.cameras = {
      {.camera = "observation.images.cam_high", .deltas_s = {-0.3, -0.2, -0.1, 0.0}}};
  options.columns = {{.column = "action", .deltas_s = {}}};
  for (int i = 0; i < 16; ++i) options.columns[0].deltas_s.push_back(i / 30.0);
  options.order = Order::sequential;
  options.prefetch = 0;
  Loader loader(set, options);
  const auto checks = nlohmann::json::parse(read_file(shared / "lerobot-v3-sample/checks.json"));
  for (const auto& item : checks["items"]) {
    const int64_t row = item["index"];
    INFO("row ", row);
    loader.seek(0, row);
    const Batch& batch = loader.next();
    REQUIRE(batch.rows[0] == row);
    for (size_t k = 0; k < 16; ++k) {
      CHECK(batch.columns[0].values[k * 26] == item["action_dim0"][k].get<float>());
      CHECK(batch.columns[0].padded[k] == item["action_is_pad"][k]);
    }
    for (size_t t = 0; t < 4; ++t) {
      CHECK(batch.cameras[0].padded[t] == item["clip_is_pad"][t]);
      double mean[3] = {};
      for (size_t i = 0; i < 240 * 320 * 3; ++i)
        mean[i % 3] += batch.cameras[0].pixels[t * 240 * 320 * 3 + i] / (240.0 * 320.0);
      for (size_t c = 0; c < 3; ++c)
        CHECK(std::abs(mean[c] - item["rgb_mean_of_clip_frames"][t][c].get<double>()) < 1.0);
    }
  }
}

TEST_CASE(
    "loader: 1 thread and 5 threads deliver the same bytes, whatever is cached or prefetched") {
  for (const Order order : {Order::sequential, Order::windowed, Order::shuffled}) {
    LoaderOptions options = clip_options(order);
    options.augmentation = {
        .mirror = 0.5f, .mirror_negates = {"y"}, .shift = 0.1f, .brightness = 0.1f, .noise = 3};
    Loader one(small_set(), options);
    options.threads = 5;
    options.prefetch = 5;
    options.ahead_bytes = order == Order::windowed ? options.ahead_bytes : 0;
    options.cache_bytes = 40 * 64 * 96 * 3;
    Loader five(small_set(), options);
    for (int i = 0; i < 40; ++i) REQUIRE(same_bytes(one.next(), five.next()));
  }
}

TEST_CASE("loader: seeking anywhere gives the batches of a run that never stopped") {
  for (const Order order : {Order::sequential, Order::windowed, Order::shuffled}) {
    LoaderOptions options = clip_options(order);
    options.threads = 2;
    options.augmentation = {.mirror = 0.5f, .contrast = 0.2f};
    std::vector<Batch> straight;
    Loader loader(small_set(), options);
    for (int i = 0; i < 40; ++i) straight.push_back(loader.next());
    for (const size_t k : {39, 0, 17, 16, 18, 5}) {
      INFO("order ", static_cast<int>(order), ", batch ", k);
      loader.seek(straight[k].epoch, straight[k].position);
      REQUIRE(same_bytes(loader.next(), straight[k]));
      // the place after a batch is where a new loader goes on, also across the end of an epoch
      Loader resumed(small_set(), options);
      resumed.seek(straight[k].epoch, straight[k].position + straight[k].size);
      if (k < 39) {
        REQUIRE(same_bytes(resumed.next(), straight[k + 1]));
        REQUIRE(same_bytes(loader.next(), straight[k + 1]));
      }
    }
  }
}

TEST_CASE("loader: the last smaller batch comes only when it is asked for") {
  LoaderOptions options = clip_options();
  options.keep_last = true;
  Loader loader(small_set(), options);
  CHECK(loader.batches_per_epoch() == 18);
  int64_t samples = 0;
  for (int i = 0; i < 18; ++i) samples += loader.next().size;
  CHECK(samples == kRows);
  CHECK(loader.next().epoch == 1);
}

TEST_CASE("loader: in sequential and windowed order every frame is decoded once an epoch") {
  for (const Order order : {Order::sequential, Order::windowed}) {
    for (const int threads : {1, 3}) {
      LoaderOptions options = clip_options(order);
      options.keep_last = true;
      options.threads = threads;
      options.window_groups = 4;
      Loader loader(small_set(), options);
      run_epochs(loader, 3);
      INFO("order ", static_cast<int>(order), ", threads ", threads);
      // two cameras, three epochs, and what was decoded ahead for the fourth
      CHECK(loader.counters().frames_decoded <= 4 * 2 * kRows);
      CHECK(loader.counters().frames_delivered == 3 * 5 * kRows);
    }
  }
  Loader loader(small_set(), [] {
    LoaderOptions options = front_only(Order::sequential);
    options.prefetch = 0;
    options.ahead_bytes = 12 * 64 * 96 * 3;  // less than a group, which is decoded in several goes
    options.batch_size = 1;
    return options;
  }());
  for (int i = 0; i < 47; ++i) loader.next();
  CHECK(loader.counters().frames_decoded >= 47);
  CHECK(loader.counters().frames_decoded <= 47 + 15);
}

TEST_CASE("loader: in random order clips that overlap share one decoding") {
  LoaderOptions options = front_only(Order::shuffled);
  options.batch_size = kRows;
  options.prefetch = 0;
  options.ahead_bytes = 0;
  Loader loader(small_set(), options);
  loader.next();
  // all rows in one batch: 143 clips of 4 frames come from 143 decoded frames, not from 143 * 4 * 8
  CHECK(loader.counters().frames_delivered == 4 * kRows);
  CHECK(loader.counters().frames_decoded <= 2 * kRows);
}

TEST_CASE("loader: a clip decodes its frames once and not from the key frame for each") {
  LoaderOptions options = front_only(Order::sequential);
  options.batch_size = 1;
  options.prefetch = 0;
  options.ahead_bytes = 0;
  options.order = Order::shuffled;
  options.episodes = {2};
  Loader loader(small_set(), options);
  const Batch& batch = loader.next();
  // the clip spans 10 rows, so at most two groups of 15 from their key frames on
  CHECK(batch.size == 1);
  CHECK(loader.counters().frames_decoded <= 2 * 30);
}

TEST_CASE("loader: a cached set is decoded in the first epoch only") {
  for (const Order order : {Order::sequential, Order::windowed, Order::shuffled}) {
    LoaderOptions options = clip_options(order);
    options.keep_last = true;
    options.cache_bytes = int64_t{64} << 20;
    options.threads = 2;
    options.ahead_bytes = order == Order::windowed ? 1 << 20 : 0;
    Loader loader(small_set(), options);
    run_epochs(loader, 1);
    const LoaderCounters first = loader.counters();
    CHECK(first.frames_decoded >= 2 * kRows);
    run_epochs(loader, 2);
    CHECK(loader.counters().frames_decoded == first.frames_decoded);
    CHECK(loader.counters().cache_hits > 5 * kRows);
  }
}

TEST_CASE("loader: frames beyond the memory limit are cached in a file, which has no name") {
  const test::TemporaryFolder folder;
  LoaderOptions options = clip_options();
  options.keep_last = true;
  Loader plain(small_set(), options);
  options.cache_bytes = 20 * 64 * 96 * 3;
  options.cache_file = folder.path() / "frames";
  options.cache_file_bytes = int64_t{64} << 20;
  Loader cached(small_set(), options);
  for (int i = 0; i < 3 * 18; ++i) REQUIRE(same_bytes(plain.next(), cached.next()));
  const int64_t decoded = cached.counters().frames_decoded;
  run_epochs(cached, 1);
  CHECK(cached.counters().frames_decoded == decoded);
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("loader: epochs differ in order and in augmentation, seeds too") {
  LoaderOptions options = clip_options();
  options.batch_size = 64;
  const auto rows = [&](uint64_t seed, int64_t epoch) {
    options.seed = seed;
    Loader loader(small_set(), options);
    loader.seek(epoch, 0);
    return loader.next().rows;
  };
  CHECK(rows(1, 0) == rows(1, 0));
  CHECK(rows(1, 0) != rows(1, 1));
  CHECK(rows(1, 0) != rows(2, 0));
  options.order = Order::sequential;
  options.augmentation.brightness = 0.2f;
  Loader loader(small_set(), options);
  const Batch first = loader.next();
  loader.seek(1, 0);
  const Batch& second = loader.next();
  CHECK(first.rows == second.rows);
  CHECK(first.cameras[0].pixels != second.cameras[0].pixels);
}

TEST_CASE("loader: a mirrored sample negates the named elements and no other") {
  LoaderOptions options = clip_options(Order::sequential);
  Loader plain(small_set(), options);
  options.augmentation = {.mirror = 1, .mirror_negates = {"y"}};
  Loader mirrored(small_set(), options);
  for (int k = 0; k < 5; ++k) {
    const Batch &a = plain.next(), &b = mirrored.next();
    for (size_t i = 0; i < a.columns[0].values.size(); ++i)
      REQUIRE(b.columns[0].values[i] == (i % 3 == 1 ? -1 : 1) * a.columns[0].values[i]);
    const ImageBatch &left = a.cameras[0], &right = b.cameras[0];
    const int64_t width = left.width, pixels = static_cast<int64_t>(left.pixels.size()) / 3;
    for (int64_t p = 0; p < pixels; ++p) {
      const int64_t q = p / width * width + (width - 1 - p % width);
      REQUIRE(std::memcmp(&left.pixels[3 * p], &right.pixels[3 * q], 3) == 0);
    }
  }
}

TEST_CASE("loader: all frames of a clip are changed alike") {
  LoaderOptions options = front_only(Order::sequential);
  options.batch_size = 1;
  options.augmentation = {
      .mirror = 0.5f, .shift = 0.2f, .brightness = 0.2f, .contrast = 0.2f, .noise = 4};
  Loader loader(small_set(), options);
  const Batch& batch = loader.next();  // row 0: its four frames are one, repeated
  const ImageBatch& images = batch.cameras[0];
  const size_t bytes = images.pixels.size() / 4;
  for (size_t t = 1; t < 4; ++t)
    CHECK(std::equal(images.pixels.begin(), images.pixels.begin() + bytes,
                     images.pixels.begin() + t * bytes));
}

TEST_CASE("loader: crop and resize are those of the reader") {
  LoaderOptions options = clip_options(Order::sequential);
  options.cameras = {{.camera = kFront, .height = 20, .width = 32, .crop_top = 8, .crop_left = 16},
                     {.camera = kFront, .crop_bottom = 32}};
  options.batch_size = 20;
  Loader loader(small_set(), options);
  const Batch& batch = loader.next();
  CHECK(batch.cameras[0].height == 20);
  CHECK(batch.cameras[0].width == 32);
  CHECK(batch.cameras[1].height == 32);
  CHECK(batch.cameras[1].width == 96);
  VideoReader reader(small_set().episodes()[0].videos.at(kFront).file);
  std::vector<uint8_t> expected(20 * 32 * 3);
  reader.read(13, {.height = 20, .width = 32, .top = 8, .left = 16}, expected);
  CHECK(std::equal(expected.begin(), expected.end(),
                   batch.cameras[0].pixels.begin() + 13 * 20 * 32 * 3));
}

TEST_CASE("loader: selected episodes come in file order and no other does") {
  LoaderOptions options = clip_options(Order::sequential);
  options.episodes = {3, 1};
  options.batch_size = 35;
  Loader loader(small_set(), options);
  CHECK(loader.samples_per_epoch() == 35);
  const Batch& batch = loader.next();
  CHECK(batch.rows.front() == 47);
  CHECK(batch.rows[4] == 51);
  CHECK(batch.rows[5] == 113);
  CHECK(batch.rows.back() == 142);
}

TEST_CASE("loader: columns alone need no decoding") {
  LoaderOptions options = clip_options(Order::windowed);
  options.cameras.clear();
  options.threads = 3;
  Loader loader(small_set(), options);
  run_epochs(loader, 20);
  CHECK(loader.counters().frames_decoded == 0);
  CHECK(loader.counters().samples == 20 * 17 * 8);
}

TEST_CASE("loader: memory is flat over epochs") {
  LoaderOptions options = clip_options();
  options.threads = 2;
  Loader loader(small_set(), options);
  run_epochs(loader, 2);
  const int64_t before = resident_bytes();
  run_epochs(loader, 6);
  CHECK(resident_bytes() - before < int64_t{4} << 20);
}

TEST_CASE("loader: it can end at any moment") {
  for (int i = 0; i < 30; ++i) {
    LoaderOptions options = clip_options(static_cast<Order>(i % 3));
    options.threads = 1 + i % 4;
    options.prefetch = i % 5;
    Loader loader(small_set(), options);
    if (i % 3 == 0) continue;  // before it began
    loader.next();
    if (i % 2) loader.seek(2, i);
    std::this_thread::sleep_for(std::chrono::microseconds(137 * i));
  }
}

TEST_CASE(
    "loader: a damaged video is named when its frames are due, each time, and ends nothing else") {
  const test::TemporaryFolder folder;
  DatasetOptions made = test::sample_options();
  made.video.gop = 15;
  test::write_sample(folder.path() / "set", {60, 60}, made);
  const Dataset set = Dataset::open(folder.path() / "set");
  const Path file = set.episodes()[0].videos.at(kFront).file;
  {
    // the frames' bytes lie behind the header; the second half of them is overwritten
    const auto size = static_cast<int64_t>(std::filesystem::file_size(file));
    std::fstream video(file, std::ios::in | std::ios::out | std::ios::binary);
    video.seekp(size * 6 / 10);
    const std::string rubbish(size * 3 / 10, '\xff');
    video.write(rubbish.data(), static_cast<std::streamsize>(rubbish.size()));
  }
  for (const Order order : {Order::sequential, Order::windowed, Order::shuffled}) {
    LoaderOptions options = clip_options(order);
    options.threads = 2;
    Loader loader(set, options);
    std::string message;
    try {
      run_epochs(loader, 1);
    } catch (const Error& error) {
      message = error.what();
      CHECK(error.kind() == ErrorKind::file);
    }
    CHECK(message.find(file.string()) != std::string::npos);
    CHECK(message.find("frame ") != std::string::npos);
    CHECK_THROWS_AS(loader.next(), Error);
    if (order == Order::sequential) {
      loader.seek(0, 0);
      CHECK(loader.next().rows[0] == 0);
    }
  }
}

TEST_CASE("loader: a video that is missing is named") {
  const test::TemporaryFolder folder;
  test::write_sample(folder.path() / "set", {20}, test::sample_options());
  const Dataset set = Dataset::open(folder.path() / "set");
  const Path file = set.episodes()[0].videos.at(kFront).file;
  std::filesystem::remove(file);
  CHECK_THROWS_WITH_AS(Loader(set, clip_options()), doctest::Contains(file.c_str()), Error);
}

TEST_CASE("loader: what cannot be delivered is refused at once, with the way out") {
  const auto refused = [](auto&& change) {
    LoaderOptions options = clip_options();
    change(options);
    try {
      Loader loader(small_set(), options);
    } catch (const Error& error) {
      const std::string text = error.what();
      return text.substr(text.find("/set") + 4);  // without the temporary folder
    }
    return std::string("accepted");
  };
  CHECK(refused([](LoaderOptions& o) { o.cameras[0].deltas_s = {-0.05}; }) ==
        ", camera observation.images.front: -0.05 s is no multiple of 1/10 s, the time between two "
        "frames; "
        "use -0.100000 or 0.000000");
  CHECK(refused([](LoaderOptions& o) { o.cameras[0].deltas_s = {-0.10009}; }) == "accepted");
  CHECK(refused([](LoaderOptions& o) { o.cameras[0].deltas_s = {std::nan("")}; }) != "accepted");
  CHECK(refused([](LoaderOptions& o) { o.cameras[0].deltas_s = {}; }) ==
        ", camera observation.images.front: no time is asked for; give at least one, e.g. 0");
  CHECK(refused([](LoaderOptions& o) {
          o.cameras[0].camera = "observation.images.fron";
        }).find("observation.images.front") != std::string::npos);
  CHECK(refused([](LoaderOptions& o) { o.cameras[0].camera = "speed"; }) ==
        ": speed is no video; choose among: observation.images.front, observation.images.rear");
  CHECK(refused([](LoaderOptions& o) { o.columns[0].column = "note"; }) ==
        ", column note: note holds string and no numbers; ask for a numeric column");
  CHECK(refused([](LoaderOptions& o) {
          o.columns[0].column = "observation.stat";
        }).find("observation.state") != std::string::npos);
  CHECK(refused([](LoaderOptions& o) { o.episodes = {4}; }) ==
        ": there is no episode 4, the data set has 4; choose among the episodes that it has");
  CHECK(refused([](LoaderOptions& o) { o.episodes = {1, 1}; }) ==
        ": episode 1 is selected twice; name it once");
  CHECK(refused([](LoaderOptions& o) { o.batch_size = 0; }) ==
        ": batch_size is 0; give at least 1");
  CHECK(refused([](LoaderOptions& o) { o.batch_size = 200; }) ==
        ": batch_size is 200, but an epoch has only 143 samples; make it smaller, or keep the last "
        "batch");
  CHECK(refused([](LoaderOptions& o) {
          o.batch_size = 143;
          o.prefetch = 1000;
          o.cameras[0].height = o.cameras[0].width = 8192;
        }).find("make batch_size, prefetch or the frames smaller") != std::string::npos);
  CHECK(refused([](LoaderOptions& o) { o.threads = 0; }) == ": threads is 0; give 1 to 1024");
  CHECK(refused([](LoaderOptions& o) { o.cameras[0].crop_top = 70; }) ==
        ", camera observation.images.front: the crop leaves 96 x -6 of 96 x 64 pixels; cut off "
        "less, and no "
        "negative amount");
  CHECK(refused([](LoaderOptions& o) {
          o.augmentation = {.mirror = 1, .mirror_negates = {"yy"}};
        }) == ": mirror_negates names yy, which no requested column has; choose among: x, y, z");
  CHECK(refused([](LoaderOptions& o) { o.cameras.clear(), o.columns.clear(); }) ==
        ": neither a camera nor a column is asked for; name at least one");
  LoaderOptions options = clip_options();
  Loader loader(small_set(), options);
  CHECK_THROWS_WITH_AS(
      loader.seek(0, 144),
      "loader: epoch 0, position 144 is no place in the data set; use an epoch from 0 on and a "
      "position in [0, 143]",
      Error);
}

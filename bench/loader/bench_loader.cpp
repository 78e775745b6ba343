// Samples per second and per CPU-second of the loader: one JSON line.
//   bench_loader DATASET [--order shuffled|windowed|sequential] [--samples N] [--threads N]
//                [--batch N] [--clip FRAMES] [--cache BYTES] [--ahead BYTES] [--window GROUPS]
//                [--prefetch N] [--warm EPOCHS]
//   bench_loader DATASET --order bare|bare_rgb|bare_copies [--repeat N]     FFmpeg alone: the bound
// Clips are as in bench/peers/lerobot_loader.py: 4 frames at -0.3, -0.2, -0.1 and 0 s, stored size.
#include <fmt/format.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

#include "bare_decode.h"
#include "base/error.h"
#include "data/loader.h"

using namespace argosy;

namespace {

double cpu_s() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

double wall_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double peak_mb() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

void report(const std::string& mode, int64_t samples, int64_t frames, double wall, double cpu,
            const std::string& more) {
  fmt::print(
      "{{\"loader\": \"argosy\", \"mode\": \"{}\", \"samples\": {}, \"samples_per_s\": {:.1f}, "
      "\"samples_per_cpu_s\": {:.1f}, \"frames_per_cpu_s\": {:.1f}, \"peak_rss_mb\": {:.0f}{}}}\n",
      mode, samples, samples / wall, samples / cpu, frames / cpu, peak_mb(), more);
}

int run(const std::string& folder, std::map<std::string, std::string> given) {
  const auto number = [&](const char* name, int64_t otherwise) {
    return given.contains(name) ? std::atoll(given[name].c_str()) : otherwise;
  };
  const std::string mode = given.contains("--order") ? given["--order"] : "shuffled";
  const data::Dataset dataset = data::Dataset::open(folder);
  const std::string camera = dataset.cameras().at(0);
  if (mode.starts_with("bare")) {
    const std::string file = dataset.episodes()[0].videos.at(camera).file;
    const double wall = wall_s(), cpu = cpu_s();
    int64_t frames = 0;
    for (int64_t i = 0; i < number("--repeat", 2); ++i)

      frames += bare_decode(file, mode == "bare"       ? Bare::decode
                                  : mode == "bare_rgb" ? Bare::rgb
                                                       : Bare::copies);
    report(mode, frames, frames, wall_s() - wall, cpu_s() - cpu, "");
    return 0;
  }
  data::LoaderOptions options;
  options.cameras = {{.camera = camera, .deltas_s = {-0.3, -0.2, -0.1, 0.0}}};
  const int64_t clip = number("--clip", 4);
  auto& deltas_s = options.cameras[0].deltas_s;
  if (clip < 4) deltas_s.erase(deltas_s.begin(), deltas_s.end() - std::max<int64_t>(1, clip));
  options.columns = {{.column = "observation.state"}, {.column = "action"}};
  options.batch_size = number("--batch", 16);
  options.threads = static_cast<int>(number("--threads", 1));
  options.cache_bytes = number("--cache", 0);
  options.window_groups = static_cast<int>(number("--window", options.window_groups));
  options.ahead_bytes = number("--ahead", options.ahead_bytes);
  options.prefetch = static_cast<int>(number("--prefetch", options.prefetch));
  options.order = mode == "sequential" ? data::Order::sequential
                  : mode == "windowed" ? data::Order::windowed
                                       : data::Order::shuffled;
  data::Loader loader(dataset, options);
  for (int64_t i = 0; i < number("--warm", 0) * loader.batches_per_epoch(); ++i) loader.next();
  const data::LoaderCounters before = loader.counters();
  const double wall = wall_s(), cpu = cpu_s();
  int64_t samples = 0;
  while (samples < number("--samples", 2304)) samples += loader.next().size;
  const data::LoaderCounters after = loader.counters();
  report(mode, samples, after.frames_delivered - before.frames_delivered, wall_s() - wall,
         cpu_s() - cpu,
         fmt::format(", \"threads\": {}, \"decoded_per_sample\": {:.2f}", options.threads,
                     static_cast<double>(after.frames_decoded - before.frames_decoded) /
                         static_cast<double>(samples)));
  return 0;
}

}  // namespace

int main(int count, char** texts) {
  if (count < 2 || count % 2 != 0) {
    fmt::print(stderr, "usage: bench_loader DATASET [--order ORDER] [--NAME NUMBER]...\n");
    return 2;
  }
  std::map<std::string, std::string> given;
  for (int i = 2; i < count; i += 2) given[texts[i]] = texts[i + 1];
  try {
    return run(texts[1], given);
  } catch (const Error& error) {
    fmt::print(stderr, "{}\n", error.what());
    return error.exit_code();
  }
}

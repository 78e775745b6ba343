#include "bench/measure.h"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>
#include <vector>

namespace argosy::bench {
namespace {

double now(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

Block measure(const std::function<void()>& step, double seconds) {
  std::vector<double> wall, cpu;
  const double begin = now(CLOCK_MONOTONIC);
  while (wall.size() < 3 || now(CLOCK_MONOTONIC) - begin < seconds) {
    const double w = now(CLOCK_MONOTONIC), c = now(CLOCK_PROCESS_CPUTIME_ID);
    step();
    wall.push_back(now(CLOCK_MONOTONIC) - w);
    cpu.push_back(now(CLOCK_PROCESS_CPUTIME_ID) - c);
  }
  return {median(wall), median(cpu), *std::ranges::min_element(wall),
          static_cast<int64_t>(wall.size())};
}

Block measure(Session& session, double seconds) {
  return measure([&] { session.run(); }, seconds);
}

double peak_resident_mb() {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) / 1024;
  return 0;
}

double seconds_since_start(double started_unix_s) {
  if (started_unix_s > 0) return now(CLOCK_REALTIME) - started_unix_s;
  std::ifstream file("/proc/self/stat");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  std::istringstream fields(text.substr(text.rfind(')') + 2));
  std::string field;
  for (int i = 0; i < 20; ++i) fields >> field;
  return now(CLOCK_BOOTTIME) - std::stod(field) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

}  // namespace argosy::bench

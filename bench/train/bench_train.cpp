// The training step of a recipe's policy on synthetic batches: how long, how much memory, and where
// the time goes. See bench/README.md.
//
//   bench_train RECIPE [KEY=VALUE...] [--threads N] [--seconds S] [--started UNIX_S] [--serve]
//   bench_train RECIPE --profile        a table of the step's calls, the longest first
//
// Prints one JSON object a line: first "ready" with the first step, then one for each measured
// block. --serve measures a block of S seconds for each line "run S" on standard input.
#include <fmt/format.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>

#include "base/error.h"
#include "base/random.h"
#include "base/threads.h"
#include "ir/op.h"
#include "run/policy.h"

namespace {

using namespace argosy;

double now(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

/// Seconds since `started`, else since the kernel made this process (to 10 ms).
double since_start(double started) {
  if (started > 0) return now(CLOCK_REALTIME) - started;
  std::ifstream file("/proc/self/stat");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  std::istringstream fields(text.substr(text.rfind(')') + 2));
  std::string field;
  for (int i = 0; i < 20; ++i) fields >> field;
  return now(CLOCK_BOOTTIME) - std::stod(field) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

double peak_rss_mb() {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) / 1024;
  return 0;
}

void feed(Session& session) {
  Random random(1);
  for (uint8_t& pixel : session.input("images").as<uint8_t>())
    pixel = static_cast<uint8_t>(random.bits() >> 24);
  for (float& target : session.input("target").as()) target = random.normal();
  session.input("learning_rate").as()[0] = 1e-4f;
}

struct Block {
  double wall_s = 0, cpu_s = 0;  ///< medians of a step
  size_t steps = 0;
};

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<long>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

Block measure(Session& session, double seconds) {
  std::vector<double> wall, cpu;
  const double begin = now(CLOCK_MONOTONIC);
  while (wall.size() < 3 || now(CLOCK_MONOTONIC) - begin < seconds) {
    ++session.input("seed").as<int64_t>()[0];
    const double w = now(CLOCK_MONOTONIC), c = now(CLOCK_PROCESS_CPUTIME_ID);
    session.run();
    wall.push_back(now(CLOCK_MONOTONIC) - w);
    cpu.push_back(now(CLOCK_PROCESS_CPUTIME_ID) - c);
  }
  return {median(wall), median(cpu), wall.size()};
}

void print_block(const Block& block, double flops) {
  fmt::print(
      "{{\"event\": \"block\", \"steps\": {}, \"step_s\": {:.6f}, \"cpu_s\": {:.6f}, \"gflops\": "
      "{:.2f}, \"peak_rss_mb\": {:.1f}}}\n",
      block.steps, block.wall_s, block.cpu_s, flops / block.wall_s / 1e9, peak_rss_mb());
  std::fflush(stdout);
}

/// The first output's shape says most; a matmul or convolution needs its operands, too.
std::string shapes(const Program& program, const Call& call) {
  const auto list = [&](const std::vector<int32_t>& buffers) {
    std::string text;
    for (const int32_t buffer : buffers) {
      const Shape& shape = program.buffers[static_cast<size_t>(buffer)].type.shape;
      if (!shape.empty())
        text += fmt::format("{}{}", text.empty() ? "" : " ", fmt::join(shape, "x"));
    }
    return text;
  };
  std::string text = list(call.inputs) + " -> " + list(call.outputs);
  return text.size() > 90 ? text.substr(0, 87) + "..." : text;
}

void profile(Session& session, double seconds) {
  session.set_profiling(true);
  const double begin = now(CLOCK_MONOTONIC);
  int64_t runs = 0;
  while (runs < 5 || now(CLOCK_MONOTONIC) - begin < seconds) {
    session.run();
    ++runs;
  }
  struct Row {
    double seconds, flops, bytes;
    const Call* call;
  };
  std::vector<Row> rows;
  std::map<std::string, double> by_op;
  double total = 0;
  const std::span<const CallTime> times = session.call_times();
  for (size_t i = 0; i < times.size(); ++i) {
    const Call& call = session.program().calls[i];
    const double each = times[i].seconds / static_cast<double>(runs);
    rows.push_back({each, call.flops, call.bytes, &call});
    by_op[std::string(call.op->name)] += each;
    total += each;
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const Row& a, const Row& b) { return a.seconds > b.seconds; });
  fmt::print("{} calls, {:.2f} ms a step, {:.2f} GFLOP\n\n", rows.size(), 1e3 * total,
             session.program().flops() / 1e9);
  fmt::print("{:>9} {:>6} {:>6} {:>8} {:>7}  {:<28} {:<24} {}\n", "us", "share", "sum", "GFLOP/s",
             "GB/s", "op", "label", "shapes");
  double sum = 0;
  for (const Row& row : rows) {
    sum += row.seconds;
    fmt::print("{:>9.1f} {:>5.1f}% {:>5.1f}% {:>8.1f} {:>7.1f}  {:<28} {:<24} {}\n",
               1e6 * row.seconds, 100 * row.seconds / total, 100 * sum / total,
               row.flops / row.seconds / 1e9, row.bytes / row.seconds / 1e9, row.call->op->name,
               row.call->label, shapes(session.program(), *row.call));
    if (sum > 0.995 * total) break;
  }
  fmt::print("\nby op\n");
  std::vector<std::pair<double, std::string>> ops;
  for (const auto& [name, s] : by_op) ops.emplace_back(s, name);
  std::sort(ops.rbegin(), ops.rend());
  for (const auto& [s, name] : ops)
    fmt::print("{:>9.1f} {:>5.1f}%  {}\n", 1e6 * s, 100 * s / total, name);
}

void serve(Session& session) {
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string word;
    double seconds = 0;
    if (!(words >> word >> seconds) || word != "run") return;
    print_block(measure(session, seconds), session.program().flops());
  }
}

int bench(int argc, char** argv) {
  std::string recipe_file;
  std::vector<std::string> overrides = {"data.path=none"};
  double seconds = 3, started = 0;
  bool profiles = false, serves = false;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const auto value = [&] { return i + 1 < argc ? std::stod(argv[++i]) : 0.0; };
    if (word == "--threads")
      set_thread_count(static_cast<int>(value()));
    else if (word == "--seconds")
      seconds = value();
    else if (word == "--started")
      started = value();
    else if (word == "--profile")
      profiles = true;
    else if (word == "--serve")
      serves = true;
    else if (recipe_file.empty())
      recipe_file = word;
    else
      overrides.push_back(word);
  }
  if (recipe_file.empty())
    throw Error({.what = "no recipe is given",
                 .where = "bench_train",
                 .fix = "bench_train recipes/drive.toml [--profile]"});
  const argosy::run::Recipe recipe = argosy::run::load_recipe(recipe_file, overrides);
  const std::vector<float> zeros(recipe.data.outputs.size(), 0), ones(zeros.size(), 1);
  Session session = argosy::run::training_session(recipe, {zeros, ones});
  feed(session);
  session.run();
  const double first = since_start(started);
  double compile_s = 0;
  for (const PassTime& pass : session.pass_times()) compile_s += pass.seconds;
  fmt::print(
      "{{\"event\": \"ready\", \"program\": \"argosy\", \"threads\": {}, \"batch\": {}, "
      "\"start_to_first_step_s\": {:.4f}, \"passes_s\": {:.4f}, \"gflop\": {:.3f}, "
      "\"calls\": {}, \"arena_mb\": {:.1f}, \"peak_rss_mb\": {:.1f}}}\n",
      thread_count(), recipe.training.batch_size, first, compile_s, session.program().flops() / 1e9,
      session.program().calls.size(), static_cast<double>(session.program().arena_bytes) / 0x1p20,
      peak_rss_mb());
  std::fflush(stdout);
  measure(session, 0);
  if (profiles)
    profile(session, seconds);
  else if (serves)
    serve(session);
  else if (seconds > 0)
    print_block(measure(session, seconds), session.program().flops());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  restart_without_spinning(argv);
  try {
    return bench(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "bench_train: {}\n", error.what());
    return 2;
  }
}

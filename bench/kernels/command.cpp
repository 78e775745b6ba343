#include "command.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "backend/cpu/backend.h"
#include "base/error.h"
#include "base/threads.h"
#include "bench/machine_bounds.h"

namespace argosy::bench {
namespace {

[[noreturn]] void fail(const std::string& what, const std::string& fix) {
  throw Error({.what = what, .where = "command line", .fix = fix});
}

template <typename Number>
Number positive(const std::string& option, const std::string& text) {
  Number number{};
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (problem != std::errc() || end != text.data() + text.size() || !(number > 0))
    fail(fmt::format("{} is \"{}\"", option, text), "give a number above 0");
  return number;
}

struct Options {
  std::vector<std::string> texts;
  double seconds = 1;
  bool wants(const std::string& name) const {
    return texts.empty() || std::ranges::any_of(texts, [&](const std::string& text) {
             return name.find(text) != std::string::npos;
           });
  }
};

Options read(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (!word.starts_with("--")) {
      options.texts.push_back(word);
      continue;
    }
    if (++i == argc) fail(fmt::format("{} has no value", word), "attention/gpt --threads 1");
    if (word == "--threads")
      set_thread_count(positive<int>(word, argv[i]));
    else if (word == "--seconds")
      options.seconds = positive<double>(word, argv[i]);
    else if (word == "--instructions")
      cpu::use_instruction_set(argv[i]);
    else
      fail(fmt::format("there is no {}", word), "--threads, --seconds or --instructions");
  }
  return options;
}

template <typename Sweep>
Measurement of_memory(const char* name) {
  return {name, [name](double seconds) {
            Sweep sweep;
            print_line(name, name, measure([&] { sweep.run(); }, seconds), 0, sweep.bytes());
          }};
}

}  // namespace

Measurement memory_copy() { return of_memory<MemoryCopy>("copy"); }
Measurement memory_read() { return of_memory<MemoryRead>("read"); }

void print_line(std::string_view name, std::string_view program, const Block& times, double flops,
                double bytes) {
  fmt::print(
      "{{\"case\": \"{}\", \"program\": \"{}\", \"threads\": {}, \"ms\": {:.3f}, \"cpu_ms\": "
      "{:.3f}, "
      "\"gflops\": {:.1f}, \"gb_s\": {:.1f}}}\n",
      name, program, thread_count(), 1e3 * times.step_s, 1e3 * times.cpu_s,
      flops / times.step_s / 1e9, bytes / times.step_s / 1e9);
  std::fflush(stdout);
}

int run_measurements(int argc, char** argv, const std::vector<Measurement>& all) {
  try {
    const Options options = read(argc, argv);
    std::vector<std::string> names;
    bool ran = false;
    for (const Measurement& measurement : all) {
      names.push_back(measurement.name);
      if (!options.wants(measurement.name)) continue;
      measurement.run(options.seconds);
      ran = true;
    }
    if (!ran) fail("no case has such a name", fmt::format("one of {}", fmt::join(names, ", ")));
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}: {}\n", argv[0], error.what());
    return 2;
  }
}

}  // namespace argosy::bench

// Counts what each thread allocates; a sanitizer allocates by itself and cannot be counted. The
// policies are those of recipes/drive.toml and drive-overview.toml.
#include <doctest/doctest.h>

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#include <cstdlib>
#include <new>

#include "base/threads.h"
#include "drive/control_lines.h"
#include "run_maker.h"
#include "shared.h"
#include "sources.h"

namespace {
thread_local int64_t allocations = 0;

void* counted(size_t bytes, size_t alignment = alignof(std::max_align_t)) {
  ++allocations;
  void* memory = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (!memory) throw std::bad_alloc();
  return memory;
}
}  // namespace

void* operator new(size_t bytes) { return counted(bytes); }
void* operator new(size_t bytes, std::align_val_t alignment) {
  return counted(bytes, static_cast<size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }

using namespace argosy;
using namespace argosy::drive;

namespace {

void drive_by(const std::string& model) {
  CAPTURE(model);
  const test::TemporaryFolder temporary;
  set_thread_count(1);
  const Path run = temporary.path() / "run";
  test::make_run(run, model, {"model.name=" + model});
  Pilot pilot(run, "last", 0, 20);

  constexpr int64_t kWarm = 20, kEnough = 60;
  struct Counting : ControlSink {
    void take(const Report& report) override {
      if (report.state == State::ended || ++controls <= kWarm) first = allocations;
      last = allocations;
    }
    std::atomic<int64_t> controls{0};
    int64_t first = 0, last = 0;
  } counting;
  ControlLines lines("/dev/null");
  ControlSink* sinks[] = {&lines, &counting};
  std::atomic<int64_t> seen{0}, by_policy{0};
  test::FakeSource source([&](test::FakeSource& self, Frame& frame) {
    if (frame.delivered.size() != pilot.frame_bytes()) frame.delivered.resize(pilot.frame_bytes());
    std::fill(frame.delivered.begin(), frame.delivered.end(), static_cast<uint8_t>(frame.number));
    return (seen < kEnough || counting.controls < kEnough) && self.pause(2);
  });
  int64_t before = 0;
  const Predict predict = [&](const Frame& frame) {
    if (++seen == kWarm) before = allocations;
    const Prediction prediction = pilot.predict(frame);
    if (seen > kWarm) by_policy = allocations - before;
    return prediction;
  };
  drive_in_real_time(source, predict, sinks, {.rate = 500});
  CHECK(by_policy.load() == 0);
  CHECK(counting.last == counting.first);
}

}  // namespace

TEST_CASE("drive: nothing is allocated between two controls, by the loop or by the policy") {
  drive_by("pilotnet");
  drive_by("overview");
}
#endif

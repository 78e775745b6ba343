#include "compile/program.h"

#include <doctest/doctest.h>

#include "engine/session.h"
#include "graphs.h"

using namespace argosy;
using namespace argosy::test;

namespace {

/// Walks the calls and remembers for each byte of the arena (in units of 64) which write put it
/// there. "" if every read, and every output at the end, finds what was written for it.
std::string overlap(const Program& program) {
  const auto units = [](size_t bytes) { return (bytes + 63) / 64; };
  std::vector<int32_t> written(units(program.arena_bytes), -1);  // by unit: the buffer held there
  // buffers that show the same memory as a buffer written before (views) hold its number
  std::map<int32_t, int32_t> shows;
  const auto holds = [&](int32_t buffer) {
    return shows.contains(buffer) ? shows[buffer] : buffer;
  };
  const auto range = [&](const Buffer& b) {
    return std::pair(b.offset / 64, b.offset / 64 + units(b.type.bytes()));
  };
  const auto check_read = [&](int32_t buffer) -> std::string {
    const Buffer& b = program.buffers[static_cast<size_t>(buffer)];
    if (b.region != Region::arena || b.type.bytes() == 0) return "";
    const auto [begin, end] = range(b);
    if (b.offset % 64 != 0 || end > written.size()) return "a buffer lies askew or outside";
    const int32_t there = written[begin];
    if (there < 0) return fmt::format("buffer {} is read before it is written", buffer);
    const Buffer& source = program.buffers[static_cast<size_t>(there)];
    if (there != holds(buffer)) {
      // a view: the same bytes under another number; seen first when it is read
      if (shows.contains(buffer) || source.type.bytes() != b.type.bytes())
        return fmt::format("buffer {} finds buffer {} in its place", buffer, there);
      shows[buffer] = there;
    }
    for (size_t u = begin; u < end; ++u)
      if (written[u] != there) return fmt::format("buffer {} is partly overwritten", buffer);
    return "";
  };
  for (const Call& call : program.calls) {
    for (const int32_t buffer : call.inputs)
      if (const std::string text = check_read(buffer); !text.empty()) return text;
    std::vector<std::pair<size_t, size_t>> busy;
    if (call.workspace_bytes > 0) {
      busy.emplace_back(call.workspace_offset / 64,
                        call.workspace_offset / 64 + units(call.workspace_bytes));
      for (const int32_t buffer : call.inputs) {
        const Buffer& b = program.buffers[static_cast<size_t>(buffer)];
        if (b.region == Region::arena && range(b).first < busy[0].second &&
            busy[0].first < range(b).second)
          return "a workspace lies on an operand";
      }
      for (size_t u = busy[0].first; u < busy[0].second; ++u) written[u] = -1;
    }
    for (const int32_t buffer : call.outputs) {
      const Buffer& b = program.buffers[static_cast<size_t>(buffer)];
      if (b.region != Region::arena) continue;
      const auto [begin, end] = range(b);
      for (const auto& [other_begin, other_end] : busy)
        if (begin < other_end && other_begin < end) return "outputs or workspace overlap";
      busy.emplace_back(begin, end);
      for (size_t u = begin; u < end; ++u) written[u] = buffer;
    }
  }
  for (const NamedBuffer& output : program.outputs)
    if (const std::string text = check_read(output.buffer); !text.empty())
      return "output " + output.name + ": " + text;
  return "";
}

Graph one_update(bool reads_later) {
  Graph graph;
  const Type type = {DType::f32, {64}};
  const Tensor v = graph.variable({.name = "v"}, type), x = graph.input("x", type);
  const Tensor next = v + x;
  graph.update(v, next);
  if (reads_later)
    graph.output("y", ops::apply(ops::softmax, {ops::apply(ops::softmax, {next}) + v}));
  return graph;
}

}  // namespace

TEST_CASE("program: what is alive at the same time never overlaps, with and without passes") {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    INFO(fmt::format("seed {}", seed));
    const Graph graph = RandomGraph(seed, 40).take();
    CHECK(overlap(Session(graph).program()) == "");
    CHECK(overlap(
              Session(graph, {.passes = {.off = {"fuse-pointwise", "share-common"}}}).program()) ==
          "");
  }
}

TEST_CASE(
    "program: a new value is written over its variable, or copied where the old is read later") {
  const Session in_place(one_update(false));
  REQUIRE(in_place.program().calls.size() == 1);
  CHECK(in_place.program().arena_bytes == 0);
  Session copied(one_update(true));
  CHECK(copied.program().calls.size() > 3);
  std::ranges::fill(copied.state("v").as(), 1.0f);
  std::ranges::fill(copied.input("x").as(), 2.0f);
  copied.run();
  CHECK(copied.state("v").as()[5] == 3);
}

TEST_CASE("program: variables trade places, in a ring too") {
  Graph graph;
  std::vector<Tensor> ring;
  for (int i = 0; i < 3; ++i)
    ring.push_back(graph.variable({.name = fmt::format("v{}", i)}, {DType::f32, {5}}));
  for (size_t i = 0; i < 3; ++i) graph.update(ring[i], ring[(i + 1) % 3]);
  Session session(std::move(graph));
  for (int i = 0; i < 3; ++i)
    std::ranges::fill(session.state(fmt::format("v{}", i)).as(), static_cast<float>(i));
  session.run();
  CHECK(session.state("v0").as()[4] == 1);
  CHECK(session.state("v1").as()[0] == 2);
  CHECK(session.state("v2").as()[2] == 0);
}

TEST_CASE(
    "program: an output that is a variable, or a view of one, is what it held before the update") {
  Graph graph;
  const Tensor v = graph.variable({.name = "v"}, {DType::f32, {2, 3}});
  graph.output("before", v);
  graph.output("view", ops::reshape_to(v, {6}));
  graph.update(v, v + 1.0f);
  Session session(std::move(graph));
  for (int step = 0; step < 3; ++step) {
    session.run();
    CHECK(session.output("before").as()[1] == static_cast<float>(step));
    CHECK(session.output("view").as()[5] == static_cast<float>(step));
    CHECK(session.state("v").as()[0] == static_cast<float>(step + 1));
  }
}

TEST_CASE("program: outputs may be inputs, constants and the same value twice") {
  Graph graph;
  const Tensor x = graph.input("x", {DType::f32, {2}}), y = x * 2.0f;
  graph.output("x", x), graph.output("c", graph.constant(7));
  graph.output("y", y), graph.output("again", y);
  Session session(std::move(graph));
  session.input("x").as()[1] = 4;
  session.run();
  CHECK(session.output("x").as()[1] == 4);
  CHECK(session.output("c").as()[0] == 7);
  CHECK(session.output("y").as()[1] == 8);
  CHECK(session.output("again").as()[1] == 8);
}

TEST_CASE("program: two variables that take one value, and one that takes another's old one") {
  Graph graph;
  const Type type = {DType::f32, {4}};
  const Tensor a = graph.variable({.name = "a"}, type), b = graph.variable({.name = "b"}, type),
               c = graph.variable({.name = "c"}, type), x = graph.input("x", type);
  const Tensor next = a + x;
  graph.update(a, next), graph.update(b, next), graph.update(c, a);
  Session session(std::move(graph));
  std::ranges::fill(session.state("a").as(), 10.0f);
  std::ranges::fill(session.input("x").as(), 1.0f);
  session.run();
  CHECK(session.state("a").as()[0] == 11);
  CHECK(session.state("b").as()[0] == 11);
  CHECK(session.state("c").as()[0] == 10);
}

namespace {

/// A program whose buffers have random sizes and lives: each is written by one call and read by a
/// later one.
Program random_lives(uint64_t seed) {
  Random random(seed, 31);
  Program program;
  const auto calls = static_cast<int32_t>(10 + random.below(200));
  program.calls.resize(static_cast<size_t>(calls));
  const auto values = static_cast<int32_t>(10 + random.below(300));
  const bool nested = random.below(2) == 0;  // as the values that a backward pass reads again
  for (int32_t i = 0; i < values; ++i) {
    const auto bytes = static_cast<int64_t>(std::exp(random.uniform(4, 14)));
    program.buffers.push_back({{DType::u8, {bytes}}, Region::arena, static_cast<size_t>(i)});
    const auto first = static_cast<int32_t>(random.below(static_cast<uint64_t>(calls)));
    const int32_t last = nested && random.below(2) == 0
                             ? std::max(first, calls - 1 - first)
                             : std::min(calls - 1, first + static_cast<int32_t>(random.below(8)));
    program.calls[static_cast<size_t>(first)].outputs.push_back(i);
    if (last > first) program.calls[static_cast<size_t>(last)].inputs.push_back(i);
  }
  for (Call& call : program.calls)
    if (random.below(4) == 0) call.workspace_bytes = random.below(100'000);
  return program;
}

}  // namespace

TEST_CASE(
    "program: the arena is within 5 % of the largest live set, for lives and sizes at random") {
  double worst = 1;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    Program program = random_lives(seed);
    plan_memory(program);
    INFO(fmt::format("seed {}: {} calls, {} buffers", seed, program.calls.size(),
                     program.buffers.size()));
    CHECK(overlap(program) == "");
    const double share =
        static_cast<double>(program.arena_bytes) / static_cast<double>(program.largest_live_bytes);
    CHECK(share <= 1.05);
    CHECK(share >= 1);
    worst = std::max(worst, share);
  }
  MESSAGE("at worst " << worst);
}

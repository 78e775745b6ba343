#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <limits>

#include "base/error.h"
#include "base/threads.h"
#include "kernel_runs.h"

using namespace argosy;
using namespace argosy::test;

namespace {

constexpr double kTolerance = 2e-5;  // of the larger of 1 and the number

double tolerance(const OpDef& op) { return op.exact ? 0.0 : kTolerance; }

/// The same sample with one size so large that kernels share the work between threads.
std::optional<Sample> enlarged(const OpDef& op, const Sample& sample) {
  for (const int64_t factor : {40000, 4000, 400}) {
    Sample large = sample;
    int64_t longest = 0;
    for (const Type& type : sample.inputs)
      for (const int64_t size : type.shape) longest = std::max(longest, size);
    if (longest < 2) return {};
    for (Type& type : large.inputs)
      for (int64_t& size : type.shape)
        if (size == longest) size = size * factor / 4;
    if (large.attributes.values().contains("shape")) return {};
    int64_t elements = 0;
    try {
      const std::vector<Type> out = infer(op, large.attributes, large.inputs);
      for (const Type& type : out) elements = std::max(elements, type.elements());
      if (op.flops && op.flops(large.inputs, out, large.attributes) > 2e7) continue;
    } catch (const std::exception&) {
      return {};
    }
    for (const Type& type : large.inputs) elements = std::max(elements, type.elements());
    if (elements <= 150000) return large;
  }
  return {};
}

}  // namespace

TEST_CASE("cpu: more than one instruction set is compiled, and each can be chosen") {
  const auto all = cpu::instruction_sets();
  REQUIRE_FALSE(all.empty());
  for (const std::string& name : all) {
    cpu::use_instruction_set(name);
    CHECK(cpu::instruction_set() == name);
  }
  cpu::use_instruction_set("");
  CHECK(cpu::instruction_set() == all.front());
}

TEST_CASE("cpu: every kernel equals the reference, on each instruction set and thread count") {
  struct Case {
    const OpDef* op;
    Sample sample;
    Arrays in, wanted;
  };
  std::vector<Case> cases;
  for (const OpDef* op : ops::all_ops())
    for (const Sample& sample : all_samples(*op, 4)) {
      const std::vector<Type> out = infer(*op, sample.attributes, sample.inputs);
      if (op->flops && op->flops(sample.inputs, out, sample.attributes) > 1e7) continue;
      const Arrays in = random_operands(sample, 11);
      cases.push_back({op, sample, in, run_reference(*op, sample.attributes, in)});
    }
  on_every_instruction_set([&] {
    for (const auto& [op, sample, in, wanted] : cases) {
      const cpu::Kernel kernel = backend_kernel(*op, sample.attributes, in);
      if (kernel.reference) continue;  // that would compare it with itself
      for (const int threads : {1, 3}) {
        set_thread_count(threads);
        INFO(fmt::format("{}, {} threads", describe(*op, sample), threads));
        CHECK(difference(run(kernel, *op, sample.attributes, in), wanted, tolerance(*op)) == "");
        if (threads == 1)
          CHECK(difference(run(kernel, *op, sample.attributes, in, true), wanted, tolerance(*op)) ==
                "");
      }
    }
  });
}

TEST_CASE("cpu: where something is empty, every kernel gives what the reference gives") {
  int compared = 0;
  for (const OpDef* op : ops::all_ops())
    for (const Sample& sample : op->samples)
      for (const bool narrow : {false, true}) {
        const Sample used = narrow ? narrowed(sample) : sample;
        for (const Sample& empty : emptied(*op, used)) {
          INFO(describe(*op, empty));
          const Arrays in = random_operands(empty, 18);
          CHECK(difference(run_backend(*op, empty.attributes, in),
                           run_reference(*op, empty.attributes, in),
                           narrow && !op->exact ? 0.02 : tolerance(*op)) == "");
          ++compared;
        }
      }
  CHECK(compared > 1000);
}

TEST_CASE("ops: references may write over an operand where the op says so") {
  for (const OpDef* op : ops::all_ops())
    for (const Sample& sample : op->samples) {
      INFO(describe(*op, sample));
      const Arrays in = random_operands(sample, 11);
      const std::vector<Type> types = types_of(in);
      const cpu::Kernel kernel = cpu::make_reference_kernel(
          {*op, sample.attributes, types, infer(*op, sample.attributes, types)});
      CHECK(difference(run(kernel, *op, sample.attributes, in, true),
                       run(kernel, *op, sample.attributes, in), 0) == "");
    }
}

TEST_CASE("cpu: a kernel that promises it gives the same bits at 1, 2 and 3 threads") {
  const int threads = thread_count();
  int compared = 0;
  for (const OpDef* op : ops::all_ops())
    for (const Sample& sample : op->samples) {
      const auto large = enlarged(*op, sample);
      if (!large) continue;
      const Arrays in = random_operands(*large, 12);
      const cpu::Kernel kernel = backend_kernel(*op, large->attributes, in);
      if (kernel.reference || !kernel.thread_invariant) continue;
      set_thread_count(1);
      const Arrays alone = run(kernel, *op, large->attributes, in);
      for (const int count : {2, 3}) {
        set_thread_count(count);
        INFO(fmt::format("{}, {} threads", describe(*op, *large), count));
        CHECK(difference(run(kernel, *op, large->attributes, in), alone, 0) == "");
      }
      ++compared;
    }
  CHECK(compared > 30);
  set_thread_count(threads);
}

TEST_CASE("cpu: results that are stored past the caches have the same bits, in any dtype") {
  on_every_instruction_set([] {
    for (const OpDef* op : ops::all_ops())
      for (const Sample& sample : op->samples)
        for (const bool narrow : {false, true}) {
          const Sample used = narrow ? narrowed(sample) : sample;
          try {
            infer(*op, used.attributes, used.inputs);
          } catch (const Error&) {
            continue;  // takes f32 only
          }
          INFO(describe(*op, used));
          const Arrays in = random_operands(used, 14);
          const cpu::Kernel kernel = backend_kernel(*op, used.attributes, in);
          for (const bool in_place : {false, true}) {
            const Arrays wanted = run(kernel, *op, used.attributes, in, in_place);
            cpu::use_streaming_above(0);
            CHECK(difference(run(kernel, *op, used.attributes, in, in_place), wanted, 0) == "");
            cpu::use_streaming_above({});
          }
        }
  });
}

TEST_CASE("cpu: group norm's moments keep their digits far from 0 and beside a place that is not") {
  Sample sample = ops::group_norm.samples[0];
  sample.inputs[0].shape = {2, 300, 70};
  sample.inputs[1].shape = sample.inputs[2].shape = {70};
  sample.attributes.set("groups", int64_t{7});
  Arrays in = random_operands(sample, 15);
  for (float& x : in[0].as()) x = 1000 + 0.25f * x;  // of which 1000 has 14 bits to spare
  for (size_t c = 0; c < 70; ++c) in[0].as()[c] = 0;
  const auto wanted = run_reference(ops::group_norm, sample.attributes, in);
  on_every_instruction_set([&] {
    const Arrays got = run_backend(ops::group_norm, sample.attributes, in);
    for (const size_t moment : {1, 2})
      for (size_t i = 0; i < static_cast<size_t>(got[moment].type.elements()); ++i)
        CHECK(got[moment].at(i) == doctest::Approx(wanted[moment].at(i)).epsilon(2e-5));
  });
}

TEST_CASE(
    "cpu: pointwise kernels treat NaN, infinities, zeros, tiny and huge numbers as the reference") {
  constexpr float inf = std::numeric_limits<float>::infinity(),
                  nan = std::numeric_limits<float>::quiet_NaN(),
                  tiny = std::numeric_limits<float>::denorm_min(),
                  smallest = std::numeric_limits<float>::min(),
                  largest = std::numeric_limits<float>::max();
  const std::vector<float> special = {
      0.0f,     -0.0f,     1,       -1,       inf,   -inf, nan,    tiny,  -tiny, 3 * tiny,
      smallest, -smallest, largest, -largest, 88.5f, 89,   -87.4f, -104,  -200,  1e-5f,
      -1e-5f,   5e4f,      -5e4f,   1e6f,     0.5f,  2,    3,      -2.5f, 16.5f, 20};
  on_every_instruction_set([&] {
    for (const OpDef* op : ops::all_ops()) {
      if (op->pointwise.arity == 0 || op->samples[0].inputs.back().dtype != DType::f32) continue;
      // every pair of special numbers, and rows of them
      const auto n = static_cast<int64_t>(special.size());
      Sample sample = op->samples[0];
      for (Type& type : sample.inputs) type.shape = {n, n};
      Arrays in = random_operands(sample, 1);
      for (size_t k = 0; k < in.size(); ++k)
        if (in[k].type.dtype == DType::f32)
          for (size_t i = 0; i < special.size(); ++i)
            for (size_t j = 0; j < special.size(); ++j)
              in[k].as()[i * special.size() + j] = special[k + 1 == in.size() ? i : j];
      INFO(op->name);
      CHECK(difference(run_backend(*op, {}, in), run_reference(*op, {}, in), tolerance(*op)) == "");
    }
  });
}

TEST_CASE("cpu: every pointwise op has a vectorised form") {
  for (const OpDef* op : ops::all_ops())
    if (op->pointwise.arity > 0) {
      INFO(op->name);
      CHECK_FALSE(backend_kernel(*op, {}, random_operands(op->samples[0], 1)).reference);
    }
}

TEST_CASE("cpu: bf16 operands give the f32 result of the same numbers, rounded") {
  for (const OpDef* op : ops::all_ops())
    for (const Sample& sample : op->samples) {
      const Sample narrow = narrowed(sample);
      Arrays in;
      try {
        infer(*op, narrow.attributes, narrow.inputs);
      } catch (const Error&) {
        continue;  // takes f32 only
      }
      in = random_operands(narrow, 13);
      Arrays wide;
      for (size_t i = 0; i < in.size(); ++i) {
        Array& value = wide.emplace_back(sample.inputs[i]);
        for (size_t j = 0; j < static_cast<size_t>(value.type.elements()); ++j)
          value.set(j, in[i].at(j));
      }
      INFO(describe(*op, narrow));
      const Arrays got = run_backend(*op, narrow.attributes, in);
      Arrays wanted = run_reference(*op, narrow.attributes, wide);
      for (size_t o = 0; o < wanted.size(); ++o) {
        Array rounded(got[o].type);
        REQUIRE(rounded.type.shape == wanted[o].type.shape);
        for (size_t j = 0; j < static_cast<size_t>(rounded.type.elements()); ++j)
          rounded.set(j, wanted[o].at(j));
        wanted[o] = rounded;
      }
      CHECK(difference(got, wanted, op->exact ? 0 : 0.01) == "");
    }
}

TEST_CASE("cpu: numbers become bf16 and f32 bit for bit as BFloat16 does it") {
  Array every({DType::bf16, {1 << 16}});
  for (uint32_t i = 0; i < 1 << 16; ++i)
    every.as<BFloat16>()[i] = std::bit_cast<BFloat16>(static_cast<uint16_t>(i));
  // between two neighbours: below, at and above the middle
  const std::vector<uint32_t> lower = {0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF};
  Array between({DType::f32, {static_cast<int64_t>(lower.size()) << 16}});
  for (uint32_t i = 0; i < 1 << 16; ++i)
    for (size_t j = 0; j < lower.size(); ++j)
      between.as()[i * lower.size() + j] = std::bit_cast<float>(i << 16 | lower[j]);
  const Attributes to_f32 = {{"dtype", DType::f32}}, to_bf16 = {{"dtype", DType::bf16}};
  const auto bits = [](const Arrays& values) { return values[0].bytes; };
  on_every_instruction_set([&] {
    CHECK((bits(run_backend(ops::cast, to_f32, {every})) ==
           bits(run_reference(ops::cast, to_f32, {every}))));
    CHECK((bits(run_backend(ops::cast, to_bf16, {between})) ==
           bits(run_reference(ops::cast, to_bf16, {between}))));
  });
}

/// A neighbour, or two where what the op multiplies inside may be rounded as well.
static double bf16_tolerance(const OpDef& op) {
  return op.precision == Precision::narrow ? 0.02 : 0.01;
}

TEST_CASE("cpu: each operand and the result in f32 or bf16 by itself, on each instruction set") {
  struct Case {
    const OpDef* op;
    Attributes attributes;
    Arrays in, wanted;
  };
  std::vector<Case> cases;
  for (const OpDef* op : ops::all_ops()) {
    if (op->precision == Precision::wide || op->precision == Precision::moves) continue;
    for (const Sample& sample : op->samples)
      for (uint32_t narrow = 0; narrow < 1u << sample.inputs.size(); ++narrow)
        for (const DType to : {DType::f32, DType::bf16}) {
          Case mixed{op, sample.attributes, random_operands(sample, 17), {}};
          mixed.attributes.set("dtype", to);
          std::vector<Type> types = sample.inputs;
          for (size_t i = 0; i < types.size(); ++i)
            if (narrow >> i & 1 && types[i].dtype == DType::f32) types[i].dtype = DType::bf16;
          try {
            if (infer(*op, mixed.attributes, types)[0].dtype != to) continue;
          } catch (const Error&) {
            continue;  // not a mixture that the op takes
          }
          for (size_t i = 0; i < types.size(); ++i)
            if (types[i].dtype == DType::bf16) {
              Array rounded(types[i]);
              for (size_t j = 0; j < static_cast<size_t>(rounded.type.elements()); ++j)
                rounded.set(j, mixed.in[i].at(j));
              mixed.in[i] = rounded;
            }
          mixed.wanted = run_reference(*op, mixed.attributes, mixed.in);
          cases.push_back(std::move(mixed));
        }
  }
  CHECK(cases.size() > 300);
  on_every_instruction_set([&] {
    for (const auto& [op, attributes, in, wanted] : cases) {
      INFO(fmt::format("{} {} {}", op->name, fmt::join(types_of(in), ", "), to_text(attributes)));
      const Arrays got = run_backend(*op, attributes, in);
      // a neighbour in bf16 where a result is rounded, two where numbers inside may be, too, else
      // as in f32
      const bool rounded = std::ranges::any_of(
          got, [](const Array& result) { return result.type.dtype == DType::bf16; });
      CHECK(difference(got, wanted, rounded ? bf16_tolerance(*op) : 1e-4) == "");
    }
  });
}

TEST_CASE("cpu: without arithmetic in bf16 the results are the same to rounding") {
  int compared = 0;
  for (const OpDef* op : ops::all_ops()) {
    if (op->precision != Precision::narrow) continue;
    for (const Sample& sample : op->samples) {
      Sample narrow = sample;
      for (size_t i = 0; i < narrow.inputs.size(); ++i)
        if (narrow.inputs[i].dtype == DType::f32 &&
            std::find(op->wide_operands.begin(), op->wide_operands.end(), static_cast<int>(i)) ==
                op->wide_operands.end())
          narrow.inputs[i].dtype = DType::bf16;
      const Arrays in = random_operands(narrow, 19);
      const std::vector<Type> types = types_of(in), out = infer(*op, narrow.attributes, types);
      if (out[0].elements() == 0) continue;
      INFO(describe(*op, narrow));
      const cpu::Kernel emulated = cpu::make_widened_kernel({*op, narrow.attributes, types, out});
      CHECK(difference(run_backend(*op, narrow.attributes, in),
                       run(emulated, *op, narrow.attributes, in), bf16_tolerance(*op)) == "");
      ++compared;
    }
  }
  CHECK(compared > 40);
}

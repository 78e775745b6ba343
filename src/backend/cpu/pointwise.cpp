#include <algorithm>
#include <cstring>
#include <map>

#include "backend/cpu/conversions.h"
#include "backend/cpu/growing_floats.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/pointwise_steps.h"
#include "backend/cpu/walks.h"
#include "base/threads.h"
#include "ops/ops.h"

// A group of pointwise ops in one sweep over its output: a tile of every operand is brought into
// the L1 cache, all steps run on the tile, the results leave it. Memory is read and written once.
namespace argosy::cpu {
namespace {

constexpr int64_t kTile = 1024;         // floats; a handful of tiles fit a 32 KB L1 cache
constexpr int64_t kGrain = 16 * kTile;  // elements that pay for a thread
constexpr int64_t kLongestPeriod =
    8192;  // operands that repeat sooner are laid out end to end once

/// How a tile of an operand is found.
enum class Access { direct, widened, single, periodic, strided };

struct Operand {
  Access access = Access::direct;
  DType dtype = DType::f32;
  ConvertFunction widen = nullptr;
  int64_t period = 1;       // periodic: elements before it repeats
  std::vector<Walk> walks;  // strided
  int slot = -1;            // where its tile is kept (not for direct)
};

struct Step {
  StepFunction run = nullptr;  // null: copy (a cast between kinds held as float)
  bool to_flag = false;        // a cast to bool
  bool to_bf16 = false;        // a cast to bf16 rounds
  int args[3] = {-1, -1, -1};  // tiles: operands first, then steps' slots
  int out = -1;
};

struct Result {
  int tile = -1;
  NarrowFunction narrow = nullptr;
  bool in_memory = false;  // the last step writes it to its place itself
};

struct Plan {
  int64_t elements = 0;
  std::vector<Operand> operands;
  std::vector<std::pair<int, float>> constants;  // slot, value
  std::vector<Step> steps;
  std::vector<Result> results;
  RoundFunction round = find_round_bf16();
  int slots = 0;
  int64_t periodic_floats = 0;
};

Operand describe(const Type& type, const Shape& to) {
  Operand operand{.dtype = type.dtype, .widen = find_widen(type.dtype)};
  if (type.elements() == count(to)) {
    operand.access = type.dtype == DType::f32 ? Access::direct : Access::widened;
    return operand;
  }
  if (type.elements() == 1) {
    operand.access = Access::single;
    return operand;
  }
  // leading dimensions repeat, the rest is whole: the operand follows itself
  Shape trimmed = type.shape;
  while (!trimmed.empty() && trimmed.front() == 1) trimmed.erase(trimmed.begin());
  if (type.elements() <= kLongestPeriod &&
      std::equal(trimmed.rbegin(), trimmed.rend(), to.rbegin())) {
    operand.access = Access::periodic;
    operand.period = type.elements();
    return operand;
  }
  operand.access = Access::strided;
  operand.walks = broadcast_walks(type.shape, to);
  return operand;
}

/// Elements [begin, begin + n) of a strided operand, in the output's order.
void expand(const Operand& operand, const std::byte* bytes, int64_t begin, int64_t n, float* out) {
  const std::vector<Walk>& walks = operand.walks;
  const size_t rank = walks.size(), size = size_of(operand.dtype);
  static thread_local std::vector<int64_t> index;  // kept, as the sweep's memory is
  index.assign(rank, 0);
  int64_t at = 0;
  for (size_t d = rank; d-- > 0;) {
    index[d] = begin % walks[d].size;
    begin /= walks[d].size;
    at += index[d] * walks[d].step;
  }
  const auto [inner, step] = walks.back();
  while (n > 0) {
    const int64_t run = std::min(n, inner - index.back());
    if (step == 1) {
      operand.widen(bytes + static_cast<size_t>(at) * size, out, static_cast<size_t>(run));
    } else if (step == 0) {
      operand.widen(bytes + static_cast<size_t>(at) * size, out, 1);
      std::fill_n(out + 1, run - 1, out[0]);
    } else {
      for (int64_t i = 0; i < run; ++i)
        operand.widen(bytes + static_cast<size_t>(at + i * step) * size, out + i, 1);
    }
    out += run;
    n -= run;
    at += run * step;
    index.back() += run;
    for (size_t d = rank - 1; d > 0 && index[d] == walks[d].size; --d) {
      at += walks[d - 1].step - walks[d].step * walks[d].size;
      index[d] = 0;
      ++index[d - 1];
    }
  }
}

/// For each node of the body the one whose tile holds its value: a tile is f32, so that widening
/// changes nothing, and rounding what only leaves the group is done when it is stored.
std::vector<int32_t> find_sources(const Graph& body) {
  std::vector<bool> read(body.nodes().size(), false);
  for (const Node& node : body.nodes())
    for (const Value& v : node.inputs) read[static_cast<size_t>(v.node)] = true;
  std::vector<int32_t> sources(body.nodes().size());
  for (size_t i = 0; i < sources.size(); ++i) {
    const Node& node = body.nodes()[i];
    sources[i] = static_cast<int32_t>(i);
    if (node.op != &ops::cast) continue;
    const DType from = body.type(node.inputs[0]).dtype, to = node.outputs[0].dtype;
    const int32_t source = sources[static_cast<size_t>(node.inputs[0].node)];
    // an operand's own memory may have become another result's by the time that it is stored
    const bool lasts = body.node(source).op != &kInput || body.outputs().size() == 1;
    const bool widens = from == DType::bf16 || from == DType::u8 || from == DType::boolean;
    if ((widens && to == DType::f32) ||
        (from == DType::f32 && to == DType::bf16 && !read[i] && lasts))
      sources[i] = source;
  }
  return sources;
}

/// The group's body as steps on tiles. Empty if an op has no vectorised form or a dtype is too
/// wide.
std::optional<Plan> make_plan(const Graph& body, Types in, Types out) {
  Plan plan{.elements = out[0].elements()};
  for (const Type& type : out)
    if (type.shape != out[0].shape || !find_narrow(type.dtype)) return {};
  std::map<int32_t, int> tile_of;  // body node -> tile number
  for (size_t i = 0; i < in.size(); ++i) {
    if (!find_widen(in[i].dtype)) return {};
    plan.operands.push_back(describe(in[i], out[0].shape));
    tile_of[body.inputs()[i].value.node] = static_cast<int>(i);
  }
  const auto operands = static_cast<int>(in.size());
  const auto count_nodes = static_cast<int32_t>(body.nodes().size());
  const std::vector<int32_t> sources = find_sources(body);
  const auto source = [&](const Value& v) { return sources[static_cast<size_t>(v.node)]; };
  std::vector<int32_t> last_read(static_cast<size_t>(count_nodes), -1);
  for (int32_t i = 0; i < count_nodes; ++i)
    for (const Value& v : body.node(i).inputs) last_read[static_cast<size_t>(source(v))] = i;
  for (const Port& port : body.outputs())
    last_read[static_cast<size_t>(source(port.value))] = count_nodes;

  std::vector<int> free;
  const auto new_slot = [&] {
    if (free.empty()) return plan.slots++;
    const int slot = free.back();
    free.pop_back();
    return slot;
  };
  for (Operand& operand : plan.operands)
    if (operand.access == Access::widened || operand.access == Access::single ||
        operand.access == Access::strided)
      operand.slot = plan.slots++;
  for (int32_t i = 0; i < count_nodes; ++i) {
    const Node& node = body.node(i);
    if (node.op == &kInput || sources[static_cast<size_t>(i)] != i) continue;
    if (node.op == &kConstant) {
      double value = 0;
      if (!splat_value(node, value)) return {};
      plan.constants.emplace_back(plan.slots, static_cast<float>(value));
      tile_of[i] = operands + plan.slots++;
      continue;
    }
    Step step;
    if (node.op == &ops::cast) {
      step.to_flag = node.outputs[0].dtype == DType::boolean;
      step.to_bf16 = node.outputs[0].dtype == DType::bf16;
      if (node.outputs[0].dtype == DType::u8) return {};
    } else {
      step.run = find_step(*node.op);
      step.to_bf16 = node.outputs[0].dtype == DType::bf16;
      if (!step.run || is_integer(node.outputs[0].dtype) || node.outputs[0].dtype == DType::u8)
        return {};
    }
    for (size_t a = 0; a < node.inputs.size(); ++a)
      step.args[a] = tile_of.at(source(node.inputs[a]));
    for (const Value& v : node.inputs) {  // a tile that nobody reads later may be written over
      const int32_t from = source(v);
      const int tile = tile_of.at(from);
      const bool computed = body.node(from).op != &kInput && body.node(from).op != &kConstant;
      if (computed && last_read[static_cast<size_t>(from)] == i) {
        last_read[static_cast<size_t>(from)] = count_nodes + 1;  // once, even if read twice here
        free.push_back(tile - operands);
      }
    }
    step.out = operands + new_slot();
    tile_of[i] = step.out;
    plan.steps.push_back(step);
  }
  for (size_t i = 0; i < out.size(); ++i)
    plan.results.push_back(
        {.tile = tile_of.at(source(body.outputs()[i].value)), .narrow = find_narrow(out[i].dtype)});
  // The last step may write to memory at once: all operands have been read by then, so that it does
  // not matter if the result takes the place of one.
  if (!plan.steps.empty() && plan.steps.back().run && !plan.steps.back().to_bf16)
    for (size_t i = 0; i < out.size(); ++i)
      if (plan.results[i].tile == plan.steps.back().out && out[i].dtype == DType::f32) {
        const auto same = [&](const Result& result) {
          return result.tile == plan.steps.back().out;
        };
        plan.results[i].in_memory =
            std::count_if(plan.results.begin(), plan.results.end(), same) == 1;
        break;
      }
  for (const Operand& operand : plan.operands)
    if (operand.access == Access::periodic) plan.periodic_floats += operand.period + kTile;
  return plan;
}

/// Elements [begin, end) of the sweep.
void sweep(const Plan& plan, const KernelArgs& k, int64_t begin, int64_t end) {
  static thread_local GrowingFloats memory;
  float* slots = memory.at_least(static_cast<size_t>(plan.slots * kTile + plan.periodic_floats));
  float* periodic = slots + plan.slots * kTile;

  const size_t operands = plan.operands.size();
  static thread_local std::vector<float*> tiles, repeated;
  tiles.assign(operands + static_cast<size_t>(plan.slots), nullptr);
  repeated.assign(operands, nullptr);
  for (int s = 0; s < plan.slots; ++s) tiles[operands + static_cast<size_t>(s)] = slots + s * kTile;
  for (const auto& [slot, value] : plan.constants) std::fill_n(slots + slot * kTile, kTile, value);
  for (size_t i = 0; i < operands; ++i) {
    const Operand& operand = plan.operands[i];
    if (operand.access == Access::single) {
      float value = 0;
      operand.widen(k.in_bytes[i], &value, 1);
      std::fill_n(slots + operand.slot * kTile, kTile, value);
    }
    if (operand.access == Access::periodic) {
      repeated[i] = periodic;
      operand.widen(k.in_bytes[i], periodic, static_cast<size_t>(operand.period));
      for (int64_t j = operand.period; j < operand.period + kTile; ++j)
        periodic[j] = periodic[j - operand.period];
      periodic += operand.period + kTile;
    }
    if (operand.slot >= 0) tiles[i] = slots + operand.slot * kTile;
  }

  for (int64_t at = begin; at < end; at += kTile) {
    const int64_t n = std::min(kTile, end - at);
    for (size_t i = 0; i < operands; ++i) {
      const Operand& operand = plan.operands[i];
      const std::byte* bytes = k.in_bytes[i];
      switch (operand.access) {
        case Access::direct:
          tiles[i] = const_cast<float*>(reinterpret_cast<const float*>(bytes)) + at;
          break;
        case Access::widened:
          operand.widen(bytes + static_cast<size_t>(at) * size_of(operand.dtype), tiles[i],
                        static_cast<size_t>(n));
          break;
        case Access::single:
          break;
        case Access::periodic:
          tiles[i] = repeated[i] + at % operand.period;
          break;
        case Access::strided:
          expand(operand, bytes, at, n, tiles[i]);
          break;
      }
    }
    for (size_t s = 0; s < plan.steps.size(); ++s) {
      const Step& step = plan.steps[s];
      const auto tile = [&](int number) {
        return number < 0 ? nullptr : tiles[static_cast<size_t>(number)];
      };
      float* out = tile(step.out);
      if (s + 1 == plan.steps.size())
        for (size_t r = 0; r < plan.results.size(); ++r)
          if (plan.results[r].in_memory) out = reinterpret_cast<float*>(k.out_bytes[r]) + at;
      if (step.run) {
        step.run(tile(step.args[0]), tile(step.args[1]), tile(step.args[2]), out,
                 static_cast<size_t>(n));
      } else {
        const float* from = tile(step.args[0]);
        for (int64_t i = 0; i < n; ++i)
          out[i] = step.to_flag ? static_cast<float>(from[i] != 0) : from[i];
      }
      if (step.to_bf16) plan.round(out, static_cast<size_t>(n));
    }
    for (size_t r = 0; r < plan.results.size(); ++r)
      if (!plan.results[r].in_memory)
        plan.results[r].narrow(
            tiles[static_cast<size_t>(plan.results[r].tile)],
            k.out_bytes[r] + static_cast<size_t>(at) * size_of(k.out_types[r].dtype),
            static_cast<size_t>(n));
  }
}

/// A single op as a body of its own.
Body body_of_one(const KernelRequest& request) {
  auto body = std::make_shared<Graph>();
  std::vector<Tensor> inputs;
  for (size_t i = 0; i < request.in.size(); ++i)
    inputs.push_back(body->input(fmt::format("{}", i), request.in[i]));
  body->output("0", body->add_one(request.op, inputs, request.attributes));
  return body;
}

}  // namespace

std::optional<Kernel> make_pointwise(const KernelRequest& request) {
  const Body body = &request.op == &ops::fused_pointwise ? request.attributes.get<Body>("body")
                                                         : body_of_one(request);
  const auto plan = make_plan(*body, request.in, request.out);
  if (!plan) return {};
  return Kernel{.run = [plan = *plan](KernelArgs& k) {
    // whole tiles to each thread, so that the cut does not change what a tile holds
    const int64_t tiles = (plan.elements + kTile - 1) / kTile;
    parallel_for(tiles, kGrain / kTile, [&](int64_t begin, int64_t end) {
      sweep(plan, k, begin * kTile, std::min(plan.elements, end * kTile));
    });
  }};
}

}  // namespace argosy::cpu

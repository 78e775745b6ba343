#include "compile/memory_report.h"

#include <algorithm>
#include <map>

#include "base/byte_size.h"
#include "base/error.h"
#include "ir/op.h"

namespace argosy {
namespace {

std::string text_of(const HeldTensor& tensor) {
  return fmt::format("{} {} {}", tensor.name, tensor.type, byte_size_text(tensor.bytes));
}

std::string sums_of(const Program& program) {
  return fmt::format("state {}, inputs {}, constants {}, arena {}",
                     byte_size_text(program.state_bytes), byte_size_text(program.input_bytes),
                     byte_size_text(program.constants.size()), byte_size_text(program.arena_bytes));
}

[[noreturn]] void fail(const Program& program, const std::string& bound, const std::string& where,
                       const std::string& fix) {
  constexpr size_t kShown = 5;
  std::vector<std::string> largest;
  for (const HeldTensor& tensor : held_tensors(program)) {
    if (largest.size() == kShown) break;
    largest.push_back(text_of(tensor));
  }
  throw Error({.what = fmt::format("the program needs {} ({}) but {}; the largest tensors are {}",
                                   byte_size_text(program.total_bytes()), sums_of(program), bound,
                                   fmt::join(largest, ", ")),
               .where = where,
               .fix = fix,
               .kind = ErrorKind::device});
}

}  // namespace

std::vector<HeldTensor> held_tensors(const Program& program) {
  std::vector<HeldTensor> held;
  const auto add = [&](std::string name, const Type& type) {
    held.push_back({std::move(name), type, type.bytes()});
  };
  const auto buffer = [&](int32_t i) -> const Buffer& {
    return program.buffers[static_cast<size_t>(i)];
  };
  for (const StateBuffer& state : program.state) add(state.name, buffer(state.buffer).type);
  for (const NamedBuffer& input : program.inputs) add(input.name, buffer(input.buffer).type);
  // a place in the arena holds what was written there last
  std::map<size_t, std::pair<const Call*, int32_t>> writer;
  const auto peak = static_cast<size_t>(program.largest_live_call);
  for (size_t i = 0; i <= peak && i < program.calls.size(); ++i)
    for (const int32_t output : program.calls[i].outputs)
      if (buffer(output).region == Region::arena)
        writer[buffer(output).offset] = {&program.calls[i], output};
  const auto name_of_call = [](const Call& call) {
    return call.label.empty() ? std::string(call.op->name)
                              : fmt::format("{} ({})", call.label, call.op->name);
  };
  for (const int32_t alive : program.largest_live) {
    const auto found = writer.find(buffer(alive).offset);
    if (found != writer.end())
      add(name_of_call(*found->second.first), buffer(found->second.second).type);
  }
  if (peak < program.calls.size())
    if (const Call& call = program.calls[peak]; call.workspace_bytes > 0)
      add("scratch of " + name_of_call(call),
          {DType::u8, {static_cast<int64_t>(call.workspace_bytes)}});
  std::stable_sort(held.begin(), held.end(),
                   [](const HeldTensor& a, const HeldTensor& b) { return a.bytes > b.bytes; });
  return held;
}

void require_memory(const Program& program, size_t limit_bytes, size_t available_bytes) {
  const size_t needed = program.total_bytes();
  constexpr const char* kSmaller =
      "a smaller batch, shorter sequences or smaller images, bf16 precision or an optimizer with "
      "less state";
  if (limit_bytes > 0 && needed > limit_bytes)
    fail(program,
         fmt::format("may take {}, whatever was found to help computed again instead of kept",
                     byte_size_text(limit_bytes)),
         "memory.limit",
         fmt::format("raise the limit to {} or more, or use {}", byte_size_text(needed), kSmaller));
  if (available_bytes > 0 && needed > available_bytes)
    fail(program, fmt::format("{} are available", byte_size_text(available_bytes)),
         "memory of this machine",
         fmt::format("give memory.limit, so that what costs least is computed again instead of "
                     "kept, or use {}",
                     kSmaller));
}

std::string memory_text(const Program& program, size_t limit_bytes) {
  std::string text =
      fmt::format("memory: {} ({}, largest live set {}){}\n", byte_size_text(program.total_bytes()),
                  sums_of(program), byte_size_text(program.largest_live_bytes),
                  limit_bytes == 0 ? "" : fmt::format(", limit {}", byte_size_text(limit_bytes)));
  size_t calls = 0;
  double flops = 0;
  for (const Call& call : program.calls)
    if (call.recomputed) ++calls, flops += call.flops;
  if (calls > 0)
    text += fmt::format("computed again instead of kept: {} calls, {:.3f} of {:.3f} Gflop\n", calls,
                        flops / 1e9, program.flops() / 1e9);
  constexpr size_t kShown = 12;
  text += "held at most, the largest\n";
  std::vector<HeldTensor> held = held_tensors(program);
  for (size_t i = 0; i < std::min(kShown, held.size()); ++i)
    text +=
        fmt::format("  {:>8}  {} {}\n", byte_size_text(held[i].bytes), held[i].name, held[i].type);
  return text;
}

}  // namespace argosy

#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace argosy {

/// Where a buffer's memory is: fed by the caller, kept between runs, known when compiled, or in the
/// arena that the calls of one run share.
enum class Region : uint8_t { input, state, constant, arena };

struct Buffer {
  Type type;
  Region region = Region::arena;
  size_t offset = 0;  ///< bytes from the region's start
};

/// One kernel call. Numbers are indices into Program::buffers.
struct Call {
  const OpDef* op = nullptr;
  Attributes attributes;
  std::vector<int32_t> inputs, outputs;
  std::string label;
  bool recomputed = false;      ///< an earlier call computed the same
  double flops = 0, bytes = 0;  ///< work, and memory that must be moved at least
  size_t workspace_bytes = 0, workspace_offset = 0;  ///< scratch in the arena during the call
};

struct NamedBuffer {
  std::string name;
  int32_t buffer = -1;
};

struct StateBuffer {
  std::string name;
  int32_t buffer = -1;
  Initializer initialize;
  std::string seeded_as;
  bool trainable = false;
  bool kept = true;
};

/// A whole step as a flat list of calls on buffers whose places are known. Running it allocates
/// nothing.
struct Program {
  std::vector<Buffer> buffers;
  std::vector<Call> calls;
  std::vector<NamedBuffer> inputs, outputs;
  std::vector<StateBuffer> state;
  std::vector<std::byte> constants;  ///< the constant region's bytes
  size_t input_bytes = 0, state_bytes = 0, arena_bytes = 0;
  size_t gradual_bytes = 0;           ///< of the state, at its end: Variable::gradual
  size_t largest_live_bytes = 0;      ///< the bound that arena_bytes is compared with
  int32_t largest_live_call = 0;      ///< the call during which so much is alive
  std::vector<int32_t> largest_live;  ///< one buffer for each piece of the arena in use then

  size_t total_bytes() const { return input_bytes + state_bytes + constants.size() + arena_bytes; }
  double flops() const;
  std::vector<Type> types(const std::vector<int32_t>& list) const;
};

/// The value whose memory `value` shows: itself, but for views.
Value source(const Graph& graph, Value value);
/// Whether output `o` of a node may take the memory of operand `k` when nobody reads that later.
bool may_share(const Graph& graph, const Node& node, size_t o, size_t k);

/// The graph's nodes as calls. Views share their operand's memory, outputs take an operand's memory
/// where their op allows and nobody reads it later, and updates are written in place or copied at
/// the end. Offsets in the arena are not given yet.
Program lower(const Graph& graph);

/// Gives every arena buffer and workspace its offset, so that what is alive at the same time does
/// not overlap. Call::workspace_bytes must be set.
void plan_memory(Program& program);

/// One line a call (op, shapes, bytes, flops, place), then the sums: for --dump-program.
std::string to_text(const Program& program);

}  // namespace argosy

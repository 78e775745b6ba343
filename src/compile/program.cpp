#include "compile/program.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "base/aligned_bytes.h"
#include "ir/op.h"
#include "ops/ops.h"

namespace argosy {
namespace {

/// Builds a Program call by call. A buffer number stands for one piece of memory; several values
/// may share it.
class Lowering {
 public:
  explicit Lowering(const Graph& graph) : graph_(graph), last_read_(count_last_reads()) {
    for (const Update& update : graph.updates()) updated_[update.value] = update.variable;
  }

  Program run() {
    for (const Port& port : graph_.inputs())
      program_.inputs.push_back(
          {port.name, place(port.value, Region::input, program_.input_bytes)});
    place_state();
    for (int32_t i = 0; i < static_cast<int32_t>(graph_.nodes().size()); ++i) lower_node(i);
    for (const Port& port : graph_.outputs())
      program_.outputs.push_back({port.name, output_buffer(port.value)});
    copy_updates();
    mark_owners();
    return std::move(program_);
  }

 private:
  void place_state() {
    for (const bool gradual : {false, true}) {
      if (gradual) program_.gradual_bytes = program_.state_bytes;
      for (const Variable& variable : graph_.variables())
        if (variable.gradual == gradual) place(variable.value, Region::state, program_.state_bytes);
    }
    program_.gradual_bytes = program_.state_bytes - program_.gradual_bytes;
    for (const Variable& variable : graph_.variables())
      program_.state.push_back({variable.name, buffer_of(variable.value), variable.initialize,
                                variable.seeded_as.empty() ? variable.name : variable.seeded_as,
                                variable.trainable, variable.kept});
  }

  /// For each value's node the last node that reads it, views followed to what they show; outputs
  /// and updates read at the end.
  std::map<Value, int32_t> count_last_reads() {
    std::map<Value, int32_t> last;
    for (int32_t i = 0; i < static_cast<int32_t>(graph_.nodes().size()); ++i)
      for (const Value& input : graph_.node(i).inputs) last[source(input)] = i;
    const auto end = static_cast<int32_t>(graph_.nodes().size());
    for (const Port& port : graph_.outputs()) last[source(port.value)] = end;
    for (const Update& update : graph_.updates()) last[source(update.value)] = end;
    return last;
  }

  Value source(Value value) const { return argosy::source(graph_, value); }

  int32_t new_buffer(const Type& type, Region region, size_t offset = 0) {
    program_.buffers.push_back({type, region, offset});
    owner_.push_back(static_cast<int32_t>(program_.buffers.size()) - 1);
    owner_last_read_.push_back(-1);
    return owner_.back();
  }

  /// `value` lives in `buffer`, whose memory is that of `owner`.
  void assign(Value value, int32_t buffer, int32_t owner) {
    buffers_[value] = buffer;
    owner_[static_cast<size_t>(buffer)] = owner;
    const auto last = last_read_.find(value);
    int32_t& read = owner_last_read_[static_cast<size_t>(owner)];
    if (last != last_read_.end()) read = std::max(read, last->second);
  }

  int32_t place(Value value, Region region, size_t& used) {
    const Type& type = graph_.type(value);
    const int32_t buffer = new_buffer(type, region, used);
    used += aligned_bytes(type.bytes());
    assign(value, buffer, buffer);
    return buffer;
  }

  int32_t buffer_of(Value value) const { return buffers_.at(value); }

  void lower_node(int32_t i) {
    const Node& node = graph_.node(i);
    if (node.op == &kInput || node.op == &kVariable) return;
    if (node.op == &kConstant) {
      const auto& bytes = *node.attributes.get<Bytes>("value");
      size_t used = program_.constants.size();
      const size_t begin = used;
      place({i, 0}, Region::constant, used);
      program_.constants.resize(used);
      std::copy(bytes.begin(), bytes.end(),
                program_.constants.begin() + static_cast<std::ptrdiff_t>(begin));
      return;
    }
    if (node.op->view) {  // the same memory under another type
      const Buffer shown = program_.buffers[static_cast<size_t>(buffer_of(node.inputs[0]))];
      const int32_t owner = owner_[static_cast<size_t>(buffer_of(node.inputs[0]))];
      const int32_t buffer = new_buffer(node.outputs[0], shown.region, shown.offset);
      assign({i, 0}, buffer, owner);
      return;
    }
    Call call{.op = node.op,
              .attributes = node.attributes,
              .label = node.label,
              .recomputed = node.recomputed};
    std::vector<Type> in;
    for (const Value& input : node.inputs) {
      call.inputs.push_back(buffer_of(input));
      in.push_back(graph_.type(input));
      call.bytes += static_cast<double>(in.back().bytes());
    }
    std::vector<int32_t> taken;
    for (int32_t o = 0; o < static_cast<int32_t>(node.outputs.size()); ++o) {
      const Type& type = node.outputs[static_cast<size_t>(o)];
      call.bytes += static_cast<double>(type.bytes());
      const int32_t reused = memory_to_reuse(i, o, call.inputs, taken);
      int32_t buffer = 0, owner = 0;
      if (reused >= 0) {
        const Buffer old = program_.buffers[static_cast<size_t>(reused)];
        buffer = new_buffer(type, old.region, old.offset);
        owner = owner_[static_cast<size_t>(reused)];
        taken.push_back(owner);
      } else {
        buffer = owner = new_buffer(type, Region::arena);
      }
      assign({i, o}, buffer, owner);
      call.outputs.push_back(buffer);
    }
    if (node.op->flops) call.flops = node.op->flops(in, node.outputs, node.attributes);
    program_.calls.push_back(std::move(call));
  }

  /// The buffer of an operand (of those in `in`) whose memory output `o` of node `i` may take, or
  /// -1.
  int32_t memory_to_reuse(int32_t i, int32_t o, const std::vector<int32_t>& in,
                          const std::vector<int32_t>& taken) const {
    const Node& node = graph_.node(i);
    // a variable's next value goes into the variable where it can: elsewhere it would be copied
    const auto updated = updated_.find({i, o});
    const int32_t variable = updated == updated_.end() ? -1 : buffer_of(updated->second);
    const bool variable_is_free = variable >= 0 &&
                                  std::find(in.begin(), in.end(), variable) != in.end() &&
                                  owner_last_read_[static_cast<size_t>(variable)] <= i;
    for (size_t k = 0; k < node.inputs.size(); ++k) {
      if (!may_share(graph_, node, static_cast<size_t>(o), k)) continue;
      const int32_t buffer = in[k];
      const int32_t owner = owner_[static_cast<size_t>(buffer)];
      const Region region = program_.buffers[static_cast<size_t>(buffer)].region;
      if (region != Region::arena && region != Region::state) continue;
      if (region == Region::arena && variable_is_free) continue;
      if (std::find(taken.begin(), taken.end(), owner) != taken.end()) continue;
      // only a variable's own new value may overwrite it
      if (region == Region::state && owner != variable) continue;
      if (owner_last_read_[static_cast<size_t>(owner)] > i) continue;
      // by buffers and not by values: one call may have thousands of operands
      const bool read_twice = std::any_of(in.begin(), in.end(), [&](int32_t other) {
        return other != buffer && owner_[static_cast<size_t>(other)] == owner;
      });
      if (!read_twice) return buffer;
    }
    return -1;
  }

  void copy(int32_t from, int32_t to) {
    const Type& type = program_.buffers[static_cast<size_t>(to)].type;
    Call call{.op = &ops::reshape,
              .attributes = {{"shape", type.shape}},
              .inputs = {from},
              .outputs = {to}};
    call.bytes = 2.0 * static_cast<double>(type.bytes());
    program_.calls.push_back(std::move(call));
  }

  /// Where an output is found after the run: a variable's old value is set aside before the
  /// updates.
  int32_t output_buffer(Value value) {
    const Value variable = source(value);
    const bool changes =
        std::any_of(graph_.updates().begin(), graph_.updates().end(), [&](const Update& update) {
          return update.variable == variable && source(update.value) != variable;
        });
    if (!changes) return buffer_of(value);
    const int32_t aside = new_buffer(graph_.type(value), Region::arena);
    copy(buffer_of(value), aside);
    return aside;
  }

  /// Updates whose value was not computed in place. A value that is itself state is set aside
  /// first, so that variables may trade places.
  void copy_updates() {
    std::vector<std::pair<int32_t, int32_t>> copies;
    for (const Update& update : graph_.updates()) {
      int32_t from = buffer_of(update.value);
      const int32_t to = buffer_of(update.variable);
      if (owner_[static_cast<size_t>(from)] == to) continue;
      if (program_.buffers[static_cast<size_t>(from)].region == Region::state) {
        const int32_t aside = new_buffer(graph_.type(update.value), Region::arena);
        copy(from, aside);
        from = aside;
      }
      copies.emplace_back(from, to);
    }
    for (const auto& [from, to] : copies) copy(from, to);
  }

  /// Arena buffers that share memory get one offset in plan_memory; until then `offset` holds the
  /// owner.
  void mark_owners() {
    for (size_t i = 0; i < owner_.size(); ++i)
      if (program_.buffers[i].region == Region::arena)
        program_.buffers[i].offset = static_cast<size_t>(owner_[i]);
  }

  const Graph& graph_;
  Program program_;
  std::map<Value, int32_t> buffers_;
  std::vector<int32_t> owner_;  ///< by buffer: the buffer whose memory it shares, or itself
  std::vector<int32_t>
      owner_last_read_;  ///< by owner: the last node that reads anything in its memory
  std::map<Value, Value> updated_;
  std::map<Value, int32_t> last_read_;
};

}  // namespace

Value source(const Graph& graph, Value value) {
  while (graph.node(value.node).op->view) value = graph.node(value.node).inputs[0];
  return value;
}

bool may_share(const Graph& graph, const Node& node, size_t o, size_t k) {
  const OpDef& op = *node.op;
  const bool allowed = op.in_place_any || in_place_operand(op, o) == static_cast<int>(k);
  const Type &in = graph.type(node.inputs[k]), &out = node.outputs[o];
  return allowed && in.bytes() == out.bytes() && in.elements() == out.elements();
}

Program lower(const Graph& graph) { return Lowering(graph).run(); }

double Program::flops() const {
  double total = 0;
  for (const Call& call : calls) total += call.flops;
  return total;
}

std::vector<Type> Program::types(const std::vector<int32_t>& list) const {
  std::vector<Type> result;
  for (const int32_t buffer : list) result.push_back(buffers[static_cast<size_t>(buffer)].type);
  return result;
}

std::string to_text(const Program& program) {
  static constexpr std::string_view kRegions[] = {"input", "state", "constant", "arena"};
  const auto show = [&](const std::vector<int32_t>& list) {
    std::string text;
    for (const int32_t b : list) {
      const Buffer& buffer = program.buffers[static_cast<size_t>(b)];
      text += fmt::format("{}{}@{}+{}", text.empty() ? "" : ", ", buffer.type,
                          kRegions[static_cast<size_t>(buffer.region)], buffer.offset);
    }
    return text;
  };
  std::string text;
  double bytes = 0;
  for (size_t i = 0; i < program.calls.size(); ++i) {
    const Call& call = program.calls[i];
    bytes += call.bytes;
    std::string op(call.op->name);
    if (call.op == &ops::fused_pointwise) {
      std::vector<std::string_view> names;
      for (const Node& node : call.attributes.get<Body>("body")->nodes())
        if (node.op != &kInput && node.op != &kConstant) names.push_back(node.op->name);
      op = fmt::format("fused[{}]", fmt::join(names, " "));
    }
    text +=
        fmt::format("{:4}  {}({}) -> {}  {:.3f} Mflop  {:.3f} MB{}{}\n", i, op, show(call.inputs),
                    show(call.outputs), call.flops / 1e6, call.bytes / 1e6,
                    call.workspace_bytes ? fmt::format("  workspace {}", call.workspace_bytes) : "",
                    call.label.empty() ? "" : "  # " + call.label);
  }
  text += fmt::format(
      "{} calls, {:.3f} Gflop, {:.3f} MB moved; arena {} bytes (largest live set {}), state {}, "
      "inputs {}, constants {}\n",
      program.calls.size(), program.flops() / 1e9, bytes / 1e6, program.arena_bytes,
      program.largest_live_bytes, program.state_bytes, program.input_bytes,
      program.constants.size());
  return text;
}

}  // namespace argosy

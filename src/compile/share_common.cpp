#include <map>
#include <string_view>
#include <unordered_map>

#include "compile/pipeline.h"
#include "ir/op.h"

namespace argosy {
namespace {

/// Text that is equal exactly where two nodes compute the same.
std::string key_of(const Node& node) {
  std::string key = fmt::format("{}", fmt::ptr(node.op));
  for (const Value& v : node.inputs) key += fmt::format(" {}.{}", v.node, v.output);
  for (const auto& [name, value] : node.attributes.values()) {
    if (const Bytes* bytes = std::get_if<Bytes>(&value))
      key += fmt::format(
          " {}={}", name,
          std::string_view(reinterpret_cast<const char*>((*bytes)->data()), (*bytes)->size()));
    else if (const Body* body = std::get_if<Body>(&value))
      key += fmt::format(" {}={}", name, fmt::ptr(body->get()));
    else
      key += " " + to_text(Attributes{{name, value}});
  }
  return key;
}

}  // namespace

// Before: any legal graph. After: no two nodes have the same op, operands and attributes.
bool share_common(Graph& graph) {
  bool changed = false;
  std::unordered_map<std::string, int32_t> first;
  std::vector<int32_t> same(graph.nodes().size());
  const auto follow = [&](Value& value) { value.node = same[static_cast<size_t>(value.node)]; };
  for (int32_t i = 0; i < static_cast<int32_t>(graph.nodes().size()); ++i) {
    Node& node = graph.nodes()[static_cast<size_t>(i)];
    same[static_cast<size_t>(i)] = i;
    for (Value& input : node.inputs) follow(input);
    if (node.op == &kInput || node.op == &kVariable) continue;
    const auto [found, added] = first.emplace(key_of(node), i);
    if (!added) {
      same[static_cast<size_t>(i)] = found->second;
      changed = true;
    }
  }
  graph.visit_roots(follow);
  return changed;
}

}  // namespace argosy

#include "compile/pipeline.h"
#include "ops/ops.h"

namespace argosy {
namespace {
constexpr size_t kLargestFolded = size_t{1}
                                  << 16;  // bytes; larger results are cheaper computed than kept
}

// Before: any legal graph. After: no exact op with a small output has only constant operands. Other
// ops are left to the kernels, whose last bits may differ from the reference's.
bool fold_constants(Graph& graph) {
  bool changed = false;
  for (Node& node : graph.nodes()) {
    if (node.inputs.empty() || !node.op->exact || node.outputs.size() != 1 ||
        node.outputs[0].bytes() > kLargestFolded || node.outputs[0].dtype == DType::bf16)
      continue;
    std::vector<Type> types;
    std::vector<const std::byte*> in;
    bool known = true;
    for (const Value& v : node.inputs) {
      const Node& source = graph.node(v.node);
      known &= source.op == &kConstant && source.outputs[0].dtype != DType::bf16;
      if (!known) break;
      types.push_back(source.outputs[0]);
      in.push_back(source.attributes.get<Bytes>("value")->data());
    }
    if (!known) continue;
    std::vector<std::byte> result(node.outputs[0].bytes());
    std::byte* out = result.data();
    KernelArgs arguments{.op = *node.op,
                         .attributes = node.attributes,
                         .in_types = types,
                         .out_types = node.outputs,
                         .in_bytes = in,
                         .out_bytes = {&out, 1}};
    node.op->reference(arguments);
    node.attributes = {
        {"dtype", node.outputs[0].dtype},
        {"shape", node.outputs[0].shape},
        {"value", std::make_shared<const std::vector<std::byte>>(std::move(result))}};
    node.op = &kConstant;
    node.inputs.clear();
    changed = true;
  }
  return changed;
}

}  // namespace argosy

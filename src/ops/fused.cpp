#include "ops/ops.h"

// A group of pointwise nodes that runs in one sweep. Its body is a graph of its own whose inputs
// stand for the group's operands, in order, and whose outputs are the group's.
namespace argosy::ops {
namespace {

const Graph& body_of(const Attributes& attributes) { return *attributes.get<Body>("body"); }

std::vector<Type> infer(const InferArgs& args) {
  const Graph& body = body_of(args.attributes);
  args.require(body.inputs().size() == args.in.size(), "the body takes another number of operands");
  for (size_t i = 0; i < args.in.size(); ++i)
    args.require(body.type(body.inputs()[i].value) == args.in[i],
                 "an operand differs from the body's");
  std::vector<Type> types;
  for (const Port& port : body.outputs()) types.push_back(body.type(port.value));
  return types;
}

double flops(Types, Types, const Attributes& attributes) {
  double total = 0;
  for (const Node& node : body_of(attributes).nodes()) {
    std::vector<Type> in;
    for (const Value& v : node.inputs) in.push_back(body_of(attributes).type(v));
    if (node.op->flops) total += node.op->flops(in, node.outputs, node.attributes);
  }
  return total;
}

// node after node, each into a buffer of its own
void reference(KernelArgs& k) {
  const Graph& body = body_of(k.attributes);
  std::vector<std::vector<std::byte>> results(body.nodes().size());
  std::vector<const std::byte*> data(body.nodes().size());
  for (size_t i = 0; i < body.inputs().size(); ++i)
    data[static_cast<size_t>(body.inputs()[i].value.node)] = k.in_bytes[i];
  for (size_t i = 0; i < body.nodes().size(); ++i) {
    const Node& node = body.nodes()[i];
    if (node.op == &kInput) continue;
    if (node.op == &kConstant) {
      data[i] = node.attributes.get<Bytes>("value")->data();
      continue;
    }
    std::vector<Type> types;
    std::vector<const std::byte*> in;
    for (const Value& v : node.inputs) {
      types.push_back(body.type(v));
      in.push_back(data[static_cast<size_t>(v.node)]);
    }
    results[i].resize(node.outputs[0].bytes());
    data[i] = results[i].data();
    std::byte* out = results[i].data();
    KernelArgs inner{.op = *node.op,
                     .attributes = node.attributes,
                     .in_types = types,
                     .out_types = node.outputs,
                     .in_bytes = in,
                     .out_bytes = {&out, 1}};
    node.op->reference(inner);
  }
  for (size_t i = 0; i < body.outputs().size(); ++i)
    std::copy_n(data[static_cast<size_t>(body.outputs()[i].value.node)], k.out_types[i].bytes(),
                k.out_bytes[i]);
}

}  // namespace

extern const OpDef fused_pointwise = {
    .name = "fused_pointwise",
    .formula = "the outputs of a group of pointwise ops",
    .infer = infer,
    .flops = flops,
    .reference = reference,
    .any_dtype = true,
    .in_place_any = true,
    .precision = Precision::mixed,
};

}  // namespace argosy::ops

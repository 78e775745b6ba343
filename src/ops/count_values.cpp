#include <algorithm>

#include "ops/ops.h"

namespace argosy::ops {
namespace {

std::vector<Type> infer(const InferArgs& args) {
  args.require(is_integer(args.in[0].dtype), "needs whole numbers");
  args.require(args.attributes.get<int64_t>("size") >= 0, "size is negative");
  return {{DType::i32, {args.attributes.get<int64_t>("size")}}};
}

void reference(KernelArgs& k) {
  const auto counts = k.out<int32_t>();
  std::fill(counts.begin(), counts.end(), 0);
  visit_dtype(k.in_types[0].dtype, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (std::is_integral_v<T>)
      for (const T value : k.in<T>(0))
        if (value >= 0 && static_cast<uint64_t>(value) < counts.size())
          ++counts[static_cast<size_t>(value)];
  });
}

Sample counted(Type values, int64_t size, int64_t limit) {
  return {.inputs = {std::move(values)}, .attributes = {{"size", size}}, .index_limit = limit};
}

}  // namespace

extern const OpDef count_values = {
    .name = "count_values",
    .formula = "y[v] = how many of the elements are v; those outside [0, size) are not counted",
    .infer = infer,
    .flops = [](Types in, Types,
                const Attributes&) { return static_cast<double>(in[0].elements()); },
    .reference = reference,
    .exact = true,
    .samples = {counted({DType::i32, {19}}, 5, 5), counted({DType::i64, {4, 3}}, 2, 7),
                counted({DType::i32, {0}}, 3, 3), counted({DType::i32, {}}, 1, 1)},
};

}  // namespace argosy::ops

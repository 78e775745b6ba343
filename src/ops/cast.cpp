#include <cmath>
#include <limits>

#include "ops/ops.h"

namespace argosy::ops {
namespace {

std::vector<Type> infer(const InferArgs& args) {
  return {{args.attributes.get<DType>("dtype"), args.in[0].shape}};
}

std::vector<Tensor> gradient(const GradArgs& g) {
  if (!is_floating(g.input(0).dtype())) return {Tensor()};
  return {cast_to(g.output_grad(0), g.input(0).dtype())};
}

/// Real to whole numbers truncates, saturates, and takes NaN to 0.
template <typename To>
To whole(double value) {
  if (value != value) return 0;
  if (value <= static_cast<double>(std::numeric_limits<To>::min()))
    return std::numeric_limits<To>::min();
  if (value >= static_cast<double>(std::numeric_limits<To>::max()))
    return std::numeric_limits<To>::max();
  return static_cast<To>(value);
}

void reference(KernelArgs& k) {
  const bool to_bool = k.out_types[0].dtype == DType::boolean;
  visit_dtype(k.in_types[0].dtype, [&](auto from_zero) {
    visit_dtype(k.out_types[0].dtype, [&](auto to_zero) {
      using From = decltype(from_zero);
      using To = decltype(to_zero);
      const auto x = k.in<From>(0);
      const auto y = k.out<To>();
      for (size_t i = 0; i < x.size(); ++i) {
        constexpr bool from_real = std::is_same_v<From, float> || std::is_same_v<From, BFloat16>;
        constexpr bool to_real = std::is_same_v<To, float> || std::is_same_v<To, BFloat16>;
        if constexpr (to_real) {
          y[i] = static_cast<To>(static_cast<float>(x[i]));
        } else if constexpr (from_real) {
          const auto value = static_cast<float>(x[i]);
          y[i] = to_bool ? To{value != 0} : whole<To>(value);
        } else {
          y[i] = to_bool ? To{x[i] != 0} : static_cast<To>(x[i]);
        }
      }
    });
  });
}

}  // namespace

extern const OpDef cast = {
    .name = "cast",
    .formula = "y = x in another dtype; real to whole truncates and saturates",
    .infer = infer,
    .gradient = gradient,
    .reference = reference,
    .any_dtype = true,
    .exact = true,
    .samples = {{.inputs = {{DType::f32, {3, 5}}}, .attributes = {{"dtype", DType::f32}}},
                {.inputs = {{DType::u8, {4, 7}}},
                 .attributes = {{"dtype", DType::f32}},
                 .index_limit = 255},
                {.inputs = {{DType::f32, {9}}},
                 .attributes = {{"dtype", DType::i32}},
                 .differentiate = {false}},
                {.inputs = {{DType::i64, {9}}}, .attributes = {{"dtype", DType::boolean}}}},
};

}  // namespace argosy::ops

#include <algorithm>
#include <cmath>

#include "ops/ops.h"

// One step of an optimizer for one parameter. `apply` is 1, or 0 for a step to be skipped: then
// nothing changes, whatever the gradient holds.
namespace argosy::ops {
namespace {

void require_real(const InferArgs& args) {
  for (const Type& type : args.in)
    args.require(is_floating(type.dtype), "operands need to be f32 or bf16");
}

std::vector<Type> infer_adamw(const InferArgs& args) {
  // parameter, gradient, m, v, learning rate, step (from 1), gradient scale, apply
  args.require(args.in.size() == 8, "needs 8 operands");
  require_real(args);
  for (size_t i = 1; i < 4; ++i)
    args.require(args.in[i].shape == args.in[0].shape, "parameter, gradient and moments differ");
  for (size_t i = 4; i < 8; ++i)
    args.require(args.in[i].shape.empty(), "the settings need to be scalars");
  return {args.in[0], args.in[2], args.in[3]};
}

void adamw_reference(KernelArgs& k) {
  const float beta1 = static_cast<float>(k.attributes.get<double>("beta1"));
  const float beta2 = static_cast<float>(k.attributes.get<double>("beta2"));
  const float epsilon = static_cast<float>(k.attributes.get<double>("epsilon"));
  const float decay = static_cast<float>(k.attributes.get<double>("weight_decay"));
  const float rate = k.in(4)[0], step = k.in(5)[0], scale = k.in(6)[0];
  const bool skip = k.in(7)[0] == 0;
  // in double: 1 - beta2^step begins at 0.001, where a float has lost four digits
  const auto correct1 = static_cast<float>(1.0 - std::pow(double{beta1}, step)),
             correct2 = static_cast<float>(std::sqrt(1.0 - std::pow(double{beta2}, step)));
  for (size_t i = 0; i < k.out(0).size(); ++i) {
    const float p = k.in(0)[i], g = k.in(1)[i] * scale, m = k.in(2)[i], v = k.in(3)[i];
    const float m_new = m + (1.0f - beta1) * (g - m), v_new = beta2 * v + (1.0f - beta2) * g * g;
    const float moved = p * (1.0f - rate * decay) -
                        rate / correct1 * m_new / (std::sqrt(v_new) / correct2 + epsilon);
    k.out(0)[i] = skip ? p : moved;
    k.out(1)[i] = skip ? m : m_new;
    k.out(2)[i] = skip ? v : v_new;
  }
}

std::vector<Type> infer_sgd(const InferArgs& args) {
  // parameter, gradient, momentum buffer, learning rate, gradient scale, apply
  require_real(args);
  for (size_t i = 3; i < args.in.size(); ++i)
    args.require(args.in[i].shape.empty(), "the settings need to be scalars");
  args.require(args.in.size() == 6 && args.in[1].shape == args.in[0].shape &&
                   args.in[2].shape == args.in[0].shape,
               "parameter, gradient and momentum differ");
  return {args.in[0], args.in[2]};
}

void sgd_reference(KernelArgs& k) {
  const float momentum = static_cast<float>(k.attributes.get<double>("momentum"));
  const float decay = static_cast<float>(k.attributes.get<double>("weight_decay"));
  const float rate = k.in(3)[0], scale = k.in(4)[0];
  const bool skip = k.in(5)[0] == 0;
  for (size_t i = 0; i < k.out(0).size(); ++i) {
    const float p = k.in(0)[i], b = k.in(2)[i];
    const float b_new = momentum * b + (k.in(1)[i] * scale + decay * p);
    k.out(0)[i] = skip ? p : p - rate * b_new;
    k.out(1)[i] = skip ? b : b_new;
  }
}

Sample adamw_sample(const Shape& shape) {
  Sample s = sample({shape, shape, shape, shape, {}, {}, {}, {}},
                    {{"beta1", 0.9}, {"beta2", 0.999}, {"epsilon", 1e-8}, {"weight_decay", 0.1}});
  s.low = 0.1f, s.high = 1;
  return s;
}

Sample sgd_sample(const Shape& shape) {
  return sample({shape, shape, shape, {}, {}, {}}, {{"momentum", 0.9}, {"weight_decay", 0.1}});
}

}  // namespace

extern const OpDef adamw_update = {
    .name = "adamw_update",
    .formula =
        "m' = m + (1 - b1)(g - m), v' = b2 v + (1 - b2) g^2, p' = p (1 - rate decay) - rate m'/(1 "
        "- b1^step) / "
        "(sqrt(v'/(1 - b2^step)) + epsilon)",
    .infer = infer_adamw,
    .flops = [](Types in, Types,
                const Attributes&) { return 12.0 * static_cast<double>(in[0].elements()); },
    .reference = adamw_reference,
    .in_place = {0, 2, 3},
    .samples = {adamw_sample({5}), adamw_sample({3, 67}), adamw_sample({0})},
};

extern const OpDef sgd_update = {
    .name = "sgd_update",
    .formula = "b' = momentum b + g + decay p, p' = p - rate b'",
    .infer = infer_sgd,
    .flops = [](Types in, Types,
                const Attributes&) { return 5.0 * static_cast<double>(in[0].elements()); },
    .reference = sgd_reference,
    .in_place = {0, 2},
    .samples = {sgd_sample({5}), sgd_sample({3, 67})},
};

}  // namespace argosy::ops

#include <algorithm>
#include <cmath>
#include <numbers>

#include "ops/ops.h"

// Ops that treat each element alone. Each is one row: formula, scalar meaning, gradient.
namespace argosy::ops {
namespace {

constexpr float kSqrt2 = std::numbers::sqrt2_v<float>;
constexpr float kTwoOverSqrtPi = 2.0f * std::numbers::inv_sqrtpi_v<float>;
// gelu's tanh form: 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
constexpr float kGeluScale = kSqrt2 * std::numbers::inv_sqrtpi_v<float>;
constexpr float kGeluCubic = 0.044715f;

std::vector<Type> infer_same_dtype(const InferArgs& args) {
  Type out = args.in[0];
  for (const Type& type : args.in) {
    args.require(type.dtype == out.dtype, "operands need one dtype");
    Shape shape;
    args.require(broadcast(out.shape, type.shape, shape), "shapes do not broadcast");
    out.shape = shape;
  }
  return {out};
}

std::vector<Type> infer_arithmetic(const InferArgs& args) {
  const bool whole = args.op.pointwise.integer != nullptr;
  for (const Type& type : args.in)
    args.require(
        is_floating(type.dtype) || (whole && is_integer(type.dtype)),
        whole ? "operands need to be f32, bf16, i32 or i64" : "operands need to be f32 or bf16");
  return infer_same_dtype(args);
}

std::vector<Type> infer_comparison(const InferArgs& args) {
  return {{DType::boolean, infer_same_dtype(args)[0].shape}};
}

std::vector<Type> infer_predicate(const InferArgs& args) {
  return {{DType::boolean, infer_arithmetic(args)[0].shape}};
}

std::vector<Type> infer_logical(const InferArgs& args) {
  for (const Type& type : args.in)
    args.require(type.dtype == DType::boolean, "operands need to be bool");
  return infer_same_dtype(args);
}

std::vector<Type> infer_select(const InferArgs& args) {
  args.require(args.in[0].dtype == DType::boolean, "the condition needs to be bool");
  args.require(args.in[1].dtype == args.in[2].dtype, "both choices need one dtype");
  Shape choices, all;
  args.require(broadcast(args.in[1].shape, args.in[2].shape, choices) &&
                   broadcast(choices, args.in[0].shape, all),
               "shapes do not broadcast");
  return {{args.in[1].dtype, all}};
}

double one_per_element(Types, Types out, const Attributes&) {
  return static_cast<double>(out[0].elements());
}

using Gradient = std::vector<Tensor> (*)(const GradArgs&);
using Real = float (*)(float, float, float);
using Integer = int64_t (*)(int64_t, int64_t, int64_t);

struct Range {
  float low, high;
};

OpDef unary(std::string_view name, std::string_view formula, Real real, Gradient gradient,
            Range range = {-2, 2}, Integer integer = nullptr) {
  OpDef op{.name = name,
           .formula = formula,
           .infer = infer_arithmetic,
           .gradient = gradient,
           .flops = one_per_element,
           .reference = pointwise_reference,
           .any_dtype = true,
           .precision = Precision::mixed};
  op.pointwise = {.arity = 1, .real = real, .integer = integer};
  op.in_place = {0};
  for (const Shape& shape : {Shape{5}, Shape{3, 1}, Shape{2, 0, 3}, Shape{}, Shape{4, 7, 33}}) {
    Sample s = sample({shape});
    s.low = range.low, s.high = range.high;
    op.samples.push_back(s);
  }
  return op;
}

OpDef binary(std::string_view name, std::string_view formula, Real real, Gradient gradient,
             bool commutative, Range range = {-2, 2}, Integer integer = nullptr) {
  OpDef op{.name = name,
           .formula = formula,
           .infer = infer_arithmetic,
           .gradient = gradient,
           .flops = one_per_element,
           .reference = pointwise_reference,
           .any_dtype = true,
           .precision = Precision::mixed};
  op.pointwise = {.arity = 2, .real = real, .integer = integer};
  op.commutative = commutative;
  op.in_place = {0};
  const std::vector<std::vector<Shape>> shapes = {
      {{5}, {5}},   {{3, 1}, {1, 4}}, {{2, 3, 17}, {17}},       {{2, 3, 5}, {3, 1}},
      {{}, {4, 9}}, {{0, 3}, {3}},    {{2, 5, 3, 2}, {5, 1, 2}}};
  for (const auto& pair : shapes) {
    Sample s = sample(pair);
    s.low = range.low, s.high = range.high;
    op.samples.push_back(s);
  }
  return op;
}

OpDef comparison(std::string_view name, std::string_view formula, Real real, Integer integer,
                 bool commutative = false) {
  OpDef op = binary(name, formula, real, nullptr, commutative, {-2, 2}, integer);
  op.infer = infer_comparison;
  op.in_place = {};
  op.exact = true;
  return op;
}

OpDef logical(std::string_view name, std::string_view formula, Real real) {
  OpDef op = binary(name, formula, real, nullptr, true);
  op.infer = infer_logical;
  op.exact = true;
  for (Sample& s : op.samples)
    for (Type& type : s.inputs) type.dtype = DType::boolean;
  return op;
}

OpDef exact(OpDef op) {
  op.exact = true;
  return op;
}

/// dx for y = f(x) where `slope` is f'(x).
std::vector<Tensor> chain(const GradArgs& g, const Tensor& slope) {
  return {g.output_grad(0) * slope};
}

/// A gradient reduced to the shape of operand `i`.
Tensor to_operand(const GradArgs& g, size_t i, const Tensor& grad) {
  return sum_to(grad, g.input(i).shape());
}

/// Gradient of max or min: where the operands are equal each gets half, as PyTorch does.
std::vector<Tensor> extreme_gradient(const GradArgs& g, const OpDef& wins) {
  const Tensor a = g.input(0), b = g.input(1), dy = g.output_grad(0);
  const Tensor zero = constant_like(dy, 0), half = dy * 0.5f, tie = apply(equal, {a, b});
  const auto part = [&](size_t i, const Tensor& x, const Tensor& y) {
    return to_operand(g, i, where(tie, half, where(apply(wins, {x, y}), dy, zero)));
  };
  return {part(0, a, b), part(1, b, a)};
}

/// The normal density has vanished before x^2 overflows.
float gelu_slope_at(float x) {
  const float near = x < -20 ? -20.0f : x > 20 ? 20.0f : x;
  return 0.5f * (1.0f + std::erf(x / kSqrt2)) +
         near * std::exp(-0.5f * near * near) * (0.5f * kGeluScale);
}
float gelu_inner(float x) { return kGeluScale * (x + kGeluCubic * x * x * x); }

}  // namespace

void pointwise_reference(KernelArgs& k) {
  const Shape& shape = k.out_shape();
  const int64_t n = count(shape);
  const size_t arity = k.in_types.size(), rank = shape.size();
  std::vector<std::vector<int64_t>> strides;
  for (const Type& type : k.in_types) strides.push_back(broadcast_strides(type.shape, shape));
  const Pointwise& meaning = k.op.pointwise;
  const bool integer = is_integer(k.in_types[arity - 1].dtype);

  std::vector<int64_t> index(rank, 0), at(arity, 0);
  for (int64_t i = 0; i < n; ++i) {
    double real[3] = {};
    int64_t whole[3] = {};
    for (size_t a = 0; a < arity; ++a)
      visit_dtype(k.in_types[a].dtype, [&](auto zero) {
        using T = decltype(zero);
        const T value = k.in<T>(a)[static_cast<size_t>(at[a])];
        if constexpr (std::is_same_v<T, BFloat16>) {
          real[a] = static_cast<float>(value);
        } else {
          real[a] = static_cast<double>(value);
          whole[a] = static_cast<int64_t>(value);
        }
      });
    visit_dtype(k.out_types[0].dtype, [&](auto zero) {
      using T = decltype(zero);
      if (integer)
        k.out<T>()[static_cast<size_t>(i)] =
            static_cast<T>(meaning.integer(whole[0], whole[1], whole[2]));
      else
        k.out<T>()[static_cast<size_t>(i)] = static_cast<T>(meaning.real(
            static_cast<float>(real[0]), static_cast<float>(real[1]), static_cast<float>(real[2])));
    });
    for (size_t d = rank; d-- > 0;) {  // an odometer over the output's indices
      ++index[d];
      for (size_t a = 0; a < arity; ++a) at[a] += strides[a][d];
      if (index[d] < shape[d]) break;
      for (size_t a = 0; a < arity; ++a) at[a] -= strides[a][d] * shape[d];
      index[d] = 0;
    }
  }
}

#define REAL(...)                          \
  [](float x, float y, float z) -> float { \
    (void)x, (void)y, (void)z;             \
    return __VA_ARGS__;                    \
  }
#define WHOLE(...)                                 \
  [](int64_t x, int64_t y, int64_t z) -> int64_t { \
    (void)x, (void)y, (void)z;                     \
    return __VA_ARGS__;                            \
  }
#define GRADIENT(...) [](const GradArgs& g) -> std::vector<Tensor> { __VA_ARGS__ }

const OpDef negate = exact(
    unary("negate", "y = -x", REAL(-x), GRADIENT(return {-g.output_grad(0)};), {-2, 2}, WHOLE(-x)));
const OpDef exp =
    unary("exp", "y = e^x", REAL(std::exp(x)), GRADIENT(return chain(g, g.output(0));));
const OpDef log = unary("log", "y = ln x", REAL(std::log(x)),
                        GRADIENT(return {g.output_grad(0) / g.input(0)};), {0.2f, 3});
const OpDef sqrt =
    exact(unary("sqrt", "y = sqrt(x)", REAL(std::sqrt(x)),
                GRADIENT(return {g.output_grad(0) * 0.5f / g.output(0)};), {0.2f, 3}));
const OpDef rsqrt =
    unary("rsqrt", "y = 1 / sqrt(x)", REAL(1.0f / std::sqrt(x)),
          GRADIENT(const Tensor y = g.output(0); return chain(g, -0.5f * y * y * y);), {0.2f, 3});
const OpDef reciprocal =
    exact(unary("reciprocal", "y = 1 / x", REAL(1.0f / x),
                GRADIENT(const Tensor y = g.output(0); return chain(g, -(y* y));), {0.3f, 3}));
const OpDef square =
    exact(unary("square", "y = x^2", REAL(x* x), GRADIENT(return chain(g, 2.0f * g.input(0));),
                {-2, 2}, WHOLE(x* x)));
const OpDef abs = exact(unary("abs", "y = |x|", REAL(std::fabs(x)),
                              GRADIENT(return chain(g, apply(sign, {g.input(0)}));), {0.1f, 2},
                              WHOLE(x < 0 ? -x : x)));
const OpDef sign =
    exact(unary("sign", "y = -1, 0 or 1 as x is below, at or above 0",
                REAL(x > 0   ? 1.0f
                     : x < 0 ? -1.0f
                             : x),
                GRADIENT((void)g; return {Tensor()};), {0.1f, 2}, WHOLE((x > 0) - (x < 0))));
const OpDef floor = exact(unary("floor", "y = the largest integer not above x", REAL(std::floor(x)),
                                GRADIENT((void)g; return {Tensor()};), {0.1f, 0.9f}));
const OpDef sin = unary("sin", "y = sin x", REAL(std::sin(x)),
                        GRADIENT(return chain(g, apply(cos, {g.input(0)}));));
const OpDef cos = unary("cos", "y = cos x", REAL(std::cos(x)),
                        GRADIENT(return chain(g, -apply(sin, {g.input(0)}));));
const OpDef tanh = unary("tanh", "y = tanh x", REAL(std::tanh(x)),
                         GRADIENT(const Tensor y = g.output(0); return chain(g, 1.0f - y * y);));
const OpDef sigmoid =
    unary("sigmoid", "y = 1 / (1 + e^-x)", REAL(1.0f / (1.0f + std::exp(-x))),
          GRADIENT(const Tensor y = g.output(0); return chain(g, y * (1.0f - y));));
const OpDef erf =
    unary("erf", "y = 2/sqrt(pi) * integral of e^(-t^2) from 0 to x", REAL(std::erf(x)),
          GRADIENT(const Tensor x = g.input(0);
                   return chain(g, kTwoOverSqrtPi* apply(exp, {-(x * x)}));));
// from y, not x, so that y may take x's place in memory
const OpDef relu =
    exact(unary("relu", "y = max(x, 0)", REAL(x > 0 || x != x ? x : 0.0f),
                GRADIENT(const Tensor dy = g.output_grad(0), zero = constant_like(dy, 0);
                         return {where(apply(greater, {g.output(0), zero}), dy, zero)};),
                {0.1f, 2}));
const OpDef gelu = unary("gelu", "y = x/2 * (1 + erf(x / sqrt(2)))",
                         REAL(0.5f * x * (1.0f + std::erf(x / kSqrt2))),
                         GRADIENT(return chain(g, apply(gelu_slope, {g.input(0)}));));
// one op and not its parts, since a transformer's backward pass is full of it
const OpDef gelu_slope = unary(
    "gelu_slope", "y = d gelu / dx = (1 + erf(x / sqrt(2))) / 2 + x e^(-x^2 / 2) / sqrt(2 pi)",
    REAL(gelu_slope_at(x)),
    GRADIENT(const Tensor x = g.input(0), squared = x * x; return chain(
                 g, apply(exp, {-0.5f * squared}) * (0.5f * kGeluScale) * (2.0f - squared));));
const OpDef gelu_tanh =
    unary("gelu_tanh", "y = x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3)))",
          REAL(0.5f * x * (1.0f + std::tanh(gelu_inner(x)))),
          GRADIENT(const Tensor x = g.input(0),
                   t = apply(tanh, {kGeluScale * (x + kGeluCubic * (x * x * x))});
                   return chain(g, 0.5f * (1.0f + t) + 0.5f * x * (1.0f - t * t) * kGeluScale *
                                                           (1.0f + 3.0f * kGeluCubic * (x * x)));));
const OpDef silu = unary("silu", "y = x / (1 + e^-x)", REAL(x / (1.0f + std::exp(-x))),
                         GRADIENT(const Tensor x = g.input(0), s = apply(sigmoid, {x});
                                  return chain(g, s * (1.0f + x * (1.0f - s)));));
const OpDef softplus = unary("softplus", "y = ln(1 + e^x)",
                             REAL(std::max(x, 0.0f) + std::log1p(std::exp(-std::fabs(x)))),
                             GRADIENT(return chain(g, apply(sigmoid, {g.input(0)}));));
const OpDef is_finite = [] {
  OpDef op = unary("is_finite", "y = x is neither infinite nor NaN",
                   REAL(std::isfinite(x) ? 1.0f : 0.0f), nullptr);
  op.exact = true;
  op.infer = infer_predicate;
  op.in_place = {};
  return op;
}();
const OpDef logical_not = [] {
  OpDef op = unary("logical_not", "y = not x", REAL(x == 0 ? 1.0f : 0.0f), nullptr);
  op.exact = true;
  op.infer = infer_logical;
  for (Sample& s : op.samples) s.inputs[0].dtype = DType::boolean;
  return op;
}();

const OpDef add = exact(binary("add", "z = x + y", REAL(x + y),
                               GRADIENT(const Tensor dz = g.output_grad(0);
                                        return {to_operand(g, 0, dz), to_operand(g, 1, dz)};),
                               true, {-2, 2}, WHOLE(x + y)));
const OpDef subtract = exact(binary("subtract", "z = x - y", REAL(x - y),
                                    GRADIENT(const Tensor dz = g.output_grad(0);
                                             return {to_operand(g, 0, dz), to_operand(g, 1, -dz)};),
                                    false, {-2, 2}, WHOLE(x - y)));
const OpDef multiply =
    exact(binary("multiply", "z = x * y", REAL(x* y),
                 GRADIENT(const Tensor dz = g.output_grad(0); return {
                     to_operand(g, 0, dz* g.input(1)), to_operand(g, 1, dz* g.input(0))};),
                 true, {-2, 2}, WHOLE(x* y)));
const OpDef divide = exact(
    binary("divide", "z = x / y", REAL(x / y),
           GRADIENT(const Tensor dz = g.output_grad(0), y = g.input(1);
                    return {to_operand(g, 0, dz / y), to_operand(g, 1, -(dz* g.output(0) / y))};),
           false, {0.4f, 2}));
const OpDef maximum = exact(binary("maximum", "z = max(x, y)", REAL(x != x || x > y ? x : y),
                                   GRADIENT(return extreme_gradient(g, greater);), true, {-2, 2},
                                   WHOLE(std::max(x, y))));
const OpDef minimum = exact(binary("minimum", "z = min(x, y)", REAL(x != x || x < y ? x : y),
                                   GRADIENT(return extreme_gradient(g, less);), true, {-2, 2},
                                   WHOLE(std::min(x, y))));
const OpDef power = binary(
    "power", "z = x^y", REAL(std::pow(x, y)),
    // x^0 is flat in x, and 0^y in y, though 0 * infinity stands in the formulas there
    GRADIENT(const Tensor dz = g.output_grad(0), x = g.input(0), y = g.input(1);
             const Tensor zero = constant_like(dz, 0), slope = y * apply(power, {x, y - 1.0f});
             const Tensor growth = g.output(0) * apply(log, {x});
             return {to_operand(g, 0, dz* where(apply(equal, {y, zero}), zero, slope)),
                     to_operand(g, 1, dz* where(apply(equal, {x, zero}), zero, growth))};),
    false, {0.4f, 2});
const OpDef greater = comparison("greater", "z = x > y", REAL(x > y), WHOLE(x > y));
const OpDef greater_equal = comparison("greater_equal", "z = x >= y", REAL(x >= y), WHOLE(x >= y));
const OpDef less = comparison("less", "z = x < y", REAL(x < y), WHOLE(x < y));
const OpDef equal = comparison("equal", "z = x == y", REAL(x == y), WHOLE(x == y), true);
const OpDef logical_and = logical("logical_and", "z = x and y", REAL(x != 0 && y != 0));
const OpDef logical_or = logical("logical_or", "z = x or y", REAL(x != 0 || y != 0));

const OpDef select = [] {
  OpDef op{.name = "select", .formula = "z = x where c holds, else y", .infer = infer_select};
  op.gradient = GRADIENT(
      const Tensor dz = g.output_grad(0), c = g.input(0), zero = constant_like(dz, 0); return {
          Tensor(), to_operand(g, 1, where(c, dz, zero)), to_operand(g, 2, where(c, zero, dz))};);
  op.flops = one_per_element;
  op.reference = pointwise_reference;
  op.any_dtype = true;
  op.precision = Precision::mixed;
  op.pointwise = {.arity = 3, .real = REAL(x != 0 ? y : z), .integer = WHOLE(x != 0 ? y : z)};
  op.exact = true;
  op.in_place = {1};
  for (auto shapes : std::vector<std::vector<Shape>>{
           {{5}, {5}, {5}}, {{2, 3, 17}, {17}, {}}, {{3, 1}, {1, 4}, {3, 4}}}) {
    Sample s = sample(shapes);
    s.inputs[0].dtype = DType::boolean;
    op.samples.push_back(s);
  }
  return op;
}();

}  // namespace argosy::ops

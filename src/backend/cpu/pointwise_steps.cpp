#include "backend/cpu/pointwise_steps.h"

#include <cmath>
#include <cstring>

#include "backend/cpu/backend.h"
#include "ops/ops.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "backend/cpu/pointwise_steps.cpp"
#include <hwy/foreach_target.h>
//
#include "backend/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace argosy::cpu::HWY_NAMESPACE {
V one() { return hn::Set(D(), 1.0f); }
V zero() { return hn::Zero(D()); }
/// Flags are held as 1 and 0.
template <typename M>
V flag(M mask) {
  return hn::IfThenElseZero(mask, one());
}

HWY_INLINE V sigmoid(V x) {
  // through e^-|x|, which cannot overflow
  const V e = exp_quick(hn::Neg(hn::Abs(x)));
  const V positive = quick_reciprocal(hn::Add(one(), e));
  return hn::IfThenElse(hn::Lt(x, zero()), hn::Mul(e, positive), positive);
}

// erf(x) = x P(x^2) / Q(x^2) where it is not 1 to rounding, by the quotient of least relative error
// on [0, 4]: 3e-7 in this arithmetic. No exponential, so that GELU is not bound by it.
HWY_INLINE V erf(V x) {
  const D d;
  const V s = hn::Mul(x, x);
  const V above = polynomial(s, 1.9867709397658473e-06f, 0.00028456724248826504f,
                             0.0038834058213979006f, 0.05310193821787834f, 0.19354651868343353f,
                             1.1283791065216064f),
          below = polynomial(s, 3.742012631846592e-05f, 0.0011855859775096178f,
                             0.015207375399768353f, 0.11535060405731201f, 0.504858672618866f, 1.0f);
  const V y = clamp(hn::Mul(hn::Mul(x, above), quick_reciprocal(below)), -1, 1);
  return hn::IfThenElse(hn::Gt(hn::Abs(x), hn::Set(d, 3.8325f)), hn::CopySign(one(), x), y);
}

HWY_INLINE V gelu_slope(V x) {
  const D d;
  const V near = clamp(x, -20, 20);
  const V density = exp_quick(hn::Mul(hn::Set(d, -0.5f), hn::Mul(near, near)));
  const V below =
      hn::MulAdd(hn::Set(d, 0.5f), erf(hn::Mul(x, hn::Set(d, 0.70710678f))), hn::Set(d, 0.5f));
  return hn::MulAdd(hn::Mul(near, hn::Set(d, 0.39894228f)), density, below);
}

// One row per op: its name in the table and its meaning on a vector.
#define STEP(Name, Expression)    \
  struct Name {                   \
    static V run(V x, V y, V z) { \
      (void)x, (void)y, (void)z;  \
      return Expression;          \
    }                             \
  };
STEP(Negate, hn::Neg(x))
STEP(Exp, exp(x))
STEP(Log, log(x))
STEP(Sqrt, hn::Sqrt(x))
STEP(Rsqrt, hn::Div(one(), hn::Sqrt(x)))
STEP(Reciprocal, hn::Div(one(), x))
STEP(Square, hn::Mul(x, x))
STEP(Abs, hn::Abs(x))
STEP(Sign,
     hn::IfThenElse(hn::Gt(x, zero()), one(), hn::IfThenElse(hn::Lt(x, zero()), hn::Neg(one()), x)))
STEP(Floor, hn::CopySign(hn::Floor(x), x))  // plain lanes lose the sign of -0
STEP(Sin, sin(x))
STEP(Cos, cos(x))
STEP(Tanh, tanh(x))
STEP(Sigmoid, sigmoid(x))
STEP(Erf, erf(x))
STEP(Relu, hn::IfThenZeroElse(hn::Le(x, zero()), x))
STEP(Gelu, hn::Mul(hn::Mul(hn::Set(D(), 0.5f), x),
                   hn::Add(one(), erf(hn::Mul(x, hn::Set(D(), 0.70710678f))))))
STEP(GeluSlope, gelu_slope(x))
STEP(GeluTanh,
     hn::Mul(x,
             sigmoid(hn::Mul(hn::Set(D(), 1.5957691216f),
                             hn::MulAdd(hn::Mul(hn::Mul(x, x), x), hn::Set(D(), 0.044715f), x)))))
STEP(Silu, hn::Mul(x, sigmoid(x)))
STEP(Softplus, keep_nan(x, hn::Add(hn::Max(x, zero()), hn::Log1p(D(), exp(hn::Neg(hn::Abs(x)))))))
STEP(IsFinite, flag(hn::Lt(hn::Abs(x), hn::Inf(D()))))
STEP(LogicalNot, flag(hn::Eq(x, zero())))
STEP(Add, hn::Add(x, y))
STEP(Subtract, hn::Sub(x, y))
STEP(Multiply, hn::Mul(x, y))
STEP(Divide, hn::Div(x, y))
STEP(Maximum, hn::IfThenElse(hn::Gt(x, y), x, hn::IfThenElse(hn::Eq(x, x), y, x)))
STEP(Minimum, hn::IfThenElse(hn::Lt(x, y), x, hn::IfThenElse(hn::Eq(x, x), y, x)))
STEP(Greater, flag(hn::Gt(x, y)))
STEP(GreaterEqual, flag(hn::Ge(x, y)))
STEP(Less, flag(hn::Lt(x, y)))
STEP(Equal, flag(hn::Eq(x, y)))
STEP(And, hn::IfThenElseZero(hn::Ne(x, zero()), flag(hn::Ne(y, zero()))))
STEP(Or, hn::IfThenElse(hn::Ne(x, zero()), one(), flag(hn::Ne(y, zero()))))
STEP(Select, hn::IfThenElse(hn::Ne(x, zero()), y, z))
#undef STEP

template <typename Op, int kArity>
void run_step(const float* a, const float* b, const float* c, float* out, size_t n) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  const auto load = [&](const float* p, size_t i) { return hn::LoadU(d, p + i); };
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const V x = load(a, i);
    hn::StoreU(Op::run(x, kArity > 1 ? load(b, i) : x, kArity > 2 ? load(c, i) : x), d, out + i);
  }
  if (i < n) {  // the rest through full vectors of copies
    HWY_ALIGN float rest[3][HWY_MAX_BYTES / sizeof(float)] = {};
    std::memcpy(rest[0], a + i, (n - i) * sizeof(float));
    if (kArity > 1) std::memcpy(rest[1], b + i, (n - i) * sizeof(float));
    if (kArity > 2) std::memcpy(rest[2], c + i, (n - i) * sizeof(float));
    hn::StoreU(Op::run(load(rest[0], 0), load(rest[1], 0), load(rest[2], 0)), d, rest[0]);
    std::memcpy(out + i, rest[0], (n - i) * sizeof(float));
  }
}

/// No vector form keeps the digits of x^y for large exponents.
void run_power(const float* x, const float* y, const float*, float* out, size_t n) {
  for (size_t i = 0; i < n; ++i) out[i] = std::pow(x[i], y[i]);
}

StepFunction FindStep(const OpDef* op) {
  struct Row {
    const OpDef* op;
    StepFunction run;
  };
  static const Row rows[] = {
      {&ops::negate, run_step<Negate, 1>},
      {&ops::exp, run_step<Exp, 1>},
      {&ops::log, run_step<Log, 1>},
      {&ops::sqrt, run_step<Sqrt, 1>},
      {&ops::rsqrt, run_step<Rsqrt, 1>},
      {&ops::reciprocal, run_step<Reciprocal, 1>},
      {&ops::square, run_step<Square, 1>},
      {&ops::abs, run_step<Abs, 1>},
      {&ops::sign, run_step<Sign, 1>},
      {&ops::floor, run_step<Floor, 1>},
      {&ops::sin, run_step<Sin, 1>},
      {&ops::cos, run_step<Cos, 1>},
      {&ops::tanh, run_step<Tanh, 1>},
      {&ops::sigmoid, run_step<Sigmoid, 1>},
      {&ops::erf, run_step<Erf, 1>},
      {&ops::relu, run_step<Relu, 1>},
      {&ops::gelu, run_step<Gelu, 1>},
      {&ops::gelu_slope, run_step<GeluSlope, 1>},
      {&ops::gelu_tanh, run_step<GeluTanh, 1>},
      {&ops::silu, run_step<Silu, 1>},
      {&ops::softplus, run_step<Softplus, 1>},
      {&ops::is_finite, run_step<IsFinite, 1>},
      {&ops::logical_not, run_step<LogicalNot, 1>},
      {&ops::add, run_step<Add, 2>},
      {&ops::subtract, run_step<Subtract, 2>},
      {&ops::multiply, run_step<Multiply, 2>},
      {&ops::divide, run_step<Divide, 2>},
      {&ops::maximum, run_step<Maximum, 2>},
      {&ops::minimum, run_step<Minimum, 2>},
      {&ops::power, run_power},
      {&ops::greater, run_step<Greater, 2>},
      {&ops::greater_equal, run_step<GreaterEqual, 2>},
      {&ops::less, run_step<Less, 2>},
      {&ops::equal, run_step<Equal, 2>},
      {&ops::logical_and, run_step<And, 2>},
      {&ops::logical_or, run_step<Or, 2>},
      {&ops::select, run_step<Select, 3>},
  };
  for (const Row& row : rows)
    if (row.op == op) return row.run;
  return nullptr;
}

}  // namespace argosy::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace argosy::cpu {

HWY_EXPORT(FindStep);

StepFunction find_step(const OpDef& op) { return HWY_DYNAMIC_DISPATCH(FindStep)(&op); }

std::string instruction_set() { return instruction_sets().front(); }

std::vector<std::string> instruction_sets() {
  std::vector<std::string> names;
  for (const int64_t target : hwy::SupportedAndGeneratedTargets())
    names.emplace_back(hwy::TargetName(target));
  return names;
}

void use_instruction_set(const std::string& name) {
  hwy::SetSupportedTargetsForTest(0);
  for (const int64_t target : hwy::SupportedAndGeneratedTargets())
    if (name == hwy::TargetName(target)) hwy::SetSupportedTargetsForTest(target);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace argosy::cpu
#endif

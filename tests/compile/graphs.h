#pragma once
#include "compile/differentiate.h"
#include "engine/session.h"
#include "kernel_runs.h"

/// Random graphs for the compiler's tests.
namespace argosy::test {

/// A legal graph of about `steps` random nodes: pointwise ops, broadcasts, reductions, reshapes,
/// transposes, slices, pads, matrix products, constants; with inputs, variables, outputs and
/// updates. Odd seeds are differentiated as well.
class RandomGraph {
 public:
  RandomGraph(uint64_t seed, int steps) : random_(seed, 23) {
    for (int i = 0; i < 3; ++i)
      pool_.push_back(graph_.input(fmt::format("in{}", i), {DType::f32, random_shape()}));
    for (int i = 0; i < 3; ++i)
      variables_.push_back(
          graph_.variable({.name = fmt::format("v{}", i)}, {DType::f32, random_shape()}));
    variables_.push_back(graph_.variable({.name = "twin"}, variables_[0].type()));
    pool_.insert(pool_.end(), variables_.begin(), variables_.end());
    for (int i = 0; i < steps; ++i) step();
    finish(seed % 2 == 1);
  }
  Graph take() { return std::move(graph_); }

 private:
  Tensor any() { return pool_[random_.below(pool_.size())]; }
  Shape random_shape() {
    static const std::vector<Shape> shapes = {{},     {1},       {6},       {4, 6},   {4, 1},
                                              {1, 6}, {2, 4, 6}, {3, 4, 6}, {17, 33}, {33}};
    return shapes[random_.below(shapes.size())];
  }

  const OpDef& pointwise_op(int arity) {
    std::vector<const OpDef*> fitting;
    for (const OpDef* op : ops::all_ops())
      if (op->pointwise.arity == arity && op->gradient) fitting.push_back(op);
    return *fitting[random_.below(fitting.size())];
  }

  void step() {
    const Tensor x = any();
    const int64_t rank = x.rank();
    const auto axis = [&] {
      return static_cast<int64_t>(random_.below(static_cast<uint64_t>(rank)));
    };
    switch (random_.below(12)) {
      case 0:
      case 1:
        return keep(ops::apply(pointwise_op(1), {x}));
      case 2:
      case 3:
      case 4: {
        const Tensor y = any();
        Shape shape;
        if (broadcast(x.shape(), y.shape(), shape) && count(shape) < 5000)
          keep(ops::apply(pointwise_op(2), {x, y}));
        return;
      }
      case 5: {
        const Tensor y = any();
        Shape shape;
        if (broadcast(x.shape(), y.shape(), shape) && count(shape) < 5000)
          keep(ops::where(ops::apply(ops::greater, {x, y}), x, y));
        return;
      }
      case 6:
        if (rank > 0) keep(ops::reduce_sum(x, {axis()}, random_.below(2) == 0));
        return;
      case 7:
        return keep(ops::reshape_to(x, random_.below(2) ? Shape{-1} : Shape{1, -1}));
      case 8:
        if (rank >= 2) keep(random_.below(2) ? ops::swap_last(x) : ops::apply(ops::softmax, {x}));
        return;
      case 9:
        if (rank > 0 && x.size(0) > 1)
          keep(random_.below(2) ? ops::slice_axis(x, 0, 1, x.size(0)) : ops::pad_axis(x, 0, 1, 2));
        return;
      case 10:
        if (rank == 2) {
          const bool first = random_.below(2) == 0;
          keep(ops::matrix_multiply(x, x, first, !first));
        }
        return;
      default: {
        const float numbers[] = {0, 1, -1, 0.5f, 2};
        return keep(ops::broadcast_shape(graph_.constant(numbers[random_.below(5)]), x.shape()));
      }
    }
  }
  void keep(const Tensor& t) { pool_.push_back(t); }

  void finish(bool differentiated) {
    if (differentiated) {
      Tensor loss = graph_.constant(0);
      for (int i = 0; i < 4; ++i) loss = loss + ops::reduce_sum(ops::apply(ops::tanh, {any()}));
      for (const Tensor& grad : gradients(loss, variables_)) keep(grad);
      graph_.output("loss", loss);
    }
    for (int i = 0; i < 4; ++i) graph_.output(fmt::format("out{}", i), any());
    graph_.output("last", pool_.back());
    graph_.output("variable", variables_[1]);  // what it holds before the update
    if (random_.below(2) == 0) {               // two that trade places
      graph_.update(variables_[0], variables_[3]);
      graph_.update(variables_[3], variables_[0]);
    } else {
      update(variables_[0]);
      update(variables_[3]);
    }
    update(variables_[1]);
    update(variables_[2]);
  }
  /// By any value of its type, or by a step of its own.
  void update(const Tensor& variable) {
    std::vector<Tensor> fitting;
    for (const Tensor& t : pool_)
      if (t.type() == variable.type()) fitting.push_back(t);
    const Tensor value = fitting[random_.below(fitting.size())];
    graph_.update(variable, random_.below(2) ? value : variable * 0.5f + value);
  }

  Random random_;
  Graph graph_;
  std::vector<Tensor> pool_, variables_;
};

/// Random inputs and state.
inline void feed(Session& session, uint64_t seed) {
  Random random(seed, 5);
  for (const NamedBuffer& input : session.program().inputs)
    for (float& x : session.input(input.name).as()) x = random.uniform(0.2f, 2.0f);
  for (const TensorView& view : session.state())
    for (float& x : view.as()) x = random.uniform(0.2f, 2.0f);
}

/// All outputs and all state, byte after byte.
inline std::string bytes_after_runs(Session& session, int runs) {
  for (int i = 0; i < runs; ++i) session.run();
  std::string bytes;
  const auto take = [&](const TensorView& view) {
    bytes += view.name;
    for (const float x : view.as())
      bytes += x != x ? std::string("nan ") : std::string(reinterpret_cast<const char*>(&x), 4);
  };
  for (const NamedBuffer& output : session.program().outputs) take(session.output(output.name));
  for (const TensorView& view : session.state()) take(view);
  return bytes;
}

}  // namespace argosy::test

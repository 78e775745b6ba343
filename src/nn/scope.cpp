#include "nn/scope.h"

namespace argosy::nn {

Scope::Scope(Graph& graph, bool training, Tensor seed) : shared_(std::make_shared<Shared>()) {
  shared_->graph = &graph;
  shared_->training = training;
  shared_->seed = seed;
}

Scope Scope::operator/(const std::string& name) const {
  Scope child = *this;
  child.path_ = full(name);
  graph().label = child.path_;
  return child;
}

Tensor Scope::parameter(const std::string& name, const Shape& shape, Initializer initialize,
                        bool decayed) const {
  return graph().variable({.name = full(name),
                           .initialize = std::move(initialize),
                           .trainable = true,
                           .decayed = decayed},
                          {DType::f32, shape});
}

Tensor Scope::statistic(const std::string& name, const Shape& shape, Initializer initialize) const {
  return graph().variable({.name = full(name), .initialize = std::move(initialize)},
                          {DType::f32, shape});
}

}  // namespace argosy::nn

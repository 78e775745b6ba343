#include "nn/scope.h"

#include "ir/panels.h"
#include "nn/initializers.h"

namespace argosy::nn {

Scope::Scope(Graph& graph, bool training, Tensor seed) : shared_(std::make_shared<Shared>()) {
  shared_->graph = &graph;
  shared_->training = training;
  shared_->seed = seed;
}

Scope::Scope(Graph& graph, WeightFormats formats) : Scope(graph, false) {
  shared_->formats = std::move(formats);
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

Weight Scope::weight(const std::string& name, int64_t rows, int64_t columns,
                     Initializer initialize) const {
  Weight weight = {.rows = rows, .columns = columns, .format = format_of(name)};
  const Adapters& adapters = shared_->adapters;
  if (adapters.rank > 0 && adapters.of(full(name))) {
    weight.down = parameter(kAdapterDown, {adapters.rank, columns}, fan_in_uniform(columns), true);
    weight.up = parameter(kAdapterUp, {rows, adapters.rank}, {}, true);
    weight.scale = adapters.scale;
  }
  weight.values = weight.format ? graph().variable({.name = full(name)},
                                                   panels_type(*weight.format, {rows, columns}))
                                : parameter(name, {rows, columns}, std::move(initialize), true);
  return weight;
}

Weight Scope::weights(const std::string& name, int64_t groups, int64_t rows, int64_t columns,
                      Initializer initialize) const {
  Weight weight = {.rows = rows, .columns = columns, .format = format_of(name)};
  weight.values = weight.format
                      ? graph().variable({.name = full(name)},
                                         panels_type(*weight.format, {groups, rows, columns}))
                      : parameter(name, {groups, columns, rows}, std::move(initialize), true);
  return weight;
}

Tensor Scope::memory(const std::string& name, const Type& type) const {
  return graph().variable({.name = full(name), .kept = false, .gradual = true}, type);
}

Tensor Scope::statistic(const std::string& name, const Shape& shape, Initializer initialize) const {
  return graph().variable({.name = full(name), .initialize = std::move(initialize)},
                          {DType::f32, shape});
}

}  // namespace argosy::nn

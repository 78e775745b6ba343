#pragma once
#include <memory>
#include <string>
#include <vector>

#include "ir/graph.h"

namespace argosy::nn {

/// Where a layer stands in a model: the graph, the name in front of its parameters, and whether the
/// graph is for training. Layers are plain functions that take a Scope first.
class Scope {
 public:
  /// seed  one i64 that changes every step, for dropout; may be empty when not training
  Scope(Graph& graph, bool training, Tensor seed = {});

  /// The scope one level down: scope / "encoder" / "conv1".
  Scope operator/(const std::string& name) const;

  Graph& graph() const { return *shared_->graph; }
  bool training() const { return shared_->training; }
  const Tensor& seed() const { return shared_->seed; }
  int64_t next_stream() const { return shared_->streams++; }  ///< a number for each random op

  /// A trainable f32 tensor named after this scope.
  Tensor parameter(const std::string& name, const Shape& shape, Initializer initialize,
                   bool decayed) const;
  /// Kept, not trained: running statistics.
  Tensor statistic(const std::string& name, const Shape& shape, Initializer initialize) const;
  /// `variable` takes `value` at the end of a step, if the step is applied.
  void later(const Tensor& variable, const Tensor& value) const {
    shared_->pending.push_back({variable, value});
  }

  struct Pending {
    Tensor variable, value;
  };
  const std::vector<Pending>& pending() const { return shared_->pending; }

 private:
  struct Shared {
    Graph* graph;
    bool training;
    Tensor seed;
    int64_t streams = 0;
    std::vector<Pending> pending;
  };
  std::string full(const std::string& name) const {
    return path_.empty() ? name : path_ + "/" + name;
  }

  std::shared_ptr<Shared> shared_;
  std::string path_;
};

}  // namespace argosy::nn

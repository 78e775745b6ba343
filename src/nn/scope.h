#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ir/graph.h"
#include "nn/weight.h"

namespace argosy::nn {

/// In which format the matrix of a name is kept; empty: as f32 to be trained.
using WeightFormats = std::function<std::optional<BlockFormat>(const std::string& name)>;

/// The parts of an adapter, beside the "weight" that it is of.
inline constexpr const char *kAdapterDown = "adapter_down", *kAdapterUp = "adapter_up";

/// Low-rank adapters of matrices (Hu et al. 2021, "LoRA"): they alone are trained.
struct Adapters {
  int64_t rank = 0;  ///< 0: there are none, and everything is trained
  float scale = 1;
  std::function<bool(const std::string& name)> of;  ///< whether the matrix of a name has one
};

/// Where a layer stands in a model: the graph, the name in front of its parameters, and whether the
/// graph is for training. Layers are plain functions that take a Scope first.
class Scope {
 public:
  /// seed  one i64 that changes every step, for dropout; may be empty when not training
  Scope(Graph& graph, bool training, Tensor seed = {});
  /// For a graph that uses a model: matrices are kept as `formats` says.
  Scope(Graph& graph, WeightFormats formats);

  /// From here on matrices are made with these.
  void use(Adapters adapters) const { shared_->adapters = std::move(adapters); }

  /// The scope one level down: scope / "encoder" / "conv1".
  Scope operator/(const std::string& name) const;

  const std::string& path() const { return path_; }
  Graph& graph() const { return *shared_->graph; }
  bool training() const { return shared_->training; }
  const Tensor& seed() const { return shared_->seed; }
  int64_t next_stream() const { return shared_->streams++; }  ///< a number for each random op

  /// A trainable f32 tensor named after this scope.
  Tensor parameter(const std::string& name, const Shape& shape, Initializer initialize,
                   bool decayed) const;
  /// A trainable matrix named after this scope, which rows are multiplied with.
  Weight weight(const std::string& name, int64_t rows, int64_t columns,
                Initializer initialize) const;
  /// The same for each of `groups`, without adapters.
  Weight weights(const std::string& name, int64_t groups, int64_t rows, int64_t columns,
                 Initializer initialize) const;
  /// Kept, not trained: running statistics.
  Tensor statistic(const std::string& name, const Shape& shape, Initializer initialize) const;
  /// What the graph keeps between runs and checkpoints leave out, written bit by bit: starts with
  /// zeros.
  Tensor memory(const std::string& name, const Type& type) const;
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
    WeightFormats formats;
    Adapters adapters;
    std::vector<Pending> pending;
  };
  std::string full(const std::string& name) const {
    return path_.empty() ? name : path_ + "/" + name;
  }
  std::optional<BlockFormat> format_of(const std::string& name) const {
    return shared_->formats ? shared_->formats(full(name)) : std::nullopt;
  }

  std::shared_ptr<Shared> shared_;
  std::string path_;
};

}  // namespace argosy::nn

#pragma once
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "base/check.h"
#include "ir/shape.h"

namespace argosy {

class Graph;

/// The literal bytes of a constant.
using Bytes = std::shared_ptr<const std::vector<std::byte>>;
/// A graph inside a node: the body of a fused group.
using Body = std::shared_ptr<const Graph>;

/// What a node knows beside its inputs, by name.
class Attributes {
 public:
  using Value =
      std::variant<bool, int64_t, double, DType, std::string, std::vector<int64_t>, Bytes, Body>;

  Attributes() = default;
  Attributes(std::initializer_list<std::pair<const std::string, Value>> values) : values_(values) {}

  template <typename T>
  const T& get(const std::string& name) const {
    const auto found = values_.find(name);
    check(found != values_.end() && std::holds_alternative<T>(found->second),
          "attribute {} is missing or of another type", name);
    return std::get<T>(found->second);
  }
  template <typename T>
  T get_or(const std::string& name, T otherwise) const {
    return values_.contains(name) ? get<T>(name) : otherwise;
  }
  void set(const std::string& name, Value value) { values_[name] = std::move(value); }

  const std::map<std::string, Value>& values() const { return values_; }
  bool operator==(const Attributes&) const = default;

 private:
  std::map<std::string, Value> values_;
};

/// "{axis=1, transpose_b=true}", or "" when there are none.
std::string to_text(const Attributes& attributes);

}  // namespace argosy

#include "engine/state_file.h"

#include <algorithm>

#include "base/error.h"
#include "engine/safetensors.h"

namespace argosy {
namespace {

constexpr std::string_view kAverage = "average/", kOptimizer = "optimizer/";

std::string average_name(const std::string& name) { return std::string(kAverage) + name; }

[[noreturn]] void fail(const Path& file, const std::string& what) {
  throw Error({.what = what,
               .where = file,
               .fix = "use the checkpoint with the recipe it was trained with",
               .kind = ErrorKind::file});
}

void fill(const TensorView& view, const NamedTensor& tensor, const Path& file) {
  if (tensor.type != view.type)
    fail(file,
         fmt::format("tensor {} is {}, the model has {}", tensor.name, tensor.type, view.type));
  std::copy(tensor.bytes.begin(), tensor.bytes.end(), view.bytes.begin());
}

}  // namespace

void write_state(const Session& session, const Path& file) {
  std::vector<NamedTensor> tensors;
  for (const TensorView& view : session.state())
    tensors.push_back({view.name, view.type, view.bytes});
  write_safetensors(file, tensors);
}

void read_state(Session& session, const Path& file) {
  const SafetensorsFile stored(file);
  const std::vector<TensorView> views = session.state();
  for (const NamedTensor& tensor : stored.tensors())
    if (!session.has_state(tensor.name))
      fail(file, fmt::format("the model has no tensor {}", tensor.name));
  for (const TensorView& view : views)
    if (!stored.find(view.name)) fail(file, fmt::format("tensor {} is missing", view.name));
  for (const TensorView& view : views) fill(view, *stored.find(view.name), file);
}

void read_parameters(Session& session, const Path& file, bool averaged) {
  const SafetensorsFile stored(file);
  for (const TensorView& view : session.state()) {
    const NamedTensor* tensor = averaged ? stored.find(average_name(view.name)) : nullptr;
    if (!tensor) tensor = stored.find(view.name);
    if (!tensor) fail(file, fmt::format("tensor {} is missing", view.name));
    fill(view, *tensor, file);
  }
}

void begin_with_parameters(Session& session, const Path& file, bool averaged) {
  const SafetensorsFile stored(file);
  for (const TensorView& view : session.state()) {
    if (view.name.starts_with(kOptimizer)) continue;
    const std::string name =
        view.name.starts_with(kAverage) ? view.name.substr(kAverage.size()) : view.name;
    const NamedTensor* tensor = averaged ? stored.find(average_name(name)) : nullptr;
    if (!tensor) tensor = stored.find(name);
    if (!tensor) fail(file, fmt::format("tensor {} is missing", name));
    fill(view, *tensor, file);
  }
}

void copy_parameters(const Session& from, Session& to, bool averaged) {
  for (const TensorView& view : to.state()) {
    const std::string average = average_name(view.name);
    const std::string& source = averaged && from.has_state(average) ? average : view.name;
    if (!from.has_state(source)) continue;
    const TensorView stored = from.state(source);
    check(stored.type == view.type, "{}: {} and {}", view.name, stored.type, view.type);
    std::copy(stored.bytes.begin(), stored.bytes.end(), view.bytes.begin());
  }
}

}  // namespace argosy

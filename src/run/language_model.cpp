#include "run/language_model.h"

#include <algorithm>
#include <deque>
#include <vector>

#include "engine/safetensors.h"
#include "model_files/format_tables.h"
#include "model_files/known_models.h"
#include "run/language_training.h"
#include "run/run_folder.h"
#include "text/chat_template.h"
#include "text/tokenizer_files.h"

namespace argosy::run {
namespace {

using model_files::fail_model;
using model_files::LanguageModel;
using model_files::Weight;

std::span<const float> numbers(const NamedTensor& tensor) {
  return {reinterpret_cast<const float*>(tensor.bytes.data()), tensor.bytes.size() / sizeof(float)};
}

/// values + scale up down
std::vector<float> with_adapter(const NamedTensor& values, const NamedTensor& down,
                                const NamedTensor& up, double scale) {
  const auto rows = static_cast<size_t>(values.type.shape[0]),
             columns = static_cast<size_t>(values.type.shape[1]),
             rank = static_cast<size_t>(down.type.shape[0]);
  const auto v = numbers(values), d = numbers(down), u = numbers(up);
  std::vector<float> sum(v.begin(), v.end());
  for (size_t row = 0; row < rows; ++row)
    for (size_t r = 0; r < rank; ++r) {
      const float factor = static_cast<float>(scale) * u[row * rank + r];
      for (size_t c = 0; c < columns; ++c) sum[row * columns + c] += factor * d[r * columns + c];
    }
  return sum;
}

/// The last checkpoint of a run that trains a language model: its weights, or their moving average
/// where the recipe keeps one.
LanguageModel open_run_model(const Path& folder) {
  const Recipe recipe = read_run_recipe(folder);
  if (!is_language_recipe(recipe))
    fail_model(folder,
               fmt::format("the run trains {}, which is no language model", recipe.model.name),
               "name a run of a language model");
  const Path file = find_checkpoint(folder, "last").folder / kStateFile;
  LanguageModel model;
  model.name = std::filesystem::absolute(folder).lexically_normal().filename().string();
  model.path = file;
  model.kind = "run";
  model.tokenizer = text::open_tokenizer(folder);
  model.chat_template = text::find_chat_template(folder);
  model.options = language_options(recipe, vocabulary_of(recipe, *model.tokenizer));
  /// The file, and the matrices that are not in it as they are.
  struct Mapping {
    explicit Mapping(const Path& path) : file(path) {}
    SafetensorsFile file;
    std::deque<std::vector<float>> adapted;
  };
  const auto mapping = std::make_shared<Mapping>(file);
  const auto find = [&](const std::string& name) {
    const NamedTensor* average =
        recipe.average.decay > 0 ? mapping->file.find("average/" + name) : nullptr;
    return average ? average : mapping->file.find(name);
  };
  Graph graph;  // says which weights there are
  models::build_language_model(nn::Scope(graph, false), graph.input("tokens", {DType::i32, {1, 1}}),
                               model.options);
  for (const Variable& variable : graph.variables()) {
    const NamedTensor* tensor = find(variable.name);
    if (!tensor || tensor->type != graph.type(variable.value))
      fail_model(
          file,
          fmt::format("tensor {} is missing or not {}", variable.name, graph.type(variable.value)),
          "use the checkpoint with the recipe it was trained with");
    Weight weight;
    weight.name = variable.name;
    weight.shape = tensor->type.shape;
    weight.bytes = tensor->bytes;
    if (Shape& shape = weight.shape; shape.size() == 3) {  // of experts, see nn::Weight
      std::swap(shape[1], shape[2]);
      weight.transposed = true;
    }
    const std::string folder_of = variable.name.substr(0, variable.name.rfind('/') + 1);
    const NamedTensor *down = find(folder_of + nn::kAdapterDown),
                      *up = find(folder_of + nn::kAdapterUp);
    if (down && up) {
      mapping->adapted.push_back(with_adapter(*tensor, *down, *up, recipe.language.adapter_scale));
      weight.bytes = std::as_bytes(std::span(mapping->adapted.back()));
    }
    model.weights.push_back(std::move(weight));
  }
  model.mapping = mapping;
  return model;
}

LanguageModel open_path(const Path& path) {
  return is_run(path) ? open_run_model(path) : model_files::open_model(path);
}

}  // namespace

bool is_model_in_files(const std::string& name_or_path) {
  if (is_there(name_or_path)) return !is_run(name_or_path) && model_files::is_model(name_or_path);
  const std::vector<std::string> installed = model_files::installed_models();
  return std::ranges::find(installed, name_or_path) != installed.end();
}

LanguageModel open_language_model(const std::string& name_or_path) {
  if (is_there(name_or_path)) return open_path(name_or_path);
  LanguageModel model = open_path(model_files::find_installed_model(name_or_path));
  model.name = name_or_path;
  return model;
}

}  // namespace argosy::run

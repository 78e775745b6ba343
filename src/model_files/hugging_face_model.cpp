#include <set>

#include "base/error.h"
#include "engine/safetensors.h"
#include "model_files/format_tables.h"
#include "model_files/hugging_face_config.h"
#include "text/chat_template.h"
#include "text/tokenizer_files.h"

namespace argosy::model_files {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostJsonBytes = size_t{1} << 26;

std::string read_json(const Path& file) { return read_file(file, kMostJsonBytes); }

/// The files with the weights: those that the index names, or the only one.
std::vector<Path> weight_files(const Path& folder) {
  const Path index = folder / "model.safetensors.index.json", single = folder / "model.safetensors";
  std::vector<Path> files;
  if (fs::exists(index))
    for (const std::string& name : read_weight_index(read_json(index), index))
      files.push_back(folder / name);
  else if (fs::exists(single))
    files.push_back(single);
  else
    fail_model(folder, "the folder has no model.safetensors and no model.safetensors.index.json",
               "convert the weights to safetensors, or give another copy of the model");
  return files;
}

BlockFormat format_of(const NamedTensor& tensor, const Path& file) {
  const auto format = block_format_named(name_of(tensor.type.dtype));
  if (!format)
    fail_model(file,
               fmt::format("tensor {} is {}, not of f32, f16 or bf16", tensor.name, tensor.type));
  return *format;
}

/// What files have beside the weights: what follows from the options, and a tied table once more.
bool is_spare(const std::string& name, const models::LanguageOptions& options) {
  return name.ends_with(".rotary_emb.inv_freq") || (options.tied && name == "lm_head.weight");
}

}  // namespace

LanguageModel open_hugging_face_model(const Path& folder) {
  const Path config_file = folder / "config.json";
  const HuggingFaceConfig config = read_config(read_json(config_file), config_file);
  LanguageModel model;
  model.path = folder;
  model.name = fs::canonical(folder).filename();
  model.kind = "Hugging Face";
  model.options = config.options;

  auto files = std::make_shared<std::vector<SafetensorsFile>>();
  std::vector<StoredTensor> stored;
  std::set<std::string> names;
  for (const Path& path : weight_files(folder))
    for (const NamedTensor& tensor : files->emplace_back(path).tensors()) {
      if (is_spare(tensor.name, model.options)) continue;
      if (!names.insert(tensor.name).second)
        fail_model(path, fmt::format("tensor {} is in another file too", tensor.name));
      stored.push_back({tensor.name, tensor.type.shape, format_of(tensor, path), tensor.bytes});
    }
  model.weights =
      match_weights(named_weights(*config.format, model.options, &models::WeightName::hugging_face),
                    stored, folder);
  model.mapping = std::move(files);
  model.tokenizer = text::open_tokenizer(folder);
  expect_fit(*model.tokenizer, model.options, folder);
  model.chat_template = text::find_chat_template(folder);
  return model;
}

}  // namespace argosy::model_files

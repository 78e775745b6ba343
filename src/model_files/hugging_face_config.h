#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "model_files/format_tables.h"
#include "models/language_format.h"

/// The JSON files of a model folder as Hugging Face has it. All take the text of the file and its
/// name for errors, and throw Error (file): it is not JSON, is nested too deeply, a key is missing,
/// of another type or out of its limits.
namespace argosy::model_files {

struct HuggingFaceConfig {
  const models::LanguageFormat* format = nullptr;
  models::LanguageOptions options;
};
/// config.json
HuggingFaceConfig read_config(std::string_view json, const Path& file);

/// model.safetensors.index.json: the names of the files with the weights, each once.
std::vector<std::string> read_weight_index(std::string_view json, const Path& file);

}  // namespace argosy::model_files

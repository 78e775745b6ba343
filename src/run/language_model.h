#pragma once
#include <string>

#include "model_files/language_model.h"

/// Language models as people name them.
namespace argosy::run {

/// Opens what model_files::open_model() does, the last checkpoint of a run, or a model by the name
/// it has in models_folder().
///
/// throws  Error: as open_model(); there is no such model (the nearest name is told); a run that
///         trains none, or whose checkpoint is of another recipe
model_files::LanguageModel open_language_model(const std::string& name_or_path);

/// True for a file, a folder with a model in files, or an installed name; not for runs.
bool is_model_in_files(const std::string& name_or_path);

}  // namespace argosy::run

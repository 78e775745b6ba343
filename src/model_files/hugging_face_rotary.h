#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "models/language.h"

/// LanguageOptions::rotary_divisors as "rope_scaling" of config.json has them: a JSON object, or
/// null where there are none.
namespace argosy::model_files {

/// The options say base and width of heads.
/// throws  Error (file): a kind that is not known, a number that is missing or out of its limits
std::vector<float> read_rotary_scaling(std::string_view json,
                                       const models::LanguageOptions& options, const Path& file);

std::string rotary_scaling(const models::LanguageOptions& options);

}  // namespace argosy::model_files

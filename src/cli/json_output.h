#pragma once
#include <string>

/// What every command's --json FILE does.
namespace argosy::cli {

inline constexpr const char* kJsonHelp =
    "write the figures as JSON to this file; -: to standard output, and nothing else there";

/// Whether `--json` asks for standard output, so that the page for people stays away from it.
inline bool on_standard_output(const std::string& file) { return file == "-"; }

/// `json` to the file, whole or not at all, or to standard output for "-"; ends with one newline.
void write_json(const std::string& file, std::string json);

}  // namespace argosy::cli

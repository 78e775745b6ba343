#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace argosy::data {

/// manifest.json of a Donkey Car v4 tub: five lines of JSON (inputs, types, metadata, manifest
/// metadata, catalog metadata).
struct TubManifest {
  struct Input {
    std::string name, type;  ///< "user/angle", "float"
  };
  std::vector<Input> inputs;
  std::vector<std::string> catalogs;  ///< file names as written: not yet safe to open
  std::vector<int64_t> deleted;       ///< record indexes, ascending
  double created_s = 0;               ///< Unix time; 0 where it is not said

  bool is_deleted(int64_t index) const;
};

/// throws Error naming `where` (the file) and the line
TubManifest parse_tub_manifest(std::string_view text, const std::string& where);

}  // namespace argosy::data

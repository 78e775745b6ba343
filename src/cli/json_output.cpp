#include "cli/json_output.h"

#include <fmt/format.h>

#include "base/files.h"

namespace argosy::cli {

void write_json(const std::string& file, std::string json) {
  if (!json.ends_with('\n')) json += '\n';
  if (on_standard_output(file))
    fmt::print("{}", json);
  else
    write_file_atomically(file, json);
}

}  // namespace argosy::cli

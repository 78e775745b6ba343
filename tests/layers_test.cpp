// Walks every #include "..." under src/ and holds it against the order of the folders: a file may
// include its own folder and folders of a smaller number, so siblings do not meet.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "shared.h"

namespace {
namespace fs = std::filesystem;

const std::map<std::string, int> kLayers = {
    {"cli", 11},        {"train", 9},  {"eval", 9},    {"serve", 9},       {"plan", 9},
    {"bench", 9},       {"fleet", 10}, {"drive", 9},   {"run", 8},         {"model_files", 7},
    {"models", 6},      {"query", 6},  {"nn", 5},      {"data", 5},        {"world", 5},
    {"text", 5},        {"engine", 4}, {"compile", 3}, {"backend/cpu", 3}, {"backend/cuda", 3},
    {"backend/sim", 3}, {"ops", 2},    {"comm", 2},    {"ir", 1},          {"base", 0},
};

/// "backend/cpu/matmul.h" -> "backend/cpu"; nothing for a file in no known folder.
std::optional<std::string> layer_of(const std::string& file) {
  std::string folder = fs::path(file).parent_path().generic_string();
  for (; !folder.empty(); folder = fs::path(folder).parent_path().generic_string())
    if (kLayers.contains(folder)) return folder;
  return std::nullopt;
}

/// The names in the lines #include "NAME".
std::vector<std::string> includes(const std::string& source) {
  std::vector<std::string> names;
  std::istringstream lines(source);
  for (std::string line; std::getline(lines, line);) {
    size_t at = line.find_first_not_of(" \t");
    if (at == std::string::npos || line[at] != '#') continue;
    at = line.find_first_not_of(" \t", at + 1);
    if (at == std::string::npos || line.compare(at, 7, "include") != 0) continue;
    const size_t open = line.find('"', at);
    const size_t close = open == std::string::npos ? open : line.find('"', open + 1);
    if (close != std::string::npos) names.push_back(line.substr(open + 1, close - open - 1));
  }
  return names;
}

/// What is wrong with the includes of one file; its name is relative to src/.
std::vector<std::string> faults_of(const std::string& file, const std::string& source) {
  const auto own = layer_of(file);
  if (!own) return {fmt::format("src/{} is in a folder that the table of layers lacks", file)};
  std::vector<std::string> faults;
  for (const std::string& name : includes(source)) {
    const auto other = layer_of(name);
    if (!other)
      faults.push_back(fmt::format("src/{} includes \"{}\", which names no layer", file, name));
    else if (*other != *own && kLayers.at(*other) >= kLayers.at(*own))
      faults.push_back(fmt::format("src/{} ({}) includes \"{}\" ({})", file, kLayers.at(*own), name,
                                   kLayers.at(*other)));
  }
  return faults;
}

std::string text_of(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

}  // namespace

TEST_CASE("layers: no file includes a folder above or beside its own") {
  const fs::path root = fs::path(ARGOSY_SOURCE_DIR) / "src";
  size_t files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    const std::string extension = entry.path().extension();
    if (extension != ".h" && extension != ".cpp" && extension != ".cu" && extension != ".cuh")
      continue;
    ++files;
    for (const std::string& fault :
         faults_of(entry.path().lexically_relative(root).generic_string(), text_of(entry.path())))
      FAIL_CHECK(fault);
  }
  CHECK(files > 20);
}

TEST_CASE("layers: an include upwards, sideways or without a folder is found") {
  CHECK(faults_of("base/a.cpp", "#include \"ir/graph.h\"").size() == 1);
  CHECK(faults_of("train/a.cpp", "  #  include \"eval/b.h\"  // why").size() == 1);
  CHECK(faults_of("backend/cpu/a.cpp", "#include \"backend/sim/b.h\"").size() == 1);
  CHECK(faults_of("compile/a.cpp", "#include \"backend/cpu/b.h\"").size() == 1);
  CHECK(faults_of("base/a.cpp", "#include \"error.h\"").size() == 1);
  CHECK(faults_of("common/a.cpp", "").size() == 1);
  CHECK(faults_of("train/a.cpp", "#include <vector>\n#include \"train/a.h\"\n#include \"run/b.h\"")
            .empty());
}

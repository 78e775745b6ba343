#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/wait.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "program.h"
#include "shared.h"

using namespace argosy;

namespace {
int run(const std::string& arguments) {
  return WEXITSTATUS(
      std::system(fmt::format("{} {} 2>/dev/null", test::argosy_program(), arguments).c_str()));
}
}  // namespace

TEST_CASE("doctor: the page and the JSON file say what this machine has") {
  const test::TemporaryFolder temporary;
  const Path json = temporary.path() / "d.json", text = temporary.path() / "d.txt";
  CHECK(run(fmt::format("doctor --threads 1 --json {} > {}", json.string(), text.string())) == 0);
  const auto found = nlohmann::json::parse(read_file(json));
  CHECK(found["machine"]["threads"] == 1);
  CHECK(found["machine"]["memory_bytes"].get<int64_t>() > 0);
  CHECK(found["machine"]["features"]["AVX2"].is_boolean());
  CHECK_FALSE(found["machine"]["kernels"].get<std::string>().empty());
  for (const char* library : {"FFmpeg", "TurboJPEG", "oneDNN", "Arrow and Parquet"})
    CHECK(found["libraries"][library].get<std::string>().find('.') != std::string::npos);
  const std::string page = read_file(text);
  CHECK(page.find(found["machine"]["cpu"].get<std::string>()) != std::string::npos);
  for (const auto& [what, why] : found["turned_off"].items())
    CHECK(page.find(what) != std::string::npos);
}

TEST_CASE("doctor: a JSON file that cannot be written ends with code 3") {
  CHECK(run("doctor --json /nowhere/d.json > /dev/null") == 3);
}

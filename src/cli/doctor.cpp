#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "backend/cpu/backend.h"
#include "base/machine.h"
#include "base/threads.h"
#include "cli/commands.h"
#include "cli/json_output.h"
#include "text/versions.h"
#ifdef ARGOSY_WITH_DATA
#include "data/versions.h"
#endif
#ifdef ARGOSY_WITH_QUERY
#include "query/database.h"
#endif
#ifdef ARGOSY_WITH_WORLD
#include "base/error.h"
#include "world/gl.h"
#include "world/versions.h"
#endif

namespace argosy::cli {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

struct Findings {
  Machine machine;
  int threads = 0;
  std::string kernels;  // the instruction set that the own CPU kernels use
  Pairs libraries;      // name, version
  Pairs turned_off;     // what, why and what to do
};

Findings look_around() {
  Findings found{
      .machine = this_machine(), .threads = thread_count(), .kernels = cpu::instruction_set()};
  found.libraries.emplace_back("fmt", fmt::format("{}.{}.{}", FMT_VERSION / 10000,
                                                  FMT_VERSION / 100 % 100, FMT_VERSION % 100));
  found.libraries.emplace_back("oneDNN", cpu::onednn_version());
  for (auto& library : text::library_versions()) found.libraries.push_back(std::move(library));
#ifdef ARGOSY_WITH_DATA
  for (auto& library : data::library_versions()) found.libraries.push_back(std::move(library));
#else
  found.turned_off.emplace_back(
      "ingest, data sets, drive, and training and measuring policies",
      "built without FFmpeg, TurboJPEG or Arrow: run scripts/setup and build again");
#endif
#ifdef ARGOSY_WITH_QUERY
  found.libraries.emplace_back("DuckDB", query::library_version());
#else
  found.turned_off.emplace_back("data query",
                                "built without DuckDB: run scripts/setup and build again");
#endif
#ifdef ARGOSY_WITH_WORLD
  found.libraries.emplace_back("MuJoCo", world::mujoco_version());
  try {
    found.libraries.emplace_back("OpenGL, off screen", world::gl_description());
  } catch (const Error& error) {
    found.turned_off.emplace_back("simulated cameras", error.what());
  }
#else
  found.turned_off.emplace_back("fleet", "built without MuJoCo: run scripts/setup and build again");
#endif
#ifndef ARGOSY_WITH_SERVER
  found.turned_off.emplace_back("serve", "built without Boost: run scripts/setup and build again");
#endif
  found.turned_off.emplace_back("GPUs",
                                "this build has no CUDA backend: everything runs on the CPU");
  for (const CpuFeature& feature : found.machine.features)
    if (!feature.present)
      found.turned_off.emplace_back(feature.name, "this CPU lacks it: " + feature.without);
  return found;
}

std::string gib(int64_t bytes) {
  return fmt::format("{:.1f} GiB", static_cast<double>(bytes) / 0x1p30);
}

void print(const Findings& found) {
  const Machine& machine = found.machine;
  const auto row = [](const std::string& name, const std::string& value) {
    fmt::print("  {:<20} {}\n", name, value);
  };
  fmt::print("argosy {}\n\nmachine\n", ARGOSY_VERSION);
  row("CPU", machine.cpu);
  row("cores", fmt::format("{} usable of {}; {} threads compute", machine.usable_cores,
                           machine.cores, found.threads));
  row("memory",
      fmt::format("{}, {} available", gib(machine.memory_bytes), gib(machine.available_bytes)));
  row("system", machine.system);
  std::string features;
  for (const CpuFeature& feature : machine.features)
    if (feature.present) features += (features.empty() ? "" : ", ") + feature.name;
  row("instructions", features.empty() ? "none beyond the base set" : features);
  row("kernels for", found.kernels);
  fmt::print("\nlibraries\n");
  for (const auto& [name, version] : found.libraries) row(name, version);
  fmt::print("\nturned off\n");
  for (const auto& [what, why] : found.turned_off) row(what, why);
}

std::string to_json(const Findings& found) {
  using Json = nlohmann::ordered_json;
  const Machine& machine = found.machine;
  Json features = Json::object(), libraries = Json::object(), turned_off = Json::object();
  for (const CpuFeature& feature : machine.features) features[feature.name] = feature.present;
  for (const auto& [name, version] : found.libraries) libraries[name] = version;
  for (const auto& [what, why] : found.turned_off) turned_off[what] = why;
  const Json json = {{"argosy", ARGOSY_VERSION},
                     {"machine",
                      {{"cpu", machine.cpu},
                       {"cores", machine.cores},
                       {"usable_cores", machine.usable_cores},
                       {"threads", found.threads},
                       {"memory_bytes", machine.memory_bytes},
                       {"available_bytes", machine.available_bytes},
                       {"system", machine.system},
                       {"kernels", found.kernels},
                       {"features", features}}},
                     {"libraries", libraries},
                     {"turned_off", turned_off}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

std::function<int()> doctor(Arguments& arguments) {
  const auto json = std::make_shared<std::string>();
  arguments.option("--json", *json, kJsonHelp);
  return [json] {
    const Findings found = look_around();
    if (!on_standard_output(*json)) print(found);
    if (!json->empty()) write_json(*json, to_json(found));
    return 0;
  };
}

}  // namespace argosy::cli

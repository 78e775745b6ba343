#pragma once
#include "engine/state_file.h"
#include "run/policy.h"
#include "run/run_folder.h"
#include "tiny_drives.h"

namespace argosy::test {

/// A run on tiny pictures whose weights are as they begin: enough to be driven by.
inline run::Recipe make_run(const Path& folder, const std::string& model,
                            const std::vector<std::string>& more = {}) {
  const run::Recipe recipe = tiny_recipe("data", model, more);
  run::RunWriter writer(folder, recipe);
  const Session session = run::training_session(recipe, {{0.1f, 0.2f}, {0.5f, 0.25f}});
  writer.save({.step = 1}, [&](const Path& to) { write_state(session, to / run::kStateFile); });
  return recipe;
}

}  // namespace argosy::test

#include <doctest/doctest.h>

#include "model_files/export.h"
#include "program.h"
#include "shared.h"
#include "texts.h"
#include "tiny_model.h"

using namespace argosy;
using test::contains;

TEST_CASE("bench: a recipe that begins with a model is measured with that model's sizes") {
  const test::TemporaryFolder folder;
  const Path model = folder.path() / "tiny.gguf", recipe = folder.path() / "recipe.toml";
  model_files::write_gguf_model(test::tiny_model(), model, std::nullopt);
  write_file(recipe,
             "model.name = \"llama\"\nlanguage.context = 16\ntraining.batch_size = 2\n"
             "training.start_from = \"" +
                 model.string() + "\"\n");
  const auto run = [&](const std::string& command, const std::string& more) {
    return test::run_program(folder.path(), {command, "--recipe", recipe.string(), more});
  };
  const test::Ended profile = run("profile", "training.accumulate=4");
  INFO(profile.err);
  CHECK(profile.code == 0);
  CHECK(contains(profile.out, "264x32"));  // the table of its 264 tokens
  CHECK(contains(profile.out, "adamw_update"));
  const test::Ended dumped = test::run_program(
      folder.path(),
      {"train", recipe.string(), "data.path=none", "language.sample_tokens=0", "--dump-program"});
  CHECK(contains(dumped.out, "[264, 32]"));
  const test::Ended other = run("profile", "training.start_from=");
  CHECK(contains(other.err, "taken are 256"));
}

TEST_CASE("bench: a case has no keys that could be changed") {
  const test::Ended ended = test::run_program(test::TemporaryFolder().path(),
                                              {"profile", "--case", "gpt", "training.steps=2"});
  CHECK(ended.code == 2);
  CHECK(contains(ended.err, "training.steps=2 changes a recipe, and a case is none"));
}

#include "run/language_model.h"

#include <doctest/doctest.h>

#include <cstdlib>

#include "base/error.h"
#include "model_files/export.h"
#include "model_files/known_models.h"
#include "shared.h"
#include "texts.h"
#include "tiny_model.h"

using namespace argosy;
using namespace argosy::model_files;
using run::is_model_in_files;
using run::open_language_model;
using test::contains;
using test::error_text;

namespace {

/// A value of ARGOSY_MODELS for as long as it lives.
struct ModelsFolder {
  explicit ModelsFolder(const Path& folder) { setenv("ARGOSY_MODELS", folder.c_str(), 1); }
  ~ModelsFolder() { unsetenv("ARGOSY_MODELS"); }
};

}  // namespace

TEST_CASE("model: names that none has say what to do") {
  const test::TemporaryFolder folder;
  const ModelsFolder models(folder.path());
  CHECK(contains(error_text([] { open_language_model("smollm2"); }),
                 "smollm2: the model is not on this machine; run argosy model get smollm2"));
  CHECK(contains(error_text([] { open_language_model("smolm2"); }), "did you mean smollm2?"));
  CHECK(contains(error_text([] { open_language_model("../nothing"); }), "there is no such model"));
  CHECK(contains(error_text([] { open_language_model(""); }), "there is no such model"));
  CHECK(contains(error_text([] { get_model("nothing"); }), "nothing: there is no such model"));
}

TEST_CASE("model: what stands in the folder of models is found by name") {
  const test::TemporaryFolder folder;
  const ModelsFolder models(folder.path());
  CHECK(models_folder() == folder.path());
  const LanguageModel model = test::tiny_model();
  write_gguf_model(model, folder.path() / "mine.gguf", std::nullopt);
  std::filesystem::create_directory(folder.path() / "smollm2");
  write_gguf_model(model, folder.path() / "smollm2" / "SomeName.Q4_1.gguf", BlockFormat::q4_1);
  write_hugging_face_model(model, folder.path() / "other", std::nullopt);
  write_hugging_face_model(model, folder.path() / "SmolLM2-1.7B", std::nullopt);
  CHECK(installed_models() == std::vector<std::string>{"SmolLM2-1.7B", "mine", "other", "smollm2"});
  CHECK(open_language_model("mine").name == "mine");
  CHECK(open_language_model("smollm2").name == "smollm2");
  CHECK(open_language_model("smollm2").find("block0/mlp/up/weight")->format == BlockFormat::q4_1);
  CHECK(open_language_model("other").parameters() == model.parameters());
  for (const char* name : {"mine", "smollm2", "other", "SmolLM2-1.7B"})
    CHECK(is_model_in_files(name));
  CHECK(!is_model_in_files("another"));
  CHECK(get_model("smollm2") == folder.path() / "smollm2");  // it is there: nothing is brought
}

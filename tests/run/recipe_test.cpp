#include "run/recipe.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdlib>

#include "base/error.h"
#include "shared.h"
#include "texts.h"

using namespace argosy;
using test::contains;
using namespace argosy::run;

namespace {

Recipe with(const std::vector<std::string>& overrides) {
  return parse_recipe("data.path = \"drives\"", "r.toml", overrides);
}

std::string message(const std::string& text, const std::vector<std::string>& overrides = {}) {
  try {
    parse_recipe(text, "r.toml", overrides);
  } catch (const Error& error) {
    CHECK(error.exit_code() == 2);
    return error.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("recipe: an empty file but for the path gives the defaults") {
  Recipe expected;
  expected.data.path = "drives";
  CHECK(with({}) == expected);
}

TEST_CASE("recipe: those that come with Argosy are read") {
  int recipes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(Path(ARGOSY_SOURCE_DIR) / "recipes"))
    if (entry.path().extension() == ".toml") {
      INFO(entry.path().string());
      CHECK_NOTHROW(load_recipe(entry.path()));
      ++recipes;
    }
  CHECK(recipes > 5);
}

TEST_CASE("recipe: what is written back shows every key and reads as the same recipe") {
  Recipe recipe = with({"training.steps=7", "optimizer.learning_rate=0.1",
                        "data.path=a \"quoted\" \\ path\twith\nlines \xc3\xa9",
                        "data.outputs=[\"a,b\", \"c\"]", "model.dropout=0.30000000000000004"});
  const std::string text = to_toml(recipe);
  CHECK(parse_recipe(text, "resolved") == recipe);
  for (const RecipeKey& key : recipe_keys()) {
    INFO(key.name);
    CHECK(text.find("\n" + key.name.substr(key.name.find('.') + 1) + " = ") != std::string::npos);
  }
}

TEST_CASE("recipe: the recipes that come with Argosy are legal and differ from the defaults") {
  for (const char* name : {"drive.toml", "drive-overview.toml", "drive-pilotnet.toml",
                           "drive-clip.toml", "shakespeare-gpt.toml", "grok-tiny.toml"}) {
    INFO(name);
    const Recipe recipe = load_recipe(Path(ARGOSY_SOURCE_DIR) / "recipes" / name);
    CHECK(parse_recipe(to_toml(recipe), "resolved") == recipe);
    CHECK(recipe != Recipe());
  }
}

TEST_CASE("recipe: docs/recipes.md shows the table of keys (ARGOSY_UPDATE_DOCS=1 writes it)") {
  const Path file = Path(ARGOSY_SOURCE_DIR) / "docs/recipes.md";
  const std::string page = read_file(file);
  const size_t begin = page.find("## Keys\n\n");
  REQUIRE(begin != std::string::npos);
  const std::string fresh = page.substr(0, begin) + "## Keys\n\n" + recipe_keys_as_markdown();
  if (std::getenv("ARGOSY_UPDATE_DOCS")) write_file_atomically(file, fresh);
  CHECK(page == fresh);
}

TEST_CASE("recipe: an override is TOML where it can be and text otherwise") {
  CHECK(with({"data.path=out/drives"}).data.path == "out/drives");
  CHECK(with({"data.path=2024"}).data.path == "2024");
  CHECK(with({"data.path=a # b"}).data.path == "a # b");
  CHECK(with({"data.path=\"out/drives\""}).data.path == "out/drives");
  CHECK(with({"data.path=a=b"}).data.path == "a=b");
  CHECK(with({"data.camera="}).data.camera == "");
  CHECK(with({"optimizer.learning_rate=3e-4"}).optimizer.learning_rate == 3e-4);
  CHECK(with({"optimizer.learning_rate=1"}).optimizer.learning_rate == 1.0);
  CHECK(with({"data.outputs=user/angle"}).data.outputs == std::vector<std::string>{"user/angle"});
  CHECK(with({"data.outputs=a,b"}).data.outputs == std::vector<std::string>{"a", "b"});
  CHECK(with({"training.steps=1", "training.steps=2"}).training.steps == 2);  // the last one holds
}

TEST_CASE("recipe: an unknown key names file, line and the nearest key") {
  CHECK(message("[training]\nbatch_szie = 3\n") ==
        "r.toml, line 2: there is no key training.batch_szie; did you mean training.batch_size? "
        "docs/recipes.md lists all keys");
  CHECK(contains(message("batch_size = 3"),
                 "line 1: there is no key batch_size; did you mean training.batch_size?"));
  CHECK(contains(message("[trainig]\nseed = 3"), "did you mean training.seed?"));
  CHECK(contains(message("[trainig]"), "there is no key trainig"));
  CHECK(contains(message("[training.batch_size]\nx = 1"), "must be of type integer"));
  CHECK(contains(
      message("", {"trainin.seed=3"}),
      "command line, trainin.seed=3: there is no key trainin.seed; did you mean training.seed?"));
  CHECK(contains(message("", {"nonsense"}), "write settings as section.key=value"));
  CHECK(contains(message("", {"=3"}), "write settings as section.key=value"));
}

TEST_CASE("recipe: a wrong type names the value and the type") {
  CHECK(message("[training]\n\nbatch_size = \"big\"\n") ==
        "r.toml, line 3: training.batch_size is 'big' (string) but must be of type integer; write "
        "it like training.batch_size = 64");
  CHECK(contains(message("training.batch_size = 1.5"), "must be of type integer"));
  CHECK(contains(message("training.batch_size = [1]"), "must be of type integer"));
  CHECK(contains(message("data.outputs = [1, \"a\"]"), "must be of type list of texts"));
  CHECK(contains(message("language.tied = 1"), "must be of type true or false"));
  CHECK(contains(message("language.rotary_divisors = [1, \"a\"]"),
                 "must be of type list of numbers; write it like language.rotary_divisors = []"));
  CHECK(contains(message("data.path = 3"), "must be of type text"));
  CHECK(contains(message("model = 3"), "there is no key model"));
  CHECK(contains(message("", {"training.batch_size=big"}), "must be of type integer"));
  CHECK(contains(message("", {"optimizer.learning_rate=true"}), "must be of type number"));
}

TEST_CASE("recipe: zero, negative, huge and not-a-number sizes are refused with their limits") {
  CHECK(
      message("[training]\nbatch_size = -3\n") ==
      "r.toml, line 2: training.batch_size is -3 but must be from 1 to 65536; give a value from 1 "
      "to 65536");
  const auto refused = [](const std::string& setting) {
    const std::string text = message("data.path = \"d\"", {setting});
    INFO(setting, " -> ", text);
    CHECK(text.find(setting.substr(0, setting.find('='))) != std::string::npos);
    CHECK(text.find("must be") != std::string::npos);
  };
  for (const RecipeKey& key : recipe_keys()) {
    if (key.type == "integer" || key.type == "number") {
      for (const char* value :
           {"-1", "nan", "inf", "-inf", "9223372036854775807", "1e300", "99999999999999999999"})
        refused(key.name + "=" + value);
    }
    if (key.limits.starts_with("one of")) refused(key.name + "=nonsense");
  }
  for (const char* key : {"training.batch_size", "model.frames", "model.height", "model.width",
                          "training.epochs", "optimizer.learning_rate", "data.threads"})
    refused(fmt::format("{}=0", key));
}

TEST_CASE("recipe: what no single key can tell is refused too") {
  CHECK(contains(message(""), "data.path is not given; add data.path="));
  CHECK(contains(
      message("data.path = \"d\"\nmodel.name = \"clip_transformer\"\nmodel.attention_heads = 3"),
      "not a multiple of model.attention_heads, 3"));
  CHECK(contains(message("data.path = \"d\"\nmodel.height = 2048\nmodel.width = "
                         "2048\ntraining.batch_size = 65536"),
                 "768.0 GiB but may have 2 GiB"));
  const std::string language = "data.path = \"d\"\nmodel.name = \"llama\"\nlanguage.";
  CHECK(contains(message(language + "rotary_divisors = [1, 2]"),
                 "language.rotary_divisors has 2 numbers, a head turns 32 pairs"));
  CHECK(contains(message(language + "rotary_divisors = [1, 0.5]"),
                 "language.rotary_divisors is [1.0, 0.5] but must be from 1 to 1000000"));
  CHECK(contains(message("data.path = \"d\"\nmodel.name = \"gpt\"\nlanguage.tied = false"),
                 "gpt has one table"));
  CHECK(contains(message("data.outputs = [\"a\", \"a\"]"), "names a twice"));
  CHECK(contains(message("data.outputs = []"), "must be not empty"));
}

TEST_CASE("recipe: a memory limit without a unit is refused with the units") {
  const auto with = [](const std::string& limit) {
    const std::vector<std::string> overrides = {"data.path=none", "memory.limit=" + limit};
    return parse_recipe("", "r.toml", overrides);
  };
  CHECK(with("500 MB").memory.limit == "500 MB");
  CHECK(with("").memory.limit.empty());
  CHECK_THROWS_WITH_AS(
      with("500 megs"),
      "r.toml, memory.limit: \"500 megs\" is no size of memory; write a number and "
      "B, kB, MB, GB, TB, KiB, MiB, GiB or TiB, e.g. \"2 GB\"",
      Error);
}

TEST_CASE("recipe: text that is not TOML names the line") {
  CHECK(contains(message("[model]\nname = \n"), "r.toml, line 2: this is not TOML: "));
  CHECK(contains(message("[model]\n[model]\n"), "r.toml, line 2: this is not TOML: "));
  CHECK(contains(message("a = \"\xff\""), "this is not TOML: "));
  CHECK(contains(message("", {"data.path=\xff"}), "not UTF-8"));
  CHECK(contains(message(std::string(100000, '[')), "this is not TOML: "));
}

TEST_CASE("recipe: differences name the keys and whether a run may go on") {
  const auto found = differences(with({}), with({"training.seed=2", "data.threads=1"}));
  REQUIRE(found.size() == 2);
  CHECK(found[0].key == "data.threads");
  CHECK_FALSE(found[0].fixed);
  CHECK(found[1].key == "training.seed");
  CHECK(found[1].first == "1");
  CHECK(found[1].second == "2");
  CHECK(found[1].fixed);
}

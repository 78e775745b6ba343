#include "run/model_description.h"

#include <doctest/doctest.h>

#include "models/grok.h"

using namespace argosy;

namespace {

int64_t part(const run::ModelDescription& description, std::string_view name) {
  for (const auto& part : description.parts)
    if (part.name == name) return part.parameters;
  return 0;
}

}  // namespace

// the numbers are those of the release's parameter tree
TEST_CASE("model: Grok-1 has its parameters, and compiles into a program whose size is known") {
  const run::ModelDescription grok = run::describe(*run::published_model("grok-1"), 8192);
  constexpr int64_t kLayers = 64;
  CHECK(grok.program.state.size() == 770);
  CHECK(grok.parameters == 315'684'820'992);
  CHECK(grok.active == 83'756'587'008);
  CHECK(part(grok, "embedding") == 805'306'368);
  CHECK(part(grok, "attention") == kLayers * 88'080'384);
  CHECK(part(grok, "router") == kLayers * 49'152);
  CHECK(part(grok, "experts") == kLayers * 4'831'838'208);
  CHECK(part(grok, "norms") == kLayers * 24'576 + 6'144);

  CHECK(grok.program.state_bytes >= size_t{4} * 315'684'820'992);
  CHECK(grok.program.state_bytes < size_t{4} * 315'684'820'992 + (1 << 20));
  CHECK(grok.program.arena_bytes > 0);
  // for a token 2 of each active weight; 4 Hq K of each position that it sees
  const double tokens = 8192, products = tokens * 1.675e11,
               scores = 4.0 * kLayers * 6144 * tokens * (tokens + 1) / 2;
  CHECK(grok.program.flops() == doctest::Approx(products + scores).epsilon(0.01));
  const std::string text = to_text(grok);
  CHECK(text.find("315,684,820,992") != std::string::npos);
  CHECK(text.find("83,756,587,008") != std::string::npos);
  CHECK(!run::published_model("grok-7"));
}

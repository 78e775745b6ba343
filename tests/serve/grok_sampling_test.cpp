#include <doctest/doctest.h>

#include <cmath>
#include <cstring>

#include "engine/safetensors.h"
#include "grok_goldens.h"
#include "serve/sampler.h"

using namespace argosy;

namespace {

constexpr int kDraws = 20000;

std::vector<float> numbers(const SafetensorsFile& file, const std::string& name) {
  const NamedTensor* tensor = file.find(name);
  REQUIRE_MESSAGE(tensor, name);
  std::vector<float> values(static_cast<size_t>(tensor->type.elements()));
  std::memcpy(values.data(), tensor->bytes.data(), tensor->bytes.size());
  return values;
}

}  // namespace

TEST_CASE("sampler: draws fall where Grok-1's filter leaves them, as often as it says") {
  const Path folder = test::grok_goldens();
  if (folder.empty()) {
    MESSAGE("no goldens of Grok-1 here");
    return;
  }
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".safetensors") continue;
    const SafetensorsFile file(entry.path());
    if (!file.find("sampling/logits")) continue;
    CAPTURE(entry.path().string());
    const std::vector<float> logits = numbers(file, "sampling/logits"),
                             probabilities = numbers(file, "sampling/probs"),
                             temperatures = numbers(file, "sampling/temperature"),
                             shares = numbers(file, "sampling/top_p");
    const size_t vocabulary = logits.size() / shares.size();
    double worst = 0;
    for (size_t row = 0; row < shares.size(); ++row) {
      const std::span<const float> own = std::span(logits).subspan(row * vocabulary, vocabulary);
      serve::Sampler sampler({.temperature = temperatures[row], .top_p = shares[row], .seed = 5},
                             {});
      std::vector<int> drawn(vocabulary, 0);
      for (int i = 0; i < kDraws; ++i) ++drawn[static_cast<size_t>(sampler.choose(own).token)];
      for (size_t token = 0; token < vocabulary; ++token) {
        const double p = probabilities[row * vocabulary + token],
                     share = static_cast<double>(drawn[token]) / kDraws;
        CAPTURE(row);
        CAPTURE(token);
        if (p < 1e-9)
          CHECK(drawn[token] == 0);  // filtered away
        else                         // five deviations of a count, and one draw
          CHECK(std::abs(share - p) <= 5 * std::sqrt(p * (1 - p) / kDraws) + 1.0 / kDraws);
        worst = std::max(worst, std::abs(share - p));
      }
    }
    MESSAGE(entry.path().filename().string() << ": sampled shares differ by at most " << worst);
  }
}

#include "serve/sampler.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "base/random.h"

using namespace argosy;
using namespace argosy::serve;

namespace {

std::vector<float> random_logits(size_t count, uint64_t seed) {
  Random random(seed);
  std::vector<float> logits(count);
  for (float& logit : logits) logit = 3 * random.normal();
  return logits;
}

/// The probabilities from which the next token is to be drawn, by the plain meaning of Sampling.
std::map<Token, double> plain(std::vector<float> logits, const Sampling& s,
                              const std::vector<Token>& prompt, const std::vector<Token>& answer,
                              const std::vector<bool>& allowed = {}) {
  for (size_t i = 0; i < logits.size(); ++i) {
    const auto token = static_cast<Token>(i);
    const auto times = std::ranges::count(answer, token);
    if (times > 0 || std::ranges::count(prompt, token) > 0)
      logits[i] = logits[i] > 0 ? logits[i] / static_cast<float>(s.repetition_penalty)
                                : logits[i] * static_cast<float>(s.repetition_penalty);
    if (times > 0)
      logits[i] -=
          static_cast<float>(s.presence_penalty + s.frequency_penalty * static_cast<double>(times));
    for (const auto& [biased, bias] : s.bias)
      if (biased == token) logits[i] += bias;
    if (!allowed.empty() && !allowed[i]) logits[i] = -std::numeric_limits<float>::infinity();
  }
  std::vector<std::pair<double, Token>> order;
  const double top = *std::ranges::max_element(logits);
  for (size_t i = 0; i < logits.size(); ++i)
    order.emplace_back(-std::exp((logits[i] - top) / s.temperature), static_cast<Token>(i));
  std::ranges::sort(order);
  if (s.top_k > 0) order.resize(std::min<size_t>(order.size(), static_cast<size_t>(s.top_k)));
  double total = 0, sum = 0;
  for (const auto& [weight, token] : order) total -= weight;
  std::map<Token, double> kept;
  for (const auto& [weight, token] : order) {
    if (!kept.empty() && (sum >= s.top_p * total || -weight < s.min_p * -order[0].first)) break;
    if (weight < 0) kept[token] = -weight;
    sum -= weight;
  }
  double left = 0;
  for (const auto& [token, weight] : kept) left += weight;
  for (auto& [token, weight] : kept) weight /= left;
  return kept;
}

}  // namespace

TEST_CASE("sampler: draws as often as the plain meaning of its options says") {
  const std::vector<float> logits = random_logits(30, 5);
  const std::vector<Token> prompt = {3, 3, 7}, answer = {1, 2, 2, 7};
  std::vector<bool> allowed(30, true);
  allowed[4] = allowed[17] = false;
  for (const Sampling& options :
       {Sampling{}, Sampling{.temperature = 0.5}, Sampling{.temperature = 2, .top_k = 5},
        Sampling{.top_p = 0.7}, Sampling{.min_p = 0.2},
        Sampling{.temperature = 1.3, .top_p = 0.9, .min_p = 0.05, .top_k = 12},
        Sampling{.presence_penalty = 1, .frequency_penalty = 0.7, .repetition_penalty = 1.4},
        Sampling{.bias = {{9, 4.0f}, {2, -100.0f}}}}) {
    const std::map<Token, double> wanted = plain(logits, options, prompt, answer, allowed);
    constexpr int kDraws = 4000;
    std::map<Token, int> counts;
    for (int i = 0; i < kDraws; ++i) {
      Sampling seeded = options;
      seeded.seed = static_cast<uint64_t>(i);
      Sampler sampler(seeded, prompt);
      for (const Token token : answer) sampler.accept(token);
      ++counts[sampler.choose(logits, allowed).token];
    }
    for (const auto& [token, count] : counts) {
      INFO(token);
      REQUIRE(wanted.contains(token));
      const double p = wanted.at(token), deviation = std::sqrt(p * (1 - p) * kDraws);
      CHECK(std::fabs(count - p * kDraws) <= 5 * deviation + 1);
    }
  }
}

TEST_CASE("sampler: temperature 0 takes the most probable, of equal ones the first") {
  Sampler sampler({.temperature = 0}, {});
  CHECK(sampler.choose(std::vector<float>{1, 5, 5, 2}).token == 1);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(sampler.choose(std::vector<float>{nan, -5, nan}).token == 1);
}

TEST_CASE("sampler: the same seed draws the same tokens, another one others") {
  const std::vector<float> logits = random_logits(1000, 6);
  const auto text = [&](uint64_t seed) {
    Sampler sampler({.seed = seed}, {});
    std::vector<Token> tokens;
    for (int i = 0; i < 20; ++i) {
      tokens.push_back(sampler.choose(logits).token);
      sampler.accept(tokens.back());
    }
    return tokens;
  };
  CHECK(text(1) == text(1));
  CHECK(text(1) != text(2));
}

TEST_CASE("sampler: what is not allowed is not chosen, unless nothing is") {
  const std::vector<float> logits = random_logits(10, 7);
  std::vector<bool> allowed(10, false);
  allowed[6] = true;
  for (const double temperature : {0.0, 1.0})
    CHECK(Sampler({.temperature = temperature}, {}).choose(logits, allowed).token == 6);
  allowed[6] = false;
  const auto best = static_cast<Token>(std::ranges::max_element(logits) - logits.begin());
  CHECK(Sampler({.temperature = 0}, {}).choose(logits, allowed).token == best);
}

TEST_CASE("sampler: logprobs are of the model's own probabilities, the most probable first") {
  const std::vector<float> logits = {1, 3, 2, 0};
  double total = 0;
  for (const float logit : logits) total += std::exp(logit);
  Sampler sampler({.temperature = 0, .bias = {{3, 50.0f}}, .logprobs = 2}, {});
  const Generated chosen = sampler.choose(logits);
  CHECK(chosen.token == 3);
  CHECK(chosen.logprob == doctest::Approx(0 - std::log(total)));
  REQUIRE(chosen.others.size() == 2);
  CHECK(chosen.others[0].first == 1);
  CHECK(chosen.others[1].first == 2);
  CHECK(chosen.others[0].second == doctest::Approx(3 - std::log(total)));
}

TEST_CASE("sampler: a temperature or logits at the end of the range choose a token all the same") {
  const float infinity = std::numeric_limits<float>::infinity();
  CHECK(Sampler({.temperature = 1e-300}, {}).choose(std::vector<float>{1, 2, 0}).token == 1);
  CHECK(Sampler({}, {}).choose(std::vector<float>{-infinity, infinity, 3}).token == 1);
  CHECK(Sampler({}, {}).choose(std::vector<float>{-infinity, -infinity}).token == 0);
  CHECK(Sampler({.top_p = 0, .top_k = 1}, {}).choose(std::vector<float>{0, 9}).token == 1);
}

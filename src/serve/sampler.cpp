#include "serve/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "base/random.h"

namespace argosy::serve {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

size_t z(int64_t i) { return static_cast<size_t>(i); }

/// NaN is the least of all.
bool more_probable(float a, float b) { return a > b || (b != b && a == a); }

/// The largest; -infinity where all are NaN. Sixteen at a time, so that no comparison waits for the
/// one before.
float largest(std::span<const float> numbers) {
  constexpr size_t kLanes = 16;
  float tops[kLanes];
  std::ranges::fill(tops, kNever);
  size_t i = 0;
  for (; i + kLanes <= numbers.size(); i += kLanes)
    for (size_t lane = 0; lane < kLanes; ++lane)
      tops[lane] = numbers[i + lane] > tops[lane] ? numbers[i + lane] : tops[lane];
  for (; i < numbers.size(); ++i) tops[0] = numbers[i] > tops[0] ? numbers[i] : tops[0];
  return *std::ranges::max_element(tops);
}

/// ln of the sum of e^x.
double log_total(std::span<const float> logits) {
  const float top = largest(logits);
  double total = 0;
  for (const float logit : logits)
    if (logit == logit) total += std::exp(logit - top);
  return top + std::log(total);
}

}  // namespace

Sampler::Sampler(Sampling sampling, std::vector<Token> prompt)
    : sampling_(std::move(sampling)), prompt_(std::move(prompt)) {
  std::ranges::sort(prompt_);
  prompt_.erase(std::unique(prompt_.begin(), prompt_.end()), prompt_.end());
}

void Sampler::accept(Token token) {
  const auto place =
      std::ranges::lower_bound(answered_, token, {}, &std::pair<Token, int64_t>::first);
  if (place != answered_.end() && place->first == token)
    ++place->second;
  else
    answered_.insert(place, {token, 1});
}

// Presence and frequency as OpenAI defines them, on the answer; repetition as Keskar et al. 2019
// (CTRL), on prompt and answer.
void Sampler::penalise(std::span<float> logits) const {
  const auto repeat = [&](Token token) {
    if (token < 0 || z(token) >= logits.size()) return;
    float& logit = logits[z(token)];
    const auto penalty = static_cast<float>(sampling_.repetition_penalty);
    logit = logit > 0 ? logit / penalty : logit * penalty;
  };
  if (sampling_.repetition_penalty != 1) {
    for (const Token token : prompt_) repeat(token);
    for (const auto& [token, count] : answered_)
      if (!std::ranges::binary_search(prompt_, token)) repeat(token);
  }
  for (const auto& [token, count] : answered_)
    logits[z(token)] -= static_cast<float>(
        sampling_.presence_penalty + sampling_.frequency_penalty * static_cast<double>(count));
  for (const auto& [token, bias] : sampling_.bias)
    if (token >= 0 && z(token) < logits.size()) logits[z(token)] += bias;
}

/// From the logits of those that may come; the largest is finite.
Token Sampler::draw(std::span<const float> logits, float highest) {
  // what is so improbable is never met by a draw of 24 bits
  constexpr double kLeast = -30;
  const double temperature = sampling_.temperature;
  const double least = highest + kLeast * temperature;
  candidates_.clear();
  for (size_t i = 0; i < logits.size(); ++i)
    if (logits[i] >= least) candidates_.push_back({static_cast<Token>(i), logits[i]});
  // the most probable first, equal ones by their number
  const auto before = [](const Candidate& a, const Candidate& b) {
    return a.weight != b.weight ? a.weight > b.weight : a.token < b.token;
  };
  if (sampling_.top_k > 0 && sampling_.top_k < std::ssize(candidates_)) {
    std::nth_element(candidates_.begin(), candidates_.begin() + sampling_.top_k - 1,
                     candidates_.end(), before);
    candidates_.resize(z(sampling_.top_k));
  }
  double total = 0;
  for (Candidate& each : candidates_)
    total += each.weight = std::exp((each.weight - highest) / temperature);
  if (sampling_.top_p < 1 || sampling_.min_p > 0) {
    std::ranges::sort(candidates_, before);
    size_t kept = candidates_.size();
    if (sampling_.top_p < 1) {  // the fewest that have so much together
      double sum = 0;
      for (kept = 0; kept < candidates_.size() && (kept == 0 || sum < sampling_.top_p * total);)
        sum += candidates_[kept++].weight;
    }
    while (kept > 1 && candidates_[kept - 1].weight < sampling_.min_p * candidates_[0].weight)
      --kept;
    candidates_.resize(kept);
    total = 0;
    for (const Candidate& each : candidates_) total += each.weight;
  }
  double left = Random(sampling_.seed, chosen_).uniform() * total;
  for (const Candidate& each : candidates_) {
    left -= each.weight;
    if (left < 0) return each.token;
  }
  return candidates_.back().token;
}

Generated Sampler::choose(std::span<const float> logits, const std::vector<bool>& allowed) {
  check(allowed.empty() || allowed.size() == logits.size(), "{} logits, {} allowed", logits.size(),
        allowed.size());
  const bool changed = !allowed.empty() || !sampling_.bias.empty() ||
                       sampling_.repetition_penalty != 1 || sampling_.presence_penalty != 0 ||
                       sampling_.frequency_penalty != 0;
  std::span<const float> scores = logits;
  if (changed) {
    scores_.assign(logits.begin(), logits.end());
    penalise(scores_);
    if (std::ranges::find(allowed, true) != allowed.end())
      for (size_t i = 0; i < allowed.size(); ++i)
        if (!allowed[i]) scores_[i] = kNever;
    scores = scores_;
  }
  const float best = largest(scores);
  Token token = 0;
  if (sampling_.temperature > 0 && std::isfinite(best)) {
    token = draw(scores, best);
  } else {
    const auto first = std::ranges::find(scores, best);
    if (first != scores.end()) token = static_cast<Token>(first - scores.begin());
  }
  ++chosen_;
  return describe(token, logits);
}

Generated Sampler::describe(Token chosen, std::span<const float> logits) const {
  Generated result{.token = chosen};
  if (sampling_.logprobs < 0) return result;
  const double total = log_total(logits);
  const auto logprob = [&](Token token) { return static_cast<float>(logits[z(token)] - total); };
  result.logprob = logprob(result.token);
  const int64_t others = std::min<int64_t>(sampling_.logprobs, std::ssize(logits));
  std::vector<Token> order(logits.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<Token>(i);
  std::ranges::partial_sort(order, order.begin() + others, [&](Token a, Token b) {
    const float x = logits[z(a)], y = logits[z(b)];
    return more_probable(x, y) || (!more_probable(y, x) && a < b);
  });
  for (int64_t i = 0; i < others; ++i)
    result.others.emplace_back(order[z(i)], logprob(order[z(i)]));
  return result;
}

}  // namespace argosy::serve

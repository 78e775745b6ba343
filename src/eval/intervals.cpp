#include "eval/intervals.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "base/check.h"
#include "base/random.h"

namespace argosy::eval {
namespace {

constexpr int kResamples = 2000;
constexpr double kTail = 0.025;
constexpr double kNormalQuantile = 1.959963984540054;  // of 1 - kTail

std::optional<double> finite(double value) {
  return std::isfinite(value) ? std::optional(value) : std::nullopt;
}

/// The interval of statistic(indices) over resamples of n episodes.
template <typename Statistic>
Interval bootstrap(size_t n, uint64_t seed, const Statistic& statistic) {
  std::vector<size_t> chosen(n);
  std::iota(chosen.begin(), chosen.end(), size_t{0});
  Interval interval{.value = finite(statistic(chosen)), .low = {}, .high = {}};
  Random random(seed, hash_of("bootstrap"));
  std::vector<double> found;
  for (int i = 0; i < kResamples; ++i) {
    for (size_t& index : chosen) index = random.below(n);
    found.push_back(statistic(chosen));
  }
  std::sort(found.begin(), found.end());
  interval.low = finite(found[static_cast<size_t>(kTail * kResamples)]);
  interval.high = finite(found[static_cast<size_t>((1 - kTail) * kResamples) - 1]);
  return interval;
}

}  // namespace

std::string range_text(const Interval& interval, const char* unknown) {
  if (!interval.value) return interval.low ? fmt::format("over {:.3g}", *interval.low) : unknown;
  return fmt::format("{:.3g} ({} to {})", *interval.value,
                     interval.low ? fmt::format("{:.3g}", *interval.low) : "-",
                     interval.high ? fmt::format("{:.3g}", *interval.high) : "-");
}

Interval wilson(int64_t successes, int64_t trials) {
  check(successes >= 0 && successes <= trials, "{} of {}", successes, trials);
  if (trials == 0) return {};
  const auto n = static_cast<double>(trials);
  const double share = static_cast<double>(successes) / n, z2 = kNormalQuantile * kNormalQuantile;
  const double middle = (share + z2 / (2 * n)) / (1 + z2 / n);
  const double half =
      kNormalQuantile * std::sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n);
  return {share, std::max(0.0, middle - half), std::min(1.0, middle + half)};
}

Interval bootstrap_mean(std::span<const double> values, uint64_t seed) {
  std::vector<double> known;
  std::copy_if(values.begin(), values.end(), std::back_inserter(known),
               [](double value) { return !std::isnan(value); });
  if (known.empty()) return {};
  return bootstrap(known.size(), seed, [&](std::span<const size_t> chosen) {
    double sum = 0;
    for (const size_t i : chosen) sum += known[i];
    return sum / static_cast<double>(chosen.size());
  });
}

Interval amount_per_event(std::span<const double> amounts, std::span<const int64_t> events,
                          uint64_t seed) {
  check(amounts.size() == events.size(), "{} amounts, {} events", amounts.size(), events.size());
  if (amounts.empty()) return {};
  const int64_t all = std::accumulate(events.begin(), events.end(), int64_t{0});
  if (all == 0) {
    const double sum = std::accumulate(amounts.begin(), amounts.end(), 0.0);
    return {.value = {}, .low = sum / -std::log(kTail), .high = {}};
  }
  return bootstrap(amounts.size(), seed, [&](std::span<const size_t> chosen) {
    double amount = 0;
    int64_t count = 0;
    for (const size_t i : chosen) {
      amount += amounts[i];
      count += events[i];
    }
    return count ? amount / static_cast<double>(count) : std::numeric_limits<double>::infinity();
  });
}

}  // namespace argosy::eval

#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace argosy::eval {

/// A figure over episodes with its 95 % confidence interval. An end that the episodes cannot tell
/// is absent.
struct Interval {
  std::optional<double> value, low, high;
};

/// "95.8 (31.6 to 140)", "over 129" where only the low end is known, `unknown` where nothing is.
std::string range_text(const Interval& interval, const char* unknown = "unknown");

/// The share successes / trials with Wilson's score interval (1927). Nothing of no trials.
Interval wilson(int64_t successes, int64_t trials);

/// The mean of one figure per episode, with the percentile bootstrap over episodes (Efron 1979).
/// The same values and seed give the same interval. NaN is an episode without the figure.
Interval bootstrap_mean(std::span<const double> values, uint64_t seed);

/// How much of `amount` there is per event, over all episodes: sum(amounts) / sum(events), with the
/// bootstrap over episodes; resamples without an event have no upper end. Of no event at all only
/// the low end is known: by Poisson's law an event in less than amount / 3.69 would have shown with
/// 97.5 % probability.
Interval amount_per_event(std::span<const double> amounts, std::span<const int64_t> events,
                          uint64_t seed);

}  // namespace argosy::eval

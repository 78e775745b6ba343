#include "serve/metrics.h"

#include <fmt/format.h>

#include <algorithm>

namespace argosy::serve {
namespace {

std::string head(const std::string& name, const char* type, const std::string& help) {
  return fmt::format("# HELP {0} {2}\n# TYPE {0} {1}\n", name, type, help);
}

std::string one(const std::string& name, const char* type, const std::string& help, int64_t value) {
  return head(name, type, help) + fmt::format("{} {}\n", name, value);
}

}  // namespace

void Metrics::Histogram::add(double value) {
  ++counts[std::lower_bound(kBounds.begin(), kBounds.end(), value) - kBounds.begin()];
  sum += value;
}

std::string Metrics::Histogram::text(const std::string& name, const std::string& help) const {
  std::string lines = head(name, "histogram", help);
  int64_t below = 0;
  for (size_t i = 0; i < kBounds.size(); ++i)
    lines += fmt::format("{}_bucket{{le=\"{}\"}} {}\n", name, kBounds[i], below += counts[i]);
  below += counts.back();
  return lines + fmt::format("{0}_bucket{{le=\"+Inf\"}} {1}\n{0}_sum {2}\n{0}_count {1}\n", name,
                             below, sum);
}

void Metrics::add_request(const std::string& route, int status, double seconds) {
  const std::lock_guard lock(mutex_);
  ++requests_[{route, status}];
  request_.add(seconds);
}

void Metrics::add_first_token(double seconds) {
  const std::lock_guard lock(mutex_);
  first_token_.add(seconds);
}

void Metrics::add_next_token(double seconds) {
  const std::lock_guard lock(mutex_);
  next_token_.add(seconds);
}

std::string Metrics::text(const GeneratorState* generator, int64_t connections) const {
  std::string lines;
  {
    const std::lock_guard lock(mutex_);
    lines += head("argosy_requests_total", "counter", "Requests answered, by route and status.");
    for (const auto& [what, count] : requests_)
      lines += fmt::format("argosy_requests_total{{route=\"{}\",status=\"{}\"}} {}\n", what.first,
                           what.second, count);
    lines += request_.text("argosy_request_seconds", "From a request to the end of its answer.");
    lines += first_token_.text("argosy_time_to_first_token_seconds",
                               "From a request to the first token of an answer.");
    lines += next_token_.text("argosy_inter_token_seconds", "Between two tokens of an answer.");
  }
  lines += one("argosy_connections", "gauge", "Open connections.", connections);
  if (!generator) return lines;
  const GeneratorState& state = *generator;
  lines += one("argosy_answers_running", "gauge", "Answers being written.", state.running);
  lines += one("argosy_answers_waiting", "gauge", "Answers that wait to begin.", state.waiting);
  lines += one("argosy_cache_pages", "gauge", "Pages of keys and values.", state.pages);
  lines += one("argosy_cache_pages_used", "gauge", "Of these, used by answers.", state.pages_used);
  lines += one("argosy_cache_pages_kept", "gauge", "Of these, kept for what begins alike.",
               state.pages_cached);
  lines += one("argosy_prompt_tokens_total", "counter", "Tokens of prompts.", state.prompt_tokens);
  lines += one("argosy_cached_tokens_total", "counter", "Of these, found in the cache.",
               state.cached_tokens);
  lines +=
      one("argosy_generated_tokens_total", "counter", "Tokens written.", state.generated_tokens);
  return lines;
}

}  // namespace argosy::serve

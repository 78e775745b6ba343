#pragma once
#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "serve/generator.h"

namespace argosy::serve {

/// What the server counts, as Prometheus reads it.
/// threads  any number at once
class Metrics {
 public:
  void add_request(const std::string& route, int status, double seconds);
  void add_first_token(double seconds);  ///< from the request to its first token
  void add_next_token(double seconds);   ///< between two tokens of an answer

  /// `generator`: null while there is none.
  std::string text(const GeneratorState* generator, int64_t connections) const;

 private:
  struct Histogram {
    static constexpr std::array kBounds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,  0.25,
                                           0.5,   1.0,    2.5,   5.0,  10.0,  30.0, 60.0, 120.0};
    std::array<int64_t, kBounds.size() + 1> counts{};
    double sum = 0;
    void add(double value);
    std::string text(const std::string& name, const std::string& help) const;
  };

  mutable std::mutex mutex_;
  std::map<std::pair<std::string, int>, int64_t> requests_;
  Histogram request_, first_token_, next_token_;
};

}  // namespace argosy::serve

#include "eval/ridge.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include "base/check.h"
#include "base/threads.h"

namespace argosy::eval {
namespace {

constexpr size_t kBlockRows = 64;

/// The share of pixel column (or row) `from` .. that falls into each cell of a coarser grid.
struct Overlap {
  int cell;
  float share;
};
/// overlaps[i]: the cells that source pixel i covers, when `from` pixels become `to` cells.
std::vector<std::vector<Overlap>> area_overlaps(int from, int to) {
  std::vector<std::vector<Overlap>> overlaps(static_cast<size_t>(from));
  const double scale = static_cast<double>(to) / from;
  for (int i = 0; i < from; ++i) {
    const double begin = i * scale, end = (i + 1) * scale;
    for (int cell = static_cast<int>(begin); cell < to && cell < end; ++cell) {
      const double part = std::min(end, cell + 1.0) - std::max(begin, static_cast<double>(cell));
      if (part > 1e-9) overlaps[static_cast<size_t>(i)].push_back({cell, static_cast<float>(part)});
    }
  }
  return overlaps;
}

/// In place: the lower triangle L of a symmetric matrix [n, n] = L L'. False if it has none.
bool cholesky(std::vector<double>& a, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    double* const row = &a[i * n];
    for (size_t j = 0; j <= i; ++j) {
      const double* const other = &a[j * n];
      double sum = row[j];
      for (size_t k = 0; k < j; ++k) sum -= row[k] * other[k];
      if (j < i)
        row[j] = sum / other[j];
      else if (sum > 0)
        row[i] = std::sqrt(sum);
      else
        return false;
    }
  }
  return true;
}

/// Solves L L' x = b in place.
void substitute(const std::vector<double>& lower, size_t n, std::vector<double>& b) {
  for (size_t i = 0; i < n; ++i) {
    for (size_t k = 0; k < i; ++k) b[i] -= lower[i * n + k] * b[k];
    b[i] /= lower[i * n + i];
  }
  for (size_t i = n; i-- > 0;) {
    for (size_t k = i + 1; k < n; ++k) b[i] -= lower[k * n + i] * b[k];
    b[i] /= lower[i * n + i];
  }
}

}  // namespace

void grey_image(std::span<const uint8_t> pixels, int height, int width, std::span<float> grey) {
  check(height > 0 && width > 0 && pixels.size() == size_t{3} * height * width &&
            grey.size() == kGreyPixels,
        "a picture of {} x {} has {} bytes; {} grey levels", height, width, pixels.size(),
        grey.size());
  const auto rows = area_overlaps(height, kGreyHeight), columns = area_overlaps(width, kGreyWidth);
  std::fill(grey.begin(), grey.end(), 0.0f);
  const uint8_t* pixel = pixels.data();
  for (const auto& row : rows) {
    float line[kGreyWidth] = {};
    for (const auto& column : columns) {
      const float level = 0.299f * pixel[0] + 0.587f * pixel[1] + 0.114f * pixel[2];
      for (const Overlap& overlap : column) line[overlap.cell] += overlap.share * level;
      pixel += 3;
    }
    for (const Overlap& overlap : row)
      for (int x = 0; x < kGreyWidth; ++x)
        grey[static_cast<size_t>(overlap.cell * kGreyWidth + x)] += overlap.share * line[x];
  }
  for (float& level : grey) level /= 255.0f;
}

LinearModel::LinearModel(int64_t inputs, int64_t outputs)
    : weights(static_cast<size_t>(inputs * outputs)),
      intercepts(static_cast<size_t>(outputs)),
      penalties(static_cast<size_t>(outputs)),
      inputs_(inputs) {}

void LinearModel::predict(std::span<const float> x, std::span<double> y) const {
  check(x.size() == static_cast<size_t>(inputs_) && y.size() == intercepts.size(),
        "{} inputs of {}, {} outputs of {}", x.size(), inputs_, y.size(), intercepts.size());
  for (size_t k = 0; k < y.size(); ++k) {
    y[k] = intercepts[k];
    for (size_t i = 0; i < x.size(); ++i)
      y[k] += weights[k * x.size() + i] * static_cast<double>(x[i]);
  }
}

RidgeRegression::RidgeRegression(int64_t inputs, int64_t outputs)
    : inputs_(inputs), outputs_(outputs) {
  check(inputs > 0 && outputs > 0, "{} inputs, {} outputs", inputs, outputs);
  const auto n = static_cast<size_t>(inputs + 1), k = static_cast<size_t>(outputs);
  for (Sums* sums : {&fitting_, &validation_}) {
    sums->products.resize(n * n);
    sums->crossed.resize(k * n);
    sums->squares.resize(k);
  }
}

void RidgeRegression::add(std::span<const float> inputs, std::span<const float> targets,
                          bool validation) {
  check(inputs.size() == static_cast<size_t>(inputs_) &&
            targets.size() == static_cast<size_t>(outputs_),
        "{} inputs of {}, {} targets of {}", inputs.size(), inputs_, targets.size(), outputs_);
  if (std::any_of(targets.begin(), targets.end(), [](float y) { return !std::isfinite(y); })) {
    ++skipped_;
    return;
  }
  Sums& sums = validation ? validation_ : fitting_;
  const size_t n = inputs.size() + 1;
  ++sums.count;
  sums.waiting.insert(sums.waiting.end(), inputs.begin(), inputs.end());
  sums.waiting.push_back(1.0f);
  for (size_t k = 0; k < targets.size(); ++k) {
    const double y = targets[k];
    sums.squares[k] += y * y;
    for (size_t i = 0; i < inputs.size(); ++i)
      sums.crossed[k * n + i] += y * static_cast<double>(inputs[i]);
    sums.crossed[k * n + n - 1] += y;
  }
  if (sums.waiting.size() >= kBlockRows * n) flush(sums);
}

void RidgeRegression::flush(Sums& sums) const {
  const size_t n = static_cast<size_t>(inputs_ + 1), rows = sums.waiting.size() / n;
  parallel_for(static_cast<int64_t>(n), 32, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      double* const sum = &sums.products[i * n];
      for (size_t r = 0; r < rows; ++r) {
        const float* const row = &sums.waiting[r * n];
        const double x = row[i];
        for (size_t j = i; j < n; ++j) sum[j] += x * static_cast<double>(row[j]);
      }
    }
  });
  sums.waiting.clear();
}

std::vector<double> RidgeRegression::target_means() const {
  std::vector<double> means;
  const auto n = static_cast<size_t>(inputs_ + 1);
  for (size_t k = 0; k < static_cast<size_t>(outputs_); ++k) {
    const double sum = fitting_.crossed[k * n + n - 1] + validation_.crossed[k * n + n - 1];
    means.push_back(samples() ? sum / static_cast<double>(samples()) : 0);
  }
  return means;
}

LinearModel RidgeRegression::solve(const Sums& sums, double penalty) const {
  LinearModel model(inputs_, outputs_);
  if (sums.count == 0) return model;
  const auto n = static_cast<size_t>(inputs_), stride = n + 1;
  const auto count = static_cast<double>(sums.count);
  const auto product = [&](size_t i, size_t j) {
    return sums.products[std::min(i, j) * stride + std::max(i, j)];
  };
  // centred inputs and targets need no intercept; it follows from the means
  std::vector<double> means(n), covariance(n * n);
  for (size_t i = 0; i < n; ++i) means[i] = product(i, n) / count;
  double variance = 0;
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j <= i; ++j)
      covariance[i * n + j] = product(i, j) - count * means[i] * means[j];
    variance += covariance[i * n + i] / count / static_cast<double>(n);
  }
  const auto mean_of = [&](size_t k) { return sums.crossed[k * stride + n] / count; };
  for (size_t k = 0; k < static_cast<size_t>(outputs_); ++k) model.intercepts[k] = mean_of(k);
  if (!(variance > 0)) return model;  // all pictures are equal
  for (size_t i = 0; i < n; ++i) covariance[i * n + i] += count * penalty * variance;
  if (!cholesky(covariance, n)) return model;
  std::vector<double> w(n);
  for (size_t k = 0; k < static_cast<size_t>(outputs_); ++k) {
    for (size_t i = 0; i < n; ++i)
      w[i] = sums.crossed[k * stride + i] - count * means[i] * mean_of(k);
    substitute(covariance, n, w);
    for (size_t i = 0; i < n; ++i) model.intercepts[k] -= w[i] * means[i];
    std::copy(w.begin(), w.end(), model.weights.begin() + static_cast<std::ptrdiff_t>(k * n));
    model.penalties[k] = penalty;
  }
  return model;
}

/// sum (y - v z)^2 = sum y^2 - 2 v (sum y z) + v (sum z z') v', with z = (inputs, 1), v = (w, b).
std::vector<double> RidgeRegression::squared_errors(const LinearModel& model,
                                                    const Sums& sums) const {
  const auto n = static_cast<size_t>(inputs_ + 1);
  std::vector<double> errors = sums.squares, v(n);
  for (size_t k = 0; k < errors.size(); ++k) {
    std::copy_n(model.weights.begin() + static_cast<std::ptrdiff_t>(k * (n - 1)), n - 1, v.begin());
    v[n - 1] = model.intercepts[k];
    for (size_t i = 0; i < n; ++i) {
      double row = sums.products[i * n + i] * v[i];
      for (size_t j = i + 1; j < n; ++j) row += 2 * sums.products[i * n + j] * v[j];
      errors[k] += v[i] * (row - 2 * sums.crossed[k * n + i]);
    }
  }
  return errors;
}

LinearModel RidgeRegression::fit() {
  flush(fitting_);
  flush(validation_);
  const auto outputs = static_cast<size_t>(outputs_);
  std::vector<double> chosen(outputs, kPenalties[std::size(kPenalties) / 2]);
  if (fitting_.count > 0 && validation_.count > 0) {
    std::vector<double> least(outputs, std::numeric_limits<double>::infinity());
    for (const double penalty : kPenalties) {
      const auto errors = squared_errors(solve(fitting_, penalty), validation_);
      for (size_t k = 0; k < outputs; ++k)
        if (errors[k] < least[k]) {
          least[k] = errors[k];
          chosen[k] = penalty;
        }
    }
  }
  Sums all = fitting_;
  all.count += validation_.count;
  for (size_t i = 0; i < all.products.size(); ++i) all.products[i] += validation_.products[i];
  for (size_t i = 0; i < all.crossed.size(); ++i) all.crossed[i] += validation_.crossed[i];
  LinearModel best(inputs_, outputs_);
  const auto inputs = static_cast<std::ptrdiff_t>(inputs_);
  for (const double penalty : kPenalties) {
    if (std::find(chosen.begin(), chosen.end(), penalty) == chosen.end()) continue;
    const LinearModel model = solve(all, penalty);
    for (size_t k = 0; k < outputs; ++k) {
      if (chosen[k] != penalty) continue;
      const auto row = static_cast<std::ptrdiff_t>(k) * inputs;
      std::copy_n(model.weights.begin() + row, inputs, best.weights.begin() + row);
      best.intercepts[k] = model.intercepts[k];
      best.penalties[k] = model.penalties[k];
    }
  }
  return best;
}

std::vector<int64_t> validation_episodes(std::span<const int64_t> training) {
  if (training.size() < 2) return {};
  const size_t count = std::max<size_t>(1, training.size() / 5);
  return {training.end() - static_cast<std::ptrdiff_t>(count), training.end()};
}

}  // namespace argosy::eval

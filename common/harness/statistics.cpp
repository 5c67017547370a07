#include "common/harness/statistics.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace lab {

double median(std::vector<double> values) {
  if (values.empty()) throw std::invalid_argument("the median of no values");
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

std::optional<Interval> median_interval(std::vector<double> values, double confidence) {
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  // The interval from the k-th smallest to the k-th largest misses the median with probability 2 P(X < k), X ~ Bin(n, 1/2).
  double term = std::pow(0.5, static_cast<double>(n));  // P(X = 0), then P(X = 1) ...
  double below = 0;
  std::size_t k = 0;
  while (k < n / 2 && 2 * (below + term) <= 1 - confidence) {
    below += term;
    term *= static_cast<double>(n - k) / static_cast<double>(k + 1);
    ++k;
  }
  if (k == 0) return std::nullopt;
  return Interval{values[k - 1], values[n - k]};
}

}  // namespace lab

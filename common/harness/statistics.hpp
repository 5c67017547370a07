// The median and its exact interval: no assumption about how times are distributed.
#pragma once

#include <optional>
#include <vector>

namespace lab {

struct Interval {
  double low = 0, high = 0;
};

/// The median; the mean of the two middle values for an even count. Needs at least one value.
double median(std::vector<double> values);

/// An interval that covers the true median with at least that confidence (0.95 = 95 %), from two order statistics: the number
/// of values below the median is binomial(n, 1/2) whatever the distribution (David & Nagaraja, Order Statistics, 7.1). None
/// when even the smallest and largest value do not reach the confidence: 95 % needs 6 values, 99 % needs 8.
std::optional<Interval> median_interval(std::vector<double> values, double confidence);

}  // namespace lab

#include "core/kernels/distance.h"

#include <simsimd/simsimd.h>

#include <algorithm>
#include <cmath>

namespace thermocline::kernels {
namespace {

simsimd_kernel_punned_t Choose(simsimd_metric_kind_t kind) {
  simsimd_kernel_punned_t function = nullptr;
  simsimd_capability_t capability = simsimd_cap_serial_k;
  simsimd_find_kernel_punned(kind, simsimd_datatype_f32_k, simsimd_capabilities(), simsimd_cap_any_k, &function,
                             &capability);
  return function;
}

template <simsimd_metric_kind_t kind>
double Distance(const float* a, const float* b, size_t dimensions) {
  // By way of void(*)(), the function type that may be cast to any other; the kind says what it really is.
  static const auto function =
      reinterpret_cast<simsimd_metric_dense_punned_t>(reinterpret_cast<void (*)()>(Choose(kind)));
  simsimd_distance_t distance = 0;
  function(a, b, dimensions, &distance);
  return distance;
}

double FastCosine(const float* query, const float* row, size_t dimensions) {
  return std::clamp(1.0 - Distance<simsimd_metric_cos_k>(query, row, dimensions), -1.0, 1.0);
}

double FastDot(const float* query, const float* row, size_t dimensions) {
  return Distance<simsimd_metric_dot_k>(query, row, dimensions);
}

double FastL2(const float* query, const float* row, size_t dimensions) {
  return -std::sqrt(std::max(0.0, Distance<simsimd_metric_l2sq_k>(query, row, dimensions)));
}

}  // namespace

ScoreFunction FastScore(format::Metric metric) {
  switch (metric) {
    case format::Metric::kCosine:
      return FastCosine;
    case format::Metric::kDot:
      return FastDot;
    case format::Metric::kL2:
      return FastL2;
  }
  return FastCosine;
}

/// Sum of f(0) .. f(count - 1) in four interleaved sums, always in this order: the same on every machine.
template <typename Term>
double SumOf(size_t count, Term term) {
  double sums[4] = {};
  size_t i = 0;
  for (; i + 4 <= count; i += 4) {
    for (size_t j = 0; j < 4; ++j) sums[j] += term(i + j);
  }
  for (; i < count; ++i) sums[0] += term(i);
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

double ExactScore(format::Metric metric, const float* query, const float* row, size_t dimensions) {
  const auto product = [dimensions](const float* a, const float* b) {
    return SumOf(dimensions, [a, b](size_t i) { return static_cast<double>(a[i]) * static_cast<double>(b[i]); });
  };
  if (metric == format::Metric::kDot) return product(query, row);
  if (metric == format::Metric::kL2) {
    // From zero, because the opposite of no distance is a zero with a sign, which `Object.is` tells from 0.
    return 0 - std::sqrt(SumOf(dimensions, [query, row](size_t i) {
             const double difference = static_cast<double>(query[i]) - static_cast<double>(row[i]);
             return difference * difference;
           }));
  }
  const double query_square = product(query, query);
  const double row_square = product(row, row);
  if (query_square == 0 || row_square == 0) return 0;
  // The square root of the product rather than the product of the roots: of x * x it is x again.
  return std::clamp(product(query, row) / std::sqrt(query_square * row_square), -1.0, 1.0);
}

}  // namespace thermocline::kernels

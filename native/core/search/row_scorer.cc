#include "core/search/row_scorer.h"

#include <algorithm>
#include <cmath>

#include "core/kernels/distance.h"

namespace thermocline::search {
namespace {

// Sums of squares between these neither overflow nor consist of numbers that single precision rounds to nothing.
constexpr float kSquareMin = 1e-25f;
constexpr float kSquareMax = 1e30f;

bool Representable(float square) { return square >= kSquareMin && square <= kSquareMax; }

}  // namespace

RowScorer::RowScorer(format::Metric metric, std::span<const float> query)
    : kernels_(kernels::Best()), metric_(metric), query_(query), error_(kernels::SumError(query.size())) {
  double square = 0;
  for (const float value : query) square += static_cast<double>(value) * static_cast<double>(value);
  length_ = std::sqrt(square);
  representable_ = Representable(static_cast<float>(square));
  if (metric != format::Metric::kCosine) return;
  // One rounding per element is within the error of the sums.
  unit_.resize(query.size());
  for (size_t d = 0; d < query.size(); ++d) unit_[d] = static_cast<float>(static_cast<double>(query[d]) / length_);
  representable_ = true;
}

ScannedScore RowScorer::Exactly(const float* row) const {
  return {kernels::ExactScore(metric_, query_.data(), row, query_.size()), 0};
}

void RowScorer::Score(const float* rows, size_t count, const float* ahead, ScannedScore* scores) const {
  const size_t dimensions = query_.size();
  float sums[kRowsMax];
  float squares[kRowsMax];
  if (metric_ == format::Metric::kL2) {
    kernels_.distance_rows(query_.data(), rows, dimensions, count, dimensions, ahead, sums);
    for (size_t i = 0; i < count; ++i) {
      if (!Representable(sums[i])) {
        scores[i] = Exactly(rows + i * dimensions);
        continue;
      }
      const double distance = std::sqrt(static_cast<double>(sums[i]));
      scores[i] = {-distance, distance * error_};
    }
    return;
  }
  const bool cosine = metric_ == format::Metric::kCosine;
  kernels_.dot_rows(cosine ? unit_.data() : query_.data(), rows, dimensions, count, dimensions, ahead, sums, squares);
  for (size_t i = 0; i < count; ++i) {
    if (!representable_ || !Representable(squares[i])) {
      scores[i] = Exactly(rows + i * dimensions);
      continue;
    }
    const double length = std::sqrt(static_cast<double>(squares[i]));
    const auto dot = static_cast<double>(sums[i]);
    scores[i] = cosine ? ScannedScore{dot / length, 2 * error_} : ScannedScore{dot, error_ * length_ * length};
  }
}

}  // namespace thermocline::search

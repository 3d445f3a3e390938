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
  compared_ = query;
  if (metric != format::Metric::kCosine) return;
  // One rounding per element is within the error of the sums.
  unit_.resize(query.size());
  for (size_t d = 0; d < query.size(); ++d) unit_[d] = static_cast<float>(static_cast<double>(query[d]) / length_);
  compared_ = unit_;
  representable_ = true;
}

ScannedScore RowScorer::Exactly(const float* row) const {
  return {kernels::ExactScore(metric_, query_.data(), row, query_.size()), 0};
}

ScannedScore RowScorer::FromDistance(const float* row, float square) const {
  if (!Representable(square)) return Exactly(row);
  const double distance = std::sqrt(static_cast<double>(square));
  return {-distance, distance * error_};
}

ScannedScore RowScorer::FromDot(const float* row, float sum, float square) const {
  if (!representable_ || !Representable(square)) return Exactly(row);
  const double length = std::sqrt(static_cast<double>(square));
  const auto dot = static_cast<double>(sum);
  return metric_ == format::Metric::kCosine ? ScannedScore{dot / length, 2 * error_}
                                            : ScannedScore{dot, error_ * length_ * length};
}

void RowScorer::Score(const float* rows, size_t count, const float* ahead, ScannedScore* scores) const {
  const size_t dimensions = query_.size();
  float sums[kRowsMax];
  float squares[kRowsMax];
  if (metric_ == format::Metric::kL2) {
    kernels_.distance_rows(query_.data(), rows, dimensions, count, dimensions, ahead, sums);
    for (size_t i = 0; i < count; ++i) scores[i] = FromDistance(rows + i * dimensions, sums[i]);
    return;
  }
  kernels_.dot_rows(compared_.data(), rows, dimensions, count, dimensions, ahead, sums, squares);
  for (size_t i = 0; i < count; ++i) scores[i] = FromDot(rows + i * dimensions, sums[i], squares[i]);
}

void RowScorer::ScoreScattered(const float* const* rows, size_t count, ScannedScore* scores) const {
  const size_t dimensions = query_.size();
  float sums[kRowsMax];
  float squares[kRowsMax];
  if (metric_ == format::Metric::kL2) {
    for (size_t i = 0; i < count; ++i) {
      const float* const ahead = rows[std::min(i + kernels::kScatteredAhead, count - 1)];
      kernels_.distance_rows(query_.data(), rows[i], 0, 1, dimensions, ahead, sums + i);
      scores[i] = FromDistance(rows[i], sums[i]);
    }
    return;
  }
  kernels_.dot_scattered(compared_.data(), rows, count, dimensions, sums, squares);
  for (size_t i = 0; i < count; ++i) scores[i] = FromDot(rows[i], sums[i], squares[i]);
}

}  // namespace thermocline::search

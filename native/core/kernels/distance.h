// The score of one query and one embedding: in double precision, as every hit is scored in the end, and as SimSIMD
// (https://github.com/ashvardanian/SimSIMD) computes it.
//
// Scans use neither but kernels.h: a call per row and per sum is what they cannot afford. SimSIMD's is the second
// opinion that tests compare ours with.
// Thread rule: pure functions.
#pragma once

#include <cstddef>

#include "core/format/layout.h"

namespace thermocline::kernels {

/// A score: higher is better. Cosine in [-1, 1] (0 for a zero vector), dot as it is, l2 minus the Euclidean distance.
/// Accurate to float rounding.
using ScoreFunction = double (*)(const float* query, const float* row, size_t dimensions);

ScoreFunction FastScore(format::Metric metric);
/// In double precision throughout. Cosine of a vector with itself is exactly 1.
double ExactScore(format::Metric metric, const float* query, const float* row, size_t dimensions);

}  // namespace thermocline::kernels

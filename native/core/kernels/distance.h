// Scores of one query against rows of embeddings, by the fastest instruction set of this machine, chosen once.
//
// The fast ones are SimSIMD's (https://github.com/ashvardanian/SimSIMD); each has a scalar twin here that computes in
// double precision, with which tests compare it and which search uses for the hits that it returns.
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

/// Name of the instruction set that FastScore uses for cosine here: "serial" would be a defect on x86-64 and arm64.
const char* KernelName();

}  // namespace thermocline::kernels

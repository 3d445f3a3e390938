// Sketches: one bit per dimension of an embedding, with the terms that make of it an unbiased estimate of a dot product
// and a bound of the estimate's error.
//
// RaBitQ (J. Gao, C. Long, "RaBitQ: Quantizing High-Dimensional Vectors with a Theoretical Error Bound for Approximate
// Nearest Neighbor Search", SIGMOD 2024), with these choices: the rotation is two rounds of random signs and Hadamard
// transforms; each segment has one centre; the code is estimated from twice, from its first bits and from all.
// docs/search.md has the estimator and what was measured, docs/format.md the bytes.
//
// Not here: which memories are scanned and what becomes of the bounds (core/search).
// Thread rule: a SketchCoder is constant once made. A SketchQuery belongs to one thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/format/layout.h"
#include "core/kernels/kernels.h"

namespace thermocline::kernels {

/// Where one sketch lies.
struct SketchPlace {
  char* group;    // of format::kSketchGroupSlots prefixes
  uint32_t lane;  // within the group
  char* row;      // the rest
};

class SketchCoder {
 public:
  SketchCoder(uint32_t dimensions, format::Metric metric, const format::Salt& salt);

  uint32_t bits() const { return bits_; }
  uint32_t words() const { return bits_ / 32; }
  uint32_t prefix_words() const { return prefix_words_; }
  format::Metric metric() const { return metric_; }

  /// The embedding, times `scale`, in the basis of the codes: `bits` values. Keeps lengths and angles.
  void Rotate(const float* embedding, double scale, float* rotated) const;
  /// `centre`: `bits` values, in the basis of the codes. Cost: two transforms and one pass.
  void Write(const float* embedding, const float* centre, const SketchPlace& place) const;
  /// Of a memory without embedding: its bound is below every other.
  void WriteNone(const SketchPlace& place) const;

 private:
  static constexpr uint32_t kRounds = 2;

  struct Terms {
    float scale;   // B: what the sum of signs is multiplied by
    float spread;  // E: the estimate's standard deviation, in relation to the distance of query and centre
  };
  Terms TermsOf(double squares, double sizes, double code_bits, double length) const;
  void WriteTerms(const SketchPlace& place, float shift, const Terms& prefix, const Terms& whole) const;

  const Kernels& kernels_;
  uint32_t dimensions_;
  format::Metric metric_;
  uint32_t bits_;
  uint32_t prefix_words_;
  uint32_t length_;           // of a transform: the largest power of two that fits; two of them overlap otherwise
  std::vector<float> signs_;  // of each transform one after another, scaled so that lengths are kept
};

/// One query, ready to be compared with the sketches of one segment at a time. What is compared ("closeness") grows
/// with the score: cosine and dot product as they are, of l2 minus half the squared distance.
class SketchQuery {
 public:
  /// `confidence`: of each of both bounds, in standard deviations.
  SketchQuery(const SketchCoder& coder, std::span<const float> query, double confidence);

  /// False when the bounds cannot be computed in single precision: then scan exactly.
  bool Prepare(const float* centre);
  const PrefixQuery& prefix() const { return prefix_; }
  /// Upper bound of the closeness by the whole sketch. Of a sketch that is being written just now, any number.
  float Bound(const SketchPlace& place) const;

  /// Closeness that belongs to a score, rounded down.
  float ClosenessOf(double score) const;

 private:
  void MakeTables();

  const SketchCoder& coder_;
  const Kernels& kernels_;
  double confidence_;
  double length_;  // of the query as it is compared
  std::vector<float> rotated_;
  std::vector<float> residual_;  // rotated query - centre
  std::vector<uint8_t> tables_;
  PrefixQuery prefix_{};
};

/// How many standard deviations a bound needs, so that `recall` of what is above it is kept when each of two bounds
/// may lose half of the rest. `recall` in [0, 1).
double ConfidenceOf(double recall);

}  // namespace thermocline::kernels

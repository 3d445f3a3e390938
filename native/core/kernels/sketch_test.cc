// The bounds of sketches hold as often as their confidence says, for data of every kind, and the estimate is unbiased.

#include "core/kernels/sketch.h"

#include <cmath>
#include <limits>
#include <vector>

#include "test/harness.h"

namespace thermocline::kernels {
namespace {

constexpr format::Metric kMetrics[] = {format::Metric::kCosine, format::Metric::kDot, format::Metric::kL2};
constexpr format::Salt kSalt{0x0123456789ABCDEFu, 0xFEDCBA9876543210u};
constexpr uint32_t kDimensions[] = {1, 2, 3, 7, 20, 64, 65, 100, 192, 384, 512, 1000, 1536, 4096};

double Dot(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

/// What SketchQuery bounds.
double Closeness(format::Metric metric, const std::vector<float>& query, const std::vector<float>& embedding) {
  const double dot = Dot(query, embedding);
  const double squares = Dot(query, query) * Dot(embedding, embedding);
  if (metric == format::Metric::kCosine) return squares == 0 ? 0 : dot / std::sqrt(squares);
  if (metric == format::Metric::kDot) return dot;
  return dot - (Dot(query, query) + Dot(embedding, embedding)) / 2;
}

/// The sketches of one group of slots and their rows.
class Sketches {
 public:
  explicit Sketches(const SketchCoder& coder)
      : coder_(coder), group_(PrefixGroupBytes(coder.prefix_words())), rows_(kSketchGroup * row_bytes()) {}
  SketchPlace At(uint32_t lane) { return {group_.data(), lane, rows_.data() + lane * row_bytes()}; }
  std::vector<float> PrefixBounds(const SketchQuery& query) const {
    std::vector<float> bounds(kSketchGroup);
    Best().scan_prefixes(query.prefix(), group_.data(), 1, bounds.data());
    return bounds;
  }

 private:
  size_t row_bytes() const { return (coder_.words() - coder_.prefix_words()) * 4 + sizeof(format::SketchRowTerms); }
  const SketchCoder& coder_;
  std::vector<char> group_;
  std::vector<char> rows_;
};

using Make = std::vector<float> (*)(Random& random, uint32_t dimensions);

std::vector<float> Dense(Random& random, uint32_t dimensions) {
  std::vector<float> vector(dimensions);
  for (float& value : vector) value = random.Unit() + random.Unit() + random.Unit();
  return vector;
}
std::vector<float> OneHot(Random& random, uint32_t dimensions) {
  std::vector<float> vector(dimensions, 0.0f);
  vector[random.Below(dimensions)] = random.Unit() + 2;
  return vector;
}
std::vector<float> ThreeHot(Random& random, uint32_t dimensions) {
  std::vector<float> vector(dimensions, 0.0f);
  for (int i = 0; i < 3; ++i) vector[random.Below(std::min(dimensions, 40u))] += random.Unit();
  return vector;
}
std::vector<float> TinyDifferences(Random& random, uint32_t dimensions) {
  std::vector<float> vector(dimensions);
  for (size_t i = 0; i < dimensions; ++i) vector[i] = std::sin(static_cast<float>(i)) + random.Unit() * 1e-3f;
  return vector;
}
std::vector<float> ManyLengths(Random& random, uint32_t dimensions) {
  std::vector<float> vector = Dense(random, dimensions);
  const float factor = std::pow(10.0f, random.Unit() * 4);
  for (float& value : vector) value *= factor;
  return vector;
}

void ExpectBoundsHold(format::Metric metric, uint32_t dimensions, Make make, double confidence, double lost_max) {
  Random random(TestSeed() + dimensions);
  const SketchCoder coder(dimensions, metric, kSalt);
  Sketches sketches(coder);
  uint64_t bounds = 0;
  uint64_t lost_by_prefix = 0;
  uint64_t lost_by_whole = 0;
  for (int round = 0; round < 20; ++round) {
    std::vector<float> centre(coder.bits(), 0.0f);
    if (round % 2 == 1) coder.Rotate(make(random, dimensions).data(), 0.5, centre.data());
    std::vector<std::vector<float>> embeddings;
    for (uint32_t lane = 0; lane < kSketchGroup; ++lane) {
      embeddings.push_back(make(random, dimensions));
      coder.Write(embeddings.back().data(), centre.data(), sketches.At(lane));
    }
    const std::vector<float> vector = make(random, dimensions);
    if (Dot(vector, vector) == 0) continue;
    SketchQuery query(coder, vector, confidence);
    ASSERT_TRUE(query.Prepare(centre.data()));
    const std::vector<float> prefix = sketches.PrefixBounds(query);
    for (uint32_t lane = 0; lane < kSketchGroup; ++lane) {
      const double closeness = Closeness(metric, vector, embeddings[lane]);
      ++bounds;
      lost_by_prefix += static_cast<double>(prefix[lane]) < closeness ? 1 : 0;
      lost_by_whole += static_cast<double>(query.Bound(sketches.At(lane))) < closeness ? 1 : 0;
    }
  }
  EXPECT_LE(static_cast<double>(lost_by_prefix), lost_max * static_cast<double>(bounds));
  EXPECT_LE(static_cast<double>(lost_by_whole), lost_max * static_cast<double>(bounds));
}

TEST(Sketch, BoundsHoldAsOftenAsTheirConfidenceSays) {
  for (const format::Metric metric : kMetrics) {
    for (const uint32_t dimensions : kDimensions) {
      for (const Make make : {Dense, OneHot, ThreeHot, TinyDifferences, ManyLengths}) {
        // The normal distribution loses 2.3 % and 0.1 %; the rest is chance among some hundred bounds.
        ExpectBoundsHold(metric, dimensions, make, 2, 0.08);
        ExpectBoundsHold(metric, dimensions, make, 3, 0.025);
      }
    }
  }
}

// Both bounds are of the same bits there, so what is left between them is what the tables round. At no confidence to
// speak of nothing else hides it.
TEST(Sketch, TheRoundingOfTheTablesIsAllowedForWhereThePrefixIsTheWhole) {
  Random random(TestSeed());
  const uint32_t dimensions = 128;
  const SketchCoder coder(dimensions, format::Metric::kDot, kSalt);
  ASSERT_EQ(coder.prefix_words(), coder.words());
  Sketches sketches(coder);
  const std::vector<float> centre(coder.bits(), 0.0f);
  int below = 0;
  for (int round = 0; round < 60; ++round) {
    for (uint32_t lane = 0; lane < kSketchGroup; ++lane) {
      coder.Write(Dense(random, dimensions).data(), centre.data(), sketches.At(lane));
    }
    SketchQuery query(coder, Dense(random, dimensions), 1e-6);
    ASSERT_TRUE(query.Prepare(centre.data()));
    const std::vector<float> prefix = sketches.PrefixBounds(query);
    for (uint32_t lane = 0; lane < kSketchGroup; ++lane) below += prefix[lane] < query.Bound(sketches.At(lane)) ? 1 : 0;
  }
  EXPECT_LE(below, 10);  // of 960
}

TEST(Sketch, TheEstimateIsUnbiased) {
  Random random(TestSeed());
  const uint32_t dimensions = 300;
  const SketchCoder coder(dimensions, format::Metric::kDot, kSalt);
  Sketches sketches(coder);
  const std::vector<float> centre(coder.bits(), 0.0f);
  double bias = 0;
  double size = 0;
  constexpr int kRounds = 3000;
  for (int round = 0; round < kRounds; ++round) {
    const std::vector<float> embedding = Dense(random, dimensions);
    std::vector<float> vector = Dense(random, dimensions);
    for (size_t i = 0; i < dimensions; ++i) vector[i] += embedding[i];  // so that there is something to estimate
    coder.Write(embedding.data(), centre.data(), sketches.At(3));
    SketchQuery query(coder, vector, 0);  // no confidence: the bound is the estimate
    ASSERT_TRUE(query.Prepare(centre.data()));
    const double estimate = static_cast<double>(query.Bound(sketches.At(3)));
    bias += estimate - Dot(vector, embedding);
    size += Dot(vector, embedding);
  }
  EXPECT_LE(std::abs(bias), 0.003 * size);
}

TEST(Sketch, RotationKeepsLengthsAndProducts) {
  Random random(TestSeed());
  for (const uint32_t dimensions : kDimensions) {
    const SketchCoder coder(dimensions, format::Metric::kDot, kSalt);
    const std::vector<float> one = Dense(random, dimensions);
    const std::vector<float> two = Dense(random, dimensions);
    std::vector<float> rotated_one(coder.bits());
    std::vector<float> rotated_two(coder.bits());
    coder.Rotate(one.data(), 1, rotated_one.data());
    coder.Rotate(two.data(), 1, rotated_two.data());
    EXPECT_NEAR(Dot(rotated_one, rotated_one), Dot(one, one), 1e-5 * Dot(one, one));
    EXPECT_NEAR(Dot(rotated_one, rotated_two), Dot(one, two), 1e-5 * std::sqrt(Dot(one, one) * Dot(two, two)));
  }
}

TEST(Sketch, WhatSinglePrecisionCannotHoldIsAlwaysLookedAt) {
  for (const format::Metric metric : kMetrics) {
    const SketchCoder coder(100, metric, kSalt);
    Sketches sketches(coder);
    const std::vector<float> centre(coder.bits(), 0.0f);
    const std::vector<float> one(100, 1.0f);
    SketchQuery query(coder, one, 2);
    ASSERT_TRUE(query.Prepare(centre.data()));
    coder.Write(std::vector<float>(100, 3e38f).data(), centre.data(), sketches.At(0));
    coder.Write(std::vector<float>(100, 1e-30f).data(), centre.data(), sketches.At(1));
    coder.WriteNone(sketches.At(2));
    coder.Write(std::vector<float>(100, 0.0f).data(), centre.data(), sketches.At(3));
    const std::vector<float> bounds = sketches.PrefixBounds(query);
    for (const uint32_t lane : {0u, 1u}) {
      EXPECT_EQ(bounds[lane], std::numeric_limits<float>::infinity());
      EXPECT_EQ(query.Bound(sketches.At(lane)), std::numeric_limits<float>::infinity());
    }
    EXPECT_EQ(bounds[2], -std::numeric_limits<float>::infinity());
    EXPECT_GE(static_cast<double>(bounds[3]), Closeness(metric, one, std::vector<float>(100, 0.0f)));
    // Neither can a query be too large for an answer: it says so.
    SketchQuery huge(coder, std::vector<float>(100, 3e38f), 2);
    EXPECT_EQ(huge.Prepare(centre.data()), metric == format::Metric::kCosine);
  }
}

TEST(Sketch, ConfidenceIsTheNormalDistributions) {
  EXPECT_NEAR(ConfidenceOf(0.99), 2.5758, 1e-3);
  EXPECT_NEAR(ConfidenceOf(0.9), 1.6449, 1e-3);
  EXPECT_NEAR(ConfidenceOf(1e-9), 0.0, 1e-6);
  EXPECT_NEAR(ConfidenceOf(0.999999), 4.8916, 1e-2);
  EXPECT_TRUE(std::isfinite(ConfidenceOf(1 - 1e-16)));
}

}  // namespace
}  // namespace thermocline::kernels

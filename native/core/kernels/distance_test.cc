#include "core/kernels/distance.h"

#include <cmath>
#include <vector>

#include "test/harness.h"

namespace thermocline::kernels {
namespace {

constexpr format::Metric kMetrics[] = {format::Metric::kCosine, format::Metric::kDot, format::Metric::kL2};

TEST(Distance, FastEqualsExactOverLengthsAndAlignments) {
  test::Random random(test::TestSeed());
  std::vector<float> memory(2 * 4096 + 32);
  for (float& value : memory) value = random.Unit();
  for (const format::Metric metric : kMetrics) {
    for (size_t dimensions = 1; dimensions <= 4096;
         dimensions = dimensions < 70 ? dimensions + 1 : dimensions * 2 - 3) {
      for (size_t shift = 0; shift < 5; ++shift) {
        const float* query = memory.data() + shift;
        const float* row = memory.data() + 4096 + 2 * shift;
        const double fast = FastScore(metric)(query, row, dimensions);
        const double exact = ExactScore(metric, query, row, dimensions);
        // Sums of float products: the error grows with the root of their number.
        EXPECT_TRUE(std::abs(fast - exact) <= 4e-6 * std::sqrt(static_cast<double>(dimensions)) + 1e-6);
      }
    }
  }
}

TEST(Distance, CosineOfAVectorWithItselfIsExactlyOne) {
  test::Random random(test::TestSeed());
  for (int round = 0; round < 200; ++round) {
    std::vector<float> vector(1 + random.Below(600));
    for (float& value : vector) value = random.Unit() * 1000;
    EXPECT_EQ(ExactScore(format::Metric::kCosine, vector.data(), vector.data(), vector.size()), 1.0);
  }
}

TEST(Distance, AZeroVectorHasCosineZero) {
  const std::vector<float> zero(16, 0.0f);
  const std::vector<float> one(16, 1.0f);
  EXPECT_EQ(ExactScore(format::Metric::kCosine, one.data(), zero.data(), 16), 0.0);
  EXPECT_EQ(ExactScore(format::Metric::kCosine, zero.data(), one.data(), 16), 0.0);
  EXPECT_TRUE(std::abs(FastScore(format::Metric::kCosine)(one.data(), zero.data(), 16)) < 1e-6);
}

}  // namespace
}  // namespace thermocline::kernels

#include "core/base/crc32c.h"

#include <string_view>
#include <vector>

#include "test/harness.h"

using thermocline::Crc32c;
using thermocline::Crc32cScalar;

TEST(Crc32c, MatchesTheCheckValueOfTheCatalogue) { EXPECT_EQ(Crc32c(0, "123456789", 9), 0xE3069283u); }

TEST(Crc32c, EveryVariantEqualsScalarOverLengthsAndAlignments) {
  std::vector<unsigned char> bytes(4096 + 16);
  uint32_t state = 7;
  for (auto& byte : bytes) {
    state = state * 1664525u + 1013904223u;
    byte = static_cast<unsigned char>(state >> 24);
  }
  for (const thermocline::Crc32cFunction variant : thermocline::Crc32cVariants()) {
    for (size_t alignment = 0; alignment < 9; ++alignment) {
      for (size_t size = 0; size < 4000; size = size < 400 ? size + 1 : size + 37) {
        EXPECT_EQ(variant(123, bytes.data() + alignment, size), Crc32cScalar(123, bytes.data() + alignment, size));
      }
    }
  }
}

TEST(Crc32c, RunsBackwardsToItsSeed) {
  thermocline::test::Random random(thermocline::test::TestSeed());
  for (int round = 0; round < 1000; ++round) {
    std::vector<unsigned char> bytes(random.Below(200));
    for (auto& byte : bytes) byte = static_cast<unsigned char>(random.Next());
    const auto seed = static_cast<uint32_t>(random.Next());
    const uint32_t crc = Crc32c(seed, bytes.data(), bytes.size());
    EXPECT_EQ(thermocline::Crc32cSeedOf(crc, bytes.data(), bytes.size()), seed);
  }
}

TEST(Crc32c, AChainOfCallsEqualsOneCall) {
  std::vector<unsigned char> bytes(3000, 0x5A);
  EXPECT_EQ(Crc32c(Crc32c(9, bytes.data(), 1000), bytes.data() + 1000, 2000), Crc32c(9, bytes.data(), 3000));
}

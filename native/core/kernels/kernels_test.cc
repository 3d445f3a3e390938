// Every set of kernels agrees with the scalar twin, over lengths and alignments, within the error stated in kernels.h.
// Every set is named, with whether it ran here.

#include "core/kernels/kernels.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "test/harness.h"

namespace thermocline::kernels {
namespace {

/// Calls back with each set but the scalar one that runs here.
template <typename Check>
void ForEachSet(Check check) {
  for (const KernelsHere& each : AllKernels()) {
    if (each.kernels == &kScalarKernels) continue;
    if (each.runs) check(*each.kernels);
  }
}

std::vector<float> RandomFloats(Random& random, size_t count) {
  std::vector<float> values(count);
  for (float& value : values) value = random.Unit();
  return values;
}

/// Sums of which round differently: to and fro, and always the same way.
enum class Kind { kSigned, kAllEqual };
constexpr Kind kKinds[] = {Kind::kSigned, Kind::kAllEqual};

std::vector<float> FloatsOf(Kind kind, Random& random, size_t count) {
  std::vector<float> values = RandomFloats(random, count);
  if (kind == Kind::kAllEqual) std::fill(values.begin(), values.end(), 0.7f);
  return values;
}

double SumOfSizes(const float* a, const float* b, size_t count) {
  double sum = 0;
  for (size_t i = 0; i < count; ++i) sum += std::abs(static_cast<double>(a[i]) * static_cast<double>(b[i]));
  return sum;
}

double SumOfSizes(const float* values, size_t count) {
  double sum = 0;
  for (size_t i = 0; i < count; ++i) sum += std::abs(static_cast<double>(values[i]));
  return sum;
}

/// Every length up to 272, then up to 4,096 in steps after which each rest of a division by sixteen comes once.
size_t NextLength(size_t length) { return length < 272 ? length + 1 : length + 239; }
/// Places of a float within the widest register.
constexpr size_t kShifts = 16;

// Lines that begin so are no failure: no machine has all of them.
TEST(Kernels, EachSetIsTakenByItsNameWhereItRuns) {
  std::vector<std::string> left = {"scalar", "avx2", "avx512", "avx512vbmi", "neon"};
  const std::string fastest = SetNamed("").name;
  for (const KernelsHere& each : AllKernels()) {
    const std::string name = each.kernels->name;
    EXPECT_EQ(std::erase(left, name), 1u);
    EXPECT_EQ(SetNamed(name).name, each.runs ? name : fastest);
    if (each.runs) {
      const BestForNow forced(*each.kernels);
      EXPECT_EQ(Best().name, name);
    }
    std::printf(each.runs ? "run      kernels %s\n" : "not run  kernels %s: this machine lacks the instructions\n",
                name.c_str());
  }
  for (const std::string& name : left) std::printf("not run  kernels %s: of another architecture\n", name.c_str());
  EXPECT_EQ(SetNamed("none of them").name, fastest);
}

TEST(Kernels, TheBestSetIsNotTheScalarOneWhereAnotherRuns) {
#if defined(__x86_64__) || defined(__aarch64__)
  EXPECT_TRUE(std::string(Best().name) != "scalar");
#endif
}

TEST(Kernels, RowsAgreeWithTheScalarTwinOverLengthsAndAlignments) {
  Random random(TestSeed());
  for (const Kind kind : kKinds) {
    const std::vector<float> memory = FloatsOf(kind, random, 6 * 4096 + 128);
    ForEachSet([&](const Kernels& kernels) {
      for (size_t dimensions = 1; dimensions <= 4096; dimensions = NextLength(dimensions)) {
        for (size_t shift = 0; shift < kShifts; ++shift) {
          const float* query = memory.data() + shift;
          const float* rows = memory.data() + 4096 + kShifts + 3 * shift;
          const size_t count = 1 + (dimensions + shift) % 4;
          const size_t stride = dimensions + shift % 2;
          float dots[4], squares[4], distances[4], twin_dots[4], twin_squares[4], twin_distances[4];
          kernels.dot_rows(query, rows, stride, count, dimensions, rows, dots, squares);
          kernels.distance_rows(query, rows, stride, count, dimensions, rows, distances);
          kScalarKernels.dot_rows(query, rows, stride, count, dimensions, rows, twin_dots, twin_squares);
          kScalarKernels.distance_rows(query, rows, stride, count, dimensions, rows, twin_distances);
          for (size_t i = 0; i < count; ++i) {
            const double error = SumError(dimensions);
            EXPECT_NEAR(dots[i], twin_dots[i], error * SumOfSizes(query, rows + i * stride, dimensions));
            EXPECT_NEAR(squares[i], twin_squares[i], error * twin_squares[i]);
            EXPECT_NEAR(distances[i], twin_distances[i], error * twin_distances[i]);
          }
        }
      }
    });
  }
}

TEST(Kernels, SumsOfSquaresAndScaledCopiesAgreeOverLengthsAndAlignments) {
  Random random(TestSeed());
  for (const Kind kind : kKinds) {
    const std::vector<float> memory = FloatsOf(kind, random, 4096 + kShifts);
    ForEachSet([&](const Kernels& kernels) {
      for (size_t count = 1; count <= 4096; count = NextLength(count)) {
        for (size_t shift = 0; shift < kShifts; ++shift) {
          const float* values = memory.data() + shift;
          const float twin = kScalarKernels.sum_squares(values, count);
          EXPECT_NEAR(kernels.sum_squares(values, count), twin, SumError(count) * static_cast<double>(twin));
          std::vector<float> scaled(count + 1, 7.0f), twin_scaled(count + 1, 7.0f);  // the last one stays
          kernels.scale(values, 0.37f, count, scaled.data());
          kScalarKernels.scale(values, 0.37f, count, twin_scaled.data());
          EXPECT_TRUE(scaled == twin_scaled);
        }
      }
    });
  }
}

// The worst that rounding can do: beside the first element each of the others is lost, in every sum that the first is
// in. Sets with fewer sums than stated lose more than stated.
TEST(Kernels, AnElementBesideWhichOthersAreLostCostsNoMoreThanStated) {
  ForEachSet([&](const Kernels& kernels) {
    for (size_t words = 2; words <= 128; words += 2) {
      const size_t count = words * 32;
      const float lost = 0x1p-24f;
      std::vector<float> sizes(count, lost);
      std::vector<float> roots(count, std::sqrt(lost));
      sizes[0] = roots[0] = 1;
      const std::vector<float> zeros(count, 0.0f);
      std::vector<uint32_t> code(words, ~0u);
      const double sum = 1 + static_cast<double>(count - 1) * static_cast<double>(lost);
      const double error = SumError(count) * sum;
      EXPECT_NEAR(static_cast<double>(kernels.sum_signs(sizes.data(), code.data(), words)), sum, error);
      EXPECT_NEAR(static_cast<double>(kernels.encode_signs(sizes.data(), zeros.data(), words, code.data()).sizes), sum,
                  error);
      EXPECT_NEAR(static_cast<double>(kernels.encode_signs(roots.data(), zeros.data(), words, code.data()).squares),
                  sum, error);
      EXPECT_NEAR(static_cast<double>(kernels.sum_squares(roots.data(), count)), sum, error);
      float dot = 0;
      float square = 0;
      kernels.dot_rows(roots.data(), roots.data(), 0, 1, count - 1, roots.data(), &dot, &square);
      EXPECT_NEAR(static_cast<double>(dot), sum, error);
      EXPECT_NEAR(static_cast<double>(square), sum, error);
      kernels.distance_rows(zeros.data(), roots.data(), 0, 1, count - 1, roots.data(), &square);
      EXPECT_NEAR(static_cast<double>(square), sum, error);
    }
  });
}

TEST(Kernels, HadamardAgreesAndIsItsOwnInverse) {
  Random random(TestSeed());
  ForEachSet([&](const Kernels& kernels) {
    for (size_t length = 64; length <= 4096; length *= 2) {
      const std::vector<float> before = RandomFloats(random, length + 3);
      std::vector<float> signs(length + 1);
      for (float& sign : signs) sign = random.Below(2) == 0 ? 1.0f : -1.0f;
      const std::vector<float> ones(length, 1.0f);
      std::vector<float> values = before;
      std::vector<float> twin = before;
      kernels.hadamard(values.data() + 3, signs.data() + 1, length);
      kScalarKernels.hadamard(twin.data() + 3, signs.data() + 1, length);
      for (size_t i = 0; i < length + 3; ++i) EXPECT_NEAR(values[i], twin[i], 1e-6f * static_cast<float>(length));
      kernels.hadamard(values.data() + 3, ones.data(), length);
      for (size_t i = 0; i < length; ++i) {
        EXPECT_NEAR(values[i + 3] / static_cast<float>(length), before[i + 3] * signs[i + 1],
                    1e-6f * std::sqrt(static_cast<float>(length)));
      }
    }
  });
}

TEST(Kernels, PrefixBoundsAgreeForEveryNumberOfWordsAndGroups) {
  Random random(TestSeed());
  ForEachSet([&](const Kernels& kernels) {
    for (size_t words = 1; words <= kPrefixWordsMax; ++words) {
      for (const size_t group_count : {1u, 2u, 3u, 8u}) {
        std::vector<uint8_t> tables(words * kTableBytesPerWord + 1);
        for (uint8_t& value : tables) value = static_cast<uint8_t>(random.Below(8) == 0 ? 255 : random.Below(256));
        std::vector<char> groups(group_count * PrefixGroupBytes(words) + 4);
        for (char& byte : groups) byte = static_cast<char>(random.Below(256));
        char* at = groups.data() + 4;
        for (size_t group = 0; group < group_count; ++group) {
          for (size_t slot = 0; slot < kSketchGroup; ++slot) {
            const float a = random.Unit();
            const uint32_t terms = (std::bit_cast<uint32_t>(random.Unit() + 1.5f) & 0xFFFF0000u) |
                                   std::bit_cast<uint32_t>(random.Unit() + 1.5f) >> 16;
            char* group_at = at + group * PrefixGroupBytes(words);
            std::memcpy(group_at + (words * kSketchGroup + slot) * 4, &a, 4);
            std::memcpy(group_at + ((words + 1) * kSketchGroup + slot) * 4, &terms, 4);
          }
        }
        const PrefixQuery query{tables.data() + 1, words, 0.01f, -3.5f, 0.25f, 0.75f};
        std::vector<float> upper(group_count * kSketchGroup + 1, 77.0f);
        std::vector<float> twin = upper;
        kernels.scan_prefixes(query, at, group_count, upper.data());
        kScalarKernels.scan_prefixes(query, at, group_count, twin.data());
        for (size_t i = 0; i < upper.size(); ++i) EXPECT_NEAR(upper[i], twin[i], 1e-4f);
        EXPECT_EQ(upper.back(), 77.0f);
      }
    }
  });
}

TEST(Kernels, SumsOfSignsAgreeForEveryLength) {
  Random random(TestSeed());
  for (const Kind kind : kKinds) {
    ForEachSet([&](const Kernels& kernels) {
      for (size_t words = 2; words <= 128; words += 2) {
        const std::vector<float> query = FloatsOf(kind, random, words * 32 + kShifts);
        std::vector<uint32_t> code(words);
        for (uint32_t& word : code) word = words % 4 == 0 ? ~0u : static_cast<uint32_t>(random.Next());
        for (size_t shift = 0; shift < kShifts; ++shift) {
          const float sum = kernels.sum_signs(query.data() + shift, code.data(), words);
          const float twin = kScalarKernels.sum_signs(query.data() + shift, code.data(), words);
          EXPECT_NEAR(sum, twin, SumError(words * 32) * SumOfSizes(query.data() + shift, words * 32));
        }
      }
    });
  }
}

TEST(Kernels, CodesAndSumsOfResidualsAgreeForEveryLength) {
  Random random(TestSeed());
  for (const Kind kind : kKinds) {
    ForEachSet([&](const Kernels& kernels) {
      for (size_t words = 2; words <= 128; words += 2) {
        const size_t count = words * 32;
        const size_t shift = words / 2 % kShifts;
        std::vector<float> values = FloatsOf(kind, random, count + kShifts);
        std::vector<float> centre = RandomFloats(random, count + kShifts);
        for (size_t i = 0; i < count; i += 5) values[i] = centre[i];  // no sign of their own
        std::vector<uint32_t> code(words);
        std::vector<uint32_t> twin_code(words);
        const float* const from = values.data() + shift;
        const float* const at = centre.data() + kShifts - shift;
        const ResidualSums sums = kernels.encode_signs(from, at, words, code.data());
        const ResidualSums twin = kScalarKernels.encode_signs(from, at, words, twin_code.data());
        EXPECT_TRUE(code == twin_code);
        double sizes = 0;
        for (size_t i = 0; i < count; ++i) sizes += std::abs(static_cast<double>((from[i] - at[i]) * at[i]));
        const double error = SumError(count);
        EXPECT_NEAR(sums.sizes, twin.sizes, error * twin.sizes);
        EXPECT_NEAR(sums.squares, twin.squares, error * twin.squares);
        EXPECT_NEAR(sums.along, twin.along, error * sizes);
      }
    });
  }
}

TEST(Kernels, ScatteredRowsAreScoredAsConsecutiveOnes) {
  Random random(TestSeed());
  ForEachSet([&](const Kernels& kernels) {
    for (const size_t dimensions : {1u, 15u, 16u, 31u, 33u, 64u, 100u, 384u}) {
      for (size_t count = 0; count <= 7; ++count) {
        const std::vector<float> query = RandomFloats(random, dimensions);
        const std::vector<float> all = RandomFloats(random, dimensions * 9 + 1);
        std::vector<const float*> rows;
        for (size_t i = 0; i < count; ++i) rows.push_back(all.data() + 1 + random.Below(9) * dimensions);
        std::vector<float> dots(count + 1, 7.0f);
        std::vector<float> squares(count + 1, 7.0f);
        kernels.dot_scattered(query.data(), rows.data(), count, dimensions, dots.data(), squares.data());
        for (size_t i = 0; i < count; ++i) {
          float dot = 0;
          float square = 0;
          kernels.dot_rows(query.data(), rows[i], 0, 1, dimensions, rows[i], &dot, &square);
          EXPECT_EQ(dots[i], dot);
          EXPECT_EQ(squares[i], square);
        }
        EXPECT_EQ(dots[count], 7.0f);
        EXPECT_EQ(squares[count], 7.0f);
      }
    }
  });
}

TEST(Kernels, KeysWithinBoundsAgree) {
  Random random(TestSeed());
  ForEachSet([&](const Kernels& kernels) {
    for (int round = 0; round < 300; ++round) {
      std::vector<uint64_t> keys(65);
      for (uint64_t& key : keys) key = random.Below(2) == 0 ? random.Below(8) - 4 : random.Next();
      const uint64_t first = random.Below(3) == 0 ? keys[random.Below(64)] : random.Below(6) - 3;
      const uint64_t width = random.Below(3) == 0 ? random.Next() : random.Below(4);
      const uint64_t bits = kernels.keys_within(keys.data() + 1, first, width);
      EXPECT_EQ(bits, kScalarKernels.keys_within(keys.data() + 1, first, width));
      for (size_t i = 0; i < 64; ++i) EXPECT_EQ((bits >> i & 1) != 0, keys[i + 1] - first <= width);
    }
  });
}

TEST(Kernels, SelectionsAgree) {
  Random random(TestSeed());
  ForEachSet([&](const Kernels& kernels) {
    for (size_t count = 0; count <= 256; count += kSketchGroup) {
      std::vector<float> values = RandomFloats(random, count + 1);
      if (count > 0) values[count / 2] = -std::numeric_limits<float>::infinity();
      if (count > 0) values[count / 3] = std::numeric_limits<float>::infinity();
      for (const float least : {-2.0f, -0.5f, 0.0f, 0.9f, 2.0f, -std::numeric_limits<float>::infinity()}) {
        std::vector<uint32_t> places(count + 1, 7);
        std::vector<uint32_t> twin(count + 1, 7);
        const size_t selected = kernels.select_at_least(values.data() + 1, count, least, places.data());
        ASSERT_EQ(selected, kScalarKernels.select_at_least(values.data() + 1, count, least, twin.data()));
        for (size_t i = 0; i < selected; ++i) EXPECT_EQ(places[i], twin[i]);
      }
    }
  });
}

#if !defined(THERMOCLINE_EMULATED)  // a program under qemu-user cannot begin itself again
// Goal: a machine with the fastest kernels can be told to use others. Method: this program again, with the variable.
TEST(Kernels, AreTheOnesThatTheVariableNames) {
  if (const char* wanted = std::getenv("THERMOCLINE_KERNELS"); wanted != nullptr) {
    EXPECT_EQ(std::string(Best().name), wanted);
    return;
  }
  const pid_t child = ::fork();
  if (child == 0) {
    ::setenv("THERMOCLINE_KERNELS", kScalarKernels.name, 1);
    ::execl("/proc/self/exe", "thermocline_test", "Kernels.AreTheOnes", static_cast<char*>(nullptr));
    ::_exit(127);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}
#endif

}  // namespace
}  // namespace thermocline::kernels

// A test harness small enough to read: registration, expectations, a filter, seeds, temporary directories.
//
// Not here: fixtures, mocks, death tests. Built without exceptions, so an ASSERT_* leaves the function it
// stands in by `return`: use it in functions that return void.
// Thread rule: EXPECT_* may fail on any thread; a test ends only when its threads are joined by itself.
//
//   TEST(Log, ReopensAtTheTail) {
//     TempDirectory directory;
//     Random random(TestSeed());
//     ASSERT_TRUE(log.ok());
//     EXPECT_EQ(log->tail(), 64u);
//   }
#pragma once

#include <cstdint>
#include <limits>
#include <sstream>
#include <string>
#include <type_traits>

#include "core/base/status.h"

namespace thermocline::test {

using TestFunction = void (*)();

/// Called by TEST before main. Names are compared by the filter as `Suite.ClaimName`.
bool RegisterTest(const char* suite, const char* name, TestFunction function);

/// Notes a failed expectation of the running test. Any thread.
void ReportFailure(const char* file, int line, const std::string& message);

/// The seed of this run: `--seed n`, or a fixed one. Printed with every failure.
uint64_t TestSeed();

/// Whether a sanitizer watches this binary or an emulator runs it: limits on time mean nothing then. ThreadSanitizer
/// also has locks of its own around each atomic access, on which a signal handler waits for ever when such an access
/// was what faulted.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THERMOCLINE_THREAD_SANITIZER 1
#elif __has_feature(address_sanitizer)
#define THERMOCLINE_ADDRESS_SANITIZER 1
#endif
#endif
#if defined(THERMOCLINE_THREAD_SANITIZER) || defined(__SANITIZE_THREAD__)
inline constexpr bool kThreadSanitizer = true;
#else
inline constexpr bool kThreadSanitizer = false;
#endif
#if defined(THERMOCLINE_ADDRESS_SANITIZER) || defined(__SANITIZE_ADDRESS__) || defined(THERMOCLINE_EMULATED)
inline constexpr bool kInstrumented = true;
#else
inline constexpr bool kInstrumented = kThreadSanitizer;
#endif

/// 1, or 20 when THERMOCLINE_NIGHTLY is set: a factor for numbers of rounds.
uint64_t TestScale();

/// `--rounds n`, else `usual`, or `nightly` when THERMOCLINE_NIGHTLY is set.
uint64_t TestRounds(uint64_t usual, uint64_t nightly);

/// The same for tests of one thread, in which ThreadSanitizer has nothing to find: a fifth of the usual under it.
inline uint64_t RoundsOfOneThread(uint64_t usual, uint64_t nightly) {
  return TestRounds(kThreadSanitizer ? usual / 5 : usual, nightly);
}

/// What a `main` of tests does (main.cc); its exit code.
int RunTests(int count, char** values);

/// Failed expectations of the running test so far.
int FailureCount();

/// SplitMix64 (Steele, Lea, Flood 2014): enough for tests, the same on every platform.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t Next() {
    uint64_t mixed = (state_ += 0x9E3779B97F4A7C15u);
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBu;
    return mixed ^ (mixed >> 31);
  }
  /// In [0, bound). `bound` above 0.
  uint64_t Below(uint64_t bound) { return Next() % bound; }
  /// In [-1, 1).
  float Unit() { return static_cast<float>(static_cast<double>(Next() >> 11) * 0x1p-52 - 1.0); }

 private:
  uint64_t state_;
};

/// A new directory, removed with everything in it at the end of the scope.
class TempDirectory {
 public:
  TempDirectory();
  ~TempDirectory();
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;
  const std::string& path() const { return path_; }
  std::string Join(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

template <typename T>
concept Printable = requires(std::ostringstream& out, const T& value) {
  out << value;
};

template <typename T>
std::string Describe(const T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    return value ? "true" : "false";
  } else if constexpr (std::is_enum_v<T>) {
    return std::to_string(static_cast<long long>(value));
  } else if constexpr (std::is_same_v<T, char> || std::is_same_v<T, signed char> || std::is_same_v<T, unsigned char>) {
    return std::to_string(static_cast<int>(value));
  } else if constexpr (Printable<T>) {
    std::ostringstream out;
    if constexpr (std::is_floating_point_v<T>) out.precision(std::numeric_limits<T>::max_digits10);
    out << value;
    return out.str();
  } else {
    return "a value without text";
  }
}

template <typename A, typename B, typename Compare>
bool CheckRelation(const A& left, const B& right, Compare compare, const char* expression, const char* file, int line) {
  if (compare(left, right)) return true;
  ReportFailure(file, line, std::string(expression) + ": " + Describe(left) + " against " + Describe(right));
  return false;
}

inline bool CheckTruth(bool value, bool wanted, const char* expression, const char* file, int line) {
  if (value == wanted) return true;
  ReportFailure(file, line, std::string(expression) + (wanted ? " is false" : " is true"));
  return false;
}

/// Failure text of a Status: its code and its numbers.
std::string DescribeStatus(const Status& status);

inline const Status& StatusOf(const Status& status) { return status; }
template <typename T>
const Status& StatusOf(const Result<T>& result) {
  return result.status();
}

bool CheckOk(const Status& status, const char* expression, const char* file, int line);
bool CheckCode(const Status& status, ErrorCode code, const char* expression, const char* file, int line);

}  // namespace thermocline::test

#define TEST(Suite, ClaimName)                                                            \
  static void Suite##_##ClaimName##_Test();                                               \
  [[maybe_unused]] static const bool Suite##_##ClaimName##_registered =                   \
      ::thermocline::test::RegisterTest(#Suite, #ClaimName, &Suite##_##ClaimName##_Test); \
  static void Suite##_##ClaimName##_Test()

#define THERMOCLINE_TEST_RELATION(left, right, op) \
  ::thermocline::test::CheckRelation(              \
      left, right, [](const auto& a, const auto& b) { return a op b; }, #left " " #op " " #right, __FILE__, __LINE__)
#define THERMOCLINE_TEST_RETURN_UNLESS(check) \
  do {                                        \
    if (!(check)) return;                     \
  } while (false)

#define EXPECT_EQ(left, right) (void)THERMOCLINE_TEST_RELATION(left, right, ==)
#define EXPECT_NE(left, right) (void)THERMOCLINE_TEST_RELATION(left, right, !=)
#define EXPECT_LT(left, right) (void)THERMOCLINE_TEST_RELATION(left, right, <)
#define EXPECT_LE(left, right) (void)THERMOCLINE_TEST_RELATION(left, right, <=)
#define EXPECT_GT(left, right) (void)THERMOCLINE_TEST_RELATION(left, right, >)
#define EXPECT_GE(left, right) (void)THERMOCLINE_TEST_RELATION(left, right, >=)
#define EXPECT_TRUE(value) \
  (void)::thermocline::test::CheckTruth(static_cast<bool>(value), true, #value, __FILE__, __LINE__)
#define EXPECT_FALSE(value) \
  (void)::thermocline::test::CheckTruth(static_cast<bool>(value), false, #value, __FILE__, __LINE__)
#define EXPECT_NEAR(left, right, tolerance)                                                              \
  (void)::thermocline::test::CheckRelation(                                                              \
      left, right, [&](const auto& a, const auto& b) { return (a < b ? b - a : a - b) <= (tolerance); }, \
      #left " within " #tolerance " of " #right, __FILE__, __LINE__)
/// A Status or a Result.
#define EXPECT_OK(outcome) \
  (void)::thermocline::test::CheckOk(::thermocline::test::StatusOf(outcome), #outcome, __FILE__, __LINE__)
#define EXPECT_ERROR(outcome, error_code) \
  (void)::thermocline::test::CheckCode(::thermocline::test::StatusOf(outcome), error_code, #outcome, __FILE__, __LINE__)

#define ASSERT_EQ(left, right) THERMOCLINE_TEST_RETURN_UNLESS(THERMOCLINE_TEST_RELATION(left, right, ==))
#define ASSERT_NE(left, right) THERMOCLINE_TEST_RETURN_UNLESS(THERMOCLINE_TEST_RELATION(left, right, !=))
#define ASSERT_LT(left, right) THERMOCLINE_TEST_RETURN_UNLESS(THERMOCLINE_TEST_RELATION(left, right, <))
#define ASSERT_LE(left, right) THERMOCLINE_TEST_RETURN_UNLESS(THERMOCLINE_TEST_RELATION(left, right, <=))
#define ASSERT_GT(left, right) THERMOCLINE_TEST_RETURN_UNLESS(THERMOCLINE_TEST_RELATION(left, right, >))
#define ASSERT_GE(left, right) THERMOCLINE_TEST_RETURN_UNLESS(THERMOCLINE_TEST_RELATION(left, right, >=))
#define ASSERT_TRUE(value)        \
  THERMOCLINE_TEST_RETURN_UNLESS( \
      ::thermocline::test::CheckTruth(static_cast<bool>(value), true, #value, __FILE__, __LINE__))
#define ASSERT_FALSE(value)       \
  THERMOCLINE_TEST_RETURN_UNLESS( \
      ::thermocline::test::CheckTruth(static_cast<bool>(value), false, #value, __FILE__, __LINE__))
#define ASSERT_OK(outcome)        \
  THERMOCLINE_TEST_RETURN_UNLESS( \
      ::thermocline::test::CheckOk(::thermocline::test::StatusOf(outcome), #outcome, __FILE__, __LINE__))

using thermocline::test::Random;         // NOLINT: tests are the only includers
using thermocline::test::TempDirectory;  // NOLINT
using thermocline::test::TestRounds;     // NOLINT
using thermocline::test::TestScale;      // NOLINT
using thermocline::test::TestSeed;       // NOLINT

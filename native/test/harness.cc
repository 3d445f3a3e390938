// Runs the registered tests.
//
//   thermocline_test [filter] [--seed n] [--rounds n] [--list]
//
// `filter` is a part of `Suite.ClaimName`. Exit 0 when everything passed, 1 when not, 2 on wrong usage.

#include "test/harness.h"

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <string_view>
#include <vector>

namespace thermocline::test {
namespace {

constexpr uint64_t kSeedDefault = 20250221;
constexpr uint64_t kNightlyScale = 20;
constexpr int kFailuresShownMax = 8;

struct Test {
  std::string name;
  TestFunction function;
};

// Function-local, because registration runs before this file's globals may exist.
std::vector<Test>& Tests() {
  static std::vector<Test> tests;
  return tests;
}

std::mutex report_mutex;
int failures_of_test = 0;
uint64_t seed = kSeedDefault;
uint64_t rounds_asked = 0;  // 0: not asked
std::atomic<uint64_t> directories_made{0};

struct Arguments {
  const char* filter = "";
  bool list = false;
};

bool ParseArguments(int count, char** values, Arguments* arguments) {
  for (int index = 1; index < count; ++index) {
    const std::string_view value = values[index];
    if (value == "--list") {
      arguments->list = true;
    } else if ((value == "--seed" || value == "--rounds") && index + 1 < count) {
      char* end = nullptr;
      (value == "--seed" ? seed : rounds_asked) = std::strtoull(values[++index], &end, 10);
      if (*end != '\0') return false;
    } else if (value.substr(0, 1) != "-") {
      arguments->filter = values[index];
    } else {
      return false;
    }
  }
  return true;
}

bool Run(const Test& test, const char* program) {
  failures_of_test = 0;
  const auto started_at = std::chrono::steady_clock::now();
  test.function();
  const std::chrono::duration<double, std::milli> elapsed = std::chrono::steady_clock::now() - started_at;
  const std::lock_guard<std::mutex> guard(report_mutex);
  if (failures_of_test == 0) {
    std::printf("ok     %s (%.0f ms)\n", test.name.c_str(), elapsed.count());
    std::fflush(stdout);
    return true;
  }
  std::printf("FAILED %s: %d expectations\n", test.name.c_str(), failures_of_test);
  std::printf("       replay: %s %s --seed %llu\n", program, test.name.c_str(), static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  return false;
}

int RunAll(const Arguments& arguments, const char* program) {
  int passed = 0;
  int failed = 0;
  for (const Test& test : Tests()) {
    if (test.name.find(arguments.filter) == std::string::npos) continue;
    if (arguments.list) {
      std::printf("%s\n", test.name.c_str());
      continue;
    }
    ++(Run(test, program) ? passed : failed);
  }
  if (arguments.list) return 0;
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 && passed > 0 ? 0 : 1;  // a filter that matches nothing must not look green
}

}  // namespace

bool RegisterTest(const char* suite, const char* name, TestFunction function) {
  Tests().push_back({std::string(suite) + "." + name, function});
  return true;
}

void ReportFailure(const char* file, int line, const std::string& message) {
  const std::lock_guard<std::mutex> guard(report_mutex);
  ++failures_of_test;
  if (failures_of_test > kFailuresShownMax) return;
  std::printf("%s:%d: %s\n", file, line, message.c_str());
  if (failures_of_test == kFailuresShownMax) std::printf("further failures of this test are only counted\n");
}

uint64_t TestSeed() { return seed; }

uint64_t TestRounds(uint64_t usual, uint64_t nightly) {
  if (rounds_asked != 0) return rounds_asked;
  return std::getenv("THERMOCLINE_NIGHTLY") == nullptr ? usual : nightly;
}

int FailureCount() {
  const std::lock_guard<std::mutex> guard(report_mutex);
  return failures_of_test;
}

uint64_t TestScale() { return std::getenv("THERMOCLINE_NIGHTLY") == nullptr ? 1 : kNightlyScale; }

TempDirectory::TempDirectory() {
  // Process time makes the name new, the counter makes it new within the process.
  const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
  std::error_code error;
  for (int attempt = 0; attempt < 100; ++attempt) {
    const std::filesystem::path path =
        std::filesystem::temp_directory_path(error) /
        ("thermocline-test-" + std::to_string(now) + "-" + std::to_string(directories_made.fetch_add(1)));
    if (error) break;
    if (std::filesystem::create_directory(path, error)) {
      path_ = path.string();
      return;
    }
  }
  std::fprintf(stderr, "no temporary directory: %s\n", error.message().c_str());
  std::abort();
}

TempDirectory::~TempDirectory() {
  std::error_code error;
  std::filesystem::remove_all(path_, error);
}

std::string DescribeStatus(const Status& status) {
  if (status.ok()) return "ok";
  std::string text = DescribeError(status.code()).code;
  text += std::string(" file ") + FileRoleName(status.role());
  text += " errno " + std::to_string(status.error_number());
  text += " segment " + std::to_string(status.segment());
  text += " offset " + std::to_string(status.offset());
  return text + " value " + std::to_string(status.value());
}

bool CheckOk(const Status& status, const char* expression, const char* file, int line) {
  if (status.ok()) return true;
  ReportFailure(file, line, std::string(expression) + " failed: " + DescribeStatus(status));
  return false;
}

bool CheckCode(const Status& status, ErrorCode code, const char* expression, const char* file, int line) {
  if (!status.ok() && status.code() == code) return true;
  ReportFailure(file, line,
                std::string(expression) + ": " + DescribeStatus(status) + " instead of " + DescribeError(code).code);
  return false;
}

}  // namespace thermocline::test

int thermocline::test::RunTests(int count, char** values) {
  Arguments arguments;
  if (!ParseArguments(count, values, &arguments)) {
    std::fprintf(stderr, "usage: %s [part of Suite.ClaimName] [--seed n] [--list]\n", values[0]);
    return 2;
  }
  return RunAll(arguments, values[0]);
}

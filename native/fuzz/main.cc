// Runs one target under libFuzzer.
//
//   THERMOCLINE_FUZZ_TARGET=<name> thermocline_fuzz [libFuzzer's arguments]
//   THERMOCLINE_FUZZ_TARGET=<name> THERMOCLINE_FUZZ_SEEDS=<directory> thermocline_fuzz    writes its seeds there
//   thermocline_fuzz                                                                      names of all targets

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "fuzz/fuzz.h"
#include "test/store_fixture.h"

namespace thermocline::fuzz {
namespace {

std::vector<Target>& Targets() {
  static std::vector<Target> targets;
  return targets;
}

const Target* asked = nullptr;

[[noreturn]] void PrintNames() {
  for (const Target& target : Targets()) std::printf("%s\n", target.name);
  std::fflush(stdout);
  std::_Exit(0);
}

void FindAsked() {
  const char* const name = std::getenv("THERMOCLINE_FUZZ_TARGET");
  if (name == nullptr) PrintNames();
  for (const Target& target : Targets()) {
    if (std::string_view(target.name) == name) asked = &target;
  }
  if (asked != nullptr) return;
  std::fprintf(stderr, "no target is called %s\n", name);
  std::_Exit(2);
}

void WriteSeeds(const std::string& directory) {
  int number = 0;
  for (const std::string& seed : asked->seeds()) {
    test::WriteFileBytes(directory + "/" + asked->name + "-" + std::to_string(number++), seed);
  }
  std::_Exit(test::FailureCount() == 0 ? 0 : 1);
}

}  // namespace

bool RegisterTarget(const Target& target) {
  Targets().push_back(target);
  return true;
}

}  // namespace thermocline::fuzz

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  thermocline::fuzz::FindAsked();
  if (const char* const directory = std::getenv("THERMOCLINE_FUZZ_SEEDS")) thermocline::fuzz::WriteSeeds(directory);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const int before = thermocline::test::FailureCount();
  thermocline::fuzz::asked->run({reinterpret_cast<const char*>(data), size});
  // A failed expectation is a finding as a crash is: libFuzzer keeps the input.
  if (thermocline::test::FailureCount() == before) return 0;
  std::fflush(stdout);
  std::abort();
}

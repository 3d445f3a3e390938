// Fuzz targets of libFuzzer, all in one binary: a target registers itself, main.cc runs the one that is asked for.
//
// A target must not fail an expectation, crash, read beyond its input or take long, whatever the bytes; what it may do
// is refuse them. Seeds are made by the target itself, so that none lie in the repository.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "test/exact_copy.h"
#include "test/harness.h"

namespace thermocline::fuzz {

struct Target {
  const char* name;
  void (*run)(std::span<const char> input);
  std::vector<std::string> (*seeds)();
};

bool RegisterTarget(const Target& target);

/// Reads numbers off the front of an input; zeros when it has ended.
class Reader {
 public:
  explicit Reader(std::span<const char> bytes) : bytes_(bytes) {}
  bool done() const { return bytes_.empty(); }
  std::span<const char> rest() const { return bytes_; }
  template <typename T>
  T Next() {
    static_assert(std::is_trivially_copyable_v<T>);
    T value{};
    const size_t count = std::min(sizeof value, bytes_.size());
    if (count > 0) std::memcpy(&value, bytes_.data(), count);
    bytes_ = bytes_.subspan(count);
    return value;
  }

 private:
  std::span<const char> bytes_;
};

/// A heap block of exactly the input's size, to be changed and read where any byte beyond is a report.
inline test::ExactCopy CopyOf(std::span<const char> bytes) { return test::ExactCopy({bytes.data(), bytes.size()}); }

template <typename T>
std::string BytesOf(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

}  // namespace thermocline::fuzz

#define FUZZ_TARGET(name, run, seeds) \
  [[maybe_unused]] static const bool name##_registered = ::thermocline::fuzz::RegisterTarget({#name, run, seeds})

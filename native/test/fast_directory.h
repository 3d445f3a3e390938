// A directory in memory, where the host has such a place: for tests that keep their own account of what is on the
// disk, or make and remove many files.
#pragma once

#include <filesystem>
#include <string>

#include "test/harness.h"

namespace thermocline::test {

class FastDirectory {
 public:
  FastDirectory() {
    std::error_code error;
    const std::filesystem::path memory = "/dev/shm";
    if (std::filesystem::is_directory(memory, error)) {
      path_ = memory / std::filesystem::path(slow_.path()).filename();  // the name is new
      std::filesystem::create_directory(path_, error);
    }
    if (path_.empty() || error) path_ = slow_.path();
  }
  ~FastDirectory() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  FastDirectory(const FastDirectory&) = delete;
  FastDirectory& operator=(const FastDirectory&) = delete;

  std::string Join(const std::string& name) const { return (path_ / name).string(); }

 private:
  const TempDirectory slow_;
  std::filesystem::path path_;
};

}  // namespace thermocline::test

// Mapped ranges of files.
//
// A mapping may be longer than its file: what lies beyond becomes readable when the file grows, without remapping, so
// pointers never move. Touching it earlier is SIGBUS: callers check against what is backed.
#pragma once

#include <cstdint>

#include "core/base/status.h"
#include "core/io/file.h"

namespace thermocline::io {

class Mapping {
 public:
  enum class Kind {
    kShared,  // stores reach the file
    kSharedReadOnly,
    kPrivate,  // sees the file's bytes; a store stays in this process
  };

  Mapping() = default;
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  ~Mapping();

  /// `offset` a multiple of the page size.
  static Result<Mapping> Map(const File& file, uint64_t offset, uint64_t length, Kind kind);

  char* data() const { return data_; }
  uint64_t length() const { return length_; }
  bool mapped() const { return data_ != nullptr; }
  /// Makes page table entries for the range, writable, so that no store of this process faults there. The range must
  /// be backed. Best effort: kernels before 5.14 do not have it.
  void Populate(uint64_t offset, uint64_t length) const;
  /// Look-ups jump; reading ahead around them would only fill the cache.
  void AdviseRandom() const;
  void Unmap();

 private:
  char* data_ = nullptr;
  uint64_t length_ = 0;
};

}  // namespace thermocline::io

// Mapped ranges of files.
//
// A mapping may be longer than its file: what lies beyond becomes readable when the file grows, without remapping, so
// pointers never move. Callers check against what is backed before they touch it; when somebody cuts the file short in
// between, the touch is survived and noted (file_loss.h).
#pragma once

#include <cstdint>

#include "core/base/status.h"
#include "core/io/file.h"
#include "core/io/file_loss.h"

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

  /// `offset` a multiple of the page size. `watch`: who is told of lost pages; then `file` outlives the mapping.
  static Result<Mapping> Map(const File& file, uint64_t offset, uint64_t length, Kind kind, FileWatch watch = {});

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
  GuardedRange* guard_ = nullptr;
};

}  // namespace thermocline::io

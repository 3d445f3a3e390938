// What a core function says of its outcome: a code from errors.def with numbers, never prose.
//
// Not here: messages for people (the binding words them) and exceptions (the core is built without).
// Thread rule: values, freely copied.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "core/base/assert.h"

namespace thermocline {

enum class ErrorCode : uint8_t {
#define THERMOCLINE_ERROR(enumerator, code, kind, retryable) enumerator,
#include "core/base/errors.def"
#undef THERMOCLINE_ERROR
  kCount
};

struct ErrorKind {
  const char* code;
  const char* kind;
  bool retryable;
};

/// The row of errors.def. `code` below ErrorCode::kCount.
const ErrorKind& DescribeError(ErrorCode code);

/// Which file of a store an error speaks of.
enum class FileRole : uint8_t { kNone, kDirectory, kMeta, kLog, kBlocks, kCache, kLock };

const char* FileRoleName(FileRole role);

class [[nodiscard]] Status {
 public:
  Status() = default;
  static Status Ok() { return Status(); }
  static Status Error(ErrorCode code) {
    Status status;
    status.failed_ = true;
    status.code_ = code;
    return status;
  }
  static Status Corrupt(FileRole role, uint64_t segment, uint64_t offset) {
    Status status = Error(ErrorCode::kCorrupt);
    status.role_ = role;
    status.segment_ = segment;
    status.offset_ = offset;
    return status;
  }
  /// The files of this role have other names, in the directory of another store (hard links).
  static Status Linked(FileRole role) {
    Status status = Error(ErrorCode::kNotAStore);
    status.role_ = role;
    return status;
  }
  /// Maps ENOSPC and EDQUOT to kFull, the rest to kIo.
  static Status FromErrno(int error_number, FileRole role);

  bool ok() const { return !failed_; }
  ErrorCode code() const { return code_; }
  int error_number() const { return error_number_; }
  FileRole role() const { return role_; }
  uint64_t segment() const { return segment_; }
  uint64_t offset() const { return offset_; }
  /// A number that belongs to the code: expected dimension, limit, present sequence.
  int64_t value() const { return value_; }
  Status& set_value(int64_t value) {
    value_ = value;
    return *this;
  }

 private:
  bool failed_ = false;
  ErrorCode code_ = ErrorCode::kArgument;
  FileRole role_ = FileRole::kNone;
  int error_number_ = 0;
  uint64_t segment_ = 0;
  uint64_t offset_ = 0;
  int64_t value_ = -1;
};

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}                                  // NOLINT: implicit by design
  Result(Status status) : status_(status) { THERMOCLINE_ASSERT(!status.ok()); }  // NOLINT
  Result(ErrorCode code) : status_(Status::Error(code)) {}                       // NOLINT

  bool ok() const { return value_.has_value(); }
  const Status& status() const { return status_; }
  T& operator*() { return *value_; }
  const T& operator*() const { return *value_; }
  T* operator->() { return &*value_; }
  const T* operator->() const { return &*value_; }

 private:
  std::optional<T> value_;
  Status status_;
};

#define THERMOCLINE_RETURN_IF_ERROR(expression)            \
  do {                                                     \
    ::thermocline::Status status_from_call = (expression); \
    if (!status_from_call.ok()) return status_from_call;   \
  } while (false)

}  // namespace thermocline

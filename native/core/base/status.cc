#include "core/base/status.h"

#include <cerrno>

namespace thermocline {
namespace {

constexpr ErrorKind kErrorKinds[] = {
#define THERMOCLINE_ERROR(enumerator, code, kind, retryable) {code, kind, retryable},
#include "core/base/errors.def"
#undef THERMOCLINE_ERROR
};

}  // namespace

const ErrorKind& DescribeError(ErrorCode code) {
  THERMOCLINE_ASSERT(code < ErrorCode::kCount);
  return kErrorKinds[static_cast<size_t>(code)];
}

const char* FileRoleName(FileRole role) {
  switch (role) {
    case FileRole::kNone:
      return "";
    case FileRole::kDirectory:
      return "directory";
    case FileRole::kMeta:
      return "meta";
    case FileRole::kLog:
      return "log";
    case FileRole::kBlocks:
      return "blocks";
    case FileRole::kCache:
      return "cache";
    case FileRole::kLock:
      return "lock";
  }
  return "";
}

Status Status::FromErrno(int error_number, FileRole role) {
  const bool full = error_number == ENOSPC || error_number == EDQUOT;
  Status status = Error(full ? ErrorCode::kFull : ErrorCode::kIo);
  status.role_ = role;
  status.error_number_ = error_number;
  return status;
}

}  // namespace thermocline

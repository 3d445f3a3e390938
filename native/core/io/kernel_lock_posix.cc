#include <fcntl.h>

#include <cerrno>

#include "core/io/kernel_lock.h"

namespace thermocline::io {
namespace {

struct flock Range(short type, uint64_t first, uint64_t count) {
  struct flock range {};
  range.l_type = type;
  range.l_whence = 0;  // SEEK_SET
  range.l_start = static_cast<off_t>(first);
  range.l_len = static_cast<off_t>(count);
  return range;
}

}  // namespace

Result<bool> TryLockByte(const File& file, uint64_t byte) {
  struct flock range = Range(F_WRLCK, byte, 1);
  for (;;) {
    if (::fcntl(file.descriptor(), F_OFD_SETLK, &range) == 0) return true;
    if (errno == EAGAIN || errno == EACCES) return false;
    if (errno != EINTR) return Status::FromErrno(errno, file.role());
  }
}

void UnlockByte(const File& file, uint64_t byte) {
  struct flock range = Range(F_UNLCK, byte, 1);
  ::fcntl(file.descriptor(), F_OFD_SETLK, &range);
}

Result<bool> AnyByteLocked(const File& file, uint64_t first, uint64_t count) {
  struct flock range = Range(F_WRLCK, first, count);
  if (::fcntl(file.descriptor(), F_OFD_GETLK, &range) != 0) return Status::FromErrno(errno, file.role());
  return range.l_type != F_UNLCK;
}

}  // namespace thermocline::io

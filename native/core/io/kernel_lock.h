// Locks that the kernel gives back when their holder dies: the only proof of life that is believed (R5, R14).
//
// Open-file-description locks on single bytes. Unlike POSIX record locks they are not lost when another descriptor of
// the file is closed, and they exclude two descriptors of one process. A process must not probe its own byte through
// its own descriptor: there it looks free.
#pragma once

#include <cstdint>

#include "core/base/status.h"
#include "core/io/file.h"

namespace thermocline::io {

/// True when taken, false when somebody else holds it.
Result<bool> TryLockByte(const File& file, uint64_t byte);
void UnlockByte(const File& file, uint64_t byte);
/// Whether any other descriptor holds a byte of the range.
Result<bool> AnyByteLocked(const File& file, uint64_t first, uint64_t count);

}  // namespace thermocline::io

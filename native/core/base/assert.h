// Always-on assertions, for in-memory state whose corruption would be written out.
//
// Not here: checks of bytes from files; those are data and fail with a Status.
#pragma once

namespace thermocline {

/// Writes one line to standard error and stops the process.
[[noreturn]] void AssertFailed(const char* expression, const char* file, int line);

}  // namespace thermocline

#define THERMOCLINE_ASSERT(expression)                                               \
  do {                                                                               \
    if (!(expression)) ::thermocline::AssertFailed(#expression, __FILE__, __LINE__); \
  } while (false)

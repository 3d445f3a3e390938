#include "core/base/assert.h"

#include <cstdio>
#include <cstdlib>

namespace thermocline {

void AssertFailed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "thermocline: broken invariant %s at %s:%d\n", expression, file, line);
  std::abort();
}

}  // namespace thermocline

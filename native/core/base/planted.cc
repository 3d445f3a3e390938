#include "core/base/planted.h"

#if defined(THERMOCLINE_PLANTED)

#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace thermocline {
namespace {

/// A name that is none ends the program: a test that stays green because of it would look like a test that is blind.
Fault AskedFault() {
  const char* const name = std::getenv("THERMOCLINE_FAULT");
  if (name == nullptr) return Fault::kNone;
#define THERMOCLINE_FAULT_BY_NAME(fault) \
  if (std::string_view(name) == #fault) return Fault::k##fault;
  THERMOCLINE_FAULTS(THERMOCLINE_FAULT_BY_NAME)
#undef THERMOCLINE_FAULT_BY_NAME
  std::fprintf(stderr, "THERMOCLINE_FAULT: no fault is called %s\n", name);
  std::abort();
}

}  // namespace

bool IsPlanted(Fault fault) {
  static const Fault asked = AskedFault();
  return fault == asked;
}

}  // namespace thermocline

#endif

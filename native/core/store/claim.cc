#include "core/store/claim.h"

#include "core/base/atomic.h"
#include "core/base/planted.h"

namespace thermocline::store {
namespace {

// The seed's bug: two writers read the same count, both write there, both increment. The twin of the addon always has
// it.
bool IsRacy() {
#if defined(THERMOCLINE_PLANT_RACY_CLAIM)
  return true;
#else
  return IsPlanted(Fault::kRacyClaim);
#endif
}

}  // namespace

uint64_t ClaimSlots(uint64_t& claim, uint32_t count) {
  return IsRacy() ? LoadRelaxed(claim) : FetchAdd(claim, uint64_t{count});
}

void FinishClaim(uint64_t& claim, uint32_t count) {
  if (IsRacy()) FetchAdd(claim, uint64_t{count});
}

}  // namespace thermocline::store

#include "core/store/claim.h"

#include "core/base/atomic.h"

namespace thermocline::store {

#if defined(THERMOCLINE_PLANT_RACY_CLAIM)

// The seed's bug: two writers read the same count, both write there, both increment.
uint64_t ClaimSlots(uint64_t& claim, uint32_t) { return LoadRelaxed(claim); }

void FinishClaim(uint64_t& claim, uint32_t count) { FetchAdd(claim, uint64_t{count}); }

#else

uint64_t ClaimSlots(uint64_t& claim, uint32_t count) { return FetchAdd(claim, uint64_t{count}); }

void FinishClaim(uint64_t&, uint32_t) {}

#endif

}  // namespace thermocline::store

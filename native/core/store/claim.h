// The claim word: who gets which slot.
//
// Its own file, because the seed's bug (load, compute, store, increment) is planted here to prove that the concurrency
// tests see it: in the twin of the addon by THERMOCLINE_PLANT_RACY_CLAIM, in native tests by core/base/planted.h.
#pragma once

#include <cstdint>

namespace thermocline::store {

/// Takes `count` slots: the word's value before is {segment, first slot}. Wait-free; never fails; a first slot at or
/// past the segment's capacity means that the segment is full.
uint64_t ClaimSlots(uint64_t& claim, uint32_t count);

/// After the blocks are written. Nothing in a sound build.
void FinishClaim(uint64_t& claim, uint32_t count);

inline uint32_t ClaimSegment(uint64_t claim) { return static_cast<uint32_t>(claim >> 32); }
inline uint32_t ClaimSlot(uint64_t claim) { return static_cast<uint32_t>(claim); }
/// What a word of BootWords::slots_ready or log_ready says of a segment; 0 when it speaks of another.
inline uint64_t ReadyOf(uint64_t word, uint32_t segment) { return word >> 32 == segment ? word & 0xFFFFFFFFu : 0; }
inline uint64_t MakeClaim(uint32_t segment, uint32_t slot) { return (uint64_t{segment} << 32) | slot; }

}  // namespace thermocline::store

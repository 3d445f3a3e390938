// Bugs that tests must find. A binary made with VARIANT=planted has all of them and plays the one that the environment
// names in THERMOCLINE_FAULT; scripts/planted.mjs says which test each of them turns red. In every other binary
// IsPlanted is a constant, and nothing of them is compiled.
//
// Only .cc files include this: the planted binary takes all other objects from the sound one.
#pragma once

// clang-format off
#define THERMOCLINE_FAULTS(fault) \
  fault(RacyClaim) \
  fault(TailBeforeFrame) \
  fault(AppliedBeforeApply) \
  fault(StatisticsLost) \
  fault(RepairIncrements) \
  fault(OwnerAlwaysLives) \
  fault(NoGrace) \
  fault(NoSecondLook) \
  fault(FrameCheckLeftOut) \
  fault(RecordCheckLeftOut) \
  fault(BlockCheckLeftOut) \
  fault(ChainIgnored) \
  fault(LogEndsIgnored) \
  fault(ImagesIgnored) \
  fault(OldBootBelieved) \
  fault(WatermarkBeforeSync) \
  fault(FlushForgetsALog) \
  fault(NoPoison) \
  fault(CompactionDropsNewest) \
  fault(CompactionDropsDeletions) \
  fault(CompactionKeepsFiles) \
  fault(SketchSlackTooSmall) \
  fault(ColumnSkipped)
// clang-format on

namespace thermocline {

#define THERMOCLINE_FAULT_ENUMERATOR(name) k##name,
enum class Fault { THERMOCLINE_FAULTS(THERMOCLINE_FAULT_ENUMERATOR) kNone };
#undef THERMOCLINE_FAULT_ENUMERATOR

#if defined(THERMOCLINE_PLANTED)
/// Whether this is the bug that was asked for.
bool IsPlanted(Fault fault);
#else
constexpr bool IsPlanted(Fault) { return false; }
#endif

}  // namespace thermocline

// commit.cc, apply.cc, wait.cc: a commit from the claim to the wake-up, and its repair.
namespace {

#pragma cut core/store/commit.cc constexpr uint64_t kByFileBytes
#pragma cut core/store/commit.cc constexpr uint32_t kAttemptsBesideOthers
#pragma cut core/store/commit.cc constexpr uint32_t kLargePartOfSegment
#pragma cut core/store/space.cc constexpr uint32_t kClaimSlotMax

struct Pin {
  Pin() {}  // pins.cc models it
};

}  // namespace

#pragma cut core/store/space.cc Result<Store::ClaimedSlots> Store::Claim(
#pragma cut core/store/commit.cc uint64_t Store::ReadyLogBytes(
#pragma cut core/store/commit.cc Status Store::LockWrite(
#pragma cut core/store/commit.cc Result<Sequence> Store::Commit(
#pragma cut core/store/commit.cc void Store::FillBlock(
#pragma cut core/store/commit.cc Status Store::PrepareOperations(
#pragma cut core/store/commit.cc Status Store::PlanFrame(
#pragma cut core/store/commit.cc Status Store::PlanOperation(
#pragma cut core/store/apply.cc format::FrameHeader Store::NextFrameHeader(
#pragma cut core/store/apply.cc Status Store::CommitFrame(
#pragma cut core/store/apply.cc uint64_t Store::WriteImage(
#pragma cut core/store/apply.cc Status Store::WriteFrame(
#pragma cut core/store/apply.cc void Store::ApplyPlanned(
#pragma cut core/store/apply.cc Status Store::ApplyFrame(
#pragma cut core/store/apply.cc Status Store::Repair(
#pragma cut core/store/apply.cc Status Store::RepairUpTo(

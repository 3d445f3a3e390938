// participant.cc: the lock between processes. Fewer spins: one is as good as two hundred.
namespace {

constexpr int kSpins = 1;
#pragma cut core/store/participant.cc constexpr uint32_t kWaiters
#pragma cut core/store/participant.cc constexpr uint32_t kIncarnationMask
#pragma cut core/store/participant.cc constexpr uint32_t NumberOf(
#pragma cut core/store/participant.cc constexpr uint64_t kSliceMicroseconds
#pragma cut core/store/participant.cc constexpr uint64_t kPassMicroseconds

}  // namespace

#pragma cut core/store/participant.cc bool OwnerLives(
#pragma cut core/store/participant.cc bool SharedLock::TryTake(
#pragma cut core/store/participant.cc void SharedLock::LetWokenPass(
#pragma cut core/store/participant.cc SharedLock::Outcome SharedLock::Acquire(
#pragma cut core/store/participant.cc void SharedLock::GiveBack(
#pragma cut core/store/participant.cc void SharedLock::Release(

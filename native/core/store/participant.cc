#include "core/store/participant.h"

#include <algorithm>

#include "core/base/atomic.h"
#include "core/base/planted.h"
#include "core/io/kernel_lock.h"
#include "core/io/system.h"

namespace thermocline::store {
namespace {

constexpr uint32_t kWaiters = 1u << 31;
constexpr uint32_t kIncarnationMask = 0xFFFFFu;
constexpr uint64_t kLinesBytes = 4096;

constexpr uint32_t NumberOf(uint32_t word) { return (word & ~kWaiters) >> 20; }

// A commit holds the lock for about a microsecond: waiting that long awake is cheaper than two system calls.
constexpr int kSpins = 200;
// How long a dead owner can go unnoticed.
constexpr uint64_t kSliceMicroseconds = 20000;
// How long one who slept may take from the wake to the lock before others need not wait for it.
constexpr uint64_t kPassMicroseconds = 5000;

/// A store to a line that is a hole would be SIGBUS on a full disk. Under the gate, so nobody else writes lines.
Status BackLine(const io::File& lock_file, uint32_t number) {
  const uint64_t line = format::kParticipantsOffset + number * sizeof(format::ParticipantLine);
  if (line < FirstLockBytes()) return Status::Ok();
  const uint64_t page_bytes = std::max(kLinesBytes, io::PageBytes());
  const uint64_t page = line / page_bytes * page_bytes;
  return lock_file.Reserve(page, std::min(page_bytes, format::kLockFileBytes - page));
}

}  // namespace

uint64_t FirstLockBytes() {
  return std::min(std::max(format::kParticipantsOffset + kLinesBytes, io::PageBytes()), format::kLockFileBytes);
}

Result<Participant> JoinSession(const io::File& lock_file, format::ParticipantLine* lines) {
  for (uint32_t number = 1; number <= format::kParticipantsMax; ++number) {
    Result<bool> taken = io::TryLockByte(lock_file, format::kParticipantByte + number);
    if (!taken.ok()) return taken.status();
    if (!*taken) continue;
    if (const Status backed = BackLine(lock_file, number); !backed.ok()) {
      io::UnlockByte(lock_file, format::kParticipantByte + number);
      return backed;
    }
    format::ParticipantLine& line = lines[number];
    const uint32_t incarnation = (LoadRelaxed(line.incarnation) + 1) & kIncarnationMask;
    StoreRelaxed(line.process, io::ProcessId());
    StoreRelease(line.incarnation, incarnation);  // pairs with the acquire in OwnerLives
    return Participant{number, incarnation};
  }
  return ErrorCode::kBusy;
}

void LeaveSession(const io::File& lock_file, const Participant& self) {
  io::UnlockByte(lock_file, format::kParticipantByte + self.number);
}

bool OwnerLives(const io::File& lock_file, const format::ParticipantLine* lines, uint32_t word) {
  const uint32_t number = NumberOf(word);
  if (IsPlanted(Fault::kOwnerAlwaysLives)) return true;
  if (number == 0 || number > format::kParticipantsMax) return false;
  if (LoadAcquire(lines[number].incarnation) != (word & kIncarnationMask)) return false;
  Result<bool> locked = io::AnyByteLocked(lock_file, format::kParticipantByte + number, 1);
  return !locked.ok() || *locked;  // no answer: believe it alive, the lock's time-out reports it
}

bool SharedLock::TryTake(uint32_t flags) {
  uint32_t expected = 0;
  return CompareExchange(word_, expected, self_.word() | flags);
}

/// Awake, because whoever takes the lock wakes nobody; until it was taken, or nobody comes.
void SharedLock::LetWokenPass(uint64_t timeout_us) const {
  const uint64_t woken_at = woken_at_.load(std::memory_order_relaxed);
  if (woken_at == 0) return;
  const uint64_t pass_us = std::min(timeout_us, kPassMicroseconds);
  while (LoadRelaxed(word_) == 0 && io::NowMonotonicMicroseconds() - woken_at < pass_us) io::YieldThread();
}

SharedLock::Outcome SharedLock::Acquire(uint64_t timeout_us, uint32_t* dead_owner) {
  if (order_ == Order::kWokenFirst) LetWokenPass(timeout_us);
  if (TryTake(0)) return Outcome::kAcquired;
  for (int i = 0; i < kSpins; ++i) {
    io::SpinPause();
    if (LoadRelaxed(word_) == 0 && TryTake(0)) return Outcome::kAcquired;
  }
  const uint64_t begin = io::NowMonotonicMicroseconds();
  for (;;) {
    // A thread that slept takes the lock with the waiters' mark: others may sleep still, and it cannot know.
    if (TryTake(kWaiters)) return Outcome::kAcquired;
    uint32_t seen = LoadAcquire(word_);
    if (seen == 0) continue;
    if ((seen & kWaiters) == 0) {
      if (!CompareExchange(word_, seen, seen | kWaiters)) continue;
      seen |= kWaiters;
    }
    const uint64_t waited = io::NowMonotonicMicroseconds() - begin;
    const bool late = waited >= timeout_us;
    if (!late) io::FutexWait(word_, seen, std::min(kSliceMicroseconds, timeout_us - waited));
    // Acquire: the word before its owner's incarnation.
    if (LoadAcquire(word_) == seen) {
      // Never probe oneself: through one's own descriptor one's byte looks free. Oneself is number and incarnation: the
      // dead owner may have had the number before this participant. Asked even when late, or callers that never wait
      // would find a dead owner's lock busy for ever.
      const bool alive = (seen & ~kWaiters) == self_.word() || OwnerLives(lock_file_, lines_, seen);
      // From the exact word seen: had anybody else taken over, the incarnation or number would differ.
      if (!alive && CompareExchange(word_, seen, self_.word() | kWaiters)) {
        if (dead_owner != nullptr) *dead_owner = seen;
        return Outcome::kAcquiredFromDead;
      }
    }
    if (late) return TryTake(kWaiters) ? Outcome::kAcquired : Outcome::kBusy;
  }
}

void SharedLock::GiveBack(uint32_t dead_owner) {
  Exchange(word_, dead_owner | kWaiters);
  io::FutexWake(word_, 1);
}

void SharedLock::Release() {
  const bool wakes = (Exchange(word_, 0u) & kWaiters) != 0;
  const bool woke = wakes && io::FutexWake(word_, 1) > 0;
  if (order_ == Order::kWokenFirst) {
    woken_at_.store(woke ? io::NowMonotonicMicroseconds() : 0, std::memory_order_relaxed);
  }
}

}  // namespace thermocline::store

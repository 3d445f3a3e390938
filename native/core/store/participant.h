// One process's place in the lock file, and the locks that stand there.
//
// A participant holds one byte of the lock file by a kernel lock for as long as it lives; the kernel gives it back
// when the process dies, however it dies. Lock words name their owner by participant number and incarnation, so that
// a waiter can ask the kernel whether the owner lives (R5) and never needs a time-out or a pid.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/base/status.h"
#include "core/format/layout.h"
#include "core/io/file.h"

namespace thermocline::store {

struct Participant {
  uint32_t number = 0;
  uint32_t incarnation = 0;

  /// How lock words name this participant: never 0.
  uint32_t word() const { return (number << 20) | (incarnation & 0xFFFFFu); }
};

/// Bytes of the lock file that the first opener backs and empties: the words, and the first lines.
uint64_t FirstLockBytes();

/// Takes a free byte. The caller holds the gate (R14).
Result<Participant> JoinSession(const io::File& lock_file, format::ParticipantLine* lines);
/// The caller holds the gate.
void LeaveSession(const io::File& lock_file, const Participant& self);
/// Whether the byte's owner is alive and the very incarnation that the word names.
bool OwnerLives(const io::File& lock_file, const format::ParticipantLine* lines, uint32_t word);

/// A lock between all threads of all participants: one word, a CAS when free, a futex when not.
///
/// The owner is a participant, not a thread: a thread of this process cannot vanish while it holds the lock, because
/// no JavaScript runs there and worker.terminate() waits for native code.
class SharedLock {
 public:
  enum class Outcome { kAcquired, kAcquiredFromDead, kBusy };

  /// Who is next. kAnyone: whoever comes while the lock is free, for a lock that is held for microseconds. kWokenFirst:
  /// this participant leaves it for a moment to those whom its release woke, for a lock that is held for milliseconds:
  /// whoever comes back at once would otherwise find it free every time, and who sleeps never.
  enum class Order { kAnyone, kWokenFirst };

  SharedLock(uint32_t& word, const io::File& lock_file, const format::ParticipantLine* lines, const Participant& self,
             Order order = Order::kAnyone)
      : word_(word), lock_file_(lock_file), lines_(lines), self_(self), order_(order) {}

  /// kAcquiredFromDead: the owner died with the lock held; the caller repairs what it left before anything else.
  /// Its word is left in `dead_owner`.
  Outcome Acquire(uint64_t timeout_us, uint32_t* dead_owner = nullptr);
  void Release();
  /// After kAcquiredFromDead, when the repair could not be done now: the lock is the dead owner's again, and the next
  /// one to ask finds it so.
  void GiveBack(uint32_t dead_owner);

 private:
  bool TryTake(uint32_t flags);
  void LetWokenPass(uint64_t timeout_us) const;

  uint32_t& word_;
  const io::File& lock_file_;
  const format::ParticipantLine* lines_;
  const Participant& self_;
  const Order order_;
  std::atomic<uint64_t> woken_at_{0};  // microseconds, monotonic
};

/// Releases on every way out.
class LockGuard {
 public:
  explicit LockGuard(SharedLock& lock) : lock_(lock) {}
  ~LockGuard() { lock_.Release(); }
  LockGuard(const LockGuard&) = delete;
  LockGuard& operator=(const LockGuard&) = delete;

 private:
  SharedLock& lock_;
};

}  // namespace thermocline::store

// What the kernel does for the sources, and what is believed of it: futexes, and bytes that it gives back at death.
#pragma once

#include "memory.h"

#include "core/base/status.h"
#include "core/format/layout.h"
#include "core/io/file.h"

namespace thermocline {

class Kernel {
 public:
  static constexpr uint32_t kProcessesMax = 5;
  static Kernel& Now() { return *Current(); }
  Kernel() { Current() = this; }
  /// Of an execution in which a process may die: sleepers look again after a while, as the sources' time-outs do.
  bool sleeps_end = false;
  bool has_barriers = false;

  void Begin() {
    for (rl::atomic<uint64_t>& byte : dead_) byte.store(0, rl::mo_relaxed, $);
  }
  /// A process died: whoever finds its byte free sees all that it stored.
  void GivesByteBack(uint32_t number) { dead_[number].store(1, rl::mo_release, $); }
  bool HoldsByte(uint32_t number) { return dead_[number].load(rl::mo_acquire, $) == 0; }

  /// Each thread that may be asked for a barrier says so when it begins. One that was not running has had its barrier
  /// when the kernel lets it run.
  void Starts() {
    threads_.push_back(rl::ctx().threadx_);
    Fence(threads_.back());
  }
  /// A full barrier on every thread, in the middle of whatever it does, between two of the caller's.
  void MakesBarriers() {
    rl::context& context = rl::ctx();
    context.sched();
    Fence(context.threadx_);
    for (rl::thread_info_base* thread : threads_) Fence(thread);
    Fence(context.threadx_);
  }

  /// A hole is punched: whoever finds zeros there sees what came before. The kernel takes the page out of every
  /// process's tables, which is a barrier on each processor that has it.
  static void Empties(uint64_t& word) {
    modelled::Cell<uint64_t> cell(word);
    uint64_t base;
    rl::atomic<uint64_t>& stored = modelled::Memory::Now().Word(&word, word, &base);
    stored.store(uint64_t{0} - base, rl::mo_release, $);
  }
  static void SleepsOn(uint32_t& word, uint32_t expected) {
    modelled::Cell<uint32_t> cell(word);
    rl::context& context = rl::ctx();
    context.sched();
    if (cell.Newest() == expected) cell.word().wait(context, Now().sleeps_end, false, $);
  }
  static void Wakes(uint32_t& word, uint32_t count) {
    const uint32_t threads = std::min<uint32_t>(count, modelled::Memory::kThreadsMax);
    modelled::Cell<uint32_t>(word).word().wake(rl::ctx(), threads, $);
  }

 private:
  void Fence(rl::thread_info_base* thread) {
    static_cast<rl::thread_info<3>*>(thread)->atomic_thread_fence_seq_cst(barrier_order_);
  }
  static Kernel*& Current() {
    static Kernel* current = nullptr;
    return current;
  }
  rl::atomic<uint64_t> dead_[kProcessesMax];
  std::vector<rl::thread_info_base*> threads_;
  rl::timestamp_t barrier_order_[3] = {};
};

namespace io {

inline void FutexWait(uint32_t& word, uint32_t expected, uint64_t) { Kernel::SleepsOn(word, expected); }
inline uint32_t FutexWake(uint32_t& word, uint32_t count) {
  Kernel::Wakes(word, count);
  return count;
}
inline bool PrepareProcessBarrier() { return Kernel::Now().has_barriers; }
inline void ProcessBarrier() { Kernel::Now().MakesBarriers(); }
inline void OnFork(void (*)()) {}
inline uint64_t NowMonotonicMicroseconds() { return 0; }
inline Result<bool> AnyByteLocked(const File&, uint64_t byte, uint64_t) {
  return Kernel::Now().HoldsByte(static_cast<uint32_t>(byte - format::kParticipantByte));
}
inline void SpinPause() { rl::yield(1, $); }
inline void YieldThread() { rl::yield(1, $); }

}  // namespace io
}  // namespace thermocline

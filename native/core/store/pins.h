// Pins: how a native call keeps mapped what it reads, for the price of two plain stores.
//
// A Pin stands for "this thread is inside a call". Whoever wants to unmap a segment takes it out of reach first (out of
// the table), then begins a Grace, and unmaps when the grace is over: every call that may have found the segment has
// returned by then. What outlives a call (snapshots, cursors, views) holds the segment by its count instead.
//
// Protocol. Each thread has a word: odd inside, even outside, larger from call to call.
//   call:    word = odd; look the segment up; use it; word = even (release)
//   unmap:   table[n] = none; barrier on every thread; note the odd words; over when each noted word has changed
// If the call's store of the odd word is not among those that the barrier made visible, it comes after the barrier, and
// with it the look-up, which then finds nothing. So the call needs no barrier between its store and its look-up where
// the kernel can be asked for one (io::ProcessBarrier); elsewhere, and until it was asked, it makes its own.
// models/pins.pml searches this, store buffers included.
//
// Thread rule: a Pin belongs to the thread that made it. Pins nest: the outermost counts. They are of the process, not
// of a store: a long call on one store puts off unmapping in another, never the call.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>
#include <vector>

namespace thermocline::store {

/// One thread's word, alone on its cache line. Never freed; used again by a later thread.
struct alignas(64) PinSlot {
  std::atomic<uint64_t> word{0};
  std::atomic<bool> taken{false};
  PinSlot* next = nullptr;
};

/// The calling thread's.
PinSlot* RegisterPinSlot();
inline thread_local PinSlot* own_pin_slot = nullptr;
/// True until PreparePins has the kernel's word that it makes barriers for others.
inline std::atomic<bool> pins_make_fences{true};

/// Asks the kernel, once a process. Takes milliseconds where threads run already, so no caller's thread does it.
void PreparePins();

class Pin {
 public:
  Pin() : slot_(own_pin_slot != nullptr ? own_pin_slot : RegisterPinSlot()) {
    const uint64_t word = slot_->word.load(std::memory_order_relaxed);
    outermost_ = (word & 1) == 0;
    if (!outermost_) return;
    slot_->word.store(word + 1, std::memory_order_relaxed);
    if (pins_make_fences.load(std::memory_order_relaxed)) {
      std::atomic_thread_fence(std::memory_order_seq_cst);  // pairs with the one in Grace
    } else {
      std::atomic_signal_fence(std::memory_order_seq_cst);  // io::ProcessBarrier in Grace is the other half
    }
  }
  ~Pin() {
    // Release: pairs with the acquire in Grace, so that all that the call read comes before the unmapping.
    if (outermost_) slot_->word.store(slot_->word.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  }
  Pin(const Pin&) = delete;
  Pin& operator=(const Pin&) = delete;

 private:
  PinSlot* slot_;
  bool outermost_;
};

/// Begun when something was taken out of reach; over when no call is left that may have reached it.
class Grace {
 public:
  /// Notes the calls under way. Costs a system call.
  Grace();
  /// Never waits. The caller's own pin, if it holds one, counts too.
  bool Over();

 private:
  std::vector<std::pair<const PinSlot*, uint64_t>> standing_;
};

}  // namespace thermocline::store

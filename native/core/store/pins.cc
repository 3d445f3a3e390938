#include "core/store/pins.h"

#include "core/base/planted.h"
#include "core/io/system.h"

namespace thermocline::store {
namespace {

std::atomic<PinSlot*> first_slot{nullptr};

/// Gives the slot back when its thread ends.
struct SlotLease {
  PinSlot* slot = nullptr;
  ~SlotLease() {
    own_pin_slot = nullptr;
    if (slot != nullptr) slot->taken.store(false, std::memory_order_release);
  }
};

/// In a forked child: the other threads are gone, and with them whoever would have let go.
void ForgetOtherThreads() {
  for (PinSlot* slot = first_slot.load(std::memory_order_acquire); slot != nullptr; slot = slot->next) {
    if (slot == own_pin_slot) continue;
    const uint64_t word = slot->word.load(std::memory_order_relaxed);
    slot->word.store(word + (word & 1), std::memory_order_relaxed);
    slot->taken.store(false, std::memory_order_relaxed);
  }
}

enum class Barrier : uint32_t { kNotAsked, kThere, kNotThere };
std::atomic<Barrier> barrier{Barrier::kNotAsked};
std::atomic<bool> forks_are_watched{false};

/// Whether the kernel makes barriers for others. Asked by whoever comes first, and by who comes meanwhile: a static
/// that is initialized once would lock out the child of a process that forks just then.
bool BarrierIsThere() {
  Barrier answer = barrier.load(std::memory_order_acquire);
  if (answer == Barrier::kNotAsked) {
    if (!forks_are_watched.exchange(true)) io::OnFork(ForgetOtherThreads);
    answer = io::PrepareProcessBarrier() ? Barrier::kThere : Barrier::kNotThere;
    barrier.store(answer, std::memory_order_release);
    // From here on pins may do without a fence. Every grace comes through here first, so each of them asks the kernel.
    if (answer == Barrier::kThere) pins_make_fences.store(false, std::memory_order_relaxed);
  }
  return answer == Barrier::kThere;
}

}  // namespace

void PreparePins() { BarrierIsThere(); }

PinSlot* RegisterPinSlot() {
  thread_local SlotLease lease;
  for (PinSlot* slot = first_slot.load(std::memory_order_acquire); slot != nullptr; slot = slot->next) {
    bool free = false;
    if (slot->taken.compare_exchange_strong(free, true, std::memory_order_acq_rel))
      return own_pin_slot = lease.slot = slot;
  }
  auto* slot = new PinSlot();
  slot->taken.store(true, std::memory_order_relaxed);
  slot->next = first_slot.load(std::memory_order_relaxed);
  while (!first_slot.compare_exchange_weak(slot->next, slot, std::memory_order_acq_rel)) {
  }
  return own_pin_slot = lease.slot = slot;
}

Grace::Grace() {
  if (IsPlanted(Fault::kNoGrace)) return;
  if (BarrierIsThere()) io::ProcessBarrier();
  std::atomic_thread_fence(std::memory_order_seq_cst);  // pairs with the one in Pin
  for (const PinSlot* slot = first_slot.load(std::memory_order_acquire); slot != nullptr; slot = slot->next) {
    const uint64_t word = slot->word.load(std::memory_order_acquire);  // pairs with the release in ~Pin
    if ((word & 1) != 0) standing_.emplace_back(slot, word);
  }
}

bool Grace::Over() {
  std::erase_if(standing_, [](const auto& entry) {
    return entry.first->word.load(std::memory_order_acquire) != entry.second;  // pairs with the release in ~Pin
  });
  return standing_.empty();
}

}  // namespace thermocline::store

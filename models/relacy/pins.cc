// Pins and graces (pins.h, pins.cc, segment_table.h): two threads are in calls that look a segment up and read it, the
// helper takes it out of the table and unmaps it when the grace is over. With and without the kernel's barriers, and
// with a process that learns only now that there are some.
#include "memory.h"

#include "core/store/segment_table.h"
#include "kernel.h"
#include "search.h"

namespace thermocline::store {
namespace {

constexpr bool IsPlanted(int) { return false; }
struct Fault {
  static constexpr int kNoGrace = 0;
};

}  // namespace

#pragma cut core/store/pins.h struct alignas(64) PinSlot {
PinSlot* RegisterPinSlot();
PinSlot* own_pin_slots[modelled::Memory::kThreadsMax];
#define own_pin_slot own_pin_slots[rl::thread_index()]
std::atomic<bool> pins_make_fences{true};
#pragma cut core/store/pins.h class Pin {
#pragma cut core/store/pins.h class Grace {
namespace {

std::atomic<PinSlot*> first_slot{nullptr};
struct SlotLease {
  PinSlot* slot = nullptr;
};
void ForgetOtherThreads() {}
enum class Barrier : uint32_t { kNotAsked, kThere, kNotThere };
std::atomic<Barrier> barrier{Barrier::kNotAsked};
std::atomic<bool> forks_are_watched{false};

#pragma cut core/store/pins.cc bool BarrierIsThere(

}  // namespace

#define thread_local static
#pragma cut core/store/pins.cc PinSlot* RegisterPinSlot(
#undef thread_local
#pragma cut core/store/pins.cc Grace::Grace(
#pragma cut core/store/pins.cc bool Grace::Over(

struct PinsModel : rl::test_suite<PinsModel, 3> {
  modelled::Memory memory;
  Kernel kernel;
  SegmentTable table;
  std::shared_ptr<Segment> segment = std::make_shared<Segment>(1);
  std::shared_ptr<Segment> other = std::make_shared<Segment>(2);

  void before() {
    memory.Begin();
    kernel.Begin();
    kernel.has_barriers = rl::rand(2) == 0;
    std::fill(std::begin(own_pin_slots), std::end(own_pin_slots), nullptr);
    table.Put(segment);
    modelled::Writes(segment.get());  // mapped
  }
  void thread(unsigned number) {
    kernel.Starts();
    if (number == 0) {
      modelled::Writes(other.get());  // mapped at need, while the others look
      table.Put(other);
      const std::shared_ptr<Segment> taken = table.Take(SegmentNumber{1});
      Grace grace;
      while (!grace.Over()) rl::yield(1, $);
      modelled::Writes(taken.get());  // unmapped
      return;
    }
    for (int call = 0; call < 2; ++call) {
      const Pin pin;
      if (const Segment* const mapped = table.Get(SegmentNumber{2})) modelled::Reads(mapped);
      const Segment* const found = table.Get(SegmentNumber{1});
      if (found == nullptr) break;
      const Pin nested;
      modelled::Reads(found);
    }
  }
};

}  // namespace thermocline::store

int main(int count, char** arguments) { return modelled::Search<thermocline::store::PinsModel>(count, arguments); }

// The change feed's wake-up (wait.cc): a process commits twice, two others sleep until there is more than they know.
// The slices of their sleep are left out here, so a wake-up that is missed is a follower that sleeps for ever.
#include "memory.h"

#include "core/store/commit_plan.h"
#include "core/store/memory_index.cc"
#include "processes.h"

namespace thermocline::store {

#include "cut/lock.h"

namespace {

constexpr uint64_t kWaitMicroseconds = 40000;

}  // namespace

#pragma cut core/store/wait.cc void Store::RunWaiter(
#pragma cut core/store/wait.cc void Store::WakeFollowers(
bool Store::Matches(Position, std::string_view) const { return false; }

struct FollowModel : rl::test_suite<FollowModel, 3>, Execution {
  int called = 0;

  void before() { Begin(); }
  void thread(unsigned number) {
    if (number == 0) {
      for (uint64_t sequence = 1; sequence <= 2; ++sequence) {
        StoreRelease(world.boot.applied, sequence);  // VISIBLE, in ApplyPlanned
        process[0].WakeFollowers();
      }
      return;
    }
    process[number].waiters_.push_back({number - 1, [&] { ++called; }});
    process[number].RunWaiter();
  }
  void after() { RL_ASSERT(called == 2); }
};

}  // namespace thermocline::store

int main(int count, char** arguments) { return modelled::Search<thermocline::store::FollowModel>(count, arguments); }

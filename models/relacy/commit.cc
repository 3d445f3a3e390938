// Claim, publish, apply, repair (claim.cc, commit.cc, apply.cc, participant.cc) beside a look-up (read.cc): two
// processes put, one of them may be killed at any atomic step, a third one looks up.
#include "memory.h"

#include "core/store/claim.cc"
#include "core/store/commit_plan.h"
#include "core/store/memory_index.cc"
#include "processes.h"

namespace thermocline::store {

#include "cut/commit.h"
#include "cut/lock.h"
#include "cut/read.h"

// What other models have.
void Store::WakeFollowers() {}
Status Store::Rotate(uint32_t, uint32_t, uint64_t, uint64_t, ClaimedSlots*) { return Status::Error(ErrorCode::kFull); }

struct CommitModel : rl::test_suite<CommitModel, 3>, Execution {
  uint32_t kill_at = 0;
  std::string_view second_id;
  bool has_both = false;  // the first process puts two ids in one frame; the second one only takes the lock
  Sequence had_a = 0;

  void before() {
    Begin();
    if (rl::rand(2) == 0) Put(2, {"a"}, 1.0f);
    had_a = process[2].sequence();
    has_both = rl::rand(2) == 0;
    kill_at = rl::rand(2) == 0 ? 0 : 20 + rl::rand(has_both ? 120 : 76);
    second_id = rl::rand(2) == 0 ? "a" : "b";
    kernel.sleeps_end = kill_at != 0;
  }
  void thread(unsigned number) {
    if (number == 0 && has_both) Run(0, kill_at, [&] { Put(0, {"a", "b"}, 0.25f); });
    if (number == 0 && !has_both) Run(0, kill_at, [&] { Put(0, {"a"}, 0.25f); });
    if (number == 1 && !has_both) Run(1, 0, [&] { Put(1, {second_id}, 0.5f); });
    if (number == 1 && has_both) {
      Run(1, 0, [&] {
        RL_ASSERT(process[1].LockWrite(kPatient).ok());
        process[1].write_lock_->Release();
      });
    }
    if (number == 2) {
      Wait(kill_at != 0 ? 100 : 40);
      if (has_both) {
        Get(2, "a");
        Get(2, "b");
        // A frame is visible whole: who saw the one finds the other.
        RL_ASSERT(seen[0].sequence <= had_a || seen[1].sequence == seen[0].sequence + 1);
      } else if (rl::rand(2) == 0) {
        Get(2, second_id);
        Get(2, second_id);
        RL_ASSERT(seen[1].sequence >= seen[0].sequence);
      } else {
        Scan({process[2].sequence(), Position(), {{world.segments[0].get(), Segment::kSlots}}, {}});
      }
    }
  }
  void after() { Judge(); }
};

}  // namespace thermocline::store

int main(int count, char** arguments) { return modelled::Search<thermocline::store::CommitModel>(count, arguments); }

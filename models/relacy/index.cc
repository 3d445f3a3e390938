// Index generations (index_growth.cc, memory_index.cc, read.cc): one process commits, a second one makes new
// generations and gives the old one back, a third one looks up. The one that grows may be killed.
#include "memory.h"

#include "core/store/claim.cc"
#include "core/store/commit_plan.h"
#include "core/store/memory_index.cc"
#include "processes.h"

namespace thermocline::store {

#include "cut/commit.h"
#include "cut/lock.h"
#include "cut/read.h"

namespace {

#pragma cut core/store/index_growth.cc constexpr int kCatchUpRounds
#pragma cut core/store/index_growth.cc constexpr size_t kCatchUpFrames

}  // namespace

#pragma cut core/store/index_growth.cc Status Store::GrowIndexLocked(
#pragma cut core/store/index_growth.cc Result<size_t> Store::CatchUpIndex(

// What other models have.
void Store::WakeFollowers() {}
Status Store::Rotate(uint32_t, uint32_t, uint64_t, uint64_t, ClaimedSlots*) { return Status::Error(ErrorCode::kFull); }

struct IndexModel : rl::test_suite<IndexModel, 3>, Execution {
  uint32_t kill_at = 0;
  uint32_t generations = 0;  // the second one lies where the first one was
  std::string_view id;

  void before() {
    Begin();
    Put(2, {"a"}, 1.0f);
    id = rl::rand(2) == 0 ? "a" : "b";
    generations = 1 + rl::rand(2);
    kill_at = rl::rand(4) == 0 ? 1 + rl::rand(60) : 0;
    kernel.sleeps_end = kill_at != 0;
  }
  void thread(unsigned number) {
    if (number == 0) Run(0, 0, [&] { Put(0, {id}, 0.25f); });
    if (number == 1) {
      Run(1, kill_at, [&] {
        for (; generations > 0; --generations) RL_ASSERT(process[1].GrowIndexLocked(2, kPatient).ok());
      });
    }
    if (number == 2) {
      Wait();
      Get(2, id);
      Get(2, "a");
    }
  }
  void after() { Judge(); }
};

}  // namespace thermocline::store

int main(int count, char** arguments) { return modelled::Search<thermocline::store::IndexModel>(count, arguments); }

// Snapshots beside a rotation (read.cc, space.cc, meta_file.cc): one process opens the next segment and commits into
// it, another one commits wherever its claim leads, a third one takes a snapshot and reads all that it holds.
#include "memory.h"

#include "core/store/claim.cc"
#include "core/store/commit_plan.h"
#include "core/store/memory_index.cc"
#include "processes.h"

namespace thermocline::store {

#include "cut/commit.h"
#include "cut/lock.h"
#include "cut/read.h"

#pragma cut core/store/meta_file.cc void Store::PublishList(
#pragma cut core/store/meta_file.cc std::shared_ptr<const format::Meta> Store::List(
#pragma cut core/store/meta_file.cc Result<std::shared_ptr<const format::Meta>> Store::CurrentList(
#pragma cut core/store/meta_file.cc Result<std::shared_ptr<const format::Meta>> Store::ReloadList(
#pragma cut core/store/space.cc Status Store::LockGrowth(
#pragma cut core/store/space.cc Status Store::LockSpace(
#pragma cut core/store/space.cc Status Store::Rotate(
#pragma cut core/store/read.cc Result<Snapshot> Store::TakeSnapshot(

// What other models have.
void Store::WakeFollowers() {}

struct SnapshotModel : rl::test_suite<SnapshotModel, 3>, Execution {
  void before() {
    Begin();
    if (rl::rand(2) == 0) Put(2, {"a"}, 1.0f);
  }
  void thread(unsigned number) {
    if (number == 0) {
      Run(0, 0, [&] {
        RL_ASSERT(process[0].Rotate(1, 1, 0, kPatient).ok());
        Put(0, {"a"}, 0.25f);
      });
    }
    if (number == 1) Run(1, 0, [&] { Put(1, {"b"}, 0.5f); });
    if (number == 2) {
      Wait();
      const Result<Snapshot> snapshot = process[2].TakeSnapshot();
      RL_ASSERT(snapshot.ok());
      Scan(*snapshot);
    }
  }
  void after() { Judge(); }
};

}  // namespace thermocline::store

int main(int count, char** arguments) { return modelled::Search<thermocline::store::SnapshotModel>(count, arguments); }

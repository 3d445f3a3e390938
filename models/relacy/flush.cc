// The group commit (flush_group.cc): three processes commit and flush; one leads, the others sleep until it has ended.
// Nobody returns before what it committed is synced, and nobody sleeps for ever.
#include "memory.h"

#include "core/store/commit_plan.h"
#include "core/store/memory_index.cc"
#include "processes.h"

namespace thermocline::store {

#include "cut/lock.h"

namespace {

constexpr uint32_t kEveryone = 0x7FFFFFFF;

}  // namespace

#pragma cut core/store/flush_group.cc bool Store::IsDurable(
#pragma cut core/store/flush_group.cc Status Store::FlushUpTo(

/// The disk. By the file system: whoever syncs writes what was committed, whatever it sees of it itself.
static Sequence synced;

/// LeadFlush (durability.cc): a plan, the syncs, the word that says what they cover.
Status Store::LeadFlush(FlushScope, uint64_t) {
  const Sequence planned = sequence();
  rl::yield(1, $);
  synced = std::max(synced, planned);
  StoreRelease(boot_->watermark_sequence, planned);
  return Status::Ok();
}
bool Store::Matches(Position, std::string_view) const { return false; }

struct FlushModel : rl::test_suite<FlushModel, 3>, Execution {
  void before() {
    Begin();
    synced = 0;
  }
  void thread(unsigned number) {
    const Sequence own = FetchAdd(world.boot.applied, uint64_t{1}) + 1;  // a commit
    RL_ASSERT(process[number].FlushUpTo(process[number].sequence(), kPatient, FlushScope::kLog).ok());
    RL_ASSERT(synced >= own);
  }
};

}  // namespace thermocline::store

int main(int count, char** arguments) { return modelled::Search<thermocline::store::FlushModel>(count, arguments); }

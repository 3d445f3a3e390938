// T3: a process killed after every instruction of an operation.
//
// Goal: wherever a writer dies, its operation is there whole or not at all, everything else is as it was, and the next
// writer goes on. Method: one run of the operation is stepped through, then each instruction of it ends another run
// (stepper.h); the store goes on from kill to kill. Either all are dead and the parent opens the store, or the parent
// is a survivor: it looks before it repairs, then writes.

#include <algorithm>
#include <cstdio>

#include "core/base/atomic.h"
#include "core/io/system.h"
#include "core/store/claim.h"
#include "kill/process.h"
#include "kill/stepper.h"
#include "kill/writer.h"

namespace thermocline::kill {
namespace {

constexpr uint32_t kChildWriter = 0;
constexpr uint32_t kParentWriter = 1;
constexpr uint64_t kCallLimit = 250000;

enum class Role { kOpener, kSurvivor };

struct Operation {
  const char* name;
  /// In the child, after warming up and before the first instruction.
  std::function<void(store::Store&, const std::string& path)> prepare;
  /// In the child, calls the writer once; its commit is what is stepped through, unless `whole`.
  std::function<void(Writer&, store::Store&)> run;
  bool whole = false;
  uint64_t kills_per_store = 60;
  /// What a survivor does first; then all is looked at once more after the store was opened anew.
  std::function<void(store::Store&)> survivor = {};
  uint64_t before_list = 0;  // not 0: only so many instructions before the last publication of a list, and a few after
};

unsigned long long Print(uint64_t value) { return static_cast<unsigned long long>(value); }

class Sweep {
 public:
  Sweep(const Operation& operation, Role role) : operation_(operation), role_(role), oracle_(MakeShared<Oracle>()) {}

  /// At most `kills` of them, evenly over all instructions from a random one on.
  void Run(uint64_t kills) {
    NewStore();
    uint64_t committed = 0;
    uint64_t visible = 0;
    uint64_t listed = 0;
    uint64_t generation = 0;
    Watched before{};
    const Trace trace = TraceChild([this] { RunChild(); },
                                   [&](uint64_t k) {
                                     const Watched now = Watch();
                                     if (k == 1) before = now;
                                     const uint64_t list = LoadAcquire((*words_)->list_generation);
                                     if (k > 1 && list != generation) listed = k;
                                     generation = list;
                                     if (now.tail != before.tail && committed == 0) committed = k;
                                     if (now.applied != before.applied && visible == 0) visible = k;
                                   });
    constexpr uint64_t kAfterList = 50;
    const bool all = operation_.before_list == 0;
    const uint64_t from = all || listed < operation_.before_list ? 0 : listed - operation_.before_list;
    const uint64_t count = all ? trace.instructions() : std::min(trace.instructions(), listed + kAfterList);
    ASSERT_GT(count, 0u);
    Judge("the traced run");
    const uint64_t stride = std::max<uint64_t>(1, (count - from) / std::max<uint64_t>(kills, 1));
    uint64_t done = 0;
    uint64_t hits = 0;
    Random random(TestSeed());
    for (uint64_t k = from + 1 + random.Below(stride); k <= count && test::FailureCount() == 0; k += stride, ++done) {
      if (done % operation_.kills_per_store == 0) NewStore();
      const KillPlace place = KillChildAfter([this] { RunChild(); }, trace, k);
      hits += place.hit ? 1 : 0;
      Judge("instruction " + std::to_string(k) + " of " + operation_.name + ", " + DescribeAddress(place.address));
    }
    std::printf(
        "       T3 %s, %s: %llu instructions, commit after %llu, visible after %llu; %llu kills, stride %llu, "
        "%llu within the operation; next write at worst %llu us, host's slack %llu us\n",
        operation_.name, role_ == Role::kOpener ? "reopened" : "survived", Print(count), Print(committed),
        Print(visible), Print(done), Print(stride), Print(hits), Print(worst_), Print(slack_));
    // A run that meets a busy lock, or content of another length, takes another path and may end unharmed.
    EXPECT_GE(hits * 3, done);
    EXPECT_LT(worst_, kCallLimit + slack_);
  }

 private:
  struct Watched {
    uint64_t tail, applied;
  };

  void NewStore() {
    store_ = nullptr;
    words_ = nullptr;
    oracle_.Clear();
    store_ = std::make_unique<test::StoreFixture>(kDimensions);
    ASSERT_OK(store_->Open());
    Writer writer(**store_, oracle_, kParentWriter, 1, TestSeed(), {});
    for (int i = 0; i < 12; ++i) writer.Put(writer.RandomId());
    words_ = std::make_unique<test::BootWordsByHand>(store_->path());
    if (role_ == Role::kOpener) store_->Kill();
  }

  Watched Watch() const { return {LoadAcquire((*words_)->tail), LoadAcquire((*words_)->applied)}; }

  void RunChild() {
    Result<std::shared_ptr<store::Store>> opened = store::Store::Open(store_->path(), store_->options);
    if (!opened.ok()) {
      oracle_.regions[kChildWriter].error = static_cast<uint64_t>(opened.status().code()) + 1;
      return;
    }
    store::Store& store = **opened;
    // The same for every run, so that runs take the same path; the version makes what is written differ.
    Writer writer(store, oracle_, kChildWriter, 0, TestSeed(), {});
    for (uint32_t id = 0; id < 3; ++id) writer.Put(id);
    writer.Delete(3);
    writer.Delete(4);
    if (operation_.prepare) operation_.prepare(store, store_->path());
    if (operation_.whole) {
      BeginSteppable();
      operation_.run(writer, store);
      EndSteppable();
      return;
    }
    writer.before_commit = BeginSteppable;
    writer.after_commit = EndSteppable;
    operation_.run(writer, store);
  }

  void Judge(const std::string& where) {
    const int failures = test::FailureCount();
    JudgeStore();
    if (test::FailureCount() != failures) {
      test::ReportFailure(__FILE__, __LINE__, "killed at " + where);
    }
  }

  void JudgeStore() {
    if (role_ == Role::kOpener) {
      ASSERT_OK(store_->Open());
      EXPECT_FALSE(store_->Recovered());  // same boot: the cache is trusted and repaired
    } else {
      CheckVisibility(**store_, oracle_.regions[kChildWriter], kChildWriter);
    }
    if (role_ == Role::kSurvivor && operation_.survivor) operation_.survivor(**store_);
    {
      Writer writer(**store_, oracle_, kParentWriter, 1, (*store_)->sequence() + 1, {});
      StoreRelease(oracle_.measuring, uint64_t{1});
      const uint64_t begin = io::NowMonotonicMicroseconds();
      writer.Put(writer.RandomId());
      worst_ = std::max(worst_, io::NowMonotonicMicroseconds() - begin);
      slack_ = std::max(slack_, SleepWatching(100));
    }
    CheckAll();
    if (role_ == Role::kOpener) store_->Kill();
    if (role_ == Role::kSurvivor && operation_.survivor) {
      store_->Kill();
      ASSERT_OK(store_->Open());
      CheckAll();
    }
  }

  void CheckAll() {
    CheckRegion(**store_, oracle_.regions[kChildWriter], kChildWriter);
    CheckRegion(**store_, oracle_.regions[kParentWriter], kParentWriter);
    CheckWhole(**store_);
  }

  const Operation& operation_;
  const Role role_;
  Oracle& oracle_;
  std::unique_ptr<test::StoreFixture> store_;
  std::unique_ptr<test::BootWordsByHand> words_;
  uint64_t worst_ = 0;
  uint64_t slack_ = 0;
};

void PutNew(Writer& writer, store::Store&) { writer.Put(3); }

/// As if the open segment's slots had all been claimed by writers who died: rotation is next.
void UseUpSlots(store::Store&, const std::string& path) {
  const test::BootWordsByHand words(path);
  StoreRelease(words->claim, store::MakeClaim(store::ClaimSegment(LoadAcquire(words->claim)), 16384));
}

/// In the night every instruction, or about `most` of them, spread evenly: operations of tens of thousands.
void RunSweep(const Operation& operation, Role role, uint64_t usual, uint64_t most = UINT64_MAX) {
  Sweep(operation, role).Run(TestRounds(usual, most));
}

TEST(Step, APutIsThereWholeOrNotWhereverItsWriterDies) {
  RunSweep({.name = "put", .prepare = {}, .run = PutNew}, Role::kOpener, 300);
}

TEST(Step, ASurvivorSeesAPutWholeOrNotAndGoesOn) {
  RunSweep({.name = "put", .prepare = {}, .run = PutNew}, Role::kSurvivor, 60);
}

TEST(Step, AReplacementIsThereWholeOrNot) {
  RunSweep({.name = "replace", .prepare = {}, .run = [](Writer& writer, store::Store&) { writer.Put(0); }},
           Role::kOpener, 40);
}

TEST(Step, AnUpdateIsThereWholeOrNot) {
  RunSweep({.name = "update", .prepare = {}, .run = [](Writer& writer, store::Store&) { writer.Update(1); }},
           Role::kOpener, 40);
}

TEST(Step, ADeletionIsThereWholeOrNot) {
  RunSweep({.name = "delete", .prepare = {}, .run = [](Writer& writer, store::Store&) { writer.Delete(2); }},
           Role::kOpener, 40);
}

TEST(Step, AWriteOfSeveralIsThereWholeOrNot) {
  const auto several = [](Writer& writer, store::Store&) { writer.WriteSeveral(); };
  RunSweep({.name = "write of several", .prepare = {}, .run = several}, Role::kOpener, 40);
  RunSweep({.name = "write of several", .prepare = {}, .run = several}, Role::kSurvivor, 20);
}

TEST(Step, ARotationIsThereWholeOrNot) {
  const Operation rotation{.name = "put that rotates", .prepare = UseUpSlots, .run = PutNew, .kills_per_store = 6};
  RunSweep(rotation, Role::kOpener, 40, 8000);
  RunSweep(rotation, Role::kSurvivor, 15, 4000);
}

TEST(Step, AnIndexGenerationIsPublishedWholeOrNot) {
  const auto grow = [](Writer&, store::Store& store) { static_cast<void>(store.GrowIndex(0).ok()); };
  const Operation growth{
      .name = "growth of the index", .prepare = {}, .run = grow, .whole = true, .kills_per_store = 4};
  RunSweep(growth, Role::kOpener, 25, 4000);
  RunSweep(growth, Role::kSurvivor, 10, 4000);
}

// Goal: a compaction that dies anywhere, between two stores of (c) too, leaves every memory as it was, whoever comes
// next: a process that opens, or one that holds the old list and writes on. Method: as above; the store holds replaced
// and deleted memories, and is flushed, so that files are synced as in any other.
TEST(Step, ACompactionIsThereWholeOrNot) {
  const auto prepare = [](store::Store& store, const std::string&) { ASSERT_OK(store.Flush(test::kLockTimeout)); };
  const auto compact = [](Writer&, store::Store& store) {
    const std::atomic<bool> never{false};
    static_cast<void>(store.Compact(test::kLockTimeout, never).ok());
  };
  const Operation compaction{
      .name = "compaction", .prepare = prepare, .run = compact, .whole = true, .kills_per_store = 8};
  // Between the rename of the list and its publication, where the index is half swung.
  Operation swing = compaction;
  swing.name = "compaction, its index half swung";
  swing.before_list = 2500;
  RunSweep(swing, Role::kSurvivor, 16, 1000);
  // The survivor copies the index before it meets the write lock of the dead.
  Operation grown = swing;
  grown.name = "compaction, its index half swung and then grown";
  grown.survivor = [](store::Store& store) { ASSERT_OK(store.GrowIndex(0)); };
  RunSweep(grown, Role::kSurvivor, 8, 1000);
  // Each of the others steps through a whole compaction again before it can begin; one of 180,000 instructions would
  // take ten hours with a kill after each.
  if (test::TestScale() == 1) return;
  RunSweep(swing, Role::kOpener, 40, 1000);
  RunSweep(compaction, Role::kOpener, 60, 1000);
  RunSweep(compaction, Role::kSurvivor, 40, 1000);
}

// Goal: whoever follows sees a commit within 50 ms, though its writer died before it woke anybody. Method: the writer
// is killed at every few instructions from the one that makes its commit visible to the end of the call; the parent
// follows.
TEST(Step, AFollowerSeesACommitWhoseWriterDiedBeforeTheWakeUp) {
  constexpr uint64_t kSeenWithin = 50000;
  constexpr uint64_t kGiveUpAfter = 2000000;
  Oracle& oracle = MakeShared<Oracle>();
  test::StoreFixture fixture(kDimensions);
  ASSERT_OK(fixture.Open());
  store::Store& store = *fixture;
  ASSERT_OK(test::PutText(store, "first", "1"));
  const test::BootWordsByHand words(fixture.path());
  const auto body = [&] {
    Result<std::shared_ptr<store::Store>> opened = store::Store::Open(fixture.path(), fixture.options);
    if (!opened.ok()) return;
    Writer writer(**opened, oracle, kChildWriter, 0, TestSeed(), {});
    for (uint32_t id = 0; id < 3; ++id) writer.Put(id);
    writer.before_commit = BeginSteppable;
    writer.after_commit = EndSteppable;
    writer.Put(0);
  };
  uint64_t seen_at = 0;  // by the waiter's thread
  const auto follow = [&](Sequence since) {
    StoreRelease(seen_at, uint64_t{0});
    const auto noted = store.NotifyAbove(since, [&] { StoreRelease(seen_at, io::NowMonotonicMicroseconds()); });
    EXPECT_OK(noted);
    return noted.ok() ? *noted : 0;
  };
  // With somebody following, so that the traced run takes the path of the wake-up too.
  uint64_t token = follow(UINT64_MAX - 1);
  uint64_t visible = 0;
  uint64_t applied = 0;
  const Trace trace = TraceChild(body, [&](uint64_t k) {
    const uint64_t now = LoadAcquire(words->applied);
    if (k > 1 && now != applied) visible = k;
    applied = now;
  });
  store.CancelNotify(token);
  ASSERT_GT(visible, 0u);
  const uint64_t kills = TestRounds(16, 400);
  const uint64_t window = trace.instructions() - visible;
  const uint64_t stride = std::max<uint64_t>(1, window / kills);
  uint64_t worst = 0, slack = 0, done = 0, hits = 0;
  for (uint64_t k = visible; k <= trace.instructions() && test::FailureCount() == 0; k += stride, ++done) {
    // The child's last commit but one is at this sequence: it makes three, then the one that it dies in.
    const Sequence before = store.sequence() + 3;
    token = follow(before);
    const KillPlace place = KillChildAfter(body, trace, k);
    const uint64_t died = io::NowMonotonicMicroseconds();
    if (store.sequence() == before) {  // another path: it died one instruction too early
      store.CancelNotify(token);
      continue;
    }
    hits += place.hit ? 1 : 0;
    while (LoadAcquire(seen_at) == 0 && io::NowMonotonicMicroseconds() - died < kGiveUpAfter) {
      slack = std::max(slack, SleepWatching(1000));
    }
    store.CancelNotify(token);
    const uint64_t seen = LoadAcquire(seen_at);
    EXPECT_NE(seen, 0u);
    if (seen > died) worst = std::max(worst, seen - died);
    EXPECT_OK(test::PutText(store, "next", std::to_string(k)));  // repairs, if there is anything
  }
  std::printf(
      "       T3 follower: %llu instructions from visible to the end; %llu kills, %llu within; seen at worst %llu us "
      "after the death, host's slack %llu us\n",
      Print(window), Print(done), Print(hits), Print(worst), Print(slack));
  EXPECT_GT(hits * 2, done);
  EXPECT_LT(worst, kSeenWithin + slack);
}

TEST(Step, AFlushAndATouchLeaveTheStoreSound) {
  const auto flush = [](Writer& writer, store::Store& store) {
    writer.Put(0);  // something to flush
    static_cast<void>(store.Flush(test::kLockTimeout).ok());
  };
  // The first flush of a store made without syncs also syncs its structure; all runs should take the usual path.
  const auto flushed = [](store::Store& store, const std::string&) { ASSERT_OK(store.Flush(test::kLockTimeout)); };
  RunSweep({.name = "flush", .prepare = flushed, .run = flush, .whole = true}, Role::kOpener, 24);
  const auto touch = [](Writer&, store::Store& store) { static_cast<void>(store.Touch(IdOf(0, 0), 0.5, 1).ok()); };
  RunSweep({.name = "touch", .prepare = {}, .run = touch, .whole = true}, Role::kOpener, 10);
}

}  // namespace
}  // namespace thermocline::kill

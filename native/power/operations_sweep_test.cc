// T10: every system call of an operation on a store that is full of history fails once.
//
// Goal: whatever fails, an operation says so by a typed error or does without; every memory is as it was; the same
// operation passes once the fault is gone; nothing stays open, mapped or beside its place. Method: a store is made
// once (full_store.h). Each run has a copy of it, in which the n-th call of a kind fails, until a run has none left to
// fail. What creating, putting and flushing does is in syscall_sweep_test.cc.

#include <cerrno>
#include <cstdio>
#include <functional>

#include "core/base/hash.h"
#include "core/search/field_index.h"
#include "core/search/search.h"
#include "core/store/registry.h"
#include "core/store/salvage.h"
#include "power/faults.h"
#include "power/full_store.h"

namespace thermocline::power {
namespace {

struct Operation {
  std::function<void(Scene&)> prepare;  // nothing fails yet
  std::function<Status(Scene&)> run;    // may be called again after it failed
  std::function<void(Scene&)> expect = [](Scene&) {};
  Durability durability = Durability::kFlush;
  const char* makes = "";     // beside the store
  bool poisons = false;       // a sync of what is in use may fail
  bool does_without = false;  // never fails
  bool begins_tidy = true;    // nothing lies beside the store yet
};

size_t OpenDescriptors() {
  const auto all = std::filesystem::directory_iterator("/proc/self/fd");
  return static_cast<size_t>(std::distance(begin(all), end(all)));
}

bool IsTyped(const Status& status, const Fault& fault) {
  const bool full = fault.error_number == ENOSPC || fault.error_number == EDQUOT;
  if (status.code() == (full ? ErrorCode::kFull : ErrorCode::kIo)) return status.error_number() == fault.error_number;
  // What cannot be removed is in the way.
  if ((fault.call == Call::kUnlink || fault.call == Call::kList) && status.code() == ErrorCode::kExists) return true;
  // What cannot be asked for its length, or opened, is not there to be read.
  return (fault.call == Call::kStat || fault.call == Call::kOpen) && status.code() == ErrorCode::kCorrupt;
}

bool IsPoisoned(const Scene& scene) {
  return scene.store != nullptr && test::Delete(*scene.store, "none").status().code() == ErrorCode::kPoisoned;
}

/// One run with one fault. False when no call was left to fail.
bool RunOnce(const Template& made, const Operation& operation, const Fault& fault, uint64_t* errors) {
  const size_t descriptors = OpenDescriptors();
  bool failed = false;
  {
    Scene scene(made, operation.durability);
    operation.prepare(scene);
    Faults faults(fault);
    const Status status = operation.run(scene);
    failed = faults.has_failed();
    faults.Disarm();
    if (!status.ok()) {
      ++*errors;
      EXPECT_FALSE(operation.does_without);
      if (!IsTyped(status, fault)) EXPECT_OK(status);
      EXPECT_NE(fault.error_number, EINTR);
      EXPECT_TRUE(fault.call == Call::kUnlink || !operation.begins_tidy || scene.IsTidy(""));
      if (IsPoisoned(scene)) {
        EXPECT_TRUE(operation.poisons);
        scene.Cut();
      }
      EXPECT_OK(scene.Open());
      if (scene.store == nullptr) return false;
      scene.ExpectModel(*scene.store);
      EXPECT_OK(operation.run(scene));
    }
    EXPECT_OK(scene.Open());
    if (scene.store == nullptr) return false;
    scene.ExpectModel(*scene.store);
    test::ExpectWhole(*scene.store);
    operation.expect(scene);
    EXPECT_TRUE(scene.IsTidy(operation.makes));
    EXPECT_OK(scene.Close());
  }
  EXPECT_EQ(OpenDescriptors(), descriptors);
  return failed;
}

/// Each kind of call with the errors that its n-th call fails with in turn.
void Sweep(const Operation& operation) {
  struct Kind {
    Call call;
    std::vector<int> errors;
  };
  const std::vector<Kind> kinds = {
      {Call::kOpen, {EMFILE, EACCES, EIO, EINTR}},
      {Call::kRead, {EIO}},
      {Call::kWrite, {ENOSPC, EIO}},
      {Call::kTruncate, {EIO}},
      {Call::kAllocate, {ENOSPC, EIO}},
      {Call::kPunch, {EIO}},
      {Call::kSyncData, {EIO}},
      {Call::kSync, {EIO, ENOSPC}},
      {Call::kSyncDirectory, {EIO}},
      {Call::kRename, {ENOSPC, EIO}},
      {Call::kUnlink, {EIO}},
      {Call::kMakeDirectory, {ENOSPC, EACCES}},
      {Call::kMap, {ENOMEM}},
      {Call::kStat, {EIO}},
      {Call::kLock, {ENOLCK, EINTR}},
      {Call::kRandom, {EIO, EINTR}},
      {Call::kList, {ENOMEM}},
  };
  const Template made(operation.durability);
  uint64_t runs = 0;
  uint64_t errors = 0;
  for (const Kind& kind : kinds) {
    for (uint64_t count = 1;; ++count) {
      Fault fault;
      fault.call = kind.call;
      fault.count = count;
      fault.error_number = kind.errors[count % kind.errors.size()];
      ++runs;
      const bool more = RunOnce(made, operation, fault, &errors);
      if (test::FailureCount() > 0) {
        std::printf("%s number %llu with errno %d\n", NameOf(fault.call), static_cast<unsigned long long>(count),
                    fault.error_number);
        return;
      }
      if (!more) break;
    }
  }
  std::printf("       %llu runs, %llu failed operations\n", static_cast<unsigned long long>(runs),
              static_cast<unsigned long long>(errors));
  EXPECT_GT(runs, kinds.size());
}

template <typename T>
Status StatusOf(const Result<T>& result) {
  return result.ok() ? Status::Ok() : result.status();
}

void OpenScene(Scene& scene) { ASSERT_OK(scene.Open()); }

/// Of a scene that its `prepare` opens.
Operation Backup() {
  Operation backup;
  backup.run = [](Scene& scene) { return StatusOf(scene.store->Backup(scene.Beside("copy"), kNever)); };
  backup.expect = [](Scene& scene) {
    Result<std::shared_ptr<Store>> copy = Store::Open(scene.Beside("copy"), Options());
    ASSERT_OK(copy);
    scene.ExpectModel(**copy);
    EXPECT_OK((*copy)->Close());
  };
  backup.makes = "copy";
  return backup;
}

TEST(OperationsSweep, ABackupThatFailsLeavesNothingAndPassesAgain) {
  Operation backup = Backup();
  backup.prepare = OpenScene;
  Sweep(backup);
}

// The place is there already, and beside it what a backup left that was killed.
TEST(OperationsSweep, ABackupIntoAnEmptyDirectoryBesideALeftoverFailsWholeOrPasses) {
  Operation backup = Backup();
  backup.prepare = [](Scene& scene) {
    ASSERT_OK(scene.Open());
    std::filesystem::create_directory(scene.Beside("copy"));
    char leftover[48];
    std::snprintf(leftover, sizeof leftover, ".thermocline-copy-%016llx",
                  static_cast<unsigned long long>(SipHash13({0, 0}, "copy", 4)));
    std::filesystem::create_directory(scene.Beside(leftover));
    test::WriteFileBytes(scene.Beside(leftover) + "/meta", "half");
  };
  backup.begins_tidy = false;
  Sweep(backup);
}

// A file that cannot be read is to salvage as one that is damaged: what it held is counted as lost.
TEST(OperationsSweep, ASalvageThatFailsLeavesNothingAndWhatItCannotReadItCounts) {
  Operation salvage;
  salvage.prepare = [](Scene&) {};
  uint64_t lost = 0;
  salvage.run = [&lost](Scene& scene) {
    std::filesystem::remove_all(scene.Beside("copy"));
    Result<store::SalvageResult> result = store::Salvage(scene.path(), scene.Beside("copy"));
    if (!result.ok()) return result.status();
    lost = result->lost;
    EXPECT_TRUE(lost > 0 || result->memories == scene.model().size());
    return Status::Ok();
  };
  salvage.expect = [&lost](Scene& scene) {
    Result<std::shared_ptr<Store>> copy = Store::Open(scene.Beside("copy"), Options());
    ASSERT_OK(copy);
    if (lost == 0) scene.ExpectModel(**copy);
    test::ExpectWhole(**copy);
    EXPECT_OK((*copy)->Close());
  };
  salvage.makes = "copy";
  Sweep(salvage);
}

void SweepCompaction(Durability durability) {
  Operation compact;
  compact.durability = durability;
  compact.poisons = true;
  compact.prepare = [](Scene& scene) {
    ASSERT_OK(scene.Open());
    ASSERT_TRUE(scene.store->PositionInIndex("m1").raw() != 0);
  };
  compact.run = [](Scene& scene) { return StatusOf(scene.store->Compact(test::kLockTimeout, kNever)); };
  compact.expect = [](Scene& scene) {
    const Result<store::StoreStats> stats = scene.store->Stats();
    ASSERT_OK(stats);
    EXPECT_LT(stats->segments, 3u);
  };
  Sweep(compact);
}

TEST(OperationsSweep, ACompactionThatFailsLeavesEveryMemoryAndPassesAgain) { SweepCompaction(Durability::kFlush); }

TEST(OperationsSweep, ACompactionThatNeverSyncsDoesSoToo) { SweepCompaction(Durability::kNone); }

TEST(OperationsSweep, ARecoveryThatFailsPassesAgainAlsoWhereBlocksAreLost) {
  Operation recover;
  recover.prepare = [](Scene& scene) {
    // The blocks of the last flush did not reach the disk: images have them.
    const std::string blocks = scene.path() + "/3.blocks";
    std::string bytes = test::ReadFileBytes(blocks);
    const std::vector<float> lost = MemoryOf(539, 2).embedding;
    const std::string pattern(reinterpret_cast<const char*>(lost.data()), lost.size() * sizeof(float));
    const size_t at = bytes.find(pattern);
    ASSERT_NE(at, std::string::npos);
    test::WriteFileBytes(blocks, bytes.replace(at, pattern.size(), pattern.size(), '\0'));
    std::filesystem::remove(scene.path() + "/cache");
    scene.Cut();
  };
  recover.run = [](Scene& scene) { return scene.Open(); };
  recover.expect = [](Scene& scene) {
    // One that failed in the last sync, that of the directory, had made everything else, and poisoned it.
    const test::BootWordsByHand words(scene.path());
    EXPECT_TRUE(scene.store->Stats()->recovered || LoadAcquire(words->poison) != 0);
  };
  recover.poisons = true;
  Sweep(recover);
}

// What a clean close left is believed in another boot only when all that vouches for it can be looked at.
TEST(OperationsSweep, AnOpeningAfterACleanCloseInAnotherBootFailsOrRecoversAndPassesAgain) {
  Operation open;
  open.prepare = [](Scene& scene) {
    ASSERT_OK(scene.Open());
    ASSERT_OK(scene.Close());
    scene.Cut();
  };
  open.run = [](Scene& scene) { return scene.Open(); };
  open.poisons = true;
  Sweep(open);
}

TEST(OperationsSweep, AParticipantThatFollowsOthersSaysWhatItCannotMapAndCatchesUp) {
  Operation follow;
  follow.prepare = [](Scene& scene) {
    ASSERT_OK(scene.Open());
    Result<std::shared_ptr<Store>> other = Store::Open(scene.path(), Options());
    ASSERT_OK(other);
    scene.other = *other;
    // All segments are others now.
    ASSERT_OK(scene.store->Compact(test::kLockTimeout, kNever));
  };
  follow.run = [](Scene& scene) {
    if (scene.other == nullptr) return Status::Ok();
    THERMOCLINE_RETURN_IF_ERROR(StatusOf(scene.other->ChangesFloor()));
    {
      const store::Pin pin;
      THERMOCLINE_RETURN_IF_ERROR(StatusOf(scene.other->Find("m3", Store::Fetch::kMemory)));
    }
    THERMOCLINE_RETURN_IF_ERROR(StatusOf(scene.other->Touch("none", std::nullopt, 1)));
    THERMOCLINE_RETURN_IF_ERROR(StatusOf(scene.other->TakeSnapshot()));
    THERMOCLINE_RETURN_IF_ERROR(StatusOf(scene.other->Changes(scene.other->sequence() - 1, 10)));
    THERMOCLINE_RETURN_IF_ERROR(StatusOf(scene.other->Stats()));
    const Result<store::VerifyReport> report = scene.other->Verify(kNever);
    if (!report.ok()) return report.status();
    return report->problems.empty() ? Status::Ok() : Status::Error(ErrorCode::kCorrupt);
  };
  follow.expect = [](Scene& scene) {
    if (scene.other != nullptr) scene.ExpectModel(*scene.other);
  };
  Sweep(follow);
}

TEST(OperationsSweep, AFlushOfWhatWasWrittenWithoutSyncsFailsWholeOrPoisons) {
  Operation flush;
  flush.durability = Durability::kNone;
  flush.poisons = true;
  flush.prepare = [](Scene& scene) {
    ASSERT_OK(scene.Open());
    ASSERT_OK(scene.store->Compact(test::kLockTimeout, kNever));
    // The same memories once more: more than what is open holds.
    for (auto& [id, memory] : scene.model()) {
      const Result<Sequence> sequence = test::Put(*scene.store, memory);
      ASSERT_OK(sequence);
      memory.sequence = *sequence;
    }
  };
  flush.run = [](Scene& scene) { return scene.store->Flush(test::kLockTimeout); };
  Sweep(flush);
}

TEST(OperationsSweep, ACommitOfRowsThatFailsLeavesNothingAndPassesAgain) {
  Operation commit;
  commit.poisons = true;
  commit.prepare = OpenScene;
  commit.run = [](Scene& scene) -> Status {
    constexpr int kRows = 2100;  // so many are written into the file
    std::vector<Memory> memories;
    std::vector<float> rows;
    store::Batch batch(scene.store->hash_key());
    for (int i = 0; i < kRows; ++i) {
      memories.push_back(MemoryOf(i % kMemories, 9));
      rows.insert(rows.end(), memories.back().embedding.begin(), memories.back().embedding.end());
    }
    for (const Memory& memory : memories) batch.Put(test::PutInputOf(memory), false);
    batch.SetRows(rows.data());
    const Result<Sequence> last = scene.store->Commit(batch, test::kLockTimeout);
    if (!last.ok()) return last.status();
    for (size_t i = 0; i < memories.size(); ++i) {
      memories[i].sequence = *last - kRows + 1 + i;
      scene.model()[memories[i].id] = memories[i];
    }
    return Status::Ok();
  };
  Sweep(commit);
}

// Files of keys only save work: what cannot be written or read costs the saving, never an answer.
TEST(OperationsSweep, SearchesAnswerWhateverBecomesOfTheFilesOfKeys) {
  const auto group_hits = [](Store& store) {
    Result<filter::Filter> filter = filter::Filter::Compile(R"({"metadata":{"group":{"eq":2}}})");
    EXPECT_OK(filter);
    const std::vector<float> query = test::EmbeddingOf(5, kDimensions);
    search::SearchRequest request;
    request.query = query;
    request.limit = kMemories;
    request.filter = &*filter;
    const Result<std::vector<search::SearchHit>> hits = search::Search(store, request, kNever);
    EXPECT_OK(hits);
    return hits.ok() ? hits->size() : 0;
  };
  Operation tend;
  tend.does_without = true;
  tend.prepare = [](Scene& scene) {
    ASSERT_OK(scene.Open());
    search::FieldIndex::Of(*scene.store).Declare({"group"}, true);
  };
  tend.run = [](Scene& scene) {
    search::FieldIndex::Of(*scene.store).Tend(*scene.store, kNever);
    return Status::Ok();
  };
  tend.expect = [&](Scene& scene) {
    const auto of_group = [](const auto& each) { return each.second.metadata == "{\"group\":2}"; };
    const auto expected = std::count_if(scene.model().begin(), scene.model().end(), of_group);
    EXPECT_EQ(group_hits(*scene.store), static_cast<size_t>(expected));
  };
  Sweep(tend);
}

TEST(OperationsSweep, AnOpeningThatIsSharedFailsForItsOwnCallerAlone) {
  Operation acquire;
  acquire.prepare = [](Scene& scene) {
    Result<std::shared_ptr<Store>> first = store::AcquireStore(scene.path(), Options());
    ASSERT_OK(first);
    scene.store = *first;
  };
  acquire.run = [](Scene& scene) {
    Result<std::shared_ptr<Store>> again = store::AcquireStore(scene.path(), Options());
    if (!again.ok()) return again.status();
    EXPECT_TRUE(*again == scene.store);
    return store::ReleaseStore(*again);
  };
  acquire.expect = [](Scene& scene) { EXPECT_OK(store::ReleaseStore(std::exchange(scene.store, nullptr))); };
  Sweep(acquire);
}

}  // namespace
}  // namespace thermocline::power

// What others do in the middle of an operation costs it nothing, or a typed error.
//
// Goal: before an operation and between any two system calls of an operation another participant may take a lock and
// keep it, commit, close the open segment, compact, flush, grow the index; a caller may cancel. Then the operation
// succeeds, or says kBusy (or kAborted) and changed nothing; what the others wrote is there; the store is whole; the
// operation passes when it is repeated in quiet. Method: the n-th system call of the operation first lets the others
// have their turn, n from 1 on; with n = 0 they had it just before the operation.

#include <cstdio>
#include <cstring>
#include <functional>
#include <optional>

#include "core/io/mapping.h"
#include "power/full_store.h"
#include "power/system_calls.h"

namespace thermocline::power {
namespace {

// Long enough for a lock that is free, since nobody else runs.
constexpr uint64_t kPatience = 1000;

/// Does something before the n-th call, once; before all of them when n is 0.
class AtCall final : public CallWatcher {
 public:
  AtCall(uint64_t count, std::function<void()> act) : count_(count), act_(std::move(act)) {
    if (count == 0) act_();
    WatchCalls(this);
  }
  ~AtCall() override { UnwatchCalls(this); }
  AtCall(const AtCall&) = delete;
  AtCall& operator=(const AtCall&) = delete;

  bool has_acted() const { return calls_ >= count_; }
  Answer Before(const CallInfo&) override {
    if (++calls_ == count_) act_();
    return {};
  }
  void After(const CallInfo&, int) override {}

 private:
  const uint64_t count_;
  const std::function<void()> act_;
  uint64_t calls_ = 0;
};

/// A participant that knows nothing but locks.
class LockHolder {
 public:
  explicit LockHolder(const std::string& path) {
    Result<io::File> directory = io::File::OpenDirectory(path.c_str());
    EXPECT_OK(directory);
    Result<io::File> file = io::File::Open(*directory, "lock", io::File::Mode::kReadWrite, FileRole::kLock);
    EXPECT_OK(file);
    file_ = std::move(*file);
    Result<io::Mapping> map = io::Mapping::Map(file_, 0, format::kLockFileBytes, io::Mapping::Kind::kShared);
    EXPECT_OK(map);
    map_ = std::move(*map);
    lines_ = reinterpret_cast<format::ParticipantLine*>(map_.data() + format::kParticipantsOffset);
    const Result<store::Participant> self = store::JoinSession(file_, lines_);
    EXPECT_OK(self);
    self_ = *self;
  }
  ~LockHolder() { store::LeaveSession(file_, self_); }
  LockHolder(const LockHolder&) = delete;
  LockHolder& operator=(const LockHolder&) = delete;

  /// Takes it if it is free.
  void Hold(uint32_t format::SessionWords::*word) {
    lock_.emplace(reinterpret_cast<format::SessionWords*>(map_.data())->*word, file_, lines_, self_);
    if (lock_->Acquire(0) == store::SharedLock::Outcome::kBusy) lock_.reset();
  }
  bool IsFree(uint32_t format::SessionWords::*word) {
    Hold(word);
    const bool was_free = lock_.has_value();
    Release();
    return was_free;
  }
  void Release() {
    if (lock_) lock_->Release();
    lock_.reset();
  }

 private:
  io::File file_;
  io::Mapping map_;
  format::ParticipantLine* lines_ = nullptr;
  store::Participant self_;
  std::optional<store::SharedLock> lock_;
};

/// What happens in the middle of an operation.
struct Disturbance {
  const char* name;
  std::function<void(Scene&, LockHolder&, std::atomic<bool>&)> act;
};

void PutExtra(Scene& scene, const std::string& id, size_t content_bytes) {
  Memory memory;
  memory.id = id;
  memory.content = std::string(content_bytes, 'x');
  store::Batch batch(scene.other->hash_key());
  batch.Put(test::PutInputOf(memory), false);
  const Result<Sequence> sequence = scene.other->Commit(batch, 0);
  if (!sequence.ok()) {
    EXPECT_ERROR(sequence, ErrorCode::kBusy);
    return;
  }
  memory.sequence = *sequence;
  scene.model()[id] = memory;
}

std::vector<Disturbance> Disturbances() {
  std::vector<Disturbance> all;
  const auto lock = [&](const char* name, uint32_t format::SessionWords::*word) {
    all.push_back({name, [word](Scene&, LockHolder& holder, std::atomic<bool>&) { holder.Hold(word); }});
  };
  const auto other = [&](const char* name, std::function<void(Scene&)> act) {
    all.push_back({name, [act](Scene& scene, LockHolder&, std::atomic<bool>&) { act(scene); }});
  };
  lock("the write lock is taken", &format::SessionWords::write_lock);
  lock("the growth lock is taken", &format::SessionWords::growth_lock);
  lock("the space lock is taken", &format::SessionWords::space_lock);
  lock("the flush lock is taken", &format::SessionWords::flush_lock);
  lock("the turn is taken", &format::SessionWords::turn_lock);
  lock("the compact lock is taken", &format::SessionWords::compact_lock);
  other("a commit", [](Scene& scene) { PutExtra(scene, "extra", 10); });
  other("the open segment is closed", [](Scene& scene) { PutExtra(scene, "extra", 4u << 20); });
  other("a compaction", [](Scene& scene) {
    const Result<store::CompactResult> result = scene.other->Compact(0, kNever);
    EXPECT_TRUE(result.ok() || result.status().code() == ErrorCode::kBusy);
  });
  other("a flush", [](Scene& scene) {
    const Status status = scene.other->Flush(0);
    EXPECT_TRUE(status.ok() || status.code() == ErrorCode::kBusy);
  });
  // GrowIndex waits for its locks: only when nobody has them.
  all.push_back({"a growth of the index", [](Scene& scene, LockHolder& holder, std::atomic<bool>&) {
                   if (!holder.IsFree(&format::SessionWords::growth_lock)) return;
                   if (!holder.IsFree(&format::SessionWords::write_lock)) return;
                   EXPECT_OK(scene.other->GrowIndex(40000));
                 }});
  all.push_back({"the caller cancels", [](Scene&, LockHolder&, std::atomic<bool>& cancel) { cancel.store(true); }});
  return all;
}

struct Operation {
  std::function<Status(Scene&, uint64_t timeout_us, const std::atomic<bool>& cancel)> run;
  std::function<void(Scene&)> prepare = [](Scene&) {};
};

template <typename T>
Status StatusOf(const Result<T>& result) {
  return result.ok() ? Status::Ok() : result.status();
}

/// False when the operation made fewer calls.
bool RunOnce(const Template& made, const Operation& operation, const Disturbance& disturbance, uint64_t count) {
  Scene scene(made, Durability::kFlush);
  EXPECT_OK(scene.Open());
  Result<std::shared_ptr<Store>> other = Store::Open(scene.path(), Options());
  EXPECT_OK(other);
  if (scene.store == nullptr || !other.ok()) return false;
  scene.other = *other;
  operation.prepare(scene);
  LockHolder holder(scene.path());
  std::atomic<bool> cancel{false};
  bool acted = false;
  {
    const AtCall at(count, [&] { disturbance.act(scene, holder, cancel); });
    const Status status = operation.run(scene, kPatience, cancel);
    acted = at.has_acted();
    if (!status.ok() && status.code() != ErrorCode::kBusy) EXPECT_ERROR(status, ErrorCode::kAborted);
    if (!status.ok()) EXPECT_TRUE(acted);
  }
  holder.Release();
  scene.ExpectModel(*scene.store);
  scene.ExpectModel(*scene.other);
  EXPECT_OK(operation.run(scene, test::kLockTimeout, kNever));
  scene.ExpectModel(*scene.store);
  test::ExpectWhole(*scene.store);
  EXPECT_OK(scene.Close());
  return acted;
}

void Sweep(const Operation& operation, const std::vector<Disturbance>& disturbances = Disturbances()) {
  const Template made(Durability::kFlush);
  uint64_t runs = 0;
  for (const Disturbance& disturbance : disturbances) {
    // Every call at first; later ones are much alike.
    for (uint64_t count = 0;; count += TestScale() > 1 ? 1 : 1 + count / 4) {
      ++runs;
      const bool more = RunOnce(made, operation, disturbance, count);
      if (test::FailureCount() > 0) {
        std::printf("%s, before call %llu\n", disturbance.name, static_cast<unsigned long long>(count));
        return;
      }
      if (!more) break;
    }
  }
  std::printf("       %llu runs\n", static_cast<unsigned long long>(runs));
}

/// Puts memories of the model again, as new versions; what is not committed stays as it was. `with_rows`: their
/// embeddings lie in one array, which the commit writes into the file when it is large enough.
Operation PutAgain(int from, int to, size_t content_bytes, bool with_rows = false) {
  Operation put;
  put.run = [=](Scene& scene, uint64_t timeout_us, const std::atomic<bool>&) -> Status {
    std::vector<Memory> memories;
    for (int i = from; i < to; ++i) {
      memories.push_back(MemoryOf(i % kMemories, 9));
      if (content_bytes > 0) memories.back().content = std::string(content_bytes, 'c');
    }
    store::Batch batch(scene.store->hash_key());
    batch.with_images = true;
    std::vector<float> rows;
    for (const Memory& memory : memories) {
      batch.Put(test::PutInputOf(memory), false);
      rows.insert(rows.end(), memory.embedding.begin(), memory.embedding.end());
    }
    if (with_rows) batch.SetRows(rows.data());
    const Result<Sequence> last = scene.store->Commit(batch, timeout_us);
    if (!last.ok()) return last.status();
    for (size_t i = 0; i < memories.size(); ++i) {
      memories[i].sequence = *last - memories.size() + 1 + i;
      scene.model()[memories[i].id] = memories[i];
    }
    return Status::Ok();
  };
  return put;
}

TEST(DisturbanceSweep, ACommitThatNeedsRoomGoesOnOrIsBusy) { Sweep(PutAgain(0, 1, 0)); }

TEST(DisturbanceSweep, ACommitOfManyThatClosesTheSegmentGoesOnOrIsBusy) { Sweep(PutAgain(0, 790, 0)); }

TEST(DisturbanceSweep, ACommitOfRowsGoesOnOrIsBusy) { Sweep(PutAgain(0, 2100, 0, true)); }

TEST(DisturbanceSweep, ALargeCommitThatClosesTheSegmentGoesOnOrIsBusy) { Sweep(PutAgain(0, 3, 2u << 20)); }

TEST(DisturbanceSweep, AFlushGoesOnOrIsBusy) {
  Operation flush;
  flush.prepare = [](Scene& scene) {
    EXPECT_OK(PutAgain(0, 3, 0).run(scene, test::kLockTimeout, kNever));
    EXPECT_OK(PutAgain(3, 6, 2u << 20).run(scene, test::kLockTimeout, kNever));
  };
  flush.run = [](Scene& scene, uint64_t timeout_us, const std::atomic<bool>&) {
    return scene.store->Flush(timeout_us);
  };
  Sweep(flush);
}

TEST(DisturbanceSweep, ACompactionGoesOnOrIsBusy) {
  Operation compact;
  compact.run = [](Scene& scene, uint64_t timeout_us, const std::atomic<bool>& cancel) {
    return StatusOf(scene.store->Compact(timeout_us, cancel));
  };
  Sweep(compact);
}

TEST(DisturbanceSweep, ABackupIsOfItsMoment) {
  Operation backup;
  backup.run = [](Scene& scene, uint64_t, const std::atomic<bool>& cancel) -> Status {
    const uint64_t size = scene.store->size();
    std::filesystem::remove_all(scene.Beside("copy"));
    const Result<store::CopyResult> result = scene.store->Backup(scene.Beside("copy"), cancel);
    if (!result.ok()) return result.status();
    EXPECT_TRUE(result->memories >= size);
    return Status::Ok();
  };
  Sweep(backup);
}

TEST(DisturbanceSweep, WhatTheHelperDoesGoesOnOrIsLeft) {
  Operation ahead;
  ahead.prepare = [](Scene& scene) { EXPECT_OK(PutAgain(0, 3, 1u << 20).run(scene, test::kLockTimeout, kNever)); };
  ahead.run = [](Scene& scene, uint64_t, const std::atomic<bool>&) {
    scene.store->BeginFlush();
    scene.store->MakeSpaceAhead();
    scene.store->FollowList();
    return Status::Ok();
  };
  Sweep(ahead);
}

TEST(DisturbanceSweep, AReaderFindsEverythingWhateverHappensMeanwhile) {
  Operation read;
  read.run = [](Scene& scene, uint64_t, const std::atomic<bool>& cancel) -> Status {
    THERMOCLINE_RETURN_IF_ERROR(StatusOf(scene.store->TakeSnapshot()));
    scene.ExpectModel(*scene.store);
    const Result<store::VerifyReport> report = scene.store->Verify(cancel);
    if (!report.ok() && cancel.load()) return Status::Error(ErrorCode::kAborted);
    if (!report.ok()) return report.status();
    EXPECT_TRUE(report->problems.empty());
    return Status::Ok();
  };
  Sweep(read);
}

// Goal: what a walk finds alive at its moment may be gone from the index when it comes there, and is no damage. Method:
// the others delete everything, and compact until the deletions are dropped.
TEST(DisturbanceSweep, AWalkTakesWhatIsDeletedAndForgottenMeanwhileForNoDamage) {
  const Disturbance forget = {"all is deleted and forgotten", [](Scene& scene, LockHolder&, std::atomic<bool>&) {
                                store::Batch batch(scene.other->hash_key());
                                for (const auto& [id, memory] : scene.model()) batch.Delete(id, false);
                                EXPECT_OK(scene.other->Commit(batch, test::kLockTimeout));
                                for (int i = 0; i < 3; ++i) {
                                  EXPECT_OK(scene.other->Compact(test::kLockTimeout, kNever));
                                }
                                scene.model().clear();
                              }};
  Operation verify;
  verify.run = [](Scene& scene, uint64_t, const std::atomic<bool>& cancel) -> Status {
    const Result<store::VerifyReport> report = scene.store->Verify(cancel);
    if (!report.ok()) return report.status();
    EXPECT_TRUE(report->problems.empty());
    return Status::Ok();
  };
  Sweep(verify, {forget});
}

// Goal: who has none of the segments mapped, because others compacted, and finds those of the new list gone before it
// has opened them, goes on with what is there then. Method: the store is compacted by the other, and can be once more:
// a record of it is dead. That happens before each call.
void SweepGone(const std::function<Status(Scene&, uint64_t)>& run) {
  Operation operation;
  operation.prepare = [](Scene& scene) {
    EXPECT_OK(scene.other->Compact(test::kLockTimeout, kNever));
    PutExtra(scene, "extra", 10);
    PutExtra(scene, "extra", 20);
    EXPECT_OK(scene.other->Flush(test::kLockTimeout));
    PutExtra(scene, "extra", 30);
    scene.store->FollowList();
  };
  operation.run = [run](Scene& scene, uint64_t timeout_us, const std::atomic<bool>&) { return run(scene, timeout_us); };
  std::vector<Disturbance> compactions = Disturbances();
  std::erase_if(compactions, [](const Disturbance& each) { return std::strcmp(each.name, "a compaction") != 0; });
  Sweep(operation, compactions);
}

TEST(DisturbanceSweep, SegmentsThatAreGoneBeforeTheyAreOpenedAreNoError) {
  SweepGone([](Scene& scene, uint64_t) { return StatusOf(scene.store->TakeSnapshot()); });
  SweepGone([](Scene& scene, uint64_t timeout_us) { return scene.store->Flush(timeout_us); });
  SweepGone([](Scene& scene, uint64_t) {
    scene.store->BeginFlush();
    scene.store->MakeSpaceAhead();
    return Status::Ok();
  });
  SweepGone([](Scene& scene, uint64_t timeout_us) {
    store::Batch batch(scene.store->hash_key());
    batch.Delete("none", false);
    return StatusOf(scene.store->Commit(batch, timeout_us));
  });
  SweepGone([](Scene& scene, uint64_t timeout_us) { return PutAgain(0, 1, 0).run(scene, timeout_us, kNever); });
  SweepGone([](Scene& scene, uint64_t timeout_us) { return StatusOf(scene.store->Compact(timeout_us, kNever)); });
}

}  // namespace
}  // namespace thermocline::power

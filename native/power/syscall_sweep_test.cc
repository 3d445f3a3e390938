// T10, T12: every system call of a store's life fails once, with every error it can have.
//
// Method: a script goes through everything that makes system calls: creating, writing, flushing, rotating, growing the
// index, a backup, a compaction, closing, opening after a close, after a kill and after a cut. For each kind of call
// and each error the first of these calls fails, then in a new run the second, until a run has none left to fail. Then:
// the step that failed says so by a typed error; nothing of it is there; the same step succeeds now that the fault is
// gone; at the end everything is there, verified, after one more recovery; no descriptor and no mapping is left behind.
// A failed sync of something that is in use is different: it poisons (R8), until the next boot.

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>

#include "power/faults.h"
#include "test/fast_directory.h"
#include "test/store_fixture.h"

namespace thermocline::power {
namespace {

using test::FastDirectory;
using test::Memory;

constexpr uint32_t kDimensions = 16;

size_t OpenDescriptors() {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
  return count;
}

size_t MappingsOf(const std::string& directory) {
  std::ifstream maps("/proc/self/maps");
  size_t count = 0;
  for (std::string line; std::getline(maps, line);) count += line.find(directory) != std::string::npos ? 1 : 0;
  return count;
}

Memory MemoryOf(const std::string& id, size_t content_bytes = 30) {
  Memory memory;
  memory.id = id;
  memory.embedding = test::EmbeddingOf(id.size() * 31 + static_cast<unsigned char>(id[0]), kDimensions);
  memory.content = std::string(content_bytes, 'c');
  memory.created_at = 7;
  memory.last_access = 7;
  return memory;
}

/// A store's life in steps, each with what it changes when it succeeds.
class Life {
 public:
  explicit Life(std::string directory) : directory_(std::move(directory)) {
    options_.dimensions = kDimensions;
    options_.lock_timeout_us = test::kLockTimeout;
    options_.with_helper = false;
  }

  struct Step {
    const char* name;
    std::function<Status()> run;
    std::function<void()> effect;  // on what is expected
  };

  std::vector<Step> Steps() {
    std::vector<Step> steps;
    const auto add = [&](
                         const char* name, std::function<Status()> run, std::function<void()> effect = [] {}) {
      steps.push_back({name, std::move(run), std::move(effect)});
    };
    const auto put = [&, this](const char* name, const std::string& id, size_t content_bytes = 30) {
      add(
          name, [=, this] { return StatusOf(test::Put(*store_, MemoryOf(id, content_bytes))); },
          [=, this] { expected_[id] = MemoryOf(id, content_bytes); });
    };
    const auto flush = [&, this] { add("flush", [this] { return store_->Flush(test::kLockTimeout); }); };
    const auto open = [&, this](const char* name) { add(name, [this] { return Open(); }); };
    const auto close = [&, this] { add("close", [this] { return Close(); }); };

    open("create");
    put("first put", "a");
    add(
        "putMany", [this] { return PutMany(); },
        [this] {
          for (int i = 0; i < 20; ++i) expected_["many" + std::to_string(i)] = MemoryOf("many" + std::to_string(i));
        });
    flush();
    add(
        "delete", [this] { return StatusOf(test::Delete(*store_, "many3")); }, [this] { expected_.erase("many3"); });
    put("put", "b");
    flush();
    add("flush of the blocks", [this] { return store_->Flush(test::kLockTimeout, store::FlushScope::kBlocks); });
    add("space ahead", [this] {
      store_->MakeSpaceAhead();
      return Status::Ok();
    });
    put("put that needs more log", "c", 200000);
    put("put that rotates", "large", 3u << 20);
    put("put in the new segment", "d");
    flush();
    add("growth of the index", [this] { return store_->GrowIndex(2000); });
    put("put into the larger index", "e");
    add("backup", [this] { return Backup(); });
    add(
        "delete of the large", [this] { return StatusOf(test::Delete(*store_, "large")); },
        [this] { expected_.erase("large"); });
    add("compact", [this] { return Compact(); });
    put("put after a compaction", "i");
    close();
    open("open after a close");
    put("put after a close", "f");
    flush();
    add("kill", [this] {
      Kill();
      return Status::Ok();
    });
    open("open after a kill");
    put("put after a kill", "g");
    flush();
    add("cut", [this] {
      Cut();
      test::WriteFileBytes(directory_ + "/77.log", "left by a creation that was cut");
      return Status::Ok();
    });
    open("open after a cut");
    put("put after a cut", "h");
    flush();
    close();
    open("last open");
    add("verify", [this] { return Verify(); });
    close();
    return steps;
  }

  Status Open() { return store_ != nullptr ? Status::Ok() : OpenAt(directory_, &store_); }
  Status Close() { return store_ == nullptr ? Status::Ok() : std::exchange(store_, nullptr)->Close(); }
  void Kill() { store_.reset(); }
  /// The next opener is of another boot. What the kernel has is all there: this test is not about lost pages.
  void Cut() {
    store_.reset();
    boot_.reset();
    boot_id_ = "sweep " + std::to_string(++boots_);
    boot_ = std::make_unique<test::OtherBoot>(boot_id_.c_str());
  }

  bool IsPoisoned() {
    return store_ != nullptr && test::Delete(*store_, "never there").status().code() == ErrorCode::kPoisoned;
  }

  /// The first difference from what is expected.
  std::optional<std::string> Difference() { return store_ == nullptr ? std::nullopt : DifferenceOf(*store_); }
  /// What is wrong with the backup, or with its absence when none was made.
  std::optional<std::string> BackupDifference(bool was_made) {
    if (!was_made) {
      return std::filesystem::exists(backup_) ? std::optional<std::string>("a backup that is none") : std::nullopt;
    }
    std::shared_ptr<store::Store> copy;
    if (const Status opened = OpenAt(backup_, &copy); !opened.ok()) {
      return "a backup that does not open: " + test::DescribeStatus(opened);
    }
    std::optional<std::string> difference = DifferenceOf(*copy);
    if (!copy->Close().ok()) difference = "a backup that does not close";
    return difference;
  }

 private:
  template <typename T>
  static Status StatusOf(const Result<T>& result) {
    return result.ok() ? Status::Ok() : result.status();
  }
  Status PutMany() {
    store::Batch batch(store_->hash_key());
    batch.with_images = true;
    for (int i = 0; i < 20; ++i) batch.Put(test::PutInputOf(MemoryOf("many" + std::to_string(i))), true);
    return StatusOf(store_->Commit(batch, test::kLockTimeout));
  }
  Status OpenAt(const std::string& directory, std::shared_ptr<store::Store>* store) const {
    Result<std::shared_ptr<store::Store>> opened = store::Store::Open(directory, options_);
    if (!opened.ok()) return opened.status();
    *store = *opened;
    return Status::Ok();
  }
  std::optional<std::string> DifferenceOf(store::Store& store) const {
    if (store.size() != expected_.size()) {
      return "size " + std::to_string(store.size()) + " instead of " + std::to_string(expected_.size());
    }
    for (const auto& [id, memory] : expected_) {
      std::optional<Memory> found = test::Get(store, id);
      if (!found) return "'" + id + "' is lost";
      found->sequence = 0;
      if (!(*found == memory)) return "'" + id + "' is another";
    }
    return std::nullopt;
  }
  Status Backup() {
    const std::atomic<bool> cancel{false};
    return StatusOf(store_->Backup(backup_, cancel));
  }
  Status Compact() {
    const std::atomic<bool> cancel{false};
    const Result<store::CompactResult> result = store_->Compact(test::kLockTimeout, cancel);
    // One that failed after its copy was listed has left nothing to do.
    const bool is_first = std::exchange(compacts_, true) == false;
    if (!result.ok()) return result.status();
    EXPECT_TRUE(result->segments > 0 || !is_first);
    return Status::Ok();
  }
  Status Verify() {
    const std::atomic<bool> cancel{false};
    const Result<store::VerifyReport> report = store_->Verify(cancel);
    if (!report.ok()) return report.status();
    return report->problems.empty() ? Status::Ok() : Status::Error(ErrorCode::kCorrupt);
  }

  const std::string directory_;
  const std::string backup_ = directory_ + "-backup";
  store::OpenOptions options_;
  std::shared_ptr<store::Store> store_;
  std::map<std::string, Memory> expected_;
  bool compacts_ = false;
  int boots_ = 0;
  std::string boot_id_;
  std::unique_ptr<test::OtherBoot> boot_;
};

bool IsSync(Call call) { return call == Call::kSync || call == Call::kSyncData || call == Call::kSyncDirectory; }

/// Whether a step may say this when a call failed with that error.
bool IsTyped(const Status& status, const Fault& fault) {
  const bool full = fault.error_number == ENOSPC || fault.error_number == EDQUOT;
  if (status.code() == (full ? ErrorCode::kFull : ErrorCode::kIo)) return status.error_number() == fault.error_number;
  // A file whose length cannot be asked for is not there to be read.
  return fault.call == Call::kStat && status.code() == ErrorCode::kCorrupt;
}

class Sweep {
 public:
  explicit Sweep(const Fault& fault) : fault_(fault) {}

  /// One life with one fault. False when no call was left to fail.
  bool Run() {
    const FastDirectory root;
    const std::string directory = root.Join("store");
    const size_t descriptors = OpenDescriptors();
    bool failed = false;
    {
      Life life(directory);
      life.Cut();
      Faults faults(fault_);
      for (const Life::Step& step : life.Steps()) {
        RunStep(life, step, faults);
        if (problems_ > 0) break;
      }
      failed = faults.has_failed();
      faults.Disarm();
      EXPECT_OK(life.Close());
    }
    if (OpenDescriptors() != descriptors) Report("at the end", "descriptors are left open");
    if (MappingsOf(directory) != 0) Report("at the end", "mappings are left behind");
    return failed;
  }

  int problems() const { return problems_; }
  uint64_t errors() const { return errors_; }

 private:
  void RunStep(Life& life, const Life::Step& step, Faults& faults) {
    Status status = step.run();
    const bool is_backup = std::string_view(step.name) == "backup";
    if (is_backup) {
      faults.Suspend(true);
      if (const auto difference = life.BackupDifference(status.ok())) Report(step.name, *difference);
      faults.Suspend(false);
    }
    if (status.ok()) {
      step.effect();
    } else {
      ++errors_;
      faults.Disarm();  // there is room again, the disk is another one
      if (!IsTyped(status, fault_)) Report(step.name, "says " + test::DescribeStatus(status));
      if (fault_.error_number == EINTR) Report(step.name, "an interrupted call is no failure");
      if (const auto difference = life.Difference()) Report(step.name, "failed and left " + *difference);
      for (int turn = 0; turn < 2; ++turn) {
        const Status opened = life.Open();
        if (!opened.ok()) return Report(step.name, "does not open again: " + test::DescribeStatus(opened));
        if (!life.IsPoisoned()) break;
        if (!IsSync(fault_.call) || turn > 0) Report(step.name, "poisoned without reason");
        life.Cut();
      }
      status = step.run();
      if (!status.ok()) return Report(step.name, "fails without a fault: " + test::DescribeStatus(status));
      step.effect();
    }
    faults.Suspend(true);  // a fault that is there for ever fails the look as well
    if (const auto difference = life.Difference()) Report(step.name, *difference);
    faults.Suspend(false);
  }

  void Report(const char* where, const std::string& what) {
    ++problems_;
    test::ReportFailure(__FILE__, __LINE__,
                        std::string(NameOf(fault_.call)) + " number " + std::to_string(fault_.count) + " with errno " +
                            std::to_string(fault_.error_number) + (fault_.half ? " (half)" : "") + ", " + where + ": " +
                            what);
  }

  const Fault fault_;
  int problems_ = 0;
  uint64_t errors_ = 0;
};

struct Kind {
  Call call;
  std::vector<int> errors;
};

const std::vector<Kind>& Kinds() {
  static const std::vector<Kind> kinds = {
      {Call::kOpen, {EMFILE, EACCES, ENOSPC, EDQUOT, EIO, EROFS, ENOMEM, EINTR}},
      {Call::kRead, {EIO, EINTR}},
      {Call::kWrite, {ENOSPC, EDQUOT, EIO, EINTR}},
      {Call::kTruncate, {EIO, EROFS, EINTR}},
      {Call::kAllocate, {ENOSPC, EDQUOT, EIO, EINTR}},
      {Call::kPunch, {ENOSPC, EIO, EINTR}},
      {Call::kSyncData, {EIO, ENOSPC, EDQUOT, EINTR}},
      {Call::kSync, {EIO, ENOSPC, EDQUOT, EINTR}},
      {Call::kSyncDirectory, {EIO, EINTR}},
      {Call::kRename, {ENOSPC, EDQUOT, EIO, EROFS}},
      {Call::kUnlink, {EIO, EROFS}},
      {Call::kMakeDirectory, {ENOSPC, EDQUOT, EROFS, EACCES}},
      {Call::kMap, {ENOMEM}},
      {Call::kStat, {EIO}},
      {Call::kLock, {ENOLCK}},
      {Call::kRandom, {EIO, EINTR}},
      {Call::kList, {ENOMEM}},
  };
  return kinds;
}

struct Tally {
  uint64_t lives = 0;
  uint64_t errors = 0;
};

/// The n-th call of a kind fails, n from 1 until a life has no such call.
void SweepKind(Call call, const std::function<int(uint64_t count)>& error_of, bool for_ever, Tally* tally) {
  uint64_t count = 1;
  for (bool more = true; more; ++count) {
    Fault fault;
    fault.call = call;
    fault.count = count;
    fault.error_number = error_of(count);
    fault.for_ever = for_ever;
    Sweep sweep(fault);
    more = sweep.Run();
    tally->lives += 1;
    tally->errors += sweep.errors();
    if (sweep.problems() > 0) return;
  }
  EXPECT_GT(count, 2u);  // the life has such calls
}

void Print(const Tally& tally) {
  std::printf("%llu lives, %llu failed steps\n", static_cast<unsigned long long>(tally.lives),
              static_cast<unsigned long long>(tally.errors));
}

TEST(SyscallSweep, EveryCallThatFailsOnceIsATypedErrorThatLeavesNothingAndPasses) {
  Tally tally;
  for (const Kind& kind : Kinds()) {
    if (TestScale() > 1) {
      for (const int error : kind.errors)
        SweepKind(
            kind.call, [&](uint64_t) { return error; }, false, &tally);
    } else {
      // Every call once, the errors in turn.
      SweepKind(
          kind.call, [&](uint64_t count) { return kind.errors[count % kind.errors.size()]; }, false, &tally);
    }
  }
  Print(tally);
}

TEST(SyscallSweep, CallsThatFailUntilTheFaultIsRepairedAreAsOne) {
  Tally tally;
  const auto error_of = [](uint64_t) { return EIO; };
  for (const Call call : {Call::kWrite, Call::kAllocate, Call::kSyncData, Call::kOpen}) {
    if (TestScale() > 1 || call == Call::kAllocate) SweepKind(call, error_of, true, &tally);
  }
  Print(tally);
}

TEST(SyscallSweep, AWriteThatWritesHalfIsGoneOnWith) {
  for (uint64_t count = 1;; ++count) {
    Fault fault;
    fault.call = Call::kWrite;
    fault.count = count;
    fault.half = true;
    Sweep sweep(fault);
    const bool more = sweep.Run();
    EXPECT_EQ(sweep.errors(), 0u);
    if (!more || sweep.problems() > 0) break;
  }
}

}  // namespace
}  // namespace thermocline::power

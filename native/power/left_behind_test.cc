// What compactions leave that die or may not unlink is removed by the next one, not only by the next first opener; and
// not before the list that does without it is on the disk.

#include <algorithm>
#include <cerrno>

#include "core/store/file_names.h"
#include "power/faults.h"
#include "power/full_store.h"
#include "test/session_fixture.h"

namespace thermocline::power {
namespace {

/// Files of segments that the store's list does not name.
std::vector<std::string> Unlisted(Store& store) {
  const Result<store::Snapshot> snapshot = store.TakeSnapshot();
  EXPECT_OK(snapshot);
  Result<std::vector<std::string>> names = io::ListDirectory(store.directory());
  EXPECT_OK(names);
  std::erase_if(*names, [&](const std::string& name) {
    const uint32_t number = store::SegmentOfFileName(name);
    return number == 0 ||
           std::any_of(snapshot->parts.begin(), snapshot->parts.end(),
                       [&](const store::Snapshot::Part& part) { return Raw(part.segment->number()) == number; });
  });
  return *names;
}

/// While it lives.
class NoLogIsUnlinked final : public CallWatcher {
 public:
  NoLogIsUnlinked() { WatchCalls(this); }
  ~NoLogIsUnlinked() override { UnwatchCalls(this); }
  NoLogIsUnlinked(const NoLogIsUnlinked&) = delete;
  NoLogIsUnlinked& operator=(const NoLogIsUnlinked&) = delete;

  Answer Before(const CallInfo& call) override {
    Answer answer;
    if (call.call == Call::kUnlink && std::string(call.name).ends_with(".log")) answer.error_number = EACCES;
    return answer;
  }
  void After(const CallInfo&, int) override {}
};

/// A store that two have open, after a compaction whose files nobody could unlink.
class Left {
 public:
  explicit Left(Durability durability) : made_(durability), scene(made_, durability) {
    EXPECT_OK(scene.Open());
    Result<std::shared_ptr<Store>> other = Store::Open(scene.path(), Options(durability));
    EXPECT_OK(other);
    if (!other.ok()) return;
    scene.other = *other;
    const NoLogIsUnlinked refused;
    EXPECT_ERROR(scene.other->Compact(test::kLockTimeout, kNever), ErrorCode::kIo);
    files = Unlisted(*scene.store);
    EXPECT_GE(files.size(), 2u);
  }

  void ExpectNone() {
    EXPECT_EQ(Unlisted(*scene.store).size(), 0u);
    scene.ExpectModel(*scene.store);
    scene.ExpectModel(*scene.other);
    test::ExpectWhole(*scene.store);
    EXPECT_OK(scene.Close());
  }

 private:
  const Template made_;

 public:
  Scene scene;
  std::vector<std::string> files;
};

TEST(LeftBehind, TheNextCompactionRemovesItThoughTheStoreStaysOpen) {
  for (const Durability durability : {Durability::kFlush, Durability::kNone}) {
    Left left(durability);
    // Not among them: a number that was not given out yet may be somebody's who is just making a segment of it.
    const std::string coming = left.scene.path() + "/99999.log";
    test::WriteFileBytes(coming, "somebody's");
    ASSERT_OK(left.scene.store->Compact(test::kLockTimeout, kNever));
    EXPECT_TRUE(std::filesystem::remove(coming));
    left.ExpectNone();
  }
}

TEST(LeftBehind, AFailedUnlinkIsNoErrorOfTheCompactionThatOnlyTidiesUp) {
  Left left(Durability::kFlush);
  const size_t files = left.files.size();
  {
    Fault fault;
    fault.call = Call::kUnlink;
    fault.error_number = EACCES;
    const Faults faults(fault);
    ASSERT_OK(left.scene.store->Compact(test::kLockTimeout, kNever));
    EXPECT_TRUE(faults.has_failed());
  }
  EXPECT_LE(Unlisted(*left.scene.store).size(), files);
  ASSERT_OK(left.scene.other->Compact(test::kLockTimeout, kNever));
  left.ExpectNone();
}

/// Notes whether the directory was synced, and a new list renamed in, before the first file went.
class Order final : public CallWatcher {
 public:
  Order() { WatchCalls(this); }
  ~Order() override { UnwatchCalls(this); }
  Order(const Order&) = delete;
  Order& operator=(const Order&) = delete;

  Answer Before(const CallInfo& call) override {
    if (call.call != Call::kUnlink || unlinked) return {};
    unlinked = true;
    synced_before = synced_;
    listed_before = listed_;
    return {};
  }
  void After(const CallInfo& call, int) override {
    synced_ = synced_ || call.call == Call::kSyncDirectory;
    listed_ = listed_ || (call.call == Call::kRename && std::string(call.name) == "meta");
  }

  bool unlinked = false;
  bool synced_before = false;
  bool listed_before = false;

 private:
  bool synced_ = false;
  bool listed_ = false;
};

// Goal: the power may go at any moment, and the list that the disk then has names no file that is gone. Method: the
// order of calls; who renamed the list in is taken for dead before its sync of the directory, and then for one that
// synced nothing at all.
TEST(LeftBehind, NothingGoesBeforeTheListThatDoesWithoutItIsOnTheDisk) {
  for (const bool is_marked : {false, true}) {
    Left left(Durability::kFlush);
    const test::BootWordsByHand words(left.scene.path());
    if (is_marked) StoreRelease(words->structure_unsynced, uint64_t{1});
    const Order order;
    ASSERT_OK(left.scene.store->Compact(test::kLockTimeout, kNever));
    EXPECT_TRUE(order.unlinked);
    EXPECT_TRUE(order.synced_before);
    EXPECT_EQ(order.listed_before, is_marked);
    EXPECT_EQ(LoadAcquire(words->structure_unsynced), 0u);
    left.ExpectNone();
  }
}

// Goal: a sync of the directory that fails leaves the disk with one list or the other, for good (R8). Method: every
// later sync succeeds, as the kernel has it.
TEST(LeftBehind, AFailedSyncOfTheDirectoryPoisonsAndRemovesNothing) {
  Left left(Durability::kFlush);
  {
    Fault fault;
    fault.call = Call::kSyncDirectory;
    fault.error_number = EIO;
    const Faults faults(fault);
    EXPECT_FALSE(left.scene.store->Compact(test::kLockTimeout, kNever).ok());
    EXPECT_TRUE(faults.has_failed());
  }
  EXPECT_ERROR(left.scene.other->Compact(test::kLockTimeout, kNever), ErrorCode::kPoisoned);
  EXPECT_TRUE(Unlisted(*left.scene.store) == left.files);
  left.scene.ExpectModel(*left.scene.other);
}

TEST(LeftBehind, AFailedSyncOfTheFirstOpenerPoisonsAndRemovesNothing) {
  Left left(Durability::kFlush);
  const std::string path = left.scene.path();
  left.scene.other.reset();
  left.scene.store.reset();
  {
    Fault fault;
    fault.call = Call::kSyncDirectory;
    fault.error_number = EIO;
    const Faults faults(fault);
    EXPECT_ERROR(Store::Open(path, Options(Durability::kFlush)), ErrorCode::kIo);
    EXPECT_TRUE(faults.has_failed());
  }
  const Result<std::shared_ptr<Store>> opened = Store::Open(path, Options(Durability::kFlush));
  ASSERT_OK(opened);
  EXPECT_TRUE(Unlisted(**opened) == left.files);
  left.scene.ExpectModel(**opened);
  EXPECT_ERROR(test::PutText(**opened, "later", "1"), ErrorCode::kPoisoned);
  EXPECT_ERROR((*opened)->Flush(test::kLockTimeout), ErrorCode::kPoisoned);
}

}  // namespace
}  // namespace thermocline::power

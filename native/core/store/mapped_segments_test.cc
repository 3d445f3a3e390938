// R15: a process lets go of segments that left the list within 100 ms, but not while a call or a holder is in them.
//
// A newer list is written by hand: nothing of the first segment is live any more, so it can leave without a successor.

#include <algorithm>
#include <fstream>
#include <thread>

#include "core/io/system.h"
#include "test/store_fixture.h"

namespace thermocline::store {
namespace {

constexpr uint64_t kLetGoWithin = 100000;
constexpr uint64_t kGiveUpAfter = 5000000;
constexpr int kIds = 256;

/// Lines of this process's memory map that name a file.
size_t MappingsOf(const std::string& path) {
  std::ifstream maps("/proc/self/maps");
  size_t count = 0;
  for (std::string line; std::getline(maps, line);) count += line.find(path) != std::string::npos ? 1 : 0;
  return count;
}

/// A store whose first segment holds nothing that is live, and a second participant that has it mapped as well.
class TwoParticipants {
 public:
  TwoParticipants() : store_(1) {
    EXPECT_OK(store_.Open());
    for (int turn = 0; turn < 2; ++turn) {
      for (int i = 0; i < kIds; ++i)
        EXPECT_OK(test::PutText(*store_, std::to_string(i), "turn " + std::to_string(turn)));
    }
    EXPECT_OK(test::PutText(*store_, "last", "word"));
    store_->MakeSpaceAhead();  // now, so that no helper writes a list while one is written by hand
    auto other = Store::Open(store_.path(), store_.options);
    EXPECT_OK(other);
    other_ = *other;
    EXPECT_OK(other_->ShareSegment(SegmentNumber{1}));
  }
  ~TwoParticipants() {
    EXPECT_OK(other_->Close());
    store_.Kill();  // what is not listed any more is no store that a clean close could be asked of
  }

  Store& other() { return *other_; }
  test::StoreFixture& fixture() { return store_; }
  size_t Mappings() const { return MappingsOf(store_.Join("1.log")) + MappingsOf(store_.Join("1.blocks")); }

  /// Segment 1 leaves the list on the disk.
  void RenameList() const {
    const std::string bytes = test::ReadFileBytes(store_.Join("meta"));
    Result<format::Meta> meta = format::DecodeMeta(bytes);
    ASSERT_OK(meta);
    ASSERT_EQ(meta->segments.front().number, 1u);
    meta->segments.erase(meta->segments.begin());
    meta->list_generation += 1;
    test::WriteFileBytes(store_.Join("meta.by-hand"), format::EncodeMeta(*meta));
    std::filesystem::rename(store_.Join("meta.by-hand"), store_.Join("meta"));
  }
  void Publish() const {
    const test::BootWordsByHand words(store_.path());
    StoreRelease(words->list_generation, LoadAcquire(words->list_generation) + 1);
  }
  void Unlink() const {
    std::filesystem::remove(store_.Join("1.log"));
    std::filesystem::remove(store_.Join("1.blocks"));
  }
  void Replace() const {
    RenameList();
    Publish();
    Unlink();
  }

  /// Waits until so many mappings are left. How long that took, less what the host overslept; kGiveUpAfter: too long.
  uint64_t WaitUntilUnmapped(size_t left = 0) const {
    const uint64_t begin = io::NowMonotonicMicroseconds();
    uint64_t slack = 0;
    for (uint64_t now = begin; Mappings() > left; now = io::NowMonotonicMicroseconds()) {
      if (now - begin > kGiveUpAfter) return kGiveUpAfter;
      uint32_t nothing = 0;
      io::FutexWait(nothing, 0, 1000);
      const uint64_t slept = io::NowMonotonicMicroseconds() - now;
      slack = std::max(slack, slept - std::min<uint64_t>(slept, 1000));
    }
    const uint64_t took = io::NowMonotonicMicroseconds() - begin;
    // The helper's sleep may be as late as this one's at its worst, and so may what it does then.
    return took - std::min(took, 2 * slack);
  }

 private:
  test::StoreFixture store_;
  std::shared_ptr<Store> other_;
};

TEST(MappedSegments, WhatLeftTheListIsLetGoByIdleProcesses) {
  const TwoParticipants two;
  ASSERT_EQ(two.Mappings(), 4u);
  two.Replace();
  EXPECT_LT(two.WaitUntilUnmapped(), kLetGoWithin);
}

// Found by a night on a busy host: a thread that compacted all the time left its helper no turn, until it had no
// descriptors left.
TEST(MappedSegments, WhoCompactsLetsGoOfWhatItReplacedWithoutAHelper) {
  const std::atomic<bool> never{false};
  test::StoreFixture store(1);
  store.options.with_helper = false;
  ASSERT_OK(store.Open());
  size_t most = 0;
  for (int round = 0; round < 40; ++round) {
    ASSERT_OK(test::PutText(*store, "id", "text"));
    ASSERT_OK(store->Compact(test::kLockTimeout, never));
    if (round == 10) most = MappingsOf(store.path());
  }
  EXPECT_LE(MappingsOf(store.path()), most);
}

TEST(MappedSegments, ACallKeepsWhatItFound) {
  TwoParticipants two;
  auto pin = std::make_unique<Pin>();
  const Result<MemoryRef> memory = two.other().ReadAt(Position(SegmentNumber{1}, format::kHeaderBytes + 128));
  ASSERT_OK(memory);
  two.Replace();
  for (int look = 0; look < 4; ++look) two.fixture()->FollowList();  // the helper's own looks come in between
  EXPECT_EQ(two.Mappings(), 4u);
  EXPECT_EQ(memory->record.id, "0");
  EXPECT_EQ(memory->record.content, "turn 0");
  // Within the same call it is still found by number, although it is out of the table.
  EXPECT_OK(two.other().ReadAt(Position(SegmentNumber{1}, format::kHeaderBytes + 128)));
  pin = nullptr;
  EXPECT_LT(two.WaitUntilUnmapped(), 3 * kLetGoWithin);
  const Pin again;
  EXPECT_ERROR(two.other().ReadAt(Position(SegmentNumber{1}, format::kHeaderBytes + 128)), ErrorCode::kCorrupt);
}

TEST(MappedSegments, ASnapshotReadsOnInWhatLeftTheList) {
  TwoParticipants two;
  Result<Snapshot> snapshot = two.other().TakeSnapshot();
  ASSERT_OK(snapshot);
  auto cursor = std::make_unique<LogCursor>(two.other(), std::move(*snapshot), 0);
  ASSERT_OK(cursor->Next());
  two.Replace();
  for (int i = 1; i < kIds; ++i) {
    const auto item = cursor->Next();
    ASSERT_OK(item);
    ASSERT_TRUE(item->has_value());
    EXPECT_EQ((*item)->memory.record.id, std::to_string(i));
    EXPECT_EQ((*item)->memory.record.content, "turn 0");
  }
  {
    const Pin pin;  // and its places are found by number for as long as it holds them
    EXPECT_OK(two.other().ReadAt(Position(SegmentNumber{1}, format::kHeaderBytes + 128)));
  }
  EXPECT_LT(two.WaitUntilUnmapped(2), 2 * kLetGoWithin);
  EXPECT_EQ(two.Mappings(), 2u);
  cursor = nullptr;
  EXPECT_LT(two.WaitUntilUnmapped(), 2 * kLetGoWithin);
}

// Goal: who replaces segments may be stopped between the new list and the index; readers notice nothing. Method: the
// new list is in place, the files are still there, the index names them; a process that opens now has never seen the
// old list.
TEST(MappedSegments, WhatTheIndexStillNamesIsReadThoughNoListNamesIt) {
  test::StoreFixture store(1);
  ASSERT_OK(store.Open());
  for (int i = 0; i < 2 * kIds; ++i) ASSERT_OK(test::PutText(*store, std::to_string(i), "once"));
  const std::string bytes = test::ReadFileBytes(store.Join("meta"));
  Result<format::Meta> meta = format::DecodeMeta(bytes);
  ASSERT_OK(meta);
  meta->segments.erase(meta->segments.begin());
  meta->list_generation += 1;
  test::WriteFileBytes(store.Join("meta"), format::EncodeMeta(*meta));
  auto newcomer = Store::Open(store.path(), store.options);
  ASSERT_OK(newcomer);
  for (int i = 0; i < 2 * kIds; ++i) EXPECT_TRUE(test::Get(**newcomer, std::to_string(i)).has_value());
  test::WriteFileBytes(store.Join("meta"), bytes);
  newcomer->reset();
}

}  // namespace
}  // namespace thermocline::store

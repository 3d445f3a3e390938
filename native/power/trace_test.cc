// What the model of the protocol found when power was lost, one test each: the very disk that broke an earlier rule.
//
// Method: a short history is recorded, and of all disks that the cut may leave the one is made that the finding
// needs: these pages as last synced, all others as they were. What concerns rewriting of segments is not here.

#include <atomic>
#include <filesystem>

#include "core/store/log_reader.h"
#include "power/recorder.h"
#include "power/workload.h"

namespace thermocline::power {
namespace {

using test::Memory;

constexpr uint32_t kDimensions = 16;

bool IsBlocks(const std::string& name) { return name.ends_with(".blocks"); }
bool Nothing(const std::string&, uint64_t) { return false; }
bool Everything(const std::string&, uint64_t) { return true; }

Memory MemoryOf(const std::string& id, size_t content_bytes = 20) {
  Memory memory;
  memory.id = id;
  memory.embedding = test::EmbeddingOf(std::hash<std::string>()(id), kDimensions);
  memory.content = std::string(content_bytes, id[0]);
  memory.created_at = 5;
  memory.last_access = 6;
  memory.activation = 0.75;
  return memory;
}

/// A store whose files are recorded; after a cut the same store on what the disk kept.
class Scene {
 public:
  Scene() {
    std::filesystem::create_directory(directory());
    options_.dimensions = kDimensions;
    options_.lock_timeout_us = test::kLockTimeout;
    options_.with_helper = false;
    recorder_ = std::make_unique<Recorder>(directory());
    Open();
  }

  void Open(store::Durability durability = store::Durability::kFlush) {
    boot_.reset();
    boot_id_ = "boot " + std::to_string(++boots_);
    boot_ = std::make_unique<test::OtherBoot>(boot_id_.c_str());
    options_.durability = durability;
    Result<std::shared_ptr<store::Store>> opened = store::Store::Open(directory(), options_);
    EXPECT_OK(opened);
    if (opened.ok()) store_ = *opened;
  }

  /// Another handle, which makes no syncs.
  Result<std::shared_ptr<store::Store>> OpenWithoutSyncs() const {
    store::OpenOptions options = options_;
    options.durability = store::Durability::kNone;
    return store::Store::Open(directory(), options);
  }

  /// The power goes now; the disk keeps what is not lost; the store is opened again, recorded from that disk on.
  void Cut(const Recorder::IsLost& is_lost, bool names_lost = false,
           store::Durability durability = store::Durability::kFlush) {
    const DiskImage image = recorder_->ImageAt(recorder_->Look(), is_lost, names_lost);
    recorder_.reset();
    store_.reset();
    ++disks_;
    WriteImage(directory(), image);
    RebindCleanMarker(directory());
    recorder_ = std::make_unique<Recorder>(directory());
    Open(durability);
  }

  void Put(const std::string& id, size_t content_bytes = 20) {
    EXPECT_OK(test::Put(*store_, MemoryOf(id, content_bytes)));
    recorder_->Look();
  }
  void Flush() { EXPECT_OK(store_->Flush(test::kLockTimeout)); }
  void LeaveInDoubt(const std::string& id) {
    EXPECT_NE(LeaveFrameInDoubt(*store_, directory(), MemoryOf(id)), Sequence{0});
    recorder_->Look();
  }

  /// Exactly these memories, whole, in this order of commits.
  void Expect(const std::vector<std::string>& ids) {
    EXPECT_EQ(store_->size(), uint64_t{ids.size()});
    EXPECT_EQ(store_->sequence(), Sequence{ids.size()});
    Sequence sequence = 0;
    for (const std::string& id : ids) {
      const std::optional<Memory> memory = test::Get(*store_, id);
      EXPECT_TRUE(memory.has_value());
      if (!memory) continue;
      Memory wanted = MemoryOf(id, memory->content->size());
      wanted.sequence = ++sequence;
      EXPECT_EQ(*memory, wanted);
    }
    test::ExpectWhole(*store_);
  }

  std::string directory() const { return root_.Join("disk" + std::to_string(disks_)); }
  /// As a process that is killed.
  void Leave() { store_.reset(); }
  bool is_open() const { return store_ != nullptr; }
  store::Store& store() { return *store_; }
  Recorder& recorder() { return *recorder_; }

 private:
  TempDirectory root_;
  int disks_ = 0;
  int boots_ = 0;
  std::string boot_id_;
  std::unique_ptr<test::OtherBoot> boot_;
  store::OpenOptions options_;
  std::unique_ptr<Recorder> recorder_;
  std::shared_ptr<store::Store> store_;
};

// Finding 3 (V1): images are collected from the checkpoint on, not from the watermark.
TEST(PowerTrace, ALaterFrameWhoseWatermarkIsBeyondAnImageDoesNotHideTheImage) {
  Scene scene;
  scene.Put("a");
  scene.Flush();
  scene.Put("b");
  scene.Flush();   // the image
  scene.Put("c");  // says that everything before it is durable
  scene.recorder().WriteBack("1.log");
  scene.Cut([](const std::string& name, uint64_t) { return IsBlocks(name); });
  scene.Expect({"a", "b"});
}

// Finding 2 within one segment (V3, V4): a frame counts only after the frame that it names.
TEST(PowerTrace, ADeadOwnersFrameThatWasWrittenOverDoesNotCarryALaterOneWithIt) {
  Scene scene;
  scene.Put("a");
  scene.Flush();
  const uint64_t page = Position(scene.store().LogTail()).offset() / kPageBytes;
  scene.LeaveInDoubt("b");
  scene.recorder().WriteBack("1.log");  // the orphan is on the disk
  scene.Put("c", 9000);                 // over it
  scene.Put("d");                       // on a page of its own
  scene.Cut([&](const std::string& name, uint64_t at) { return name == "1.log" && at == page; });
  // b is the one write in doubt: whole, its put never returned. d names c, which is gone.
  scene.Expect({"a", "b"});
}

// Finding 4 (V2): nothing beyond an end is ever read again, even if its block turns up.
TEST(PowerTrace, AFrameThatARecoveryDroppedDoesNotComeBack) {
  Scene scene;
  scene.Put("a");
  scene.Flush();
  scene.Put("b");
  const Result<std::optional<store::MemoryRef>> found = scene.store().Find("b");
  ASSERT_OK(found);
  const uint64_t at = (*found)->segment->BlocksBytesFor(Raw((*found)->record.slot()));
  scene.recorder().WriteBack("1.log");
  scene.Cut([](const std::string& name, uint64_t) { return IsBlocks(name); });
  scene.Expect({"a"});
  // The block is there after all.
  const auto directory = io::File::OpenDirectory(scene.directory().c_str());
  ASSERT_OK(directory);
  const auto blocks = io::File::Open(*directory, "1.blocks", io::File::Mode::kReadWrite, FileRole::kBlocks);
  ASSERT_OK(blocks);
  const std::vector<float> embedding = MemoryOf("b").embedding;
  EXPECT_OK(blocks->WriteAt(at, {reinterpret_cast<const char*>(embedding.data()), embedding.size() * sizeof(float)}));
  scene.Cut(Nothing);
  scene.Expect({"a"});
  scene.Put("c");
  scene.Flush();
  scene.Cut(Everything, true);
  scene.Expect({"a", "c"});
}

// Finding 11 (V7): blocks that a recovery wrote from images are synced before the images are no longer looked for.
TEST(PowerTrace, BlocksThatARecoveryWroteSurviveTheNextCut) {
  Scene scene;
  scene.Put("a");
  scene.Flush();
  scene.Put("b");
  scene.Flush();
  for (int cut = 0; cut < 3; ++cut) {
    scene.Cut(Everything, true);
    scene.Expect({"a", "b"});
  }
}

// Finding 14 (V9): a flush after a rotation syncs every log that has unsynced frames.
TEST(PowerTrace, AFlushAfterARotationCoversBothLogs) {
  Scene scene;
  scene.Put("a");
  scene.Flush();
  scene.Put("b");
  scene.Put("c", 3u << 20);  // the next segment
  EXPECT_EQ(Raw(scene.store().LogTail().segment()), 2u);
  scene.Put("d");
  scene.Flush();
  scene.Put("e");
  scene.Flush();
  scene.Cut(Everything, true);
  scene.Expect({"a", "b", "c", "d", "e"});
}

// V11: what is written after a recovery goes to a new segment.
TEST(PowerTrace, AfterARecoveryTheOldLogIsEndedAndANewSegmentBegun) {
  Scene scene;
  scene.Put("a");
  scene.Flush();
  scene.Put("b");
  const uint32_t before = Raw(scene.store().LogTail().segment());
  scene.Cut(Everything, true);
  scene.Expect({"a"});
  EXPECT_GT(Raw(scene.store().LogTail().segment()), before);
  EXPECT_EQ(scene.store().Stats()->epoch, 2u);
  scene.Put("c");
  scene.Cut(Nothing);
  scene.Expect({"a", "c"});
  EXPECT_EQ(scene.store().Stats()->epoch, 3u);
}

// V12, V13: names and headers of new files are on the disk before a list that names them.
TEST(PowerTrace, WhatIsListedIsOnTheDiskUnderItsName) {
  Scene scene;
  scene.Cut(Everything, true);  // right after the creation
  scene.Expect({});
  scene.Put("a");
  scene.Flush();
  scene.Cut(Everything, true);
  scene.Expect({"a"});
  scene.Put("b", 3u << 20);
  scene.Put("c");
  scene.Flush();
  scene.Cut(Everything, true);
  scene.Expect({"a", "b", "c"});
  scene.Cut([](const std::string&, uint64_t) { return false; }, false);
  scene.Expect({"a", "b", "c"});
}

// A clean close cuts off what a dead writer had left behind the tail, but the power may take the cut and leave the
// marker. Passed over then, that frame would be there after the next cut, in the place of what had been written over
// it.
TEST(PowerTrace, WhatADeadWriterLeftBehindTheTailIsNotPassedOverByACleanMarker) {
  Scene scene;
  scene.Put("a");
  scene.Flush();
  scene.LeaveInDoubt("x");
  scene.recorder().WriteBack("1.log");
  EXPECT_OK(scene.store().Close());
  scene.Cut([](const std::string& name, uint64_t) { return name == "1.log"; });
  scene.Expect({"a", "x"});
  scene.Put("b");
  scene.Cut(Everything);
  scene.Expect({"a", "x"});
}

// A list whose owner died between its rename and the sync of the directory may be used by survivors, but their flush
// must put it on the disk.
TEST(PowerTrace, AListThatADeadOwnerDidNotSyncIsSyncedByTheNextFlushOfItsHeirs) {
  Scene scene;
  const test::BootWordsByHand words(scene.directory());
  std::vector<std::string> ids;
  const auto put = [&] {
    ids.push_back(std::to_string(ids.size()));
    scene.Put(ids.back(), 50000);
  };
  while (scene.store().Stats()->segments == 1) {
    put();
    scene.Flush();
    scene.store().MakeSpaceAhead();
  }
  // Its owner synced the directory, then published the list: neither has happened.
  scene.recorder().ForgetDirectorySync();
  words->list_generation -= 1;
  while (scene.store().LogTail().segment() == SegmentNumber{1}) put();
  scene.Flush();
  scene.Cut(Everything, true);
  scene.Expect(ids);
}

/// The other handle's process dies, the power goes, and what was never synced with it: these memories are there.
void ExpectKeptWhenItsOtherDies(Scene& scene, std::shared_ptr<store::Store>& other,
                                const std::vector<std::string>& ids) {
  scene.recorder().Look();
  other.reset();
  scene.Cut(Everything);
  ASSERT_TRUE(scene.is_open());
  for (const std::string& id : ids) EXPECT_TRUE(test::Get(scene.store(), id).has_value());
  test::ExpectWhole(scene.store());
}

// What a flush covered stays on the disk whatever a compaction of a handle without syncs does that began before it: its
// lists and its copy are synced from then on. The flush comes in the middle of the copy; the compaction goes on or
// stops.
TEST(PowerTrace, AFlushInTheMiddleOfACompactionWithoutSyncsIsNotTakenBack) {
  for (const bool goes_on : {true, false}) {
    Scene scene;
    std::vector<std::string> ids;
    // The tail is in the second segment, so the first is sealed; half of what it holds is replaced.
    while (scene.store().LogTail().segment() != SegmentNumber{2}) {
      ids.push_back(std::to_string(ids.size()));
      scene.Put(ids.back(), 50000);
      if (ids.size() % 2 == 0) scene.Put(ids.back(), 50000);
    }
    auto other = scene.OpenWithoutSyncs();
    ASSERT_OK(other);
    std::atomic<bool> cancel{false};
    bool flushed = false;
    store::CompactPolicy policy;
    policy.seals_open_segment = false;
    policy.dead_share = 0;
    policy.between = [&] {
      if (!flushed) scene.Flush();
      flushed = true;
      if (!goes_on) cancel.store(true);
    };
    const Result<store::CompactResult> compacted = (*other)->Compact(test::kLockTimeout, cancel, policy);
    EXPECT_EQ(compacted.ok(), goes_on);
    EXPECT_TRUE(flushed);
    ExpectKeptWhenItsOtherDies(scene, *other, ids);
  }
}

// A handle without syncs makes a segment after another's flush: the list that it puts in place is the only one there
// is, and the flush's promise hangs on it.
TEST(PowerTrace, ASegmentOfAHandleWithoutSyncsTakesNoFlushBack) {
  Scene scene;
  scene.Put("a");
  scene.Flush();
  auto other = scene.OpenWithoutSyncs();
  ASSERT_OK(other);
  for (int i = 0; (*other)->Stats()->segments == 1; ++i) {
    ASSERT_OK(test::Put(**other, MemoryOf("other " + std::to_string(i), 50000)));
    (*other)->MakeSpaceAhead();
  }
  ExpectKeptWhenItsOtherDies(scene, *other, {"a"});
}

TEST(PowerTrace, TheLastCloseOfAHandleWithoutSyncsTakesNoFlushBack) {
  Scene scene;
  scene.Put("a");
  scene.Flush();
  auto other = scene.OpenWithoutSyncs();
  ASSERT_OK(other);
  ASSERT_OK(test::Put(**other, MemoryOf("b")));
  scene.Leave();
  EXPECT_OK((*other)->Close());
  ExpectKeptWhenItsOtherDies(scene, *other, {"a"});
}

TEST(PowerTrace, ARecoveryByAHandleWithoutSyncsTakesNoFlushBack) {
  Scene scene;
  scene.Put("a");
  scene.Flush();
  scene.Put("b");
  scene.Leave();
  std::filesystem::remove(scene.directory() + "/cache");
  auto other = scene.OpenWithoutSyncs();
  ASSERT_OK(other);
  EXPECT_TRUE((*other)->Stats()->recovered);
  ExpectKeptWhenItsOtherDies(scene, *other, {"a"});
}

// The last flush before a cut: no frame came after it to say that there was one.
TEST(PowerTrace, ARecoveryWithoutSyncsTakesNoFlushBackThatNoLaterFrameTellsOf) {
  for (const bool made_without_syncs : {false, true}) {
    Scene scene;
    if (made_without_syncs) scene.Cut(Everything, true, store::Durability::kNone);
    scene.Put("a");
    if (made_without_syncs) scene.store().RaiseDurability(store::Durability::kFlush);
    scene.Flush();
    scene.Cut(Everything, true, store::Durability::kNone);
    ASSERT_TRUE(scene.is_open());
    EXPECT_TRUE(test::Get(scene.store(), "a").has_value());
    scene.Cut(Everything);
    ASSERT_TRUE(scene.is_open());
    EXPECT_TRUE(test::Get(scene.store(), "a").has_value());
    test::ExpectWhole(scene.store());
  }
}

// What the last close covered is there although a handle without syncs wrote on: a marker of that close that came back
// would vouch for an index and columns of which some are younger than it.
TEST(PowerTrace, AMarkerThatAHandleWithoutSyncsRemovedDoesNotComeBack) {
  Scene scene;
  scene.Put("a");
  EXPECT_OK(scene.store().Close());
  scene.Leave();
  auto other = scene.OpenWithoutSyncs();
  ASSERT_OK(other);
  ASSERT_OK(test::Put(**other, MemoryOf("a", 30)));
  scene.recorder().Look();
  other->reset();
  scene.Cut([](const std::string& name, uint64_t page) {
    return name == "1.log" || (name == "cache" && page < format::kIndexOffset / kPageBytes);
  });
  ASSERT_TRUE(scene.is_open());
  EXPECT_TRUE(test::Get(scene.store(), "a").has_value());
  test::ExpectWhole(scene.store());
}

// R7's second limit: the last flush before a cut has no later frame to vouch for it, so bytes of it that rot look like
// a write that never finished. One frame later they are known for what they are.
TEST(PowerTrace, RotInTheLastFlushLooksLikeTheEndAndIsDamageOnceALaterFrameVouches) {
  for (const bool vouched : {false, true}) {
    Scene scene;
    scene.Put("a");
    scene.Flush();
    scene.Put("b");
    const uint64_t at = test::AllRecords(scene.store()).back().position.offset() + 70;
    scene.Flush();
    if (vouched) scene.Put("c");
    scene.recorder().Look();
    DiskImage image = scene.recorder().ImageAt(scene.recorder().Look(), Nothing);
    image["1.log"][at] = static_cast<char>(image["1.log"][at] ^ 1);
    TempDirectory directory;
    WriteImage(directory.path(), image);
    const test::OtherBoot boot("after the rot");
    store::OpenOptions options;
    options.dimensions = kDimensions;
    const auto opened = store::Store::Open(directory.path(), options);
    if (vouched) {
      EXPECT_ERROR(opened, ErrorCode::kCorrupt);
      continue;
    }
    ASSERT_OK(opened);
    EXPECT_EQ((*opened)->size(), 1u);
    EXPECT_TRUE(test::Get(**opened, "a").has_value());
  }
}

}  // namespace
}  // namespace thermocline::power

// Compaction: what it gives back, what it leaves as it was, and who goes on meanwhile.
// All in one file, since the tests share what they compare a store with.

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <set>

#include "core/base/limits.h"
#include "core/store/log_reader.h"
#include "core/store/registry.h"
#include "test/store_fixture.h"

namespace thermocline::store {
namespace {

using test::Memory;
using test::StoreFixture;
using test::TestRounds;
using test::TestSeed;

constexpr uint32_t kDimensions = 8;
const std::atomic<bool> kNever{false};

Memory MemoryOf(const std::string& id, uint64_t version) {
  Memory memory;
  memory.id = id;
  memory.embedding = test::EmbeddingOf(std::hash<std::string>()(id) + version, kDimensions);
  memory.content = "content of " + id + ", version " + std::to_string(version);
  memory.metadata = "{\"version\":" + std::to_string(version) + "}";
  memory.confidence = 0.5;
  memory.created_at = static_cast<double>(version);
  memory.last_access = static_cast<double>(version);
  return memory;
}

CompactResult CompactAll(Store& store) {
  const Result<CompactResult> result = store.Compact(test::kLockTimeout, kNever);
  EXPECT_OK(result);
  return result.ok() ? *result : CompactResult{};
}

/// A store with its model: what each id holds.
class Scene {
 public:
  explicit Scene(Durability durability = Durability::kNone) : fixture(kDimensions, durability) {
    EXPECT_OK(fixture.Open());
  }

  void Put(const std::string& id) {
    Memory memory = MemoryOf(id, ++version_);
    const Result<Sequence> sequence = test::Put(*fixture, memory);
    EXPECT_OK(sequence);
    memory.sequence = *sequence;
    model[id] = memory;
  }
  void Delete(const std::string& id) {
    EXPECT_OK(test::Delete(*fixture, id));
    model.erase(id);
  }
  void Expect() {
    EXPECT_EQ(fixture->size(), uint64_t{model.size()});
    for (const auto& [id, memory] : model) {
      const std::optional<Memory> found = test::Get(*fixture, id);
      EXPECT_TRUE(found.has_value());
      if (found) EXPECT_EQ(*found, memory);
    }
    test::ExpectWhole(*fixture);
  }
  /// Files whose bytes hold the text.
  std::set<std::string> FilesWith(const std::string& text) const {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(fixture.path())) {
      if (test::ReadFileBytes(entry.path()).find(text) != std::string::npos) names.insert(entry.path().filename());
    }
    return names;
  }
  uint64_t Dead() { return fixture->Stats()->bytes_dead; }

  StoreFixture fixture;
  std::map<std::string, Memory> model;

 private:
  uint64_t version_ = 0;
};

TEST(Compact, GivesTheSpaceOfDeletedMemoriesBackAndKeepsTheOthers) {
  Scene scene;
  for (int i = 0; i < 2000; ++i) scene.Put("m" + std::to_string(i));
  for (int i = 0; i < 2000; ++i) {
    if (i % 10 != 0) scene.Delete("m" + std::to_string(i));
  }
  EXPECT_GT(scene.Dead(), 0u);
  const CompactResult result = CompactAll(*scene.fixture);
  EXPECT_EQ(result.moved, 200u);
  EXPECT_LT(result.bytes_after * 3, result.bytes_before);
  EXPECT_EQ(scene.Dead(), 0u);
  scene.Expect();
  EXPECT_TRUE(scene.FilesWith("content of m1,").empty());
  EXPECT_TRUE(scene.FilesWith("m1").empty() || !scene.FilesWith("content of m10,").empty());
  for (int i = 0; i < 300; ++i) scene.Put("m" + std::to_string(i));
  scene.Expect();
  EXPECT_OK(scene.fixture.Reopen());
  EXPECT_FALSE(scene.fixture.Recovered());
  scene.Expect();
}

TEST(Compact, OfNothingChangesNothing) {
  Scene scene;
  EXPECT_EQ(CompactAll(*scene.fixture).segments, 0u);
  scene.Put("a");
  EXPECT_EQ(CompactAll(*scene.fixture).segments, 0u);
  scene.Delete("a");
  const CompactResult result = CompactAll(*scene.fixture);
  EXPECT_EQ(result.moved, 0u);
  EXPECT_EQ(result.segments, 1u);
  scene.Expect();
  EXPECT_EQ(CompactAll(*scene.fixture).segments, 0u);
  scene.Put("b");
  scene.Expect();
}

// The sequences that it dropped are not given out again, although no record has them any more.
TEST(Compact, SequencesGoOnAfterARebuildOfAStoreThatLostItsLastRecords) {
  Scene scene;
  scene.Put("a");
  scene.Put("b");
  scene.Delete("b");
  scene.Delete("a");
  CompactAll(*scene.fixture);
  EXPECT_EQ(scene.fixture->sequence(), 4u);
  EXPECT_OK(scene.fixture.Close());
  std::filesystem::remove(scene.fixture.Join("cache"));
  ASSERT_OK(scene.fixture.Open());
  EXPECT_TRUE(scene.fixture.Recovered());
  EXPECT_EQ(scene.fixture->sequence(), 4u);
  scene.Put("a");
  EXPECT_EQ(scene.model["a"].sequence, 5u);
  scene.Expect();
}

TEST(Compact, ChangesBelowTheFloorAreGoneAndThoseAboveAreWhole) {
  Scene scene;
  for (int i = 0; i < 20; ++i) scene.Put("m" + std::to_string(i));
  scene.Put("m3");  // 21: drops 4
  CompactAll(*scene.fixture);
  EXPECT_EQ(*scene.fixture->ChangesFloor(), 4u);
  for (Sequence since = 0; since < 4; ++since) {
    const Result<std::vector<LogRecord>> gone = scene.fixture->Changes(since, SIZE_MAX);
    EXPECT_FALSE(gone.ok());
    EXPECT_EQ(gone.status().code(), ErrorCode::kChangesGone);
  }
  for (Sequence since = 4; since <= 21; ++since) {
    const std::vector<LogRecord> records = test::AllRecords(*scene.fixture, since);
    EXPECT_EQ(records.size(), size_t{21 - since});
    for (size_t i = 0; i < records.size(); ++i) EXPECT_EQ(records[i].sequence, since + 1 + i);
  }
}

// Deletions stand until nothing before them could bring the memory back.
TEST(Compact, ADeletionIsKeptUntilItsRunHeadsTheList) {
  Scene scene;
  const std::string filler(4000, 'x');
  for (int i = 0; i < 20000; ++i) scene.Put("m" + std::to_string(i));  // more than one copy holds
  scene.Put("gone");
  scene.Delete("gone");
  CompactAll(*scene.fixture);
  EXPECT_FALSE(scene.FilesWith("gone").empty());
  EXPECT_TRUE(scene.FilesWith("content of gone").empty());
  for (int i = 0; i < 15000; ++i) scene.Delete("m" + std::to_string(i));
  CompactAll(*scene.fixture);
  EXPECT_TRUE(scene.FilesWith("gone").empty());
  scene.Expect();
}

TEST(Compact, SnapshotsTakenBeforeItSeeWhatTheySaw) {
  Scene scene;
  for (int i = 0; i < 500; ++i) scene.Put("m" + std::to_string(i));
  const std::map<std::string, Memory> before = scene.model;
  Result<Snapshot> snapshot = scene.fixture->TakeSnapshot();
  ASSERT_OK(snapshot);
  for (int i = 0; i < 500; ++i) {
    if (i % 3 == 0) scene.Delete("m" + std::to_string(i));
    if (i % 3 == 1) scene.Put("m" + std::to_string(i));
  }
  CompactAll(*scene.fixture);
  for (int i = 0; i < 100; ++i) scene.Delete("m" + std::to_string(3 * i + 2));
  CompactAll(*scene.fixture);
  scene.fixture->FollowList();
  LogCursor cursor(*scene.fixture, *snapshot, 0);
  uint64_t seen = 0;
  for (;;) {
    Result<std::optional<MemoryRef>> memory = cursor.NextMemory(true);
    ASSERT_OK(memory);
    if (!memory->has_value()) break;
    ++seen;
    EXPECT_EQ(test::CopyOf(**memory, kDimensions), before.at(std::string((*memory)->record.id)));
  }
  EXPECT_EQ(seen, uint64_t{before.size()});
  scene.Expect();
}

TEST(Compact, ADamagedRecordIsReportedAndStaysAsItIs) {
  Scene scene;
  for (int i = 0; i < 100; ++i) scene.Put("m" + std::to_string(i));
  for (int i = 0; i < 50; ++i) scene.Delete("m" + std::to_string(i));
  const Pin pin;
  const Result<std::optional<MemoryRef>> found = scene.fixture->Find("m70");
  ASSERT_OK(found);
  const MemoryRef memory = **found;
  char* byte = memory.segment->log_data() + memory.log_offset + sizeof(format::RecordHeader) + 6;
  *byte = static_cast<char>(*byte ^ 1);
  const Result<CompactResult> result = scene.fixture->Compact(test::kLockTimeout, kNever);
  EXPECT_FALSE(result.ok());
  EXPECT_EQ(result.status().code(), ErrorCode::kCorrupt);
  *byte = static_cast<char>(*byte ^ 1);
  float* value = memory.segment->embedding(memory.record.slot());
  *value += 1;
  EXPECT_FALSE(scene.fixture->Compact(test::kLockTimeout, kNever).ok());
  *value -= 1;
  memory.segment->embedding(memory.record.slot())[0] = scene.model["m70"].embedding[0];
  CompactAll(*scene.fixture);
  scene.Expect();
}

TEST(Compact, ASecondOneAtTheSameTimeIsBusyOrWaits) {
  Scene scene;
  for (int i = 0; i < 3000; ++i) scene.Put("m" + std::to_string(i));
  for (int i = 0; i < 1500; ++i) scene.Delete("m" + std::to_string(i));
  std::atomic<int> done{0};
  std::atomic<int> busy{0};
  test::RunThreads(4, [&](int index) {
    const uint64_t timeout = index == 0 ? test::kLockTimeout : 0;
    const Result<CompactResult> result = scene.fixture->Compact(timeout, kNever);
    if (result.ok()) {
      ++done;
    } else {
      EXPECT_EQ(result.status().code(), ErrorCode::kBusy);
      ++busy;
    }
  });
  EXPECT_GE(done.load(), 1);
  EXPECT_EQ(done.load() + busy.load(), 4);
  scene.Expect();
}

TEST(Compact, AnAbortLeavesTheStoreAsItWas) {
  Scene scene;
  for (int i = 0; i < 300; ++i) scene.Put("m" + std::to_string(i));
  for (int i = 0; i < 150; ++i) scene.Delete("m" + std::to_string(i));
  const std::atomic<bool> cancelled{true};
  const Result<CompactResult> result = scene.fixture->Compact(test::kLockTimeout, cancelled);
  EXPECT_FALSE(result.ok());
  EXPECT_EQ(result.status().code(), ErrorCode::kAborted);
  scene.Expect();
}

// Ids that come and go leave tombstones: the index must not grow for them, nor its place in the file wander off.
TEST(Compact, IdsThatComeAndGoDoNotMakeTheIndexGrow) {
  Scene scene;
  for (int cycle = 0; cycle < 12; ++cycle) {
    for (int i = 0; i < 1500; ++i) scene.Put("c" + std::to_string(cycle) + "-" + std::to_string(i));
    for (int i = 0; i < 1500; ++i) scene.Delete("c" + std::to_string(cycle) + "-" + std::to_string(i));
    CompactAll(*scene.fixture);
  }
  EXPECT_LE(scene.fixture->Index().cells, 8192u);
  EXPECT_LT(std::filesystem::file_size(scene.fixture.Join("cache")), uint64_t{4} << 20);
  scene.Expect();
}

TEST(Compact, TheHelperDoesItWhenThePolicySaysSo) {
  Scene scene;
  scene.fixture->SetAutoCompact(AutoCompact{0.1, 100000});
  for (int i = 0; i < 3000; ++i) scene.Put("m" + std::to_string(i % 100));
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (*scene.fixture->ChangesFloor() == 0 && std::chrono::steady_clock::now() < until) std::this_thread::yield();
  EXPECT_GT(*scene.fixture->ChangesFloor(), 0u);
  scene.fixture->SetAutoCompact(std::nullopt);
  scene.Expect();
}

// A history against a model, with compactions, reopenings and rebuilds in between.
TEST(Compact, AnyHistoryIsWhatAMapSays) {
  const uint64_t rounds = TestRounds(12, 600);
  for (uint64_t round = 0; round < rounds; ++round) {
    Random random(TestSeed() + round);
    Scene scene(random.Below(2) == 0 ? Durability::kNone : Durability::kFlush);
    const uint64_t ids = 1 + random.Below(400);
    for (uint64_t steps = 5 + random.Below(40); steps > 0; --steps) {
      for (uint64_t i = random.Below(200); i > 0; --i) {
        const std::string id = "m" + std::to_string(random.Below(ids));
        if (random.Below(3) == 0) {
          if (scene.model.contains(id)) scene.Delete(id);
        } else {
          scene.Put(id);
        }
      }
      const uint64_t what = random.Below(8);
      if (what < 4) CompactAll(*scene.fixture);
      if (what == 4) EXPECT_OK(scene.fixture.Reopen());
      if (what == 5) {
        scene.fixture.Kill();
        EXPECT_OK(scene.fixture.Open());
      }
      if (what == 6) {
        EXPECT_OK(scene.fixture.Close());
        std::filesystem::remove(scene.fixture.Join("cache"));
        EXPECT_OK(scene.fixture.Open());
      }
    }
    scene.Expect();
    if (test::FailureCount() > 0) {
      std::printf("seed %llu\n", static_cast<unsigned long long>(TestSeed() + round));
      break;
    }
  }
}

/// One record of so many bytes.
void PutLarge(Store& store, const std::string& id, uint64_t bytes) {
  EXPECT_OK(test::PutText(store, id, std::string(bytes, 'x')));
}

// Goal: what lives in a well filled segment is not copied for its neighbour's sake. Method: a small segment with a dead
// record beside one that is more than half full and has none.
TEST(Compact, LeavesAWellFilledNeighbourAsItIs) {
  test::StoreFixture store(1);
  store.options.expected_records = kSegmentSlotsMax;
  store.options.with_helper = false;
  ASSERT_OK(store.Open());
  for (int i = 0; i < 50; ++i) ASSERT_OK(test::PutText(*store, std::to_string(i), "text"));
  PutLarge(*store, "first", 40u << 20);
  PutLarge(*store, "second", 40u << 20);  // closes the segment of the first
  PutLarge(*store, "third", 40u << 20);
  ASSERT_EQ(store->TakeSnapshot()->parts.size(), 3u);
  // Nothing is dead, and no two neighbours are small: nothing to do.
  EXPECT_EQ(CompactAll(*store).segments, 0u);
  ASSERT_OK(test::Delete(*store, "second"));
  const auto segment_of = [&](const char* id) { return store->PositionInIndex(id).segment(); };
  const SegmentNumber before[] = {segment_of("first"), segment_of("third")};
  EXPECT_EQ(CompactAll(*store).segments, 1u);
  EXPECT_TRUE(segment_of("first") == before[0]);
  EXPECT_TRUE(segment_of("third") == before[1]);
  EXPECT_EQ(store->size(), 52u);
  test::ExpectWhole(*store);
}

TEST(Compact, ByItselfOnlyWhenThePolicySaysSoAndNotInVain) {
  test::StoreFixture store(1);
  store.options.with_helper = false;
  store.options.auto_compact = std::nullopt;
  ASSERT_OK(store.Open());
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 300; ++i) ASSERT_OK(test::PutText(*store, std::to_string(i), std::string(100, 'x')));
  }
  const uint64_t dead = store->Stats()->bytes_dead;
  ASSERT_GT(dead, 0u);
  EXPECT_FALSE(store->CompactWhenDue());  // never
  store->SetAutoCompact(AutoCompact{0.0, 2 * dead});
  EXPECT_FALSE(store->CompactWhenDue());  // too few bytes
  store->SetAutoCompact(AutoCompact{1.0, 1});
  EXPECT_FALSE(store->CompactWhenDue());  // too small a share
  ASSERT_OK(test::PutText(*store, "0", "x"));
  store->SetAutoCompact(AutoCompact{0.0, 1});
  EXPECT_FALSE(store->CompactWhenDue());  // hardly more than when it was last looked at
  for (int i = 0; i < 300; ++i) ASSERT_OK(test::PutText(*store, std::to_string(i), std::string(100, 'x')));
  EXPECT_TRUE(store->CompactWhenDue());
  EXPECT_LT(store->Stats()->bytes_dead, dead);
  EXPECT_EQ(store->size(), 300u);
  test::ExpectWhole(*store);
}

// Found by a night: a store of one small memory, replaced all the time, grew to 38 GB, because the records that were
// dead took less than half of it: frames, columns and space made ahead took the rest.
TEST(Compact, ByItselfReckonsWithWhatSmallRecordsTakeBesideThemselves) {
  test::StoreFixture store(1);
  store.options.with_helper = false;
  ASSERT_OK(store.Open());
  for (int i = 0; i < 20000; ++i) ASSERT_OK(test::PutText(*store, "one", "text"));
  store->MakeSpaceAhead();
  const StoreStats stats = *store->Stats();
  ASSERT_LT(static_cast<double>(stats.bytes_dead), 0.45 * static_cast<double>(stats.bytes_total));
  store->SetAutoCompact(AutoCompact{0.5, 1});
  EXPECT_TRUE(store->CompactWhenDue());
  EXPECT_LT(store->Stats()->bytes_dead, stats.bytes_dead / 2);
  EXPECT_EQ(store->size(), 1u);
}

// Handles of a process share a store: who only reads decides nothing for those who write.
TEST(Compact, ByItselfIsTheWritersAffairWhoeverOpenedFirst) {
  test::StoreFixture store(2);
  store.options.with_helper = false;
  store.options.auto_compact = AutoCompact{0.0, 1};
  ASSERT_OK(store.Open());
  for (int i = 0; i < 600; ++i) ASSERT_OK(test::PutText(*store, std::to_string(i % 300), "x"));
  OpenOptions reading = store.options;
  reading.read_only = true;
  ASSERT_OK(store.Close());
  const auto reader = AcquireStore(store.path(), reading);
  ASSERT_OK(reader);
  EXPECT_FALSE((*reader)->CompactWhenDue());
  const auto writer = AcquireStore(store.path(), store.options);
  ASSERT_OK(writer);
  EXPECT_TRUE((*writer)->CompactWhenDue());
  EXPECT_OK(ReleaseStore(*writer));
  EXPECT_OK(ReleaseStore(*reader));
}

// Goal: while it copies, the helper goes on making space ahead when it is asked. Method: what lives is more than one
// frame of the copy, and a commit before it asked for space.
TEST(Compact, ByItselfDoesTheHelpersOtherWorkInBetween) {
  test::StoreFixture store(1);
  store.options.with_helper = false;
  store.options.auto_compact = std::nullopt;
  ASSERT_OK(store.Open());
  for (int i = 0; i < 4; ++i) PutLarge(*store, "lives " + std::to_string(i), 700u << 10);
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 4; ++i) PutLarge(*store, "dies " + std::to_string(i), 700u << 10);
  }
  PutLarge(*store, "last", 5u << 20);  // closes the segment
  const uint64_t dead = store->Stats()->bytes_dead;
  store->SetAutoCompact(AutoCompact{0.0, 1});
  {
    const test::BootWordsByHand words(store.path());
    StoreRelease(words->poison, uint64_t{1});
    EXPECT_FALSE(store->CompactWhenDue());  // of what may not be durable nothing is given back
    StoreRelease(words->poison, uint64_t{0});
  }
  EXPECT_TRUE(store->CompactWhenDue());
  EXPECT_LT(store->Stats()->bytes_dead, dead);
  EXPECT_EQ(store->size(), 9u);
  test::ExpectWhole(*store);
  // Less is dead than when it was last looked at: that says nothing about what came since.
  for (int i = 0; i < 4; ++i) PutLarge(*store, "dies " + std::to_string(i), 700u << 10);
  store->SetAutoCompact(AutoCompact{1.0, 1});
  EXPECT_FALSE(store->CompactWhenDue());
  CompactAll(*store);
  ASSERT_OK(test::PutText(*store, "dies 0", "x"));
  store->SetAutoCompact(AutoCompact{0.0, 1});
  EXPECT_TRUE(store->CompactWhenDue());
  test::ExpectWhole(*store);
}

TEST(Compact, GivesUpWaitingForAnotherWhenItIsCancelled) {
  test::StoreFixture store(1);
  ASSERT_OK(store.Open());
  auto other = Store::Open(store.path(), store.options);
  ASSERT_OK(other);
  for (int i = 0; i < 300; ++i) ASSERT_OK(test::PutText(*store, std::to_string(i), "text"));
  for (int i = 0; i < 300; ++i) ASSERT_OK(test::PutText(*store, std::to_string(i), "text"));
  const std::atomic<bool> cancelled{true};
  CompactPolicy policy;
  policy.between = [&] {
    EXPECT_ERROR((*other)->Compact(test::kLockTimeout, cancelled), ErrorCode::kAborted);
    EXPECT_ERROR((*other)->Compact(0, kNever), ErrorCode::kBusy);
  };
  EXPECT_OK(store->Compact(test::kLockTimeout, kNever, policy));
  EXPECT_ERROR(store->Compact(test::kLockTimeout, cancelled), ErrorCode::kAborted);
  EXPECT_OK((*other)->Close());
  test::ExpectWhole(*store);
}

// Nothing that lives is there to be asked how large memories are.
TEST(Compact, ByItselfAlsoWhenEverythingWasDeleted) {
  test::StoreFixture store(1);
  store.options.with_helper = false;
  ASSERT_OK(store.Open());
  for (int i = 0; i < 600; ++i) ASSERT_OK(test::PutText(*store, std::to_string(i), std::string(2000, 'x')));
  for (int i = 0; i < 600; ++i) ASSERT_OK(test::Delete(*store, std::to_string(i)));
  const uint64_t bytes = store->Stats()->bytes_log;
  store->SetAutoCompact(AutoCompact{0.5, 1});
  EXPECT_TRUE(store->CompactWhenDue());
  EXPECT_LT(store->Stats()->bytes_log, bytes);  // all but what the open segment holds
  EXPECT_EQ(store->size(), 0u);
  test::ExpectWhole(*store);
}

}  // namespace
}  // namespace thermocline::store

// Damaged bytes: a bad end costs the end only, a bad middle is reported, nothing is passed over in silence.

#include <atomic>

#include "test/store_fixture.h"

namespace thermocline::store {
namespace {

using test::Memory;

void Fill(Store& store, int from, int to) {
  for (int i = from; i < to; ++i) {
    Memory memory;
    memory.id = std::to_string(i);
    memory.embedding = test::EmbeddingOf(static_cast<uint64_t>(i), store.dimensions());
    ASSERT_OK(test::Put(store, memory));
  }
}

void ExpectFilled(Store& store, int count) {
  EXPECT_EQ(store.size(), static_cast<uint64_t>(count));
  for (int i = 0; i < count; ++i) {
    const std::optional<Memory> memory = test::Get(store, std::to_string(i));
    ASSERT_TRUE(memory.has_value());
    EXPECT_TRUE(memory->embedding == test::EmbeddingOf(static_cast<uint64_t>(i), store.dimensions()));
  }
  test::ExpectWhole(store);
}

// Goal: what the log lost is the end only. Method: the log is cut or damaged at any place of the last frames.
TEST(StoreDamage, ADamagedEndOfTheLogCostsOnlyWhatCameAfterIt) {
  Random random(TestSeed());
  for (int run = 0; run < 20; ++run) {
    test::StoreFixture store(4);
    ASSERT_OK(store.Open());
    Fill(*store, 0, 30);
    const std::vector<LogRecord> records = test::AllRecords(*store);
    store.Kill();
    std::filesystem::remove(store.Join("cache"));
    const size_t victim = random.Below(records.size());
    std::string log = test::ReadFileBytes(store.Join("1.log"));
    const uint64_t at = records[victim].position.offset() + random.Below(records[victim].length);
    if (run % 2 == 0) {
      log.resize(at);
    } else {
      log[at] = static_cast<char>(log[at] ^ (1 << random.Below(8)));
    }
    test::WriteFileBytes(store.Join("1.log"), log);
    ASSERT_OK(store.Open());
    ExpectFilled(*store, static_cast<int>(victim));
  }
}

// Goal: R7's second pass. Method: beyond the checkpoint the blocks file is cut, or one embedding damaged.
TEST(StoreDamage, AnEmbeddingThatDidNotReachTheDiskEndsThePrefix) {
  for (const bool cut : {true, false}) {
    test::StoreFixture store(1024);  // a page a block: what is not there cannot even be touched
    ASSERT_OK(store.Open());
    Fill(*store, 0, 30);
    const Result<std::optional<MemoryRef>> victim = store->Find("17");
    ASSERT_OK(victim);
    const uint64_t at = (*victim)->segment->BlocksBytesFor(Raw((*victim)->record.slot()));
    store.Kill();
    std::filesystem::remove(store.Join("cache"));
    std::string blocks = test::ReadFileBytes(store.Join("1.blocks"));
    if (cut) blocks.resize(at);
    if (!cut) blocks[at + 5] = static_cast<char>(blocks[at + 5] ^ 1);
    test::WriteFileBytes(store.Join("1.blocks"), blocks);
    ASSERT_OK(store.Open());
    ExpectFilled(*store, 17);
  }
}

// Goal: damage in the middle of a log is never passed over in silence. Method: one byte of a frame's header, then of
// a record, in a store that goes on in the same boot.
TEST(StoreDamage, VerifyAndChangesReportADamagedFrameInTheMiddle) {
  test::StoreFixture store(2);
  ASSERT_OK(store.Open());
  Fill(*store, 0, 10);
  const std::vector<LogRecord> records = test::AllRecords(*store);
  const std::atomic<bool> cancel{false};
  for (const uint64_t before : {sizeof(format::FrameHeader), size_t{0}}) {
    store.Kill();
    std::string log = test::ReadFileBytes(store.Join("1.log"));
    const uint64_t at = records[4].position.offset() - before + 33;
    log[at] = static_cast<char>(log[at] ^ 4);
    test::WriteFileBytes(store.Join("1.log"), log);
    ASSERT_OK(store.Open());
    const auto report = store->Verify(cancel);
    ASSERT_OK(report);
    EXPECT_GE(report->problems.size(), 1u);
    if (before > 0) EXPECT_ERROR(store->Changes(0, 100), ErrorCode::kCorrupt);
    log[at] = static_cast<char>(log[at] ^ 4);
    store.Kill();
    test::WriteFileBytes(store.Join("1.log"), log);
    ASSERT_OK(store.Open());
    test::ExpectWhole(*store);
  }
}

// Goal: a block that rotted gets no fresh checksum by an update. Method: a bit of the embedding that it carries on.
TEST(StoreDamage, AnUpdateOfADamagedEmbeddingIsRefused) {
  test::StoreFixture store(4);
  ASSERT_OK(store.Open());
  Fill(*store, 0, 10);
  const Result<std::optional<MemoryRef>> found = store->Find("5");
  ASSERT_OK(found);
  float* const embedding = (*found)->segment->embedding((*found)->record.slot());
  const auto update = [&] {
    PatchInput patch;
    patch.id = "5";
    patch.set_confidence = true;
    patch.confidence = 0.25;
    Batch batch(store->hash_key());
    batch.Update(patch, false);
    return store->Commit(batch, test::kLockTimeout);
  };
  embedding[1] = -embedding[1];
  EXPECT_ERROR(update(), ErrorCode::kCorrupt);
  EXPECT_EQ(store->sequence(), 10u);
  embedding[1] = -embedding[1];
  EXPECT_OK(update());
  test::ExpectWhole(*store);
}

}  // namespace
}  // namespace thermocline::store

// Segments follow one another: full ones, records too large for one, space made ahead while others write.

#include <atomic>

#include "core/base/limits.h"
#include "test/store_fixture.h"

namespace thermocline::store {
namespace {

using test::Memory;

uint64_t SegmentsOf(Store& store) {
  const Result<StoreStats> stats = store.Stats();
  EXPECT_OK(stats);
  return stats.ok() ? stats->segments : 0;
}

TEST(StoreRotation, SegmentsDoubleAndEveryMemoryStaysReadable) {
  test::StoreFixture store(1);
  ASSERT_OK(store.Open());
  for (int i = 0; i < 5000; ++i) {
    Memory memory;
    memory.id = std::to_string(i);
    memory.embedding = {static_cast<float>(i)};
    ASSERT_OK(test::Put(*store, memory));
  }
  // 256 + 512 + 1024 + 2048 hold 3840; the fifth is begun, a sixth may be listed ahead.
  EXPECT_GE(SegmentsOf(*store), 5u);
  EXPECT_LE(SegmentsOf(*store), 6u);
  for (int turn = 0; turn < 2; ++turn) {
    for (int i = 0; i < 5000; ++i) {
      const std::optional<Memory> memory = test::Get(*store, std::to_string(i));
      ASSERT_TRUE(memory.has_value());
      EXPECT_EQ(memory->embedding[0], static_cast<float>(i));
    }
    test::ExpectWhole(*store);
    ASSERT_OK(store.Reopen());
  }
}

TEST(StoreRotation, ARecordTooLargeForTheOpenSegmentGetsOneOfItsOwn) {
  test::StoreFixture store(2);
  ASSERT_OK(store.Open());
  const std::string large(5u << 20, 'x');
  ASSERT_OK(test::PutText(*store, "small", "before"));
  ASSERT_OK(test::PutText(*store, "large", large));
  ASSERT_OK(test::PutText(*store, "small", "after"));
  ASSERT_OK(test::PutText(*store, "large 2", large));
  for (int turn = 0; turn < 3; ++turn) {
    EXPECT_TRUE(test::Get(*store, "large")->content == large);
    EXPECT_TRUE(test::Get(*store, "large 2")->content == large);
    EXPECT_EQ(test::Get(*store, "small")->content.value_or(""), "after");
    test::ExpectWhole(*store);
    ASSERT_OK(store.Close());
    if (turn == 1) std::filesystem::remove(store.Join("cache"));
    ASSERT_OK(store.Open());
  }
}

// Goal: a write is one frame, whatever its size. Method: a reader looks at size and sequence while 20,000 operations
// are written at once; the first attempt fails at its last operation.
TEST(StoreRotation, AWriteOfTwentyThousandOperationsIsAllOrNothing) {
  constexpr uint64_t kOperations = 20000;
  test::StoreFixture store(3);
  ASSERT_OK(store.Open());
  ASSERT_OK(test::PutText(*store, "first", "1"));
  Batch batch(store->hash_key());
  const auto stage = [&](Sequence last_if_sequence) {
    batch.Clear();
    for (uint64_t i = 0; i < kOperations; ++i) {
      Memory memory;
      memory.id = "m" + std::to_string(i);
      memory.embedding = {1, 2, static_cast<float>(i)};
      batch.Put(test::PutInputOf(memory), true,
                i + 1 == kOperations ? static_cast<int64_t>(last_if_sequence) : kAnySequence);
    }
  };
  stage(77);
  EXPECT_ERROR(store->Commit(batch, test::kLockTimeout), ErrorCode::kConflict);
  EXPECT_EQ(store->size(), 1u);
  EXPECT_FALSE(test::Get(*store, "m0").has_value());
  std::atomic<bool> done{false};
  std::thread reader([&] {
    while (!done.load()) {
      for (int look = 0; look < 100; ++look) {
        const Sequence sequence = store->sequence();
        EXPECT_TRUE((sequence - 1) % kOperations == 0);
      }
      const bool any = test::Get(*store, "m0").has_value();
      // What was visible once stays so: m0 came with the last one.
      if (any) EXPECT_TRUE(test::Get(*store, "m" + std::to_string(kOperations - 1)).has_value());
    }
  });
  for (uint64_t turn = 1; turn <= 4; ++turn) {  // the first creates, the others replace
    stage(turn == 1 ? 0 : 1 + (turn - 1) * kOperations);
    const Result<Sequence> committed = store->Commit(batch, test::kLockTimeout);
    EXPECT_OK(committed);
    if (committed.ok()) EXPECT_EQ(*committed, 1 + turn * kOperations);
    EXPECT_EQ(store->Stats()->batches, 1 + turn);
  }
  done.store(true);
  reader.join();
  EXPECT_EQ(store->size(), 1 + kOperations);
  test::ExpectWhole(*store);
}

// Goal: space made ahead never wipes what is committed (zeros are written by the file system, blocks by mappings).
// Method: threads fill many small segments while another makes space without pause; everything written stays alive, so
// that the check sees each block's CRC.
TEST(StoreRotation, MakingSpaceAheadNeverWipesWhatIsCommitted) {
  constexpr int kWriters = 4;
  const uint64_t writes = 1200 * TestScale();
  test::StoreFixture store(64);
  ASSERT_OK(store.Open());
  std::atomic<int> writing{kWriters};
  test::RunThreads(kWriters + 1, [&](int thread) {
    if (thread == kWriters) {
      while (writing.load() > 0) store->MakeSpaceAhead();
      return;
    }
    Random random(TestSeed() + static_cast<uint64_t>(thread));
    Batch batch(store->hash_key());
    for (uint64_t done = 0; done < writes;) {
      batch.Clear();
      for (uint64_t left = 1 + random.Below(12); left > 0 && done < writes; --left, ++done) {
        Memory memory;
        memory.id = std::to_string(thread) + "/" + std::to_string(done);
        memory.embedding = test::EmbeddingOf(random.Next(), 64);
        // Now and then logs are full before the slots are.
        memory.content = std::string(random.Below(20) == 0 ? random.Below(60000) : random.Below(100), 'c');
        batch.Put(test::PutInputOf(memory), true);
      }
      EXPECT_OK(store->Commit(batch, test::kLockTimeout));
    }
    writing.fetch_sub(1);
  });
  EXPECT_EQ(store->size(), kWriters * writes);
  EXPECT_GE(SegmentsOf(*store), 4u);
  test::ExpectWhole(*store);
}

}  // namespace
}  // namespace thermocline::store

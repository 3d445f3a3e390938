// What a flush puts into the log, and that it is enough: the blocks files are given back as they were before the
// writes, as a power cut may leave them, and everything flushed is there.

#include <atomic>

#include "core/format/image.h"
#include "core/store/log_reader.h"
#include "test/store_fixture.h"

namespace thermocline::store {
namespace {

using test::Memory;

Memory MemoryOf(int number, uint32_t dimensions) {
  Memory memory;
  memory.id = std::to_string(number);
  memory.embedding = test::EmbeddingOf(static_cast<uint64_t>(number), dimensions);
  memory.content = "content of " + memory.id;
  memory.confidence = 0.25;
  memory.created_at = 1000 + number;
  memory.activation = 0.5;
  memory.last_access = 2000 + number;
  memory.recall_count = 3;
  return memory;
}

void Fill(Store& store, int from, int to) {
  for (int i = from; i < to; ++i) ASSERT_OK(test::Put(store, MemoryOf(i, store.dimensions())));
}

void ExpectFilled(Store& store, int count) {
  EXPECT_EQ(store.size(), static_cast<uint64_t>(count));
  for (int i = 0; i < count; ++i) {
    std::optional<Memory> memory = test::Get(store, std::to_string(i));
    ASSERT_TRUE(memory.has_value());
    memory->sequence = 0;
    EXPECT_EQ(*memory, MemoryOf(i, store.dimensions()));
  }
  test::ExpectWhole(store);
}

std::vector<format::FrameHeader> FramesOf(Store& store) {
  std::vector<format::FrameHeader> frames;
  Result<Snapshot> snapshot = store.TakeSnapshot();
  EXPECT_OK(snapshot);
  for (const Snapshot::Part& part : snapshot->parts) {
    const uint64_t end = part.segment->number() == snapshot->tail.segment() ? snapshot->tail.offset() : UINT64_MAX;
    for (uint64_t at = format::kHeaderBytes; at < end;) {
      const auto frame = ReadFrame(*part.segment, store.salt(), at, true);
      if (!frame) break;
      frames.push_back(*frame);
      at += FrameBytes(*frame);
    }
  }
  return frames;
}

uint32_t ImagesOf(Store& store) {
  uint32_t images = 0;
  for (const format::FrameHeader& frame : FramesOf(store)) images += frame.image_count;
  return images;
}

/// All blocks files of a directory as they are now, to be given back later.
class BlocksFiles {
 public:
  explicit BlocksFiles(const std::string& directory) : directory_(directory) {
    for (const auto& entry : std::filesystem::directory_iterator(directory)) {
      if (entry.path().extension() == ".blocks") files_[entry.path()] = test::ReadFileBytes(entry.path());
    }
  }
  void GiveBack() const {
    for (const auto& [path, bytes] : files_) test::WriteFileBytes(path, bytes);
    std::filesystem::remove(directory_ + "/cache");
  }

 private:
  std::string directory_;
  std::map<std::string, std::string> files_;
};

TEST(StoreFlush, RepeatsEachBlockOnceInTheLog) {
  test::StoreFixture store(16, Durability::kFlush);
  ASSERT_OK(store.Open());
  Fill(*store, 0, 1);
  ASSERT_OK(store->Flush(test::kLockTimeout));  // the first of a segment syncs the blocks
  EXPECT_EQ(ImagesOf(*store), 0u);
  for (int i = 1; i < 20; ++i) {
    Fill(*store, i, i + 1);
    ASSERT_OK(store->Flush(test::kLockTimeout));
    ASSERT_OK(store->Flush(test::kLockTimeout));  // nothing new: nothing written
  }
  ASSERT_OK(test::Delete(*store, "0"));
  ASSERT_OK(store->Flush(test::kLockTimeout));  // a deletion has no block
  EXPECT_EQ(ImagesOf(*store), 19u);
  EXPECT_EQ(FramesOf(*store).size(), 21u + 19u);
  EXPECT_EQ(store->Stats()->durable_sequence, 21u);
}

TEST(StoreFlush, OfManyBlocksSyncsTheirFilesInsteadOfRepeatingThem) {
  test::StoreFixture store(1024, Durability::kFlush);
  ASSERT_OK(store.Open());
  Fill(*store, 0, 1);
  ASSERT_OK(store->Flush(test::kLockTimeout));
  Fill(*store, 1, 1 + 62);  // 62 x 4160 bytes are below 256 KiB, 64 are not
  ASSERT_OK(store->Flush(test::kLockTimeout));
  EXPECT_EQ(ImagesOf(*store), 62u);
  Fill(*store, 63, 63 + 64);
  ASSERT_OK(store->Flush(test::kLockTimeout));
  EXPECT_EQ(ImagesOf(*store), 62u);
  ASSERT_OK(store->Flush(test::kLockTimeout, FlushScope::kBlocks));
  EXPECT_EQ(ImagesOf(*store), 62u);
}

TEST(StoreFlush, MakesGoodBlocksThatNeverReachedTheDisk) {
  test::StoreFixture store(16, Durability::kFlush);
  ASSERT_OK(store.Open());
  Fill(*store, 0, 5);
  ASSERT_OK(store->Flush(test::kLockTimeout));
  const BlocksFiles before(store.path());
  Fill(*store, 5, 30);
  ASSERT_OK(store->Flush(test::kLockTimeout));
  Fill(*store, 30, 31);  // names in its frame a watermark beyond the images
  store.Kill();
  before.GiveBack();
  for (int turn = 0; turn < 2; ++turn) {
    ASSERT_OK(store.Open());
    EXPECT_TRUE(store.Recovered());
    ExpectFilled(*store, 30);  // the last one was never flushed and its block is gone
    store.Kill();
    std::filesystem::remove(store.Join("cache"));
  }
}

TEST(StoreFlush, ACommitThatBringsItsImagesIsDurableAfterASyncOfTheLog) {
  test::StoreFixture store(16, Durability::kCommit);
  ASSERT_OK(store.Open());
  Fill(*store, 0, 1);
  ASSERT_OK(store->Flush(test::kLockTimeout));
  const BlocksFiles before(store.path());
  Batch batch(store->hash_key());
  for (int from = 1; from < 60; from += 3) {
    for (int i = from; i < from + 3 && i < 60; ++i) batch.Put(test::PutInputOf(MemoryOf(i, 16)), true);
    batch.with_images = true;
    ASSERT_OK(store->Commit(batch, test::kLockTimeout));
    batch.Clear();
    ASSERT_OK(store->Flush(test::kLockTimeout));
  }
  EXPECT_EQ(ImagesOf(*store), 59u);
  for (const format::FrameHeader& frame : FramesOf(*store)) {
    EXPECT_EQ(frame.kind, static_cast<uint16_t>(format::FrameKind::kRecords));
  }
  store.Kill();
  before.GiveBack();
  ASSERT_OK(store.Open());
  ExpectFilled(*store, 60);
}

TEST(StoreFlush, MovesTheCheckpointAtARotation) {
  test::StoreFixture store(16, Durability::kFlush);
  ASSERT_OK(store.Open());
  for (int i = 0; i < 300; ++i) {
    Fill(*store, i, i + 1);
    if (i % 7 == 0) ASSERT_OK(store->Flush(test::kLockTimeout));
  }
  ASSERT_OK(store->Flush(test::kLockTimeout));
  const BlocksFiles before(store.path());
  Fill(*store, 300, 310);
  ASSERT_OK(store->Flush(test::kLockTimeout));
  store.Kill();
  before.GiveBack();
  ASSERT_OK(store.Open());
  ExpectFilled(*store, 310);
}

// Deletions have no blocks, but each is looked at when images are planned: from so many on the blocks files are synced.
TEST(StoreFlush, OfVeryManyDeletionsMovesTheCheckpoint) {
  constexpr int kCount = 6000;
  test::StoreFixture store(1, Durability::kFlush);
  store.options.with_helper = false;
  ASSERT_OK(store.Open());
  const auto write = [&](bool deletes) {
    store::Batch batch(store->hash_key());
    for (int i = 0; i < kCount; ++i) {
      Memory memory;
      memory.id = std::to_string(i);
      if (deletes) {
        batch.Delete(memory.id, true);
      } else {
        batch.Put(test::PutInputOf(memory), true);
      }
    }
    ASSERT_OK(store->Commit(batch, test::kLockTimeout));
  };
  write(false);
  ASSERT_OK(store->Flush(test::kLockTimeout, FlushScope::kBlocks));
  write(true);
  ASSERT_OK(store->Flush(test::kLockTimeout));
  const test::BootWordsByHand words(store.path());
  EXPECT_EQ(words->checkpoint, words->watermark);
  EXPECT_EQ(store->size(), 0u);
}

// Goal: one sync serves all who wait for it. Method: threads put and flush at once; every flush that returned covers
// what its thread had put, and they took fewer image frames than there were flushes.
// Of a queue of flushes that nobody awaited the first one does the work of all, however much is written meanwhile.
TEST(StoreFlush, UpToASequenceThatIsDurableSyncsNothing) {
  test::StoreFixture store(3, Durability::kFlush);
  ASSERT_OK(store.Open());
  Fill(*store, 0, 10);
  const Sequence asked = store->sequence();
  ASSERT_OK(store->Flush(test::kLockTimeout));
  Fill(*store, 10, 20);
  ASSERT_OK(store->FlushUpTo(asked, test::kLockTimeout));
  EXPECT_EQ(store->Stats()->durable_sequence, asked);
  ASSERT_OK(store->FlushUpTo(asked + 1, test::kLockTimeout));
  EXPECT_EQ(store->Stats()->durable_sequence, asked + 10);
}

TEST(StoreFlush, OfManyThreadsAtOnceIsShared) {
  constexpr int kThreads = 8;
  constexpr int kEach = 40;
  test::StoreFixture store(16, Durability::kFlush);
  ASSERT_OK(store.Open());
  std::atomic<int> uncovered{0};
  test::RunThreads(kThreads, [&](int thread) {
    for (int i = 0; i < kEach; ++i) {
      const Result<Sequence> sequence = test::Put(*store, MemoryOf(thread * kEach + i, 16));
      EXPECT_OK(sequence);
      EXPECT_OK(store->Flush(test::kLockTimeout));
      if (store->Stats()->durable_sequence < *sequence) uncovered.fetch_add(1);
    }
  });
  EXPECT_EQ(uncovered.load(), 0);
  ExpectFilled(*store, kThreads * kEach);
  EXPECT_LT(FramesOf(*store).size(), static_cast<size_t>(2 * kThreads * kEach));
}

}  // namespace
}  // namespace thermocline::store

// Frames whose embeddings are written into the file by one write, beside writers who store into the mapping.

#include <sys/stat.h>

#include <cinttypes>
#include <cstdio>
#include <set>

#include "test/store_fixture.h"

namespace thermocline::store {
namespace {

using test::Memory;

constexpr uint32_t kDimensions = 96;
constexpr size_t kFrameMemories = 200;  // 75 KiB of embeddings: above what is written by the file

Memory MemoryOf(const std::string& id, uint64_t value) {
  Memory memory;
  memory.id = id;
  if (value % 7 != 0) memory.embedding = test::EmbeddingOf(value, kDimensions);
  memory.content = std::to_string(value);
  return memory;
}

/// Stages and commits one frame whose embeddings lie in rows.
Status CommitRows(Store& store, const std::vector<Memory>& memories) {
  std::vector<float> rows(memories.size() * kDimensions);
  Batch batch(store.hash_key());
  for (size_t i = 0; i < memories.size(); ++i) {
    PutInput input = test::PutInputOf(memories[i]);
    if (!memories[i].embedding.empty()) {
      std::copy(memories[i].embedding.begin(), memories[i].embedding.end(), rows.data() + i * kDimensions);
      input.embedding = {rows.data() + i * kDimensions, kDimensions};
    }
    batch.Put(input, false);
  }
  batch.SetRows(rows.data());
  return store.Commit(batch, test::kLockTimeout).status();
}

uint64_t ValueOf(const Memory& memory) { return std::strtoull(memory.content.value_or("").c_str(), nullptr, 10); }

// Goal: slots that are written by the file and slots that are backed with zeros for the mapping never meet.
// Method: threads of both kinds write side by side through many segments; afterwards every memory is what was written.
TEST(StoreRows, FramesOfRowsAndSinglePutsNeverWriteIntoEachOthersSlots) {
  constexpr int kThreads = 4;
  constexpr uint64_t kFrames = 20;
  test::StoreFixture store(kDimensions);
  ASSERT_OK(store.Open());
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&store, thread] {
      Random random(TestSeed() + static_cast<uint64_t>(thread));
      const std::string prefix = "t" + std::to_string(thread) + "-";
      for (uint64_t frame = 0; frame < kFrames; ++frame) {
        std::vector<Memory> memories;
        for (size_t i = 0; i < kFrameMemories; ++i) {
          memories.push_back(MemoryOf(prefix + std::to_string(frame * kFrameMemories + i), random.Next() >> 16));
        }
        if (thread % 2 == 0) {
          EXPECT_OK(CommitRows(*store, memories));
        } else {
          for (const Memory& memory : memories) EXPECT_OK(test::Put(*store, memory));
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int turn = 0; turn < 3; ++turn) {
    EXPECT_EQ(store->size(), kThreads * kFrames * kFrameMemories);
    for (int thread = 0; thread < kThreads; ++thread) {
      for (uint64_t number = 0; number < kFrames * kFrameMemories; ++number) {
        const std::string id = "t" + std::to_string(thread) + "-" + std::to_string(number);
        const std::optional<Memory> memory = test::Get(*store, id);
        ASSERT_TRUE(memory.has_value());
        ASSERT_TRUE(memory->embedding == MemoryOf(id, ValueOf(*memory)).embedding);
      }
    }
    test::ExpectWhole(*store);
    ASSERT_OK(store.Close());
    if (turn == 1) std::filesystem::remove(store.Join("cache"));
    ASSERT_OK(store.Open());
  }
}

TEST(StoreRows, AMemoryStagedAfterwardsWithdrawsTheRows) {
  test::StoreFixture store(kDimensions);
  ASSERT_OK(store.Open());
  std::vector<float> rows(kFrameMemories * kDimensions, 0.5f);
  Batch batch(store->hash_key());
  for (size_t i = 0; i < kFrameMemories; ++i) {
    Memory memory = MemoryOf(std::to_string(i), 1);
    batch.Put(test::PutInputOf(memory), true);
  }
  batch.SetRows(rows.data());
  EXPECT_TRUE(batch.rows() != nullptr);
  batch.Put(test::PutInputOf(MemoryOf("last", 1)), true);
  EXPECT_TRUE(batch.rows() == nullptr);
  ASSERT_OK(store->Commit(batch, test::kLockTimeout));
  EXPECT_TRUE(test::Get(*store, "3")->embedding == MemoryOf("3", 1).embedding);
}

// Goal: space is made in steps that grow with the store, not with every put: each step is a change of the file's
// extents, which the next sync has to commit. Method: puts that are flushed, in a store that is as young as its segment
// is.
TEST(StoreRows, SpaceIsMadeInFewSteps) {
  constexpr uint32_t kLarge = 1024;  // a memory is a page, so that each step is seen
  constexpr uint64_t kPuts = 300;
  test::StoreFixture store(kLarge, Durability::kFlush);
  ASSERT_OK(store.Open());
  std::set<blkcnt_t> sizes;
  for (uint64_t i = 0; i < kPuts; ++i) {
    Memory memory;
    memory.id = std::to_string(i);
    memory.embedding = test::EmbeddingOf(i, kLarge);
    ASSERT_OK(test::Put(*store, memory));
    ASSERT_OK(store->Flush(test::kLockTimeout));
    struct stat status {};
    ASSERT_EQ(::stat(std::string(store.Join("1.blocks")).c_str(), &status), 0);
    sizes.insert(status.st_blocks);
  }
  EXPECT_LE(sizes.size(), size_t{50});
}

}  // namespace
}  // namespace thermocline::store

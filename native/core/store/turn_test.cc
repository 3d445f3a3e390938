// Writers that need more than half a segment get on, beside each other and beside many small ones.

#include <atomic>
#include <cstdio>

#include "core/base/limits.h"
#include "core/io/system.h"
#include "test/session_fixture.h"

namespace thermocline::store {
namespace {

constexpr uint32_t kDimensions = 256;  // so that preparing a large batch takes a while
constexpr uint32_t kFewDimensions = 16;

void Stage(Batch& batch, const std::string& prefix, uint64_t operations, size_t content_bytes, uint32_t dimensions) {
  batch.Clear();
  const std::string content(content_bytes, 'c');
  for (uint64_t i = 0; i < operations; ++i) {
    test::Memory memory;
    memory.id = prefix + std::to_string(i);
    memory.embedding = test::EmbeddingOf(i, dimensions);
    memory.content = content;
    batch.Put(test::PutInputOf(memory), true);
  }
}

uint64_t SegmentsOf(Store& store) {
  const Result<StoreStats> stats = store.Stats();
  EXPECT_OK(stats);
  return stats.ok() ? stats->segments : 0;
}

// Goal: no livelock, and no segment wasted for each attempt. Method: four threads, of two participants, commit batches
// of more than half a segment at the same time; a batch needs a segment, is closed out a few times at most, then goes
// on with the turn.
TEST(StoreTurn, LargeWritersGetOnBesideEachOther) {
  constexpr uint64_t kOperations = kSegmentSlotsMax / 2 + 100;
  constexpr uint64_t kBatches = 4;
  constexpr uint64_t kWriters = 4;
  test::StoreFixture store(kDimensions);
  ASSERT_OK(store.Open());
  auto other = Store::Open(store.path(), store.options);
  ASSERT_OK(other);
  Store* stores[] = {&*store, other->get()};
  test::RunThreads(kWriters, [&](int thread) {
    Store& mine = *stores[thread % 2];
    Batch batch(mine.hash_key());
    for (uint64_t turn = 0; turn < kBatches; ++turn) {
      Stage(batch, std::to_string(thread) + "/" + std::to_string(turn) + "/", kOperations, 8, kDimensions);
      EXPECT_OK(mine.Commit(batch, test::kLockTimeout));
    }
  });
  EXPECT_EQ(store->size(), kWriters * kBatches * kOperations);
  const uint64_t segments = SegmentsOf(*store);
  std::printf("       %llu batches took %llu segments\n", static_cast<unsigned long long>(kWriters * kBatches),
              static_cast<unsigned long long>(segments));
  EXPECT_LE(segments, 2 + 3 * kWriters * kBatches);  // 29 to 35 were seen, without the turn hundreds
  test::ExpectWhole(*store);
  EXPECT_OK((*other)->Close());
}

// Goal: small writers do not starve a large one, neither of slots nor of log. Method: they write without pause while
// one thread commits batches that need a segment of their own: more operations than a usual one has slots, and more
// bytes than its log has.
TEST(StoreTurn, SmallWritersDoNotStarveALargeOne) {
  constexpr int kSmall = 2;
  test::StoreFixture store(kFewDimensions);
  ASSERT_OK(store.Open());
  std::atomic<bool> done{false};
  uint64_t worst = 0;
  test::RunThreads(kSmall + 1, [&](int thread) {
    if (thread < kSmall) {
      for (uint64_t i = 0; !done.load(); ++i) {
        EXPECT_OK(test::PutText(*store, std::to_string(thread) + "-" + std::to_string(i % 1000), "small"));
      }
      return;
    }
    Batch batch(store->hash_key());
    const auto commit = [&](const std::string& prefix, uint64_t operations, size_t content_bytes) {
      Stage(batch, prefix, operations, content_bytes, kFewDimensions);
      const uint64_t begin = io::NowMonotonicMicroseconds();
      EXPECT_OK(store->Commit(batch, test::kLockTimeout));
      worst = std::max(worst, io::NowMonotonicMicroseconds() - begin);
    };
    for (int turn = 0; turn < 2; ++turn) {
      commit("slots-" + std::to_string(turn) + "-", kSegmentSlotsMax + 5000, 0);
      commit("bytes-" + std::to_string(turn) + "-", 40, 1 << 20);
    }
    done.store(true);
  });
  std::printf("       the large writer's worst commit took %llu ms\n", static_cast<unsigned long long>(worst / 1000));
  EXPECT_EQ(test::Get(*store, "slots-1-7")->sequence, test::Get(*store, "slots-1-6")->sequence + 1);
  test::ExpectWhole(*store);
}

TEST(StoreTurn, ADeadOwnersTurnAndReservationAreNobodys) {
  test::StoreFixture store(1);
  ASSERT_OK(store.Open());
  ASSERT_OK(test::PutText(*store, "a", "1"));
  auto other = Store::Open(store.path(), store.options);
  ASSERT_OK(other);
  const test::SessionByHand session(store.path());
  StoreRelease(session->turn_lock, session.WordOf(2));
  // Everything of the open segment's log: whoever writes has to close it, and for that the turn is needed.
  StoreRelease(session->turn_reserved, (uint64_t{1} << 32) | (uint64_t{1} << 28));
  Batch batch(store->hash_key());
  test::Memory memory;
  memory.id = "b";
  batch.Put(test::PutInputOf(memory), true);
  EXPECT_ERROR(store->Commit(batch, 60000), ErrorCode::kBusy);
  other->reset();
  EXPECT_OK(store->Commit(batch, test::kLockTimeout));
  EXPECT_EQ(LoadAcquire(session->turn_lock), 0u);
  EXPECT_EQ(LoadAcquire(session->turn_reserved), 0u);
  EXPECT_EQ(store->LogTail().segment(), SegmentNumber{2});
  test::ExpectWhole(*store);
}

}  // namespace
}  // namespace thermocline::store

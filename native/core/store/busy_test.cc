// Whatever needs a lock that another participant keeps is busy after its time and changed nothing; it passes when the
// lock is free.
//
// Goal: R5's bound on every wait. Method: the lock's word names another participant, who lives and never releases it.

#include <atomic>
#include <functional>

#include "test/session_fixture.h"

namespace thermocline::store {
namespace {

using test::Memory;
using test::SessionByHand;

constexpr uint64_t kPatience = 2000;
const std::atomic<bool> kNever{false};

Memory MemoryOf(uint64_t number, uint32_t dimensions = 1) {
  Memory memory;
  memory.id = "m" + std::to_string(number);
  memory.embedding = test::EmbeddingOf(number, dimensions);
  return memory;
}

/// A store in which nothing is done by a helper, and another participant of it.
class Pair {
 public:
  explicit Pair(
      const std::function<void(OpenOptions&)>& change = [](OpenOptions&) {}, uint32_t dimensions = 1)
      : fixture(dimensions) {
    fixture.options.with_helper = false;
    change(fixture.options);
    EXPECT_OK(fixture.Open());
    Result<std::shared_ptr<Store>> other = Store::Open(fixture.path(), fixture.options);
    EXPECT_OK(other);
    if (other.ok()) other_ = *other;
  }
  ~Pair() {
    if (other_ != nullptr) EXPECT_OK(other_->Close());
  }

  /// Expects of `run` that it is busy while the other keeps the lock, and passes afterwards.
  void ExpectBusyWhile(uint32_t format::SessionWords::*word, const std::function<Status()>& run) {
    const SessionByHand session(fixture.path());
    StoreRelease((*session.operator->()).*word, session.WordOf(2));
    const Sequence sequence = fixture->sequence();
    EXPECT_ERROR(run(), ErrorCode::kBusy);
    EXPECT_EQ(fixture->sequence(), sequence);
    test::ExpectWhole(*fixture);
    StoreRelease((*session.operator->()).*word, uint32_t{0});
    EXPECT_OK(run());
    test::ExpectWhole(*fixture);
  }
  Status Put(const Memory& memory, uint64_t timeout_us) {
    Batch batch(fixture->hash_key());
    batch.Put(test::PutInputOf(memory), false);
    return fixture->Commit(batch, timeout_us).status();
  }

  test::StoreFixture fixture;

 private:
  std::shared_ptr<Store> other_;
};

TEST(Busy, AreTheFirstWritesOfASessionWhileGrowthIsKept) {
  Pair closed;
  ASSERT_OK(closed.Put(MemoryOf(0), test::kLockTimeout));
  for (const bool compacts : {false, true}) {
    // The marker of a clean close is there again, and has to go first.
    {
      const SessionByHand session(closed.fixture.path());
      StoreRelease(session->marker_removed, uint32_t{0});
    }
    closed.ExpectBusyWhile(&format::SessionWords::growth_lock, [&] {
      if (compacts) return closed.fixture->Compact(kPatience, kNever).status();
      return closed.Put(MemoryOf(1), kPatience);
    });
  }
}

TEST(Busy, IsAWriterWhoseIndexIsFullWhileGrowthIsKept) {
  // Fewer cells than slots, so that no segment has to be made first.
  Pair pair([](OpenOptions& options) { options.expected_records = 300; });
  const uint64_t usable = UsableCells(pair.fixture->Index().cells);
  for (uint64_t i = 0; i < usable; ++i) ASSERT_OK(pair.Put(MemoryOf(i), test::kLockTimeout));
  ASSERT_EQ(pair.fixture->Stats()->segments, 1u);
  pair.ExpectBusyWhile(&format::SessionWords::growth_lock, [&] { return pair.Put(MemoryOf(usable), kPatience); });
  EXPECT_GT(UsableCells(pair.fixture->Index().cells), usable);
  EXPECT_EQ(pair.fixture->size(), usable + 1);
}

TEST(Busy, IsAFlushOfWhatWasMadeWithoutSyncsWhileGrowthIsKept) {
  Pair pair;
  ASSERT_OK(pair.Put(MemoryOf(0), test::kLockTimeout));
  pair.ExpectBusyWhile(&format::SessionWords::growth_lock, [&] { return pair.fixture->Flush(kPatience); });
  EXPECT_EQ(pair.fixture->Stats()->durable_sequence, 1u);
}

TEST(Busy, AreWritersWithoutRoomWhileSpaceIsKept) {
  constexpr uint32_t kWide = 96;
  constexpr uint64_t kRows = 200;  // so many are written into the file
  Pair pair([](OpenOptions&) {}, kWide);
  pair.ExpectBusyWhile(&format::SessionWords::space_lock, [&] { return pair.Put(MemoryOf(0, kWide), kPatience); });
  std::vector<Memory> memories;
  std::vector<float> rows;
  for (uint64_t i = 1; i <= kRows; ++i) {
    memories.push_back(MemoryOf(i, kWide));
    rows.insert(rows.end(), memories.back().embedding.begin(), memories.back().embedding.end());
  }
  pair.ExpectBusyWhile(&format::SessionWords::space_lock, [&] {
    Batch batch(pair.fixture->hash_key());
    for (const Memory& memory : memories) batch.Put(test::PutInputOf(memory), false);
    batch.SetRows(rows.data());
    return pair.fixture->Commit(batch, kPatience).status();
  });
  EXPECT_EQ(pair.fixture->size(), kRows + 1);
}

TEST(Busy, AreCommitsFlushesCompactionsAndRotationsWhileTheirLocksAreKept) {
  Pair pair;
  ASSERT_OK(pair.Put(MemoryOf(0), test::kLockTimeout));
  pair.ExpectBusyWhile(&format::SessionWords::write_lock, [&] { return pair.Put(MemoryOf(1), kPatience); });
  pair.ExpectBusyWhile(&format::SessionWords::flush_lock, [&] { return pair.fixture->Flush(kPatience); });
  pair.ExpectBusyWhile(&format::SessionWords::compact_lock,
                       [&] { return pair.fixture->Compact(kPatience, kNever).status(); });
  Memory large = MemoryOf(2);
  large.content = std::string(2u << 20, 'x');  // does not fit the open log
  pair.ExpectBusyWhile(&format::SessionWords::turn_lock, [&] { return pair.Put(large, kPatience); });
  EXPECT_EQ(pair.fixture->size(), 3u);
}

}  // namespace
}  // namespace thermocline::store

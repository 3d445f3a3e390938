// R4: a commit whose owner died before it was applied is applied by whoever comes next, once or twice, to the same end.
//
// Death is played by putting back, byte by byte, what the last commit had changed after its step 6: the cache file and
// the three rebuilt columns as they were before it, but for the words that steps 1 to 6 moved.

#include <algorithm>
#include <atomic>

#include "core/io/file.h"
#include "test/session_fixture.h"

namespace thermocline::store {
namespace {

using test::Memory;
using test::SessionByHand;

void OverwriteFront(const std::string& path, const std::string& bytes) {
  std::fstream(path, std::ios::binary | std::ios::in | std::ios::out) << bytes;
}

/// What of a store steps 7 and 8 may change.
class Unapplied {
 public:
  explicit Unapplied(const test::StoreFixture& store) : store_(store) {
    cache_ = test::ReadFileBytes(store.Join("cache"));
    for (const auto& entry : std::filesystem::directory_iterator(store.path())) {
      if (entry.path().extension() != ".blocks") continue;
      const std::string bytes = test::ReadFileBytes(entry.path());
      format::BlocksHeader header;
      std::memcpy(&header, bytes.data(), sizeof header);
      columns_[entry.path()] = bytes.substr(0, header.created_at_offset);
    }
  }

  /// Puts back some of: words, index, columns. `parts` is a bit set: each a place that the owner had not reached.
  void PutBack(uint64_t parts) const {
    const test::BootWordsByHand words(store_.path());
    ASSERT_TRUE(words.mapped());
    format::BootWords before;
    std::memcpy(&before, cache_.data() + format::kBootWordsOffset, sizeof before);
    // Index generations are another test's.
    ASSERT_EQ(words->index, before.index);
    words->applied = before.applied;
    words->last_frame = before.last_frame;
    if ((parts & 1) != 0) {
      words->last_frame_crc = before.last_frame_crc;
      words->size = before.size;
      words->batches = before.batches;
      words->index_used = before.index_used;
      words->dead_bytes = before.dead_bytes;
    }
    if ((parts & 2) != 0) {
      std::fstream cache(store_.Join("cache"), std::ios::binary | std::ios::in | std::ios::out);
      cache.seekp(format::kIndexOffset);
      cache << cache_.substr(format::kIndexOffset);
    }
    if ((parts & 4) != 0) {
      for (const auto& [path, bytes] : columns_) OverwriteFront(path, bytes);
    }
  }

 private:
  const test::StoreFixture& store_;
  std::string cache_;
  std::map<std::string, std::string> columns_;
};

constexpr uint64_t kIds = 12;

void StageRandom(Batch& batch, Random& random, uint32_t dimensions) {
  for (uint64_t left = 1 + random.Below(6); left > 0; --left) {
    Memory memory;
    memory.id = std::to_string(random.Below(kIds));
    const uint64_t choice = random.Below(4);
    if (choice == 0) {
      batch.Delete(memory.id, true);
    } else if (choice == 1) {
      PatchInput patch;
      patch.id = memory.id;
      patch.set_confidence = true;
      patch.confidence = 0.5;
      batch.Update(patch, true);
    } else {
      memory.embedding = test::EmbeddingOf(random.Next(), dimensions);
      memory.content = std::to_string(random.Next());
      batch.Put(test::PutInputOf(memory), true);
    }
  }
}

std::vector<std::optional<Memory>> Contents(Store& store) {
  std::vector<std::optional<Memory>> contents;
  for (uint64_t id = 0; id < kIds; ++id) contents.push_back(test::Get(store, std::to_string(id)));
  return contents;
}

TEST(StoreRepair, AnUnappliedCommitIsAppliedByTheNextOpenerOnceOrTwiceToTheSameEnd) {
  Random random(TestSeed());
  for (uint64_t run = 0; run < 60 * TestScale(); ++run) {
    test::StoreFixture store(2);
    ASSERT_OK(store.Open());
    Batch batch(store->hash_key());
    // The very first frame of a store, the first of a segment, and frames in the middle.
    const uint64_t frames = run % 3 == 0 ? 0 : run % 3 == 1 ? 256 : random.Below(200);
    for (uint64_t i = 0; i < frames; ++i) {
      if (run % 3 == 1) {
        ASSERT_OK(test::PutText(*store, std::to_string(i % kIds), "filling"));
        continue;
      }
      batch.Clear();
      StageRandom(batch, random, 2);
      ASSERT_OK(store->Commit(batch, test::kLockTimeout));
    }
    ASSERT_OK(store.Reopen());  // no helper that changes files meanwhile
    const Unapplied unapplied(store);
    batch.Clear();
    Memory memory;
    memory.id = "0";
    batch.Put(test::PutInputOf(memory), true);
    StageRandom(batch, random, 2);
    ASSERT_OK(store->Commit(batch, test::kLockTimeout));
    const auto contents = Contents(*store);
    const Sequence sequence = store->sequence();
    const uint64_t size = store->size();
    const uint64_t used = store->Index().used;
    for (int turn = 0; turn < 2; ++turn) {
      store.Kill();
      unapplied.PutBack(turn == 0 ? 7 : random.Below(8));
      ASSERT_OK(store.Open());
      EXPECT_FALSE(store.Recovered());
      EXPECT_EQ(store->sequence(), sequence);
      EXPECT_EQ(store->size(), size);
      EXPECT_EQ(store->Index().used, used);
      EXPECT_TRUE(Contents(*store) == contents);
      test::ExpectWhole(*store);
    }
    ASSERT_OK(test::PutText(*store, "0", "and on"));
    store.Kill();
    std::filesystem::remove(store.Join("cache"));
    ASSERT_OK(store.Open());
    test::ExpectWhole(*store);
  }
}

// Goal: R5 and R4 among the living. Method: one of two participants leaves with the lock held and its commit not
// applied; the other reads the old version until it writes, which repairs.
TEST(StoreRepair, ADeadOwnersCommitIsAppliedByTheNextWriter) {
  test::StoreFixture store(2);
  ASSERT_OK(store.Open());
  ASSERT_OK(test::PutText(*store, "a", "old"));
  auto other = Store::Open(store.path(), store.options);
  ASSERT_OK(other);
  const SessionByHand session(store.path());
  const uint32_t word = session.WordOf(2);
  ASSERT_OK(test::PutText(**other, "a", "new"));
  ASSERT_OK(test::PutText(*store, "warm", "up"));
  const Unapplied unapplied(store);
  ASSERT_OK(test::PutText(**other, "a", "newest"));
  session->write_lock = word;
  unapplied.PutBack(5);  // the index names the new record already, which must not be seen before `applied` moves
  // Alive: the lock is busy, and reading does not care.
  Batch batch(store->hash_key());
  batch.Delete("warm", false);
  EXPECT_ERROR(store->Commit(batch, 60000), ErrorCode::kBusy);
  EXPECT_EQ(test::Get(*store, "a")->content.value_or(""), "new");
  other->reset();
  EXPECT_EQ(test::Get(*store, "a")->content.value_or(""), "new");
  const Result<Sequence> sequence = store->Commit(batch, test::kLockTimeout);
  ASSERT_OK(sequence);
  EXPECT_EQ(*sequence, 5u);
  EXPECT_EQ(test::Get(*store, "a")->content.value_or(""), "newest");
  test::ExpectWhole(*store);
}

// Goal: repair takes nothing back that readers saw. Method: a dead owner's lock is found again and again after a frame
// that holds one id many times; a reader must never see any but its last record.
TEST(StoreRepair, AVisibleCommitIsNotAppliedAgainUnderItsReaders) {
  test::StoreFixture store(1);
  ASSERT_OK(store.Open());
  auto other = Store::Open(store.path(), store.options);
  ASSERT_OK(other);
  Batch batch(store->hash_key());
  for (int i = 0; i < 20000; ++i) {
    Memory memory;
    memory.id = "a";
    memory.created_at = i;
    batch.Put(test::PutInputOf(memory), true);
  }
  ASSERT_OK(store->Commit(batch, test::kLockTimeout));
  const SessionByHand session(store.path());
  const uint32_t word = session.WordOf(2);
  other->reset();
  std::atomic<bool> done{false};
  std::thread reader([&] {
    while (!done.load()) EXPECT_EQ(test::Get(*store, "a")->created_at, 19999.0);
  });
  for (int i = 0; i < 5; ++i) {
    StoreRelease(session->write_lock, word);
    EXPECT_OK(test::Delete(*store, "absent"));
  }
  done.store(true);
  reader.join();
}

// Goal: who takes a dead owner's number is not taken for the owner. Method: the number's next holder wants the lock.
TEST(StoreRepair, ADeadOwnersLockIsTakenByWhoeverGotItsNumber) {
  test::StoreFixture store(2);
  ASSERT_OK(store.Open());
  auto other = Store::Open(store.path(), store.options);
  ASSERT_OK(other);
  ASSERT_OK(test::PutText(**other, "a", "1"));
  const SessionByHand session(store.path());
  session->write_lock = session.WordOf(2);
  session->growth_lock = session.WordOf(2);
  other->reset();
  auto next = Store::Open(store.path(), store.options);
  ASSERT_OK(next);
  Batch batch((*next)->hash_key());
  batch.Delete("a", false);
  EXPECT_OK((*next)->Commit(batch, 300000));
  EXPECT_EQ(store->size(), 0u);
  EXPECT_OK((*next)->Close());
}

// Goal: a list that was renamed in but not published is found. Method: the publication is taken back by hand and its
// owner dies with the growth lock; a newcomer, who read the new list, goes on in the new segment, the old one follows.
TEST(StoreRepair, AListThatItsOwnerDidNotPublishIsPublishedByTheNextOwnerOfGrowth) {
  test::StoreFixture store(1);
  ASSERT_OK(store.Open());
  ASSERT_OK(test::PutText(*store, "first", "1"));
  auto other = Store::Open(store.path(), store.options);
  ASSERT_OK(other);
  for (int i = 0; i < 200; ++i) ASSERT_OK(test::PutText(**other, std::to_string(i), "1"));
  (*other)->MakeSpaceAhead();
  ASSERT_EQ((*other)->Stats()->segments, 2u);
  const SessionByHand session(store.path());
  const uint32_t word = session.WordOf(2);
  other->reset();
  session->growth_lock = word;
  {
    const test::BootWordsByHand words(store.path());
    words->list_generation -= 1;
  }
  auto newcomer = Store::Open(store.path(), store.options);
  ASSERT_OK(newcomer);
  for (int i = 200; i < 300; ++i) ASSERT_OK(test::PutText(**newcomer, std::to_string(i), "1"));
  ASSERT_OK(test::PutText(*store, "last", "1"));
  EXPECT_EQ(store->size(), 302u);
  for (int i = 0; i < 300; ++i) EXPECT_TRUE(test::Get(*store, std::to_string(i)).has_value());
  test::ExpectWhole(*store);
  EXPECT_OK((*newcomer)->Close());
}

// Goal: a publication that comes late, because its list was read without the growth lock, hides no newer list. Method:
// the newer one is published by hand before the older.
TEST(StoreRepair, AListThatWasOvertakenDoesNotSetTheGenerationBack) {
  test::StoreFixture store(1);
  ASSERT_OK(store.Open());
  ASSERT_OK(test::PutText(*store, "first", "1"));
  const test::BootWordsByHand words(store.path());
  const uint64_t newer = words->list_generation + 100;
  StoreRelease(words->list_generation, newer);
  for (int i = 0; i < 200; ++i) ASSERT_OK(test::PutText(*store, std::to_string(i), "1"));
  store->MakeSpaceAhead();
  EXPECT_EQ(store->Stats()->segments, 2u);
  EXPECT_EQ(LoadAcquire(words->list_generation), newer);
}

TEST(StoreRepair, APoisonedStoreRefusesEveryWriteAndStillReads) {
  test::StoreFixture store(1);
  ASSERT_OK(store.Open());
  ASSERT_OK(test::PutText(*store, "a", "1"));
  const test::BootWordsByHand words(store.path());
  words->poison = 1;
  EXPECT_ERROR(test::PutText(*store, "b", "1"), ErrorCode::kPoisoned);
  EXPECT_ERROR(test::Delete(*store, "a"), ErrorCode::kPoisoned);
  EXPECT_ERROR(store->Flush(test::kLockTimeout), ErrorCode::kPoisoned);
  EXPECT_TRUE(test::Get(*store, "a").has_value());
  ASSERT_OK(store.Reopen());  // the same boot
  EXPECT_ERROR(test::PutText(*store, "b", "1"), ErrorCode::kPoisoned);
  EXPECT_TRUE(test::Get(*store, "a").has_value());
  words->poison = 0;
  EXPECT_OK(test::PutText(*store, "b", "1"));
}

}  // namespace
}  // namespace thermocline::store

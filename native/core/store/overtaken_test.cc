// Words of the open segment that others have used up or taken over: who writes next goes on in another segment.
//
// They come about by rotations that fail again and again, on a full disk or with growth kept by others; here they are
// written by hand.

#include "core/store/claim.h"
#include "test/session_fixture.h"

namespace thermocline::store {
namespace {

using test::Memory;

constexpr uint32_t kDimensions = 96;
constexpr uint64_t kRows = 200;  // so many are written into the file
constexpr uint64_t kYounger = 1 + format::kSpaceWords;

Memory MemoryOf(uint64_t number) {
  Memory memory;
  memory.id = "m" + std::to_string(number);
  memory.embedding = test::EmbeddingOf(number, kDimensions);
  return memory;
}

void ExpectFilled(Store& store, uint64_t count) {
  EXPECT_EQ(store.size(), count);
  for (uint64_t i = 0; i < count; ++i) {
    const std::optional<Memory> found = test::Get(store, "m" + std::to_string(i));
    ASSERT_TRUE(found.has_value());
    EXPECT_TRUE(found->embedding == MemoryOf(i).embedding);
  }
  test::ExpectWhole(store);
}

// Goal: writers whose claims found no room for very long never carry into the number of the segment. Method: the word
// is far beyond any segment; the next writer opens another one, or is busy when it cannot, and the word goes no
// further.
TEST(Overtaken, AClaimFarBeyondItsSegmentIsLeftForTheNextOne) {
  test::StoreFixture store(kDimensions);
  store.options.with_helper = false;
  ASSERT_OK(store.Open());
  ASSERT_OK(test::Put(*store, MemoryOf(0)));
  Result<std::shared_ptr<Store>> other = Store::Open(store.path(), store.options);
  ASSERT_OK(other);
  const test::BootWordsByHand words(store.path());
  const test::SessionByHand session(store.path());
  const uint64_t far = MakeClaim(1, UINT32_MAX - 3);
  StoreRelease(words->claim, far);
  StoreRelease(session->growth_lock, session.WordOf(2));
  Batch batch(store->hash_key());
  for (uint64_t i = 1; i <= 5; ++i) batch.Put(test::PutInputOf(MemoryOf(i)), true);
  EXPECT_ERROR(store->Commit(batch, 1000), ErrorCode::kBusy);
  EXPECT_EQ(LoadAcquire(words->claim), far);
  StoreRelease(session->growth_lock, uint32_t{0});
  ASSERT_OK(store->Commit(batch, test::kLockTimeout));
  EXPECT_EQ(ClaimSegment(LoadAcquire(words->claim)), 2u);
  ExpectFilled(*store, 6);
  EXPECT_OK((*other)->Close());
}

/// Commits the memory with the number and, as rows of one array, as many more as it takes to write them into the file.
Status PutRows(Store& store, uint64_t first) {
  std::vector<Memory> memories;
  std::vector<float> rows;
  Batch batch(store.hash_key());
  for (uint64_t i = first; i < first + kRows; ++i) {
    memories.push_back(MemoryOf(i));
    rows.insert(rows.end(), memories.back().embedding.begin(), memories.back().embedding.end());
  }
  for (const Memory& memory : memories) batch.Put(test::PutInputOf(memory), false);
  batch.SetRows(rows.data());
  return store.Commit(batch, test::kLockTimeout).status();
}

// Goal: zeros are never written over blocks that nobody knows to be there. Method: a younger segment has the place
// among the words of what is backed; each kind of writer then goes on in another segment, in a store that was left as
// by a killed process too, whose words are believed all the same.
TEST(Overtaken, ASegmentWhoseWordsAYoungerOneTookIsLeftAsItIs) {
  enum class Takes { kSlots, kLog, kBoth };
  for (const bool reopened : {false, true}) {
    for (const Takes takes : {Takes::kSlots, Takes::kLog, Takes::kBoth}) {
      for (const bool by_rows : {false, true}) {
        test::StoreFixture store(kDimensions);
        store.options.with_helper = false;
        ASSERT_OK(store.Open());
        uint64_t count = 0;
        for (; count < 10; ++count) ASSERT_OK(test::Put(*store, MemoryOf(count)));
        const test::BootWordsByHand words(store.path());
        if (takes != Takes::kLog) StoreRelease(words->slots_ready[1], MakeClaim(kYounger, 0));
        if (takes != Takes::kSlots) StoreRelease(words->log_ready[1], MakeClaim(kYounger, 0));
        if (reopened) {
          store.Kill();
          ASSERT_OK(store.Open());
          EXPECT_FALSE(store.Recovered());
        }
        ExpectFilled(*store, count);
        store->MakeSpaceAhead();
        ExpectFilled(*store, count);
        if (by_rows) {
          ASSERT_OK(PutRows(*store, count));
          count += kRows;
        } else {
          ASSERT_OK(test::Put(*store, MemoryOf(count++)));
        }
        EXPECT_EQ(ClaimSegment(LoadAcquire(words->claim)), 2u);
        ExpectFilled(*store, count);
        store.Kill();
        std::filesystem::remove(store.Join("cache"));
        ASSERT_OK(store.Open());
        ExpectFilled(*store, count);
      }
    }
  }
}

}  // namespace
}  // namespace thermocline::store

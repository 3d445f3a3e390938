// A snapshot is exactly one moment, for the log and for search alike.
//
// Accounts hold units; every frame moves one unit from one account to another, an account without units is deleted.
// At each moment the units sum to the same.

#include <atomic>
#include <set>

#include "core/search/search.h"
#include "test/store_fixture.h"

namespace thermocline::search {
namespace {

using namespace store;  // NOLINT: a test of both

using test::Memory;

constexpr int kAccounts = 12;
constexpr uint64_t kUnits = 40;
constexpr uint32_t kDimensions = 4;

Memory Account(int number, uint64_t units) {
  Memory memory;
  memory.id = "account-" + std::to_string(number);
  memory.embedding = test::EmbeddingOf(static_cast<uint64_t>(number) * 1000 + units, kDimensions);
  memory.content = std::to_string(units);
  return memory;
}

void StageAccount(Batch& batch, const Memory& account, uint64_t units, Sequence expected) {
  if (units == 0) {
    batch.Delete(account.id, true, static_cast<int64_t>(expected));
  } else {
    batch.Put(test::PutInputOf(account), true, static_cast<int64_t>(expected));
  }
}

uint64_t UnitsOf(const std::optional<Memory>& memory) {
  return memory ? std::stoull(memory->content.value_or("0")) : 0;
}

Sequence SequenceOf(const std::optional<Memory>& memory) { return memory ? memory->sequence : 0; }

/// Moves one unit, if nobody was in between.
void MoveOneUnit(Store& store, Batch& batch, Random& random) {
  const int source = static_cast<int>(random.Below(kAccounts));
  const int target = static_cast<int>((static_cast<uint64_t>(source) + 1 + random.Below(kAccounts - 1)) % kAccounts);
  const std::optional<Memory> from = test::Get(store, Account(source, 0).id);
  const std::optional<Memory> to = test::Get(store, Account(target, 0).id);
  if (!from) return;
  batch.Clear();
  StageAccount(batch, Account(source, UnitsOf(from) - 1), UnitsOf(from) - 1, from->sequence);
  StageAccount(batch, Account(target, UnitsOf(to) + 1), UnitsOf(to) + 1, SequenceOf(to));
  const Result<Sequence> result = store.Commit(batch, test::kLockTimeout);
  if (!result.ok()) EXPECT_ERROR(result, ErrorCode::kConflict);
}

/// What a snapshot holds, by the log: the memories whose slots belong to it.
void ExpectOneMomentByCursor(Store& store, Sequence since) {
  Result<Snapshot> snapshot = store.TakeSnapshot();
  ASSERT_OK(snapshot);
  LogCursor cursor(store, *snapshot, since);
  std::set<std::string> seen;
  uint64_t units = 0;
  Sequence expected = since + 1;
  for (;;) {
    Result<std::optional<LogCursor::Item>> item = cursor.Next();
    ASSERT_OK(item);
    if (!item->has_value()) break;
    const MemoryRef& memory = (*item)->memory;
    EXPECT_EQ(memory.record.header.sequence, expected);
    ++expected;
    if (memory.record.kind() == format::RecordKind::kDelete) continue;
    if (!snapshot->Holds(*memory.segment, memory.record.slot())) continue;
    EXPECT_TRUE(seen.insert(std::string(memory.record.id)).second);
    units += std::stoull(std::string(memory.record.content));
  }
  EXPECT_EQ(expected, snapshot->sequence + 1);
  if (since == 0) EXPECT_EQ(units, kUnits);
}

void ExpectOneMomentBySearch(Store& store) {
  const std::atomic<bool> cancel{false};
  const std::vector<float> query = {1, -1, 1, -1};
  const auto hits = Search(store, {query, 2 * kAccounts}, cancel);
  ASSERT_OK(hits);
  std::set<std::string> seen;
  uint64_t units = 0;
  for (const SearchHit& hit : *hits) {
    const Result<MemoryRef> memory = store.ReadAt(hit.position);
    ASSERT_OK(memory);
    EXPECT_EQ(memory->record.header.sequence, hit.sequence);
    EXPECT_TRUE(seen.insert(std::string(memory->record.id)).second);
    units += std::stoull(std::string(memory->record.content));
  }
  EXPECT_EQ(units, kUnits);
}

TEST(StoreSnapshot, IsExactlyOneMomentWhileOthersWrite) {
  test::StoreFixture store(kDimensions);
  ASSERT_OK(store.Open());
  ASSERT_OK(test::Put(*store, Account(0, kUnits)));
  std::atomic<int> writing{2};
  test::RunThreads(4, [&](int thread) {
    Random random(TestSeed() + static_cast<uint64_t>(thread));
    if (thread < 2) {
      Batch batch(store->hash_key());
      for (uint64_t round = 0; round < 10000 * TestScale(); ++round) MoveOneUnit(*store, batch, random);
      writing.fetch_sub(1);
      return;
    }
    while (writing.load() > 0) {
      if (thread == 2) {
        const Sequence present = store->sequence();
        ExpectOneMomentByCursor(*store, random.Below(4) == 0 ? random.Below(present + 1) : 0);
      } else {
        ExpectOneMomentBySearch(*store);
      }
    }
  });
  test::ExpectWhole(*store);
}

TEST(StoreSnapshot, StaysTheSameMomentWhateverIsWrittenAfterwards) {
  test::StoreFixture store(kDimensions);
  ASSERT_OK(store.Open());
  for (int i = 0; i < 600; ++i) ASSERT_OK(test::PutText(*store, std::to_string(i), "old"));
  Result<Snapshot> snapshot = store->TakeSnapshot();
  ASSERT_OK(snapshot);
  for (int i = 0; i < 600; ++i)
    ASSERT_OK(i % 3 == 0 ? test::Delete(*store, std::to_string(i)) : test::PutText(*store, std::to_string(i), "new"));
  LogCursor cursor(*store, *snapshot, 0);
  int held = 0;
  for (;;) {
    Result<std::optional<LogCursor::Item>> item = cursor.Next();
    ASSERT_OK(item);
    if (!item->has_value()) break;
    EXPECT_TRUE(snapshot->Holds(*(*item)->memory.segment, (*item)->memory.record.slot()));
    EXPECT_EQ((*item)->memory.record.content, "old");
    ++held;
  }
  EXPECT_EQ(held, 600);
}

}  // namespace
}  // namespace thermocline::search

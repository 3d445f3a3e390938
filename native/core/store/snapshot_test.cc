// A snapshot is exactly one moment, and the log is readable from anywhere without a gap.
//
// Accounts hold units; every frame moves one unit from one account to another, an account without units is deleted.
// At each moment the units sum to the same.

#include <atomic>
#include <set>

#include "core/search/exact.h"
#include "test/store_fixture.h"

namespace thermocline::store {
namespace {

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
  const auto hits = search::SearchExact(store, query, 2 * kAccounts, std::nullopt, cancel);
  ASSERT_OK(hits);
  std::set<std::string> seen;
  uint64_t units = 0;
  for (const search::SearchHit& hit : *hits) {
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

TEST(StoreChanges, FromAnySequenceAreTheRestOfAllRecords) {
  test::StoreFixture store(1);
  ASSERT_OK(store.Open());
  Random random(TestSeed());
  std::vector<std::pair<format::RecordKind, std::string>> written;
  Batch batch(store->hash_key());
  while (written.size() < 2000) {
    batch.Clear();
    const uint64_t count = 1 + random.Below(20);
    for (uint64_t i = 0; i < count; ++i) {
      Memory memory;
      memory.id = std::to_string(written.size());
      batch.Put(test::PutInputOf(memory), true);
      written.emplace_back(format::RecordKind::kPut, memory.id);
    }
    ASSERT_OK(store->Commit(batch, test::kLockTimeout));
    const std::string victim = written.back().second;
    ASSERT_OK(test::Delete(*store, victim));
    written.emplace_back(format::RecordKind::kDelete, victim);
    if (random.Below(40) == 0) {
      ASSERT_OK(store.Close());
      if (random.Below(2) == 0) std::filesystem::remove(store.Join("cache"));
      ASSERT_OK(store.Open());
    }
  }
  // Anywhere, and around the first record of each segment, where a cursor may start.
  std::vector<Sequence> starts = {0, written.size()};
  SegmentNumber segment = SegmentNumber::kNone;
  for (const LogRecord& record : test::AllRecords(*store)) {
    if (record.position.segment() != segment && record.sequence > 2) {
      for (const Sequence before : {2u, 1u, 0u}) starts.push_back(record.sequence - before);
    }
    segment = record.position.segment();
  }
  for (int i = 0; i < 40; ++i) starts.push_back(random.Below(written.size()));
  for (const Sequence since : starts) {
    const std::vector<LogRecord> records = test::AllRecords(*store, since);
    ASSERT_EQ(records.size(), written.size() - since);
    for (size_t at = 0; at < records.size(); ++at) {
      EXPECT_EQ(records[at].sequence, since + at + 1);
      EXPECT_TRUE(records[at].kind == written[since + at].first && records[at].id == written[since + at].second);
    }
  }
  EXPECT_ERROR(store->Changes(written.size() + 1, 1), ErrorCode::kChangesGone);
  const Result<std::vector<LogRecord>> some = store->Changes(5, 3);
  ASSERT_OK(some);
  EXPECT_EQ(some->size(), 3u);
}

}  // namespace
}  // namespace thermocline::store

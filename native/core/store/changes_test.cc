// The log is readable from any sequence on, without a gap.

#include "test/store_fixture.h"

namespace thermocline::store {
namespace {

using test::Memory;

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

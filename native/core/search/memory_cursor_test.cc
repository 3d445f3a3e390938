// A cursor gives every memory that its filter matches, in commit order, and goes on behind one that cannot be asked.

#include "core/search/memory_cursor.h"

#include "core/store/log_reader.h"
#include "test/store_fixture.h"

namespace thermocline::search {
namespace {

std::shared_ptr<const filter::Filter> Even() {
  Result<filter::Filter> filter = filter::Filter::Compile(R"({"metadata":{"even":{"eq":true}}})");
  EXPECT_OK(filter);
  return std::make_shared<const filter::Filter>(std::move(*filter));
}

std::vector<std::string> IdsOf(store::Store& store, Sequence since, std::shared_ptr<const filter::Filter> filter,
                               size_t* damaged) {
  Result<store::Snapshot> snapshot = store.TakeSnapshot();
  EXPECT_OK(snapshot);
  MemoryCursor cursor(store, *snapshot, since, std::move(filter));
  std::vector<std::string> ids;
  for (;;) {
    const Result<std::optional<store::MemoryRef>> next = cursor.Next();
    if (!next.ok()) {
      EXPECT_ERROR(next, ErrorCode::kCorrupt);
      if (++*damaged > 100) return ids;
      continue;
    }
    if (!next->has_value()) return ids;
    ids.emplace_back((*next)->record.id);
  }
}

TEST(MemoryCursor, GivesWhatMatchesAndSaysWhatCannotBeAsked) {
  test::StoreFixture store(1);
  ASSERT_OK(store.Open());
  for (int i = 0; i < 20; ++i) {
    test::Memory memory;
    memory.id = "m" + std::to_string(i);
    memory.metadata = i % 2 == 0 ? R"({"even":true})" : R"({"even":false})";
    ASSERT_OK(test::Put(*store, memory));
  }
  size_t damaged = 0;
  EXPECT_EQ(IdsOf(*store, 0, nullptr, &damaged).size(), 20u);
  const std::vector<std::string> even = IdsOf(*store, 10, Even(), &damaged);
  ASSERT_EQ(even.size(), 5u);
  EXPECT_EQ(even.front(), "m10");
  EXPECT_EQ(damaged, 0u);
  // JSON that no writer of ours made, under a checksum that holds.
  const Result<std::optional<store::MemoryRef>> found = store->Find("m12");
  ASSERT_OK(found);
  char* const record = (*found)->segment->log_data() + (*found)->log_offset;
  char* const metadata = record + ((*found)->record.metadata.data() - record);
  metadata[0] = 'x';
  const Position position((*found)->segment->number(), (*found)->log_offset);
  format::SealRecord(record, format::FrameSeed(store->salt(), position));
  EXPECT_EQ(IdsOf(*store, 10, Even(), &damaged).size(), 4u);
  EXPECT_EQ(damaged, 1u);
}

}  // namespace
}  // namespace thermocline::search

// Segment numbers are never used twice, so a store that is compacted for years has large ones, and few segments. What
// they lead to stays small, whatever number it is.

#include <atomic>

#include "core/format/meta.h"
#include "test/store_fixture.h"

namespace thermocline::store {
namespace {

const std::atomic<bool> kNever{false};

format::Meta MetaOf(const test::StoreFixture& store) {
  const std::string bytes = test::ReadFileBytes(store.Join("meta"));
  Result<format::Meta> meta = format::DecodeMeta(bytes);
  EXPECT_OK(meta);
  return meta.ok() ? *meta : format::Meta();
}

/// What a service does that wants deleted memories to be gone at once.
void Forget(Store& store, int turn) {
  ASSERT_OK(test::PutText(store, "kept", std::to_string(turn)));
  ASSERT_OK(test::PutText(store, "forgotten", "x"));
  ASSERT_OK(test::Delete(store, "forgotten"));
  ASSERT_OK(store.Compact(test::kLockTimeout, kNever));
}

TEST(SegmentNumbers, TheListDoesNotGrowWithTheNumberOfCompactions) {
  test::StoreFixture store(2);
  ASSERT_OK(store.Open());
  ASSERT_OK(test::PutText(*store, "other", "x"));
  for (int turn = 0; turn < 200; ++turn) {
    // One that is given up in the middle has taken a number, which nobody else gets.
    std::atomic<bool> cancel{false};
    CompactPolicy policy;
    policy.between = [&] { cancel.store(true); };
    ASSERT_OK(test::PutText(*store, "kept", "before"));
    const Result<CompactResult> given_up = store->Compact(test::kLockTimeout, cancel, policy);
    if (turn > 0) EXPECT_ERROR(given_up, ErrorCode::kAborted);
    Forget(*store, turn);
  }
  const format::Meta meta = MetaOf(store);
  EXPECT_GT(meta.next_segment, 400u);
  EXPECT_LE(meta.segments.size(), 4u);
  EXPECT_LE(meta.replaced.size(), 4u);
  EXPECT_EQ(test::Get(*store, "kept")->content.value_or(""), "199");
  EXPECT_TRUE(test::Get(*store, "other").has_value());
  test::ExpectWhole(*store);
}

TEST(SegmentNumbers, AreTakenUpToTheLastOfThem) {
  for (const uint32_t next : {4096u * 1024 - 2, UINT32_MAX - 40}) {
    test::StoreFixture store(2, Durability::kFlush);
    ASSERT_OK(store.Open());
    ASSERT_OK(test::PutText(*store, "first", "1"));
    ASSERT_OK(store.Close());
    format::Meta meta = MetaOf(store);
    meta.next_segment = next;
    test::WriteFileBytes(store.Join("meta"), format::EncodeMeta(meta));
    ASSERT_OK(store.Open());
    for (int turn = 0; turn < 5; ++turn) Forget(*store, turn);
    EXPECT_EQ(test::Get(*store, "first")->content.value_or(""), "1");
    test::ExpectWhole(*store);
    bool at_the_end = next < UINT32_MAX / 2;
    for (int turn = 0; !at_the_end && turn < 40; ++turn) {
      ASSERT_OK(test::PutText(*store, "forgotten", "x"));
      ASSERT_OK(test::Delete(*store, "forgotten"));
      const Result<CompactResult> compacted = store->Compact(test::kLockTimeout, kNever);
      at_the_end = !compacted.ok();
      if (at_the_end) EXPECT_ERROR(compacted, ErrorCode::kTooLarge);
    }
    EXPECT_TRUE(at_the_end);
    test::ExpectWhole(*store);
    store.Kill();
    std::filesystem::remove(store.Join("cache"));
    ASSERT_OK(store.Open());
    EXPECT_EQ(test::Get(*store, "kept")->content.value_or(""), "4");
    test::ExpectWhole(*store);
  }
}

// Goal: a store that has given out its last number stays readable, and says so to who needs one more. Method: the list
// has none left; a writer fills the open segment, then a first opener has to recover.
TEST(SegmentNumbers, WhoNeedsOneBeyondTheLastIsTold) {
  test::StoreFixture store(1, Durability::kFlush);
  store.options.with_helper = false;
  ASSERT_OK(store.Open());
  ASSERT_OK(test::PutText(*store, "first", "1"));
  ASSERT_OK(store.Close());
  format::Meta meta = MetaOf(store);
  meta.next_segment = UINT32_MAX;
  test::WriteFileBytes(store.Join("meta"), format::EncodeMeta(meta));
  ASSERT_OK(store.Open());
  Result<Sequence> put = test::PutText(*store, "0", "x");
  int count = 0;
  for (; put.ok() && count < 1000; ++count) put = test::PutText(*store, std::to_string(count), "x");
  EXPECT_ERROR(put, ErrorCode::kTooLarge);
  EXPECT_GT(count, 200);
  EXPECT_EQ(test::Get(*store, "first")->content.value_or(""), "1");
  EXPECT_OK(test::Delete(*store, "0"));  // needs no slot
  test::ExpectWhole(*store);
  store.Kill();
  std::filesystem::remove(store.Join("cache"));
  EXPECT_ERROR(store.Open(), ErrorCode::kTooLarge);
}

}  // namespace
}  // namespace thermocline::store

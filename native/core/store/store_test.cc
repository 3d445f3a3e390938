#include "core/store/store.h"

#include <string>
#include <tuple>
#include <vector>

#include "core/store/log_cursor.h"
#include "core/store/registry.h"
#include "test/store_fixture.h"

namespace thermocline::store {
namespace {

OpenOptions Options(uint32_t dimensions) {
  OpenOptions options;
  options.dimensions = dimensions;
  return options;
}

std::vector<float> Embedding(uint64_t seed, size_t dimensions) {
  std::vector<float> embedding(dimensions);
  test::Random random(seed);
  for (float& value : embedding) value = random.Unit();
  return embedding;
}

Status PutOne(Store& store, const std::string& id, uint64_t seed, const std::string& content) {
  const std::vector<float> embedding = Embedding(seed, store.dimensions());
  Batch batch(store.hash_key());
  PutInput input;
  input.id = id;
  input.embedding = embedding;
  input.has_content = true;
  input.content = content;
  batch.Put(input, false);
  const Result<Sequence> result = store.Commit(batch, 1000000);
  return result.ok() ? Status::Ok() : result.status();
}

TEST(Store, FindsWhatWasPutAfterReopening) {
  test::TempDirectory directory;
  const std::string path = directory.Join("store");
  {
    auto store = AcquireStore(path, Options(8));
    ASSERT_TRUE(store.ok());
    for (uint64_t i = 0; i < 3000; ++i) {
      ASSERT_TRUE(PutOne(**store, "id-" + std::to_string(i), i, "content " + std::to_string(i)).ok());
    }
    EXPECT_EQ((*store)->size(), 3000u);
    ASSERT_TRUE(ReleaseStore(*store).ok());
  }
  auto store = AcquireStore(path, {});
  ASSERT_TRUE(store.ok());
  EXPECT_EQ((*store)->size(), 3000u);
  for (uint64_t i = 0; i < 3000; ++i) {
    auto found = (*store)->Find("id-" + std::to_string(i));
    ASSERT_TRUE(found.ok() && found->has_value());
    EXPECT_EQ(std::string((*found)->record.content), "content " + std::to_string(i));
    const float* embedding = (*found)->segment->embedding((*found)->record.slot());
    const std::vector<float> expected = Embedding(i, 8);
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), embedding));
  }
  auto stats = (*store)->Stats();
  ASSERT_TRUE(stats.ok());
  EXPECT_FALSE(stats->recovered);
  ASSERT_TRUE(ReleaseStore(*store).ok());
}

// Goal: who keeps what a look-up found gets no statistics of another memory. Method: a commit, then a compaction, since
// the look-up; slots and segments that are not.
TEST(Store, StatisticsAreOfTheMomentOfTheLookUpOrNone) {
  test::StoreFixture store(1);
  store.options.with_helper = false;
  ASSERT_OK(store.Open());
  ASSERT_OK(test::PutText(*store, "a", "1"));
  ASSERT_OK(test::PutText(*store, "a", "2"));
  ASSERT_OK(store->Touch("a", 0.5, 7));
  const Pin pin;
  const auto look_up = [&] {
    const Result<std::optional<MemoryRef>> found = store->Find("a");
    EXPECT_OK(found);
    return std::make_pair((*found)->segment->number(), (*found)->record.slot());
  };
  Moment moment = store->Now();
  auto [segment, slot] = look_up();
  const format::Statistics* statistics = store->StatisticsAt(moment, segment, slot);
  ASSERT_TRUE(statistics != nullptr);
  EXPECT_EQ(statistics->recall_count, 1u);
  EXPECT_TRUE(store->StatisticsAt(moment, segment, static_cast<Slot>(1u << 20)) == nullptr);
  EXPECT_TRUE(store->StatisticsAt(moment, static_cast<SegmentNumber>(99), slot) == nullptr);
  ASSERT_OK(test::PutText(*store, "b", "1"));
  EXPECT_TRUE(store->StatisticsAt(moment, segment, slot) == nullptr);
  moment = store->Now();
  ASSERT_OK(store->Compact(test::kLockTimeout, std::atomic<bool>{false}));
  EXPECT_EQ(store->Now().applied, moment.applied);
  EXPECT_TRUE(store->StatisticsAt(moment, segment, slot) == nullptr);
  std::tie(segment, slot) = look_up();
  statistics = store->StatisticsAt(store->Now(), segment, slot);
  ASSERT_TRUE(statistics != nullptr);
  EXPECT_EQ(statistics->recall_count, 1u);
}

}  // namespace
}  // namespace thermocline::store

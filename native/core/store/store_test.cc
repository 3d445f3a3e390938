#include "core/store/store.h"

#include <string>
#include <vector>

#include "core/store/log_cursor.h"
#include "core/store/registry.h"
#include "test/harness.h"

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

}  // namespace
}  // namespace thermocline::store

// Segments written before there were sketches (their column is "none") are searched exactly beside others, and gain
// sketches when compaction rewrites them.

#include <string>
#include <vector>

#include "core/format/blocks.h"
#include "core/search/search.h"
#include "test/store_fixture.h"

namespace thermocline::search {
namespace {

const std::atomic<bool> kGo{false};
constexpr uint32_t kDimensions = 64;
constexpr uint64_t kMemories = 20000;

uint32_t SegmentsWithout(store::Store& store) {
  const auto snapshot = store.TakeSnapshot();
  EXPECT_OK(snapshot);
  uint32_t without = 0;
  if (!snapshot.ok()) return without;
  for (const store::Snapshot::Part& part : snapshot->parts) without += part.segment->has_sketches() ? 0 : 1;
  return without;
}

/// Makes of a segment's blocks file what a version without sketches wrote: the same columns and embeddings at their
/// places of that time.
void TakeSketchesAway(const test::StoreFixture& store, uint32_t segment) {
  const std::string path = store.Join(std::to_string(segment) + ".blocks");
  const std::string bytes = test::ReadFileBytes(path);
  format::BlocksHeader with;
  std::memcpy(&with, bytes.data(), sizeof with);
  const format::BlocksHeader without = format::MakeBlocksHeader(with.store_id, SegmentNumber{segment}, with.slots,
                                                                with.dimensions, format::SketchKind::kNone);
  const uint64_t embeddings = std::min(bytes.size() - with.embedding_offset, with.embedding_stride * with.slots);
  std::string older(without.embedding_offset + embeddings, '\0');
  std::memcpy(older.data(), &without, sizeof without);
  const auto copy = [&](uint64_t to, uint64_t from, uint64_t count) { older.replace(to, count, bytes, from, count); };
  copy(without.born_offset, with.born_offset, 8ull * with.slots);
  copy(without.died_offset, with.died_offset, 8ull * with.slots);
  copy(without.record_offset, with.record_offset, 8ull * with.slots);
  copy(without.created_at_offset, with.created_at_offset, 8ull * with.slots);
  copy(without.confidence_offset, with.confidence_offset, 8ull * with.slots);
  copy(without.statistics_offset, with.statistics_offset, sizeof(format::Statistics) * with.slots);
  copy(without.embedding_offset, with.embedding_offset, embeddings);
  test::WriteFileBytes(path, older);
}

std::vector<SearchHit> Ask(store::Store& store, std::span<const float> query, bool exact) {
  SearchRequest request;
  request.query = query;
  request.exact = exact;
  auto hits = Search(store, request, kGo);
  EXPECT_OK(hits);
  return hits.ok() ? *hits : std::vector<SearchHit>();
}

/// Searches for what lies among all memories; of the exact hits at least 97 in 100 are found without `exact` too.
void ExpectFound(store::Store& store) {
  size_t kept = 0;
  size_t all = 0;
  for (uint64_t i = 0; i < 40; ++i) {
    const std::vector<float> query = test::EmbeddingOf(TestSeed() + kMemories + i, kDimensions);
    const std::vector<SearchHit> exact = Ask(store, query, true);
    const std::vector<SearchHit> found = Ask(store, query, false);
    ASSERT_EQ(exact.size(), 10u);
    ASSERT_EQ(found.size(), 10u);
    size_t at = 0;
    for (const SearchHit& hit : exact) at += at < found.size() && found[at] == hit ? 1 : 0;
    kept += at;
    all += exact.size();
  }
  EXPECT_GE(100 * kept, 97 * all);
}

/// Whether a search without `exact` finds a memory by its own embedding although its sketch, if there is one, tells
/// of nothing near.
bool FoundInSpiteOfItsSketch(store::Store& store, uint64_t number) {
  const auto found = store.Find(std::to_string(number));
  EXPECT_OK(found);
  if (!found.ok() || !found->has_value()) return false;
  const Slot slot = (*found)->record.slot();
  if ((*found)->segment->has_sketches()) store.sketch_coder().WriteNone((*found)->segment->sketch(slot));
  const std::vector<SearchHit> hits = Ask(store, test::EmbeddingOf(TestSeed() + number, kDimensions), false);
  return !hits.empty() && hits[0].sequence == (*found)->record.header.sequence;
}

TEST(OlderStore, SegmentsWithoutSketchesAreSearchedExactlyAndGainThemWhenTheyAreRewritten) {
  test::StoreFixture store(kDimensions);
  ASSERT_OK(store.Open());
  store::Batch batch(store->hash_key());
  for (uint64_t i = 0; i < kMemories;) {
    batch.Clear();
    for (; i < kMemories && batch.size() < 200; ++i) {
      test::Memory memory;
      memory.id = std::to_string(i);
      memory.embedding = test::EmbeddingOf(TestSeed() + i, kDimensions);
      batch.Put(test::PutInputOf(memory), true);
    }
    ASSERT_OK(store->Commit(batch, test::kLockTimeout));
  }
  const auto snapshot = store->TakeSnapshot();
  ASSERT_OK(snapshot);
  // The newest keep theirs, so that both kinds lie beside each other.
  std::vector<uint32_t> older;
  uint64_t older_slots = 0;
  for (const store::Snapshot::Part& part : snapshot->parts) {
    if (older_slots + part.slots > kMemories / 2) break;
    older_slots += part.slots;
    older.push_back(Raw(part.segment->number()));
  }
  ASSERT_TRUE(!older.empty() && older.size() < snapshot->parts.size());
  ASSERT_OK(store.Close());
  for (const uint32_t segment : older) TakeSketchesAway(store, segment);
  ASSERT_OK(store.Open());
  EXPECT_EQ(SegmentsWithout(*store), older.size());
  ExpectFound(*store);
  EXPECT_TRUE(FoundInSpiteOfItsSketch(*store, 7));

  for (uint64_t i = 0; i < kMemories; i += 2) ASSERT_OK(test::Delete(*store, std::to_string(i)));
  EXPECT_EQ(SegmentsWithout(*store), older.size());
  ExpectFound(*store);
  ASSERT_OK(store->Compact(test::kLockTimeout, kGo));
  EXPECT_EQ(SegmentsWithout(*store), 0u);
  ExpectFound(*store);
  EXPECT_FALSE(FoundInSpiteOfItsSketch(*store, 7));
  test::ExpectWhole(*store);
}

}  // namespace
}  // namespace thermocline::search

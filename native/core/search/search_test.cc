// Exact search equals a naive scan in double precision, at every moment of a store that changes.

#include "core/search/search.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/kernels/distance.h"
#include "test/filter_fixture.h"
#include "test/store_fixture.h"

namespace thermocline::search {
namespace {

using test::Memory;

struct Expected {
  double score;
  Sequence sequence;
};

/// All memories with an embedding, scored in double precision; ties by sequence.
std::vector<Expected> NaiveSearch(const std::map<std::string, Memory>& memories, format::Metric metric,
                                  const std::vector<float>& query, uint64_t limit, std::optional<double> score_min) {
  std::vector<Expected> all;
  for (const auto& [id, memory] : memories) {
    if (memory.embedding.empty()) continue;
    const double score = kernels::ExactScore(metric, query.data(), memory.embedding.data(), query.size());
    if (!score_min || score >= *score_min) all.push_back({score, memory.sequence});
  }
  std::sort(all.begin(), all.end(), [](const Expected& a, const Expected& b) {
    return a.score != b.score ? a.score > b.score : a.sequence < b.sequence;
  });
  if (all.size() > limit) all.resize(limit);
  return all;
}

void ExpectSameHits(store::Store& store, const std::map<std::string, Memory>& memories, const std::vector<float>& query,
                    uint64_t limit, std::optional<double> score_min) {
  const std::atomic<bool> cancel{false};
  const auto hits = Search(store, {query, limit, score_min}, cancel);
  ASSERT_OK(hits);
  const auto expected = NaiveSearch(memories, store.metric(), query, limit, score_min);
  ASSERT_EQ(hits->size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ((*hits)[i].score, expected[i].score);
    EXPECT_EQ((*hits)[i].sequence, expected[i].sequence);
    const auto memory = store.ReadAt((*hits)[i].position);
    ASSERT_OK(memory);
    EXPECT_EQ(memory->record.header.sequence, expected[i].sequence);
  }
}

TEST(ExactSearch, EqualsANaiveScanAfterPutsReplacementsUpdatesAndDeletions) {
  Random random(TestSeed());
  for (const format::Metric metric : {format::Metric::kCosine, format::Metric::kDot, format::Metric::kL2}) {
    for (const uint32_t dimensions : {1u, 3u, 16u, 61u, 128u}) {
      test::StoreFixture store(dimensions);
      store.options.metric = metric;
      ASSERT_OK(store.Open());
      std::map<std::string, Memory> memories;
      for (int round = 0; round < 700; ++round) {
        Memory memory;
        memory.id = std::to_string(random.Below(300));
        const uint64_t choice = random.Below(10);
        if (choice == 0) {
          ASSERT_OK(test::Delete(*store, memory.id));
          memories.erase(memory.id);
          continue;
        }
        // Some without, some zero, some equal to others: ties.
        if (choice == 1) memory.embedding.assign(dimensions, 0.0f);
        if (choice > 2) memory.embedding = test::EmbeddingOf(random.Below(200), dimensions);
        const Result<Sequence> sequence = test::Put(*store, memory);
        ASSERT_OK(sequence);
        memory.sequence = *sequence;
        memories[memory.id] = memory;
      }
      for (int turn = 0; turn < 2; ++turn) {
        for (const uint64_t limit : {uint64_t{0}, uint64_t{1}, uint64_t{10}, uint64_t{1000}, UINT64_MAX}) {
          const std::vector<float> query = test::EmbeddingOf(random.Below(400), dimensions);
          ExpectSameHits(*store, memories, query, limit, std::nullopt);
          const auto best = NaiveSearch(memories, metric, query, 20, std::nullopt);
          // Inclusive: at the very score of a hit.
          ExpectSameHits(*store, memories, query, limit, best.back().score);
        }
        ASSERT_OK(store.Reopen());
      }
    }
  }
}

TEST(ExactSearch, RefusesWrongQueriesAndStopsWhenAsked) {
  test::StoreFixture store(3);
  ASSERT_OK(store.Open());
  Memory memory;
  memory.id = "a";
  memory.embedding = {1, 0, 0};
  ASSERT_OK(test::Put(*store, memory));
  const std::atomic<bool> go{false};
  const std::atomic<bool> stop{true};
  const auto search = [&](std::vector<float> query, const std::atomic<bool>& cancel) {
    return Search(*store, {query, 10}, cancel);
  };
  EXPECT_ERROR(search({1, 2}, go), ErrorCode::kDimension);
  EXPECT_ERROR(search({1, 2, 3, 4}, go), ErrorCode::kDimension);
  EXPECT_ERROR(search({1, 2, std::numeric_limits<float>::quiet_NaN()}, go), ErrorCode::kNotFinite);
  EXPECT_ERROR(search({0, 0, 0}, go), ErrorCode::kArgumentRange);
  EXPECT_ERROR(search({1, 2, 3}, stop), ErrorCode::kAborted);
  const auto hits = search({1, 0, 0}, go);
  ASSERT_OK(hits);
  ASSERT_EQ(hits->size(), 1u);
  EXPECT_EQ((*hits)[0].score, 1.0);
}

TEST(ExactSearch, AFilterLeavesAsManyHitsAsMatch) {
  test::StoreFixture store(5);
  ASSERT_OK(store.Open());
  std::map<std::string, Memory> matching;
  for (uint64_t i = 0; i < 1000; ++i) {
    Memory memory;
    memory.id = std::to_string(i);
    memory.embedding = test::EmbeddingOf(i, 5);
    memory.metadata = "{\"rest\":" + std::to_string(i % 7) + "}";
    const Result<Sequence> sequence = test::Put(*store, memory);
    ASSERT_OK(sequence);
    memory.sequence = *sequence;
    if (i % 7 == 0) matching[memory.id] = memory;
  }
  const Result<filter::Filter> filter = filter::Filter::Compile(R"({"metadata":{"rest":{"eq":0}}})");
  ASSERT_OK(filter);
  const std::atomic<bool> cancel{false};
  for (const uint64_t limit : {1u, 20u, 142u, 5000u}) {
    const std::vector<float> query = test::EmbeddingOf(limit + 5000, 5);
    const auto hits = Search(*store, {query, limit, std::nullopt, &*filter}, cancel);
    ASSERT_OK(hits);
    const auto expected = NaiveSearch(matching, store->metric(), query, limit, std::nullopt);
    ASSERT_EQ(hits->size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) EXPECT_EQ((*hits)[i].sequence, expected[i].sequence);
  }
}

// Goal: the word of a slot that says where its record is, is input. Method: it gets values whose sums with a length
// wrap, among others; then every search that looks at the record.
TEST(ExactSearch, ARecordThatIsSaidToBeAnywhereIsATypedError) {
  test::StoreFixture store(4);
  ASSERT_OK(store.Open());
  for (uint64_t i = 0; i < 20; ++i) {
    Memory memory;
    memory.id = std::to_string(i);
    memory.embedding = test::EmbeddingOf(i, 4);
    ASSERT_OK(test::Put(*store, memory));
  }
  const auto snapshot = store->TakeSnapshot();
  ASSERT_OK(snapshot);
  store::Segment& segment = *snapshot->parts.front().segment;
  uint64_t& word = segment.record(Slot{7});
  const uint64_t right = word;
  const filter::Filter filter = test::Compiled(R"({"metadata":{"a":{"eq":1}}})");
  const std::vector<float> query = test::EmbeddingOf(7, 4);
  const std::atomic<bool> cancel{false};
  const uint64_t end = segment.log_capacity();
  const uint64_t most = ~uint64_t{0};
  for (const uint64_t wrong : {most, most - 7, most - 55, most - 4096, most / 2 + 1, uint64_t{1} << 40, end, end - 8}) {
    EXPECT_LT(segment.LogBytes(wrong, sizeof(format::RecordHeader)).size(), sizeof(format::RecordHeader));
    EXPECT_LT(segment.LogBytes(wrong, most).size(), sizeof(format::RecordHeader));
    word = wrong;
    for (const bool exact : {true, false}) {
      for (const filter::Filter* const asked : {static_cast<const filter::Filter*>(nullptr), &filter}) {
        const SearchRequest request{.query = query, .limit = 20, .filter = asked, .exact = exact};
        EXPECT_ERROR(Search(*store, request, cancel), ErrorCode::kCorrupt);
      }
    }
    word = right;
  }
  EXPECT_OK(Search(*store, SearchRequest{.query = query, .limit = 20}, cancel));
}

TEST(ExactSearch, AnEmptyStoreHasNoHits) {
  test::StoreFixture store(2);
  ASSERT_OK(store.Open());
  ExpectSameHits(*store, {}, {1, 2}, 10, std::nullopt);
  ASSERT_OK(test::PutText(*store, "without", "an embedding"));
  ExpectSameHits(*store, {}, {1, 2}, 10, std::nullopt);
}

}  // namespace
}  // namespace thermocline::search

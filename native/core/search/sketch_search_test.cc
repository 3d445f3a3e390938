// All that searching by sketches promises, in one file since the tests share their data: the hits kept, nothing dead
// returned, scores as of the exact search.

#include <algorithm>
#include <cmath>
#include <set>
#include <thread>

#include "core/kernels/distance.h"
#include "core/search/search.h"
#include "test/store_fixture.h"

namespace thermocline::search {
namespace {

using test::Memory;

const std::atomic<bool> kGo{false};

/// How a test's embeddings lie.
enum class Data { kDense, kClustered, kAllEqual, kOneHot, kTinyDifferences, kOneHuge, kDuplicates, kDecaying };
constexpr Data kAllData[] = {Data::kDense,           Data::kClustered, Data::kAllEqual,   Data::kOneHot,
                             Data::kTinyDifferences, Data::kOneHuge,   Data::kDuplicates, Data::kDecaying};

std::vector<float> Make(Data data, uint64_t number, uint32_t dimensions, Random& random) {
  std::vector<float> vector = test::EmbeddingOf(random.Next(), dimensions);
  const auto scale = [&vector](float factor) {
    for (float& value : vector) value *= factor;
  };
  switch (data) {
    case Data::kDense:
      break;
    case Data::kClustered: {
      const std::vector<float> centre = test::EmbeddingOf(number % 40, dimensions);
      for (size_t d = 0; d < dimensions; ++d) vector[d] = centre[d] + 0.3f * vector[d];
      break;
    }
    case Data::kAllEqual:
      std::fill(vector.begin(), vector.end(), 0.25f);
      break;
    case Data::kOneHot:
      std::fill(vector.begin(), vector.end(), 0.0f);
      vector[random.Below(dimensions)] = 1 + 0.001f * static_cast<float>(random.Below(100));
      break;
    case Data::kTinyDifferences: {
      const std::vector<float> centre = test::EmbeddingOf(7, dimensions);
      for (size_t d = 0; d < dimensions; ++d) vector[d] = 100 * centre[d] + 1e-3f * vector[d];
      break;
    }
    case Data::kOneHuge:
      if (number == 1000) scale(1e6f);
      break;
    case Data::kDuplicates:
      vector = test::EmbeddingOf(number % 300, dimensions);
      break;
    case Data::kDecaying:
      for (size_t d = 0; d < dimensions; ++d) vector[d] /= std::sqrt(1.0f + static_cast<float>(d));
      break;
  }
  return vector;
}

void Fill(store::Store& store, Data data, uint64_t count, Random& random) {
  store::Batch batch(store.hash_key());
  for (uint64_t i = 0; i < count;) {
    batch.Clear();
    for (; i < count && batch.size() < 200; ++i) {
      Memory memory;
      memory.id = std::to_string(i);
      memory.embedding = Make(data, i, store.dimensions(), random);
      memory.confidence = static_cast<double>(i) / static_cast<double>(count);
      memory.created_at = static_cast<double>(random.Below(1000));
      batch.Put(test::PutInputOf(memory), true);
    }
    ASSERT_OK(store.Commit(batch, test::kLockTimeout));
  }
}

std::vector<SearchHit> Ask(store::Store& store, std::span<const float> query, bool exact,
                           const filter::Filter* filter = nullptr, double recall = kRecallDefault) {
  SearchRequest request;
  request.query = query;
  request.exact = exact;
  request.filter = filter;
  request.recall = recall;
  auto hits = Search(store, request, kGo);
  EXPECT_OK(hits);
  return hits.ok() ? *hits : std::vector<SearchHit>();
}

/// Share of the exact hits whose score the sketches reached: of equal scores any will do.
double Recall(const std::vector<SearchHit>& exact, const std::vector<SearchHit>& found) {
  EXPECT_EQ(exact.size(), found.size());
  double kept = 0;
  for (size_t i = 0, at = 0; i < exact.size(); ++i) {
    if (at < found.size() && found[at].score >= exact[i].score) {
      kept += 1;
      ++at;
    }
  }
  return exact.empty() ? 1 : kept / static_cast<double>(exact.size());
}

TEST(SketchSearch, KeepsWhatItPromisesWhateverTheDataAndScoresAsTheExactSearch) {
  for (const format::Metric metric : {format::Metric::kCosine, format::Metric::kDot, format::Metric::kL2}) {
    for (const Data data : kAllData) {
      // The other metrics differ from cosine where lengths do.
      if (metric != format::Metric::kCosine && data != Data::kDense && data != Data::kOneHuge) continue;
      Random random(TestSeed());
      const uint32_t dimensions = data == Data::kDense ? 300 : data == Data::kDecaying ? 384 : 100;
      test::StoreFixture store(dimensions);
      store.options.metric = metric;
      ASSERT_OK(store.Open());
      Fill(*store, data, 5000 * TestScale(), random);
      double sum = 0;
      constexpr int kQueries = 20;
      for (int i = 0; i < kQueries; ++i) {
        const std::vector<float> query = Make(data, random.Below(5000), dimensions, random);
        const auto exact = Ask(*store, query, true);
        const auto found = Ask(*store, query, false);
        sum += Recall(exact, found);
        for (const SearchHit& hit : found) {
          const auto memory = store->ReadAt(hit.position);
          ASSERT_OK(memory);
          EXPECT_EQ(hit.sequence, memory->record.header.sequence);
          EXPECT_EQ(hit.score, kernels::ExactScore(metric, query.data(),
                                                   memory->segment->embedding(memory->record.slot()), dimensions));
        }
      }
      // 200 hits: what is asked is 0.99, chance is left 4 of them.
      EXPECT_GE(sum / kQueries, 0.97);
    }
  }
}

TEST(SketchSearch, ReturnsNothingThatWasReplacedOrDeletedOrHasNoEmbedding) {
  Random random(TestSeed());
  test::StoreFixture store(64);
  ASSERT_OK(store.Open());
  Fill(*store, Data::kClustered, 5000, random);
  for (int i = 0; i < 5000; i += 5) {
    const std::string id = std::to_string(i);
    if (i % 3 == 0) {
      ASSERT_OK(test::Delete(*store, id));
    } else if (i % 3 == 1) {
      ASSERT_OK(test::PutText(*store, id, "without embedding"));
    } else {
      Memory memory;
      memory.id = id;
      memory.embedding = Make(Data::kClustered, random.Next(), 64, random);
      ASSERT_OK(test::Put(*store, memory));
    }
  }
  for (int turn = 0; turn < 2; ++turn) {
    for (int i = 0; i < 60; ++i) {
      const std::vector<float> query = Make(Data::kClustered, random.Below(40), 64, random);
      const auto found = Ask(*store, query, false);
      EXPECT_EQ(found.size(), 10u);
      std::set<Sequence> seen;
      for (const SearchHit& hit : found) {
        EXPECT_TRUE(seen.insert(hit.sequence).second);
        const auto memory = store->ReadAt(hit.position);
        ASSERT_OK(memory);
        EXPECT_TRUE(memory->record.has(format::kHasEmbedding));
        const auto newest = store->Find(memory->record.id);
        ASSERT_OK(newest);
        ASSERT_TRUE(newest->has_value());
        EXPECT_EQ((*newest)->record.header.sequence, hit.sequence);
      }
    }
    ASSERT_OK(store.Reopen());
  }
}

TEST(SketchSearch, TiesGoToTheLowerSequence) {
  Random random(TestSeed());
  test::StoreFixture store(32);
  ASSERT_OK(store.Open());
  Fill(*store, Data::kAllEqual, 5000, random);
  const auto found = Ask(*store, std::vector<float>(32, 1.0f), false);
  ASSERT_EQ(found.size(), 10u);
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].score, 1.0);
    EXPECT_EQ(found[i].sequence, i + 1);
  }
}

TEST(SketchSearch, AFilterLeavesAsManyHitsAsMatch) {
  Random random(TestSeed());
  test::StoreFixture store(100);
  ASSERT_OK(store.Open());
  Fill(*store, Data::kClustered, 6000, random);
  for (const size_t matching : {3000u, 60u, 7u, 0u}) {
    const Result<filter::Filter> filter = filter::Filter::Compile(
        "{\"confidence\":{\"lt\":" + std::to_string((static_cast<double>(matching) - 0.5) / 6000) + "}}");
    ASSERT_OK(filter);
    double sum = 0;
    for (int i = 0; i < 10; ++i) {
      const std::vector<float> query = Make(Data::kClustered, static_cast<uint64_t>(i), 100, random);
      const auto exact = Ask(*store, query, true, &*filter);
      EXPECT_EQ(exact.size(), std::min<size_t>(10, matching));
      sum += Recall(exact, Ask(*store, query, false, &*filter));
    }
    EXPECT_GE(sum / 10, 0.96);
  }
}

// Strings that are to be put in an order are no keys: a filter that many match is asked of the hits alone.
TEST(SketchSearch, AFilterOnMetadataThatManyMatchLosesNoHit) {
  constexpr int kCount = 9000;
  Random random(TestSeed());
  test::StoreFixture store(64);
  ASSERT_OK(store.Open());
  store::Batch batch(store->hash_key());
  for (int i = 0; i < kCount; ++i) {
    Memory memory;
    memory.id = std::to_string(i);
    memory.embedding = Make(Data::kDense, static_cast<uint64_t>(i), 64, random);
    memory.metadata = "{\"n\":\"" + std::string(1, static_cast<char>('a' + i % 10)) + std::to_string(i) + "\"}";
    batch.Put(test::PutInputOf(memory), true);
  }
  ASSERT_OK(store->Commit(batch, test::kLockTimeout));
  for (const char* text : {R"({"metadata":{"n":{"lt":"i"}}})", R"({"metadata":{"n":{"gt":"e"}}})"}) {
    const Result<filter::Filter> filter = filter::Filter::Compile(text);
    ASSERT_OK(filter);
    double sum = 0;
    for (int i = 0; i < 10; ++i) {
      const std::vector<float> query = Make(Data::kDense, static_cast<uint64_t>(i), 64, random);
      const auto found = Ask(*store, query, false, &*filter);
      sum += Recall(Ask(*store, query, true, &*filter), found);
      for (const SearchHit& hit : found) {
        const auto memory = store->ReadAt(hit.position);
        ASSERT_OK(memory);
        bool matches = false;
        EXPECT_TRUE(filter->AskRecord(memory->record.id, memory->record.metadata, &matches) && matches);
      }
    }
    EXPECT_GE(sum / 10, 0.97);
  }
}

// What single precision cannot square is scored without sketches.
TEST(SketchSearch, QueriesOfAnyLengthFindWhatTheExactSearchFinds) {
  for (const format::Metric metric : {format::Metric::kDot, format::Metric::kL2}) {
    for (const float length : {1.0f, 1e14f}) {
      Random random(TestSeed());
      test::StoreFixture store(32);
      store.options.metric = metric;
      ASSERT_OK(store.Open());
      store::Batch batch(store->hash_key());
      for (int i = 0; i < 6000; ++i) {
        Memory memory;
        memory.id = std::to_string(i);
        memory.embedding = Make(Data::kClustered, static_cast<uint64_t>(i), 32, random);
        for (float& value : memory.embedding) value *= length;
        batch.Put(test::PutInputOf(memory), true);
      }
      ASSERT_OK(store->Commit(batch, test::kLockTimeout));
      for (const float factor : {1e22f, 1.0f, 1e-22f}) {
        std::vector<float> query = Make(Data::kClustered, 3, 32, random);
        for (float& value : query) value *= factor;
        EXPECT_GE(Recall(Ask(*store, query, true), Ask(*store, query, false)), 0.8);
      }
    }
  }
}

TEST(SketchSearch, FewOfManySlotsAreBoundedBySketchesAndNoneIsForgotten) {
  Random random(TestSeed());
  test::StoreFixture store(64);
  ASSERT_OK(store.Open());
  Fill(*store, Data::kClustered, 20000, random);
  Memory last;
  last.id = "last";
  last.embedding = Make(Data::kClustered, 3, 64, random);
  last.created_at = 1;
  ASSERT_OK(test::Put(*store, last));
  // More than are scored without asking sketches, and few enough that prefixes are left alone.
  for (const int one_in : {90, 500}) {
    const Result<filter::Filter> filter =
        filter::Filter::Compile(R"({"createdAt":{"gte":1,"lt":)" + std::to_string(1 + 1000.0 / one_in) + "}}");
    ASSERT_OK(filter);
    const auto nearest = Ask(*store, last.embedding, false, &*filter);
    ASSERT_EQ(nearest.size(), 10u);
    EXPECT_EQ(nearest[0].sequence, 20001u);
    double sum = 0;
    constexpr int kQueries = 30;
    for (int i = 0; i < kQueries; ++i) {
      const std::vector<float> query = Make(Data::kClustered, static_cast<uint64_t>(i), 64, random);
      sum += Recall(Ask(*store, query, true, &*filter), Ask(*store, query, false, &*filter));
    }
    EXPECT_GE(sum / kQueries, 0.97);
  }
}

TEST(SketchSearch, ManyQueriesFindWhatEachFindsAlone) {
  Random random(TestSeed());
  test::StoreFixture store(96);
  ASSERT_OK(store.Open());
  Fill(*store, Data::kClustered, 6000, random);
  std::vector<std::vector<float>> vectors;
  for (uint64_t i = 0; i < 30; ++i) vectors.push_back(Make(Data::kClustered, i, 96, random));
  const std::vector<std::span<const float>> queries(vectors.begin(), vectors.end());
  for (const bool exact : {true, false}) {
    SearchRequest request;
    request.exact = exact;
    request.threads = 1;  // with one thread a search is the same each time
    const auto many = SearchMany(*store, request, queries, kGo);
    ASSERT_OK(many);
    ASSERT_EQ(many->size(), queries.size());
    for (size_t i = 0; i < queries.size(); ++i) {
      request.query = queries[i];
      const auto alone = Search(*store, request, kGo);
      ASSERT_OK(alone);
      ASSERT_EQ((*many)[i].size(), alone->size());
      for (size_t j = 0; j < alone->size(); ++j) EXPECT_EQ((*many)[i][j].sequence, (*alone)[j].sequence);
    }
  }
  const auto none = SearchMany(*store, {}, {}, kGo);
  ASSERT_OK(none);
  EXPECT_TRUE(none->empty());
}

TEST(SketchSearch, RecallOneIsExactAndLessIsAllowed) {
  Random random(TestSeed());
  test::StoreFixture store(100);
  ASSERT_OK(store.Open());
  Fill(*store, Data::kDense, 5000, random);
  for (int i = 0; i < 20; ++i) {
    const std::vector<float> query = Make(Data::kDense, 0, 100, random);
    const auto exact = Ask(*store, query, true);
    EXPECT_EQ(Recall(exact, Ask(*store, query, false, nullptr, 1)), 1.0);
    for (const double recall : {0.3, 0.0}) EXPECT_EQ(Ask(*store, query, false, nullptr, recall).size(), 10u);
  }
  SearchRequest request;
  const std::vector<float> query(100, 1.0f);
  request.query = query;
  for (const double recall : {-0.1, -1.0, 1.5, static_cast<double>(NAN)}) {
    request.recall = recall;
    EXPECT_ERROR(Search(*store, request, kGo), ErrorCode::kArgumentRange);
  }
}

TEST(SketchSearch, StopsWhenAskedAndThreadsShareTheWork) {
  Random random(TestSeed());
  test::StoreFixture store(384);
  ASSERT_OK(store.Open());
  Fill(*store, Data::kClustered, 8000, random);
  const std::vector<float> query = Make(Data::kClustered, 3, 384, random);
  SearchRequest request;
  request.query = query;
  request.exact = true;
  const auto alone = Search(*store, request, kGo);
  ASSERT_OK(alone);
  test::RunThreads(4, [&](int thread) {
    for (int round = 0; round < 30; ++round) {
      SearchRequest mine = request;
      mine.threads = 1 + static_cast<uint32_t>((thread + round) % 4);
      std::atomic<bool> cancel{round % 5 == 4};
      const auto hits = Search(*store, mine, cancel);
      if (cancel.load()) {
        EXPECT_ERROR(hits, ErrorCode::kAborted);
        continue;
      }
      ASSERT_OK(hits);
      ASSERT_EQ(hits->size(), alone->size());
      for (size_t i = 0; i < alone->size(); ++i) EXPECT_EQ((*hits)[i].sequence, (*alone)[i].sequence);
    }
  });
}

// Writers replace and delete beside searches that scan sketches: hits are of one moment and scored right.
TEST(SketchSearch, HitsAreOfOneMomentWhileOthersWrite) {
  constexpr uint32_t kDimensions = 48;
  test::StoreFixture store(kDimensions);
  ASSERT_OK(store.Open());
  {
    Random random(TestSeed());
    Fill(*store, Data::kClustered, 5000, random);
  }
  std::atomic<int> writing{2};
  test::RunThreads(4, [&](int thread) {
    Random random(TestSeed() + static_cast<uint64_t>(thread));
    if (thread < 2) {
      for (uint64_t round = 0; round < 3000 * TestScale(); ++round) {
        Memory memory;
        memory.id = std::to_string(random.Below(5000));
        memory.embedding = Make(Data::kClustered, random.Next(), kDimensions, random);
        if (random.Below(8) == 0) {
          ASSERT_OK(test::Delete(*store, memory.id));
        } else {
          ASSERT_OK(test::Put(*store, memory));
        }
      }
      writing.fetch_sub(1);
      return;
    }
    while (writing.load() > 0) {
      const std::vector<float> query = Make(Data::kClustered, random.Next(), kDimensions, random);
      const Sequence before = store->sequence();
      const auto hits = Ask(*store, query, thread == 3 && random.Below(2) == 0);
      const Sequence after = store->sequence();
      EXPECT_EQ(hits.size(), 10u);
      std::set<std::string> ids;
      for (const SearchHit& hit : hits) {
        EXPECT_LE(hit.sequence, after);
        const auto memory = store->ReadAt(hit.position);
        ASSERT_OK(memory);
        EXPECT_TRUE(ids.insert(std::string(memory->record.id)).second);
        EXPECT_EQ(hit.score, kernels::ExactScore(format::Metric::kCosine, query.data(),
                                                 memory->segment->embedding(memory->record.slot()), kDimensions));
        // Whoever died before the search began is no hit.
        const uint64_t died = LoadAcquire(memory->segment->died(memory->record.slot()));
        EXPECT_TRUE(died == 0 || died > before);
      }
    }
  });
}

// Damaged sketches, or such as are written at that moment, may make any number of a bound, or none.
TEST(SketchSearch, BoundsThatAreNoNumbersCostTheirMemoriesAndNothingElse) {
  Random random(TestSeed());
  test::StoreFixture store(64);
  ASSERT_OK(store.Open());
  Fill(*store, Data::kDense, 9000, random);
  const auto snapshot = store->TakeSnapshot();
  ASSERT_OK(snapshot);
  const size_t prefix_words = store->sketch_coder().prefix_words();
  std::set<Sequence> damaged;
  for (const store::Snapshot::Part& part : snapshot->parts) {
    for (uint32_t raw = 0; raw < part.slots; ++raw) {
      if (random.Below(3) != 0) continue;
      const kernels::SketchPlace place = part.segment->sketch(static_cast<Slot>(raw));
      // Both terms words: not a number, whatever the code.
      std::memset(place.group + (prefix_words * kernels::kSketchGroup + place.lane) * 4, 0xFF, 4);
      std::memset(place.group + ((prefix_words + 1) * kernels::kSketchGroup + place.lane) * 4, 0xFF, 4);
      damaged.insert(LoadRelaxed(part.segment->born(static_cast<Slot>(raw))));
    }
  }
  double sum = 0;
  constexpr int kQueries = 20;
  for (int i = 0; i < kQueries; ++i) {
    const std::vector<float> query = Make(Data::kDense, 0, 64, random);
    const auto found = Ask(*store, query, false);
    ASSERT_EQ(found.size(), 10u);
    SearchRequest all;
    all.query = query;
    all.limit = 200;
    all.exact = true;
    auto exact = Search(*store, all, kGo);
    ASSERT_OK(exact);
    std::erase_if(*exact, [&](const SearchHit& hit) { return damaged.count(hit.sequence) != 0; });
    exact->resize(10);
    for (const SearchHit& hit : found) EXPECT_EQ(damaged.count(hit.sequence), 0u);
    sum += Recall(*exact, found);
  }
  EXPECT_GE(sum / kQueries, 0.97);
}

// A power cut may keep an embedding and lose its sketch: recovery makes the sketch again.
TEST(SketchSearch, SketchesThatDidNotArriveAreMadeAgain) {
  Random random(TestSeed());
  test::StoreFixture store(64);
  ASSERT_OK(store.Open());
  Fill(*store, Data::kDense, 5000, random);
  const auto snapshot = store->TakeSnapshot();
  ASSERT_OK(snapshot);
  for (const store::Snapshot::Part& part : snapshot->parts) {
    ASSERT_TRUE(part.segment->has_sketches());
    const format::BlocksHeader& layout = part.segment->layout();
    // As if the pages had not been written.
    std::memset(part.segment->sketch(static_cast<Slot>(0)).group, 0, layout.sketch_stride * part.segment->slots());
    std::memset(part.segment->sketch(static_cast<Slot>(0)).row, 0, layout.sketch_rows_stride * part.segment->slots());
  }
  store.Kill();
  const test::OtherBoot other_boot("after the cut");
  ASSERT_OK(store.Open());
  EXPECT_TRUE(store.Recovered());
  double sum = 0;
  for (int i = 0; i < 20; ++i) {
    const std::vector<float> query = Make(Data::kDense, 0, 64, random);
    sum += Recall(Ask(*store, query, true), Ask(*store, query, false));
  }
  EXPECT_GE(sum / 20, 0.97);
}

}  // namespace
}  // namespace thermocline::search

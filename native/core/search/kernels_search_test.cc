// A search finds the same with every set of kernels that runs here, whichever wrote the sketches.

#include <cstdio>
#include <string>
#include <vector>

#include "core/kernels/kernels.h"
#include "core/search/search.h"
#include "test/store_fixture.h"

namespace thermocline::search {
namespace {

const std::atomic<bool> kGo{false};
constexpr uint32_t kDimensions = 200;  // no power of two: two transforms overlap
constexpr uint64_t kMemories = 5000;

std::vector<const kernels::Kernels*> SetsHere() {
  std::vector<const kernels::Kernels*> sets;
  for (const kernels::KernelsHere& each : kernels::AllKernels()) {
    if (each.runs) sets.push_back(each.kernels);
  }
  return sets;
}

void Fill(store::Store& store, uint64_t seed) {
  store::Batch batch(store.hash_key());
  for (uint64_t i = 0; i < kMemories;) {
    batch.Clear();
    for (; i < kMemories && batch.size() < 200; ++i) {
      test::Memory memory;
      memory.id = std::to_string(i);
      memory.embedding = test::EmbeddingOf(seed + i, kDimensions);
      memory.metadata = "{\"third\":" + std::to_string(i % 3) + "}";
      batch.Put(test::PutInputOf(memory), true);
    }
    ASSERT_OK(store.Commit(batch, test::kLockTimeout));
  }
}

std::vector<SearchHit> Ask(store::Store& store, std::span<const float> query, bool exact,
                           const filter::Filter* filter = nullptr) {
  SearchRequest request;
  request.query = query;
  request.exact = exact;
  request.filter = filter;
  auto hits = Search(store, request, kGo);
  EXPECT_OK(hits);
  return hits.ok() ? *hits : std::vector<SearchHit>();
}

/// How many hits of the exact search were kept.
size_t Kept(const std::vector<SearchHit>& exact, const std::vector<SearchHit>& found) {
  EXPECT_EQ(exact.size(), found.size());
  size_t kept = 0;
  for (size_t i = 0; i < exact.size() && kept < found.size(); ++i) kept += found[kept] == exact[i] ? 1 : 0;
  return kept;
}

TEST(KernelsSearch, EverySetFindsTheSameWhicheverWroteTheSketches) {
  constexpr uint64_t kQueries = 20;
  const Result<filter::Filter> third = filter::Filter::Compile(R"({"metadata":{"third":{"eq":1}}})");
  ASSERT_OK(third);
  std::vector<std::vector<SearchHit>> expected;
  for (const kernels::Kernels* writer : SetsHere()) {
    test::StoreFixture store(kDimensions);
    {
      const kernels::BestForNow writing(*writer);
      ASSERT_OK(store.Open());
      Fill(*store, TestSeed());
    }
    for (const kernels::Kernels* reader : SetsHere()) {
      const kernels::BestForNow reading(*reader);
      ASSERT_OK(store.Reopen());
      size_t kept = 0;
      for (uint64_t i = 0; i < kQueries; ++i) {
        const std::vector<float> query = test::EmbeddingOf(TestSeed() + kMemories + i, kDimensions);
        const std::vector<SearchHit> exact = Ask(*store, query, true);
        if (expected.size() <= i) expected.push_back(exact);
        EXPECT_TRUE(exact == expected[i]);
        kept += Kept(exact, Ask(*store, query, false));
        kept += Kept(Ask(*store, query, true, &*third), Ask(*store, query, false, &*third));
      }
      // What is asked is 0.99 of each of 400 hits.
      EXPECT_GE(static_cast<double>(kept), 0.97 * 20 * kQueries);
      std::printf("run      sketches of %s searched with %s\n", writer->name, reader->name);
    }
  }
}

}  // namespace
}  // namespace thermocline::search

// A filtered search finds what the filter asked by itself would let through, whatever it asks: columns, many
// conditions, conditions without an index beside an index. What cannot be asked is said.

#include <algorithm>
#include <cstring>

#include "core/search/field_index.h"
#include "core/search/search.h"
#include "core/store/log_reader.h"
#include "test/filter_fixture.h"
#include "test/store_fixture.h"

namespace thermocline::search {
namespace {

constexpr uint32_t kDimensions = 2;
constexpr int kMemories = 150;
const std::atomic<bool> kGo{false};

void Fill(store::Store& store) {
  for (int i = 0; i < kMemories; ++i) {
    test::Memory memory;
    memory.id = "m" + std::to_string(i);
    memory.embedding = {static_cast<float>(i), 1};
    memory.metadata = "{\"n\":" + std::to_string(i % 10) + "}";
    memory.created_at = i;
    memory.confidence = i % 2 == 0 ? 0.25 : 0.75;
    EXPECT_OK(test::Put(store, memory));
  }
}

Result<std::vector<SearchHit>> SearchAll(store::Store& store, const std::string& filter_text,
                                         const std::atomic<bool>& cancel = kGo) {
  const filter::Filter filter = test::Compiled(filter_text);
  const std::vector<float> query = {1, 0};
  return Search(store, {.query = query, .limit = kMemories, .filter = &filter}, cancel);
}

size_t Count(store::Store& store, const std::string& filter_text) {
  const Result<std::vector<SearchHit>> hits = SearchAll(store, filter_text);
  EXPECT_OK(hits);
  return hits.ok() ? hits->size() : 0;
}

TEST(FilteredSearch, EveryComparisonOfAColumnCountsWhatItShould) {
  test::StoreFixture store(kDimensions);
  ASSERT_OK(store.Open());
  Fill(*store);
  for (const bool indexed : {false, true}) {
    if (indexed) FieldIndex::Of(*store).Declare({"other"}, false);  // a path that no condition here is on
    EXPECT_EQ(Count(*store, R"({"createdAt":{"eq":7}})"), 1u);
    EXPECT_EQ(Count(*store, R"({"createdAt":{"ne":7}})"), 149u);
    EXPECT_EQ(Count(*store, R"({"createdAt":{"gt":7}})"), 142u);
    EXPECT_EQ(Count(*store, R"({"createdAt":{"gte":7}})"), 143u);
    EXPECT_EQ(Count(*store, R"({"createdAt":{"lt":7}})"), 7u);
    EXPECT_EQ(Count(*store, R"({"createdAt":{"lte":7}})"), 8u);
    EXPECT_EQ(Count(*store, R"({"createdAt":{"in":[1,2,300]}})"), 2u);
    EXPECT_EQ(Count(*store, R"({"confidence":{"gt":0.5},"createdAt":{"lt":10}})"), 5u);
    EXPECT_EQ(Count(*store, R"({"createdAt":{"lt":10},"metadata":{"n":{"eq":3}}})"), 1u);
  }
}

// More conditions than a filter usually has.
TEST(FilteredSearch, ManyConditionsAreAllAsked) {
  test::StoreFixture store(kDimensions);
  ASSERT_OK(store.Open());
  Fill(*store);
  std::string any;
  std::string all;
  for (int i = 0; i < 60; ++i) {
    any += (any.empty() ? "" : ",") + (R"({"metadata":{"n":{"eq":)" + std::to_string(i % 3) + "}},") +
           "\"createdAt\":{\"eq\":" + std::to_string(i) + "}}";
    all += (all.empty() ? "" : ",") + (R"({"metadata":{"n":{"ne":)" + std::to_string(i % 9) + "}}}");
  }
  size_t expected = 0;
  for (int i = 0; i < 60; ++i) expected += i % 10 == i % 3 ? 1 : 0;
  EXPECT_EQ(Count(*store, "{\"or\":[" + any + "]}"), expected);
  EXPECT_EQ(Count(*store, "{\"and\":[" + all + "]}"), 15u);  // n is 9
}

TEST(FilteredSearch, WhatCannotBeAskedIsAnErrorToWhoAsksIt) {
  test::StoreFixture store(kDimensions);
  store.options.with_helper = false;  // it reads the log, which is written by hand below
  ASSERT_OK(store.Open());
  Fill(*store);
  const Result<std::optional<store::MemoryRef>> found = store->Find("m120");
  ASSERT_OK(found);
  // JSON that no writer of ours made, under a checksum that holds.
  char* const record = (*found)->segment->log_data() + (*found)->log_offset;
  record[(*found)->record.metadata.data() - record] = 'x';
  const Position position((*found)->segment->number(), (*found)->log_offset);
  format::SealRecord(record, format::FrameSeed(store->salt(), position));
  EXPECT_ERROR(SearchAll(*store, R"({"metadata":{"n":{"eq":3}}})"), ErrorCode::kCorrupt);
  EXPECT_ERROR(SearchAll(*store, R"({"metadata":{"n":{"eq":3}}})"),
               ErrorCode::kCorrupt);  // also of what is known by now
  FieldIndex::Of(*store).Declare({"n"}, false);
  EXPECT_ERROR(SearchAll(*store, R"({"metadata":{"n":{"eq":3}}})"), ErrorCode::kCorrupt);
  EXPECT_EQ(Count(*store, R"({"createdAt":{"lt":10}})"), 10u);
  const std::vector<float> query = {1, 0};
  const std::vector<std::span<const float>> queries = {query, query};
  const filter::Filter filter = test::Compiled(R"({"metadata":{"n":{"gte":0}}})");
  EXPECT_ERROR(SearchMany(*store, {.limit = 3, .filter = &filter}, queries, kGo), ErrorCode::kCorrupt);
}

TEST(FilteredSearch, EndsSoonAfterItIsCancelled) {
  test::StoreFixture store(kDimensions);
  ASSERT_OK(store.Open());
  Fill(*store);
  const std::atomic<bool> cancelled{true};
  EXPECT_ERROR(SearchAll(*store, R"({"metadata":{"n":{"eq":3}}})", cancelled), ErrorCode::kAborted);
  FieldIndex::Of(*store).Declare({"n"}, false);
  EXPECT_ERROR(SearchAll(*store, R"({"metadata":{"n":{"eq":3}}})", cancelled), ErrorCode::kAborted);
  EXPECT_EQ(Count(*store, R"({"metadata":{"n":{"eq":3}}})"), 15u);
}

// Under l2 and dot a query of zeros is a place like any other; under cosine it has no direction.
TEST(Search, AQueryOfZerosIsRefusedUnderCosineAlone) {
  for (const format::Metric metric : {format::Metric::kCosine, format::Metric::kDot, format::Metric::kL2}) {
    test::StoreFixture store(kDimensions);
    store.options.metric = metric;
    ASSERT_OK(store.Open());
    Fill(*store);
    const std::vector<float> query = {0, 0};
    const Result<std::vector<SearchHit>> hits = Search(*store, {.query = query, .limit = 3}, kGo);
    if (metric == format::Metric::kCosine) {
      EXPECT_ERROR(hits, ErrorCode::kArgumentRange);
      continue;
    }
    ASSERT_OK(hits);
    EXPECT_EQ(hits->size(), 3u);
    EXPECT_EQ((*hits)[0].sequence, 1u);  // the nearest, or the first of equals
  }
}

}  // namespace
}  // namespace thermocline::search

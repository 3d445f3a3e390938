// A filter at work marks what a naive look at every memory marks: whether it asks all records or one by one, whatever
// earlier searches found out, and while others write.

#include "core/search/memory_filter.h"

#include <algorithm>
#include <atomic>
#include <functional>

#include "core/search/caches.h"
#include "core/search/search.h"
#include "test/filter_fixture.h"
#include "test/store_fixture.h"

namespace thermocline::search {
namespace {

constexpr uint32_t kDimensions = 3;

const char* const kFilters[] = {
    "{}",
    R"({"metadata":{"n":{"lt":3}}})",
    R"({"metadata":{"n":{"lt":500}}})",
    R"({"metadata":{"m":{"lt":500}}})",  // the same condition on another path
    R"({"not":{"metadata":{"n":{"lt":500}}}})",
    R"({"createdAt":{"gte":100,"lt":300}})",
    R"({"createdAt":{"in":[1,2,3,"x"]},"confidence":{"exists":true}})",
    R"({"confidence":{"exists":false}})",
    R"({"or":[{"createdAt":{"lt":10}},{"metadata":{"n":{"gte":990}}},{"id":{"prefix":"7"}}]})",
    R"({"createdAt":{"gt":900},"metadata":{"n":{"ne":5},"missing":{"exists":false}}})",
    R"({"metadata":{"s":{"eq":"7"}}})",
    R"({"metadata":{"s":{"in":["7","8","x"]},"n":{"gte":100}}})",
    R"({"metadata":{"s":{"prefix":"1"}}})",
    R"({"not":{"metadata":{"s":{"ne":"7"}}}})",
    R"({"lastAccess":{"gt":"text"}})",
    R"({"not":{"or":[{"id":{"gt":"2"}},{"metadata":{"n":{"eq":null}}}]}})",
};

test::Memory RandomMemory(Random& random) {
  test::Memory memory;
  memory.id = std::to_string(random.Below(1500));
  const std::string text = '"' + std::to_string(random.Below(200)) + '"';
  memory.metadata = R"({"n":)" + std::to_string(random.Below(1000)) + R"(,"m":)" + std::to_string(random.Below(1000)) +
                    R"(,"s":)" + (random.Below(5) == 0 ? "[" + text + ",\"x\"]" : text) + "}";
  memory.created_at = static_cast<double>(random.Below(1000));
  memory.confidence = static_cast<double>(random.Below(5)) / 4;
  memory.embedding = test::EmbeddingOf(random.Next(), kDimensions);
  return memory;
}

void WriteAtRandom(store::Store& store, Random& random, int count) {
  for (int i = 0; i < count; ++i) {
    const test::Memory memory = RandomMemory(random);
    if (random.Below(6) == 0) {
      ASSERT_OK(test::Delete(store, memory.id));
    } else {
      ASSERT_OK(test::Put(store, memory));
    }
  }
}

const std::atomic<bool> kGo{false};

TEST(MemoryFilter, MarksWhatMatchesWhateverWasFoundOutBefore) {
  Random random(TestSeed());
  test::StoreFixture store(kDimensions);
  ASSERT_OK(store.Open());
  for (int round = 0; round < 8; ++round) {
    WriteAtRandom(*store, random, 600);
    for (const char* text : kFilters) {
      for (const uint64_t limit : {uint64_t{1}, uint64_t{10}, uint64_t{100000}}) {
        test::ExpectMarks(*store, test::Compiled(text), limit);
      }
    }
    if (round == 4) ASSERT_OK(store.Reopen());
  }
}

TEST(MemoryFilter, AsksAllWhenFewMatchAndOneByOneWhenManyDo) {
  Random random(TestSeed());
  test::StoreFixture store(kDimensions);
  ASSERT_OK(store.Open());
  WriteAtRandom(*store, random, 6000);
  const Result<store::Snapshot> snapshot = store->TakeSnapshot();
  ASSERT_OK(snapshot);
  const auto asks_all = [&](const std::string& text) {
    const filter::Filter filter = test::Compiled(text);
    return MemoryFilter(*store, *snapshot, filter, 1, 2, kGo).asks_all();
  };
  EXPECT_TRUE(asks_all(R"({"metadata":{"n":{"lt":0}}})"));
  EXPECT_TRUE(asks_all(R"({"createdAt":{"lt":500}})"));
  // Nothing but records answers these.
  EXPECT_FALSE(asks_all(R"({"id":{"lt":"9"}})"));
  EXPECT_FALSE(asks_all(R"({"metadata":{"s":{"lt":"9"}}})"));
  // Whoever comes again and again pays for all once.
  const filter::Filter often = test::Compiled(R"({"id":{"lt":"91"}})");
  int searches = 0;
  for (; searches < 10000; ++searches) {
    const MemoryFilter asked(*store, *snapshot, often, 1, 2, kGo);
    if (asked.asks_all()) break;
    const store::Snapshot::Part& part = snapshot->parts.back();
    for (uint32_t raw = 0; raw < std::min(part.slots, 40u); ++raw) {
      const auto slot = static_cast<Slot>((raw * 7 + static_cast<uint32_t>(searches) * 40) % part.slots);
      if (snapshot->Holds(*part.segment, slot)) (void)asked.Matches(*part.segment, slot);
    }
  }
  EXPECT_GT(searches, 0);
  EXPECT_LT(searches, 10000);
}

/// Searches with `condition(i)` on a path, each answered by looking at some of the slots, until keys were learnt.
int SearchesUntilLearnt(store::Store& store, const std::string& path, int searches_max,
                        const std::function<std::string(int)>& condition) {
  const Result<store::Snapshot> snapshot = store.TakeSnapshot();
  EXPECT_OK(snapshot);
  const std::shared_ptr<LearntPath> learnt = SearchCaches::Of(store).learnt.Get(path);
  for (int search = 0; search < searches_max; ++search) {
    const filter::Filter filter = test::Compiled(R"({"metadata":{")" + path + "\":" + condition(search) + "}}");
    const MemoryFilter asked(store, *snapshot, filter, 1, 2, kGo);
    if (learnt->learnt()) return search;
    int asked_for = 0;
    for (const store::Snapshot::Part& part : snapshot->parts) {
      for (Slot slot{0}; Raw(slot) < part.slots && asked_for < 40; slot = Slot{Raw(slot) + 1}) {
        if (!snapshot->Holds(*part.segment, slot)) continue;
        (void)asked.Matches(*part.segment, slot);
        ++asked_for;
      }
    }
  }
  return searches_max;
}

TEST(MemoryFilter, LearnsAPathWhenFewMatchAndWhenConditionsOnItWereAskedOften) {
  Random random(TestSeed());
  test::StoreFixture store(kDimensions);
  ASSERT_OK(store.Open());
  WriteAtRandom(*store, random, 6000);
  EXPECT_EQ(SearchesUntilLearnt(*store, "n", 10, [](int) { return R"({"lt":0})"; }), 0);
  // Each condition is new: it is the path that was asked often, not the condition.
  const int often = SearchesUntilLearnt(
      *store, "m", 1000, [](int search) { return R"({"lt":)" + std::to_string(900 + 0.01 * search) + "}"; });
  EXPECT_GT(often, 3);
  EXPECT_LT(often, 1000);
  // Keys cannot put strings in order, so nobody makes them for that.
  EXPECT_EQ(SearchesUntilLearnt(*store, "s", 100, [](int) { return R"({"lt":"0"})"; }), 100);
}

// Asked one by one, most of them would be asked: the bounds of sketches say little about so few.
TEST(MemoryFilter, LearnsAPathAtItsFirstFilterWhereOneInFiftyMatches) {
  Random random(TestSeed());
  test::StoreFixture store(kDimensions);
  ASSERT_OK(store.Open());
  WriteAtRandom(*store, random, 6000);
  EXPECT_EQ(SearchesUntilLearnt(*store, "n", 10, [](int) { return R"({"lt":20})"; }), 0);
  EXPECT_GT(SearchesUntilLearnt(*store, "m", 10, [](int) { return R"({"lt":500})"; }), 0);
}

// Each path is a walk over all records and 8 bytes a memory; of more than are kept every search would walk again.
TEST(MemoryFilter, ManyPathsAreNotLearntAtOnce) {
  Random random(TestSeed());
  test::StoreFixture store(kDimensions);
  ASSERT_OK(store.Open());
  WriteAtRandom(*store, random, 3000);
  for (const int paths : {1, 7, 70}) {
    std::string text;
    const auto path_of = [paths](int i) { return "of" + std::to_string(paths) + "-" + std::to_string(i); };
    for (int i = 0; i < paths; ++i) text += (i > 0 ? ",\"" : "\"") + path_of(i) + R"(":{"eq":1})";
    const filter::Filter filter = test::Compiled(R"({"metadata":{)" + text + "}}");
    test::ExpectMarks(*store, filter, 10);
    EXPECT_EQ(SearchCaches::Of(*store).learnt.Get(path_of(paths - 1))->learnt(), paths == 1);
  }
}

TEST(MemoryFilter, AsksNoRecordsOfALearntPathAlsoOfLaterWrites) {
  Random random(TestSeed());
  test::StoreFixture store(kDimensions);
  ASSERT_OK(store.Open());
  WriteAtRandom(*store, random, 3000);
  EXPECT_EQ(SearchesUntilLearnt(*store, "n", 1, [](int) { return R"({"lt":0})"; }), 0);
  for (int round = 0; round < 4; ++round) {
    const filter::Filter filter = test::Compiled(R"({"metadata":{"n":{"lt":)" + std::to_string(400 + round) + "}}}");
    const Result<store::Snapshot> snapshot = store->TakeSnapshot();
    ASSERT_OK(snapshot);
    // Many match and nothing was asked before: certain all the same, so keys have answered.
    EXPECT_TRUE(MemoryFilter(*store, *snapshot, filter, 1, 2, kGo).asks_all());
    test::ExpectMarks(*store, filter, 1);
    WriteAtRandom(*store, random, 500);
    if (round == 2) ASSERT_OK(store->Compact(test::kLockTimeout, kGo));
  }
}

TEST(LearntKeys, ForgetThePathAskedLongestAgo) {
  Random random(TestSeed());
  test::StoreFixture store(kDimensions);
  ASSERT_OK(store.Open());
  WriteAtRandom(*store, random, 300);
  const Result<store::Snapshot> snapshot = store->TakeSnapshot();
  ASSERT_OK(snapshot);
  LearntKeys& keys = SearchCaches::Of(*store).learnt;
  const std::weak_ptr<LearntPath> first = keys.Get("first");
  const std::weak_ptr<LearntPath> kept = keys.Get("kept");
  for (int i = 0; i < 100; ++i) {
    (void)keys.Get(std::to_string(i));
    (void)keys.Get("kept");
  }
  EXPECT_TRUE(first.expired());
  EXPECT_FALSE(kept.expired());
}

TEST(MemoryFilter, SearchesBesideWritersFindOnlyWhatMatches) {
  test::StoreFixture store(kDimensions);
  ASSERT_OK(store.Open());
  std::atomic<int> writing{2};
  test::RunThreads(4, [&](int thread) {
    Random random(TestSeed() + static_cast<uint64_t>(thread));
    if (thread < 2) {
      WriteAtRandom(*store, random, static_cast<int>(2500 * TestScale()));
      writing.fetch_sub(1);
      return;
    }
    const std::atomic<bool> cancel{false};
    while (writing.load() > 0) {
      const filter::Filter filter = test::Compiled(kFilters[random.Below(std::size(kFilters))]);
      const std::vector<float> query = test::EmbeddingOf(random.Next(), kDimensions);
      const auto hits = Search(*store, {.query = query, .limit = 20, .filter = &filter}, cancel);
      ASSERT_OK(hits);
      for (const SearchHit& hit : *hits) {
        const Result<store::MemoryRef> memory = store->ReadAt(hit.position);
        ASSERT_OK(memory);
        const filter::Columns columns = ColumnsOf(*memory->segment, memory->record.slot());
        EXPECT_EQ(filter.Test(columns, memory->record.id, memory->record.metadata), filter::Verdict::kYes);
      }
    }
  });
  test::ExpectWhole(*store);
}

TEST(AnswerCache, ForgetsWhatWasAskedLongAgoAndKeepsWhatWasAskedLast) {
  Random random(TestSeed());
  test::StoreFixture store(kDimensions);
  ASSERT_OK(store.Open());
  WriteAtRandom(*store, random, 300);
  const Result<store::Snapshot> snapshot = store->TakeSnapshot();
  ASSERT_OK(snapshot);
  AnswerCache& cache = SearchCaches::Of(*store).answers;
  EXPECT_EQ(&cache, &SearchCaches::Of(*store).answers);
  const std::weak_ptr<ConditionAnswers> first = cache.Get("first");
  const std::weak_ptr<ConditionAnswers> kept = cache.Get("kept");
  for (int i = 0; i < 200; ++i) {
    (void)cache.Get(std::to_string(i) + std::string(100000, 'x'))->Of(*snapshot);
    (void)cache.Get("kept");
  }
  EXPECT_TRUE(first.expired());
  EXPECT_FALSE(kept.expired());
  // Short ones too: agents ask about another session each time.
  const std::weak_ptr<ConditionAnswers> session = cache.Get("session");
  for (int i = 0; i < 2000; ++i) {
    (void)cache.Get("short " + std::to_string(i))->Of(*snapshot);
    (void)cache.Get("kept");
  }
  EXPECT_TRUE(session.expired());
  EXPECT_FALSE(kept.expired());
}

}  // namespace
}  // namespace thermocline::search

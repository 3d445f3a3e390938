// Goal: a search that is cancelled ends within 10 ms, whatever it is at. Method: searches that take long in each of the
// ways in which a search can, cancelled at moments all over their time. Times are of their processor, since other work
// of the host is not theirs.

#include <pthread.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <string>
#include <thread>
#include <vector>

#include "core/search/caches.h"
#include "core/search/search.h"
#include "test/filter_fixture.h"
#include "test/store_fixture.h"

namespace thermocline::search {
namespace {

constexpr double kLimitUs = 10000;

/// Processor time of a thread, in microseconds.
double ProcessorMicroseconds(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) / 1e3;
}

struct Times {
  double total = 0;  // of its thread
  double after = 0;  // its cancellation; 0: it had ended before
};

/// Runs a search on a thread of its own, cancelled once that has worked for `cancel_at` microseconds.
Times RunSearch(store::Store& store, SearchRequest request, std::span<const std::span<const float>> queries,
                double cancel_at = HUGE_VAL) {
  request.threads = 1;
  std::atomic<bool> cancel{false};
  std::atomic<bool> ended{false};
  std::atomic<bool> noted{false};
  Times times;
  Status status;
  std::thread searching([&] {
    const auto hits = SearchMany(store, request, queries, cancel);
    times.total = ProcessorMicroseconds(CLOCK_THREAD_CPUTIME_ID);
    status = hits.ok() ? Status::Ok() : hits.status();
    ended.store(true);
    while (!noted.load()) std::this_thread::yield();  // its clock ends with it
  });
  clockid_t clock{};
  EXPECT_EQ(pthread_getcpuclockid(searching.native_handle(), &clock), 0);
  while (!ended.load() && ProcessorMicroseconds(clock) < cancel_at) std::this_thread::yield();
  // Cancelled first: this thread may lose its processor between the two, and the search would go on meanwhile.
  cancel.store(true);
  const double cancelled_at = ProcessorMicroseconds(clock);
  noted.store(true);
  searching.join();
  if (!status.ok()) EXPECT_TRUE(status.code() == ErrorCode::kAborted);
  // Also of one that came to its end all the same.
  times.after = std::max(0.0, times.total - cancelled_at);
  return times;
}

void Fill(store::Store& store, int count, const std::string& metadata) {
  Random random(TestSeed());
  store::Batch batch(store.hash_key());
  for (int i = 0; i < count;) {
    batch.Clear();
    for (; i < count && batch.size() < 200; ++i) {
      test::Memory memory;
      memory.id = std::to_string(i);
      memory.metadata = metadata;
      // Around a centre: many scores are alike, so many are scored in full.
      memory.embedding = test::EmbeddingOf(static_cast<uint64_t>(i) % 40, store.dimensions());
      for (float& value : memory.embedding) value += 0.05f * static_cast<float>(random.Below(100)) / 100;
      batch.Put(test::PutInputOf(memory), true);
    }
    ASSERT_OK(store.Commit(batch, test::kLockTimeout));
  }
}

TEST(CancelledSearch, EndsInTimeWhileItScansAndAsksRecords) {
  test::StoreFixture store(384);
  ASSERT_OK(store.Open());
  Fill(*store, 20000, R"({"a":5})");
  const std::vector<float> vector = test::EmbeddingOf(3, 384);
  const std::vector<std::span<const float>> queries(400, vector);
  double worst = 0;
  for (int round = 0; round < 12; ++round) {
    // Records that nobody asked before, all of them; exact and by sketches; many queries.
    const filter::Filter filter = test::Compiled(R"({"metadata":{"none)" + std::to_string(round) + R"(":{"eq":1}}})");
    SearchRequest request;
    request.exact = round % 2 == 0;
    if (round % 3 == 0) request.filter = &filter;
    worst = std::max(worst, RunSearch(*store, request, queries, 1000.0 * (round % 4)).after);
  }
  if (!test::kInstrumented) EXPECT_LT(worst, kLimitUs);
}

TEST(CancelledSearch, EndsInTimeWhileItScoresAndSortsMoreHitsThanFew) {
  test::StoreFixture store(384);
  ASSERT_OK(store.Open());
  Fill(*store, test::kInstrumented ? 2000 : 20000, "{}");
  const std::vector<float> vector = test::EmbeddingOf(3, 384);
  const std::vector<std::span<const float>> queries(8, vector);
  const SearchRequest request{.limit = 20000, .exact = true};
  const double total = RunSearch(*store, request, queries).total;
  double worst = 0;
  for (int tenth = 1; tenth < 10; ++tenth) {
    worst = std::max(worst, RunSearch(*store, request, queries, total * tenth / 10).after);
  }
  if (!test::kInstrumented) EXPECT_LT(worst, kLimitUs);
}

TEST(CancelledSearch, EndsInTimeWhileItReadsTheKeysOfLongMetadata) {
  std::string metadata = R"({"long":[)";
  for (int i = 0; i < 1900; ++i) metadata += "1,";
  metadata += R"(1],"a":5})";
  test::StoreFixture store(3);
  store.options.with_helper = false;
  ASSERT_OK(store.Open());
  Fill(*store, test::kInstrumented ? 1000 : 12000, metadata);
  const std::vector<float> vector = test::EmbeddingOf(3, 3);
  const std::vector<std::span<const float>> queries(1, vector);
  double worst = 0;
  int paths = 0;
  for (const bool indexed : {true, false}) {
    double total = 0;
    for (int tenth = 0; tenth < 10; ++tenth) {
      // A path that nobody asked about before, behind all the rest.
      const std::string path = "a" + std::to_string(paths++);
      const filter::Filter filter = test::Compiled(R"({"metadata":{")" + path + R"(":{"eq":1}}})");
      if (indexed) FieldIndex::Of(*store).Declare({path}, false);
      const SearchRequest request{.filter = &filter};
      const Times times = RunSearch(*store, request, queries, tenth == 0 ? HUGE_VAL : total * tenth / 10);
      if (tenth == 0) total = times.total;
      worst = std::max(worst, times.after);
    }
  }
  if (!test::kInstrumented) EXPECT_LT(worst, kLimitUs);
}

}  // namespace
}  // namespace thermocline::search

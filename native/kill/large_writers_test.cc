// Two processes of two threads each commit batches of more than half a segment at the same time: none is shut out.
//
// The same in one process, where the cost in segments is bounded too: core/store/turn_test.cc.

#include <algorithm>
#include <cstdio>

#include "core/base/atomic.h"
#include "core/base/limits.h"
#include "core/io/system.h"
#include "kill/process.h"
#include "test/store_fixture.h"

namespace thermocline::kill {
namespace {

constexpr uint32_t kProcesses = 2;
constexpr uint32_t kThreads = 2;
constexpr uint32_t kBatches = 3;
constexpr uint64_t kOperations = kSegmentSlotsMax / 2 + 100;
constexpr uint64_t kEndWithin = 60000000;

struct Progress {
  uint64_t committed;
  uint64_t failed;
  uint64_t worst_us[kProcesses * kThreads];
};

void CommitBatches(store::Store& store, uint32_t number, Progress& progress) {
  store::Batch batch(store.hash_key());
  const std::vector<float> embedding = test::EmbeddingOf(number, store.dimensions());
  for (uint32_t turn = 0; turn < kBatches; ++turn) {
    batch.Clear();
    for (uint64_t i = 0; i < kOperations; ++i) {
      const std::string id = std::to_string(number) + "/" + std::to_string(turn) + "/" + std::to_string(i);
      store::PutInput input;
      input.id = id;
      input.embedding = embedding;
      batch.Put(input, true);
    }
    const uint64_t begin = io::NowMonotonicMicroseconds();
    const bool committed = store.Commit(batch, test::kLockTimeout).ok();
    progress.worst_us[number] = std::max(progress.worst_us[number], io::NowMonotonicMicroseconds() - begin);
    FetchAdd(committed ? progress.committed : progress.failed, uint64_t{1});
  }
}

TEST(LargeWriters, GetOnInSeveralProcessesAtOnce) {
  test::StoreFixture fixture(128);
  ASSERT_OK(fixture.Open());
  Progress& progress = MakeShared<Progress>();
  int processes[kProcesses];
  for (uint32_t process = 0; process < kProcesses; ++process) {
    processes[process] = StartChild([&, process] {
      auto opened = store::Store::Open(fixture.path(), fixture.options);
      if (!opened.ok()) return;
      test::RunThreads(kThreads, [&](int thread) {
        CommitBatches(**opened, process * kThreads + static_cast<uint32_t>(thread), progress);
      });
    });
  }
  const uint64_t begin = io::NowMonotonicMicroseconds();
  for (const int process : processes) {
    bool ended = false;
    while (!ended && io::NowMonotonicMicroseconds() - begin < kEndWithin) {
      ended = HasEnded(process);
      if (!ended) SleepWatching(1000);
    }
    EXPECT_TRUE(ended);
    if (!ended) {
      Kill(process);
      Await(process);
    }
  }
  EXPECT_EQ(progress.committed, kProcesses * kThreads * kBatches);
  EXPECT_EQ(progress.failed, 0u);
  EXPECT_EQ(fixture->size(), kProcesses * kThreads * kBatches * kOperations);
  uint64_t worst = 0;
  for (const uint64_t took : progress.worst_us) worst = std::max(worst, took);
  const auto number = [](uint64_t value) { return static_cast<unsigned long long>(value); };
  std::printf("       %llu batches of %llu in %llu ms, %llu segments, worst commit %llu ms\n",
              number(progress.committed), number(kOperations), number((io::NowMonotonicMicroseconds() - begin) / 1000),
              number(fixture->Stats()->segments), number(worst / 1000));
  test::ExpectWhole(*fixture);
}

}  // namespace
}  // namespace thermocline::kill

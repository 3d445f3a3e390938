// T1: four processes of two threads on one store, killed at a random instant, again and again.
//
// Goal: whatever a call had returned is there, whatever had not is there whole or not at all, and the store is sound.
// Method: the oracle of oracle.h, kept by the writers; after each kill the parent opens the store and compares all of
// it. Every third round kills only some and watches what that costs the others; every tenth also removes the cache.
//
//   thermocline_kill KillLoop --rounds 300 --seed 7

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <thread>

#include "core/base/atomic.h"
#include "core/io/system.h"
#include "kill/process.h"
#include "kill/writer.h"

namespace thermocline::kill {
namespace {

constexpr uint32_t kChildren = 4;
constexpr uint32_t kThreads = 2;
constexpr uint32_t kParentWriter = kChildren * kThreads;
// A store is small enough to be read whole each round, and old enough to have rotated and to have grown its index.
constexpr uint64_t kRoundsPerStore = 3;
constexpr uint64_t kKillWithin = 20000;
constexpr uint64_t kCallLimit = 250000;
constexpr uint64_t kOpenLimit = 200000;

struct Figures {
  uint64_t calls = 0, kills = 0, compactions = 0, rotations = 0, rebuilds = 0;
  uint64_t worst_open = 0, worst_call = 0, worst_flush = 0, slack = 0;
};

void RunWriters(const std::string& path, const store::OpenOptions& options, Oracle& oracle, uint32_t child,
                uint64_t seed, uint32_t flushes_of_1000, uint32_t compactions_of_1000) {
  Result<std::shared_ptr<store::Store>> opened = store::Store::Open(path, options);
  if (!opened.ok()) {
    StoreRelease(oracle.regions[child * kThreads].error, static_cast<uint64_t>(opened.status().code()) + 1);
    return;
  }
  FetchAdd(oracle.ready, uint64_t{1});
  test::RunThreads(kThreads, [&](int thread) {
    const uint32_t number = child * kThreads + static_cast<uint32_t>(thread);
    WriterOptions writer_options;
    writer_options.flushes_of_1000 = flushes_of_1000;
    if (thread == 0) writer_options.compactions_of_1000 = compactions_of_1000;
    Writer writer(**opened, oracle, number, child, seed + number, writer_options);
    while (LoadAcquire(oracle.stop) == 0) writer.Any();
  });
}

class Loop {
 public:
  Loop(Oracle& oracle, Figures& figures) : oracle_(oracle), figures_(figures) {}

  void Run(uint64_t rounds) {
    for (uint64_t round = 0; round < rounds; ++round) {
      if (round % kRoundsPerStore == 0) NewStore(round);
      Random random(TestSeed() * 1000003 + round);
      if (round % 3 == 2) {
        KillSome(random);
      } else {
        KillAll(random);
      }
      if (!CheckAfterKill(round % 10 == 9)) {
        std::printf("first failure in round %llu of seed %llu\n", static_cast<unsigned long long>(round),
                    static_cast<unsigned long long>(TestSeed()));
        return;
      }
    }
    Count();
  }

 private:
  void Count() {
    for (const Region& region : oracle_.regions) {
      figures_.calls += region.calls;
      figures_.compactions += region.compactions;
    }
  }

  void NewStore(uint64_t round) {
    Count();
    oracle_.Clear();
    Random random(TestSeed() + round);
    const auto durability = random.Below(4) == 0 ? store::Durability::kFlush : store::Durability::kNone;
    store_ = std::make_unique<test::StoreFixture>(kDimensions, durability);
  }

  void Start(Random& random) {
    StoreRelease(oracle_.ready, uint64_t{0});
    const uint32_t flushes = random.Below(4) == 0 ? 100 : 3;
    const uint32_t compactions = random.Below(2) == 0 ? 10 : 0;
    for (uint32_t child = 0; child < kChildren; ++child) {
      const uint64_t seed = random.Next();
      processes_[child] = StartChild(
          [=, this] { RunWriters(store_->path(), store_->options, oracle_, child, seed, flushes, compactions); });
    }
    order_ = {0, 1, 2, 3};
    for (uint32_t i = kChildren - 1; i > 0; --i) std::swap(order_[i], order_[random.Below(i + 1)]);
    // One round in four is killed while its processes still open the store.
    if (random.Below(4) == 0) return;
    while (LoadAcquire(oracle_.ready) < kChildren) SleepWatching(200);
  }

  void KillChild(uint32_t child) {
    Kill(processes_[child]);
    ++figures_.kills;
  }

  void Watch(uint64_t microseconds) { figures_.slack = std::max(figures_.slack, SleepWatching(microseconds)); }

  void KillAll(Random& random) {
    Start(random);
    Watch(random.Below(kKillWithin));
    for (const uint32_t child : order_) KillChild(child);
    for (const uint32_t child : order_) Await(processes_[child]);
  }

  void KillSome(Random& random) {
    Start(random);
    while (LoadAcquire(oracle_.ready) < kChildren) SleepWatching(200);
    Watch(random.Below(kKillWithin));
    StoreRelease(oracle_.measuring, uint64_t{1});
    const uint64_t some = 1 + random.Below(kChildren - 1);
    for (uint64_t i = 0; i < some; ++i) KillChild(order_[i]);
    // Longer than a waiter sleeps before it asks whether the owner lives.
    Watch(26000 + random.Below(10000));
    StoreRelease(oracle_.measuring, uint64_t{0});
    for (uint64_t i = some; i < kChildren; ++i) KillChild(order_[i]);
    for (const uint32_t child : order_) Await(processes_[child]);
  }

  bool CheckAfterKill(bool rebuild) {
    const int failures_before = test::FailureCount();
    CheckOnce(false);
    if (rebuild && test::FailureCount() == failures_before) {
      ++figures_.rebuilds;
      std::filesystem::remove(store_->Join("cache"));
      // What was pending is settled by now, so the rebuilt store must show the very same.
      CheckOnce(true);
    }
    return test::FailureCount() == failures_before;
  }

  void CheckOnce(bool rebuilt) {
    const uint64_t begin = io::NowMonotonicMicroseconds();
    // Killed before it was a store: nothing was promised.
    const bool existed = std::filesystem::exists(store_->Join("meta"));
    // Killed before its cache was whole: that is rebuilt, on an empty log.
    const bool written = std::any_of(std::begin(oracle_.regions), std::end(oracle_.regions),
                                     [](const Region& region) { return region.calls > 0; });
    ASSERT_OK(store_->Open());
    const uint64_t took = io::NowMonotonicMicroseconds() - begin;
    figures_.worst_open = std::max(figures_.worst_open, took);
    // In the same boot the cache is trusted and repaired, never rebuilt.
    if (existed && written) EXPECT_EQ(store_->Recovered(), rebuilt);
    store::Store& store = **store_;
    for (uint32_t writer = 0; writer <= kParentWriter; ++writer) {
      Region& region = oracle_.regions[writer];
      CheckRegion(store, region, writer);
      figures_.worst_call = std::max(figures_.worst_call, region.worst_us);
      figures_.worst_flush = std::max(figures_.worst_flush, region.worst_flush_us);
    }
    CheckWhole(store);
    Writer writer(store, oracle_, kParentWriter, kChildren, store.sequence(), {});
    for (int i = 0; i < 4; ++i) writer.Any();
    CheckRegion(store, oracle_.regions[kParentWriter], kParentWriter);
    if (store.LogTail().segment() != SegmentNumber{1}) ++figures_.rotations;
    if (store.sequence() % 2 == 0) {
      EXPECT_OK(store_->Close());
    } else {
      store_->Kill();
    }
  }

  Oracle& oracle_;
  Figures& figures_;
  std::unique_ptr<test::StoreFixture> store_;
  std::array<int, kChildren> processes_{};
  std::array<uint32_t, kChildren> order_{};
};

TEST(KillLoop, NothingAcknowledgedIsLostAndNothingElseIsThereInPart) {
  Oracle& oracle = MakeShared<Oracle>();
  Figures figures;
  const uint64_t rounds = TestRounds(300, 20000);
  Loop(oracle, figures).Run(rounds);
  // Opening is many short sleeps on a busy host: each may be as late as the host was at its worst.
  EXPECT_LT(figures.worst_open, kOpenLimit + 4 * figures.slack);
  EXPECT_LT(figures.worst_call, kCallLimit + figures.slack);
  const auto number = [](uint64_t value) { return static_cast<unsigned long long>(value); };
  std::printf(
      "       T1 seed %llu: %llu rounds, %llu kills, %llu acknowledged calls, %llu compactions begun, %llu checks past "
      "a "
      "rotation, "
      "%llu rebuilds; worst open %llu us, survivors' worst call %llu us, flush %llu us, host's slack %llu us\n",
      number(TestSeed()), number(rounds), number(figures.kills), number(figures.calls), number(figures.compactions),
      number(figures.rotations), number(figures.rebuilds), number(figures.worst_open), number(figures.worst_call),
      number(figures.worst_flush), number(figures.slack));
}

}  // namespace
}  // namespace thermocline::kill

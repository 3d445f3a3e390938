// T5: what the death, or the sleep, of one process costs the others.
//
// Goal: survivors go on within 250 ms, the change feed never sticks, readers never wait, a stopped process finishes
// its own commit when it wakes, and no record is overwritten. Method: four processes, each with a writer, a reader and
// a follower, and one of them compacts; one is killed every 50 ms and another takes its place, or one is stopped for up
// to a second while it holds the write lock. Every call but a compaction is timed by its caller; the oracle judges the
// end.

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <thread>

#include "core/base/atomic.h"
#include "core/io/system.h"
#include "kill/process.h"
#include "kill/writer.h"

namespace thermocline::kill {
namespace {

constexpr uint32_t kChildren = 4;
constexpr uint64_t kKillEvery = 50000;
constexpr uint64_t kCallLimit = 250000;
constexpr uint64_t kShortTimeout = 100000;
constexpr uint64_t kStopMin = 200000;
constexpr uint64_t kStopSpread = 800000;
// The process that compacts, and how often; it is killed and stopped as often as the others.
constexpr uint32_t kCompactor = 0;
constexpr uint32_t kCompactionsOf1000 = 5;
// A store that is written without end would make the checks slow.
constexpr uint64_t kPause = 200;

void NoteWorst(uint64_t& worst, uint64_t begin, const Oracle& oracle, uint32_t child, uint64_t stopped) {
  const uint64_t took = io::NowMonotonicMicroseconds() - begin;
  if ((stopped & 1) != 0 || LoadAcquire(oracle.stopped[child]) != stopped) return;
  if (took > worst) worst = took;
}

/// Any id of any writer, and a snapshot that must count the same twice.
void RunReader(store::Store& store, Oracle& oracle, uint32_t child, uint64_t seed) {
  Region& region = oracle.regions[child];
  Random random(seed);
  while (LoadAcquire(oracle.stop) == 0) {
    const uint64_t stopped = LoadAcquire(oracle.stopped[child]);
    const uint64_t begin = io::NowMonotonicMicroseconds();
    const auto id = static_cast<uint32_t>(random.Below(kIdsPerWriter));
    bool sound = store.Find(IdOf(static_cast<uint32_t>(random.Below(kChildren)), id)).ok();
    const Result<store::Snapshot> snapshot = store.TakeSnapshot();
    sound = sound && snapshot.ok();
    uint64_t counts[2] = {0, 0};
    for (uint64_t& count : counts) {
      if (!sound) break;
      for (const store::Snapshot::Part& part : snapshot->parts) {
        const auto slots = static_cast<uint32_t>(std::min<uint64_t>(part.slots, part.segment->CoveredSlots()));
        for (uint32_t slot = 0; slot < slots; ++slot) {
          count += snapshot->Holds(*part.segment, static_cast<Slot>(slot)) ? 1 : 0;
        }
      }
    }
    NoteWorst(region.worst_read_us, begin, oracle, child, stopped);
    if (!sound || counts[0] != counts[1]) {
      region.error_line = __LINE__;
      StoreRelease(region.error, static_cast<uint64_t>(ErrorCode::kCorrupt) + 1);
    }
    ++region.reads;
    std::this_thread::sleep_for(std::chrono::microseconds(kPause));
  }
}

/// Waits for commit after commit; there always is a next one, because some process writes.
void RunFollower(store::Store& store, Oracle& oracle, uint32_t child) {
  Region& region = oracle.regions[child];
  std::mutex mutex;
  std::condition_variable wake;
  while (LoadAcquire(oracle.stop) == 0) {
    bool called = false;
    const uint64_t stopped = LoadAcquire(oracle.stopped[child]);
    const uint64_t begin = io::NowMonotonicMicroseconds();
    const Result<uint64_t> token = store.NotifyAbove(store.sequence(), [&] {
      const std::lock_guard<std::mutex> guard(mutex);
      called = true;
      wake.notify_one();
    });
    if (!token.ok()) break;
    {
      std::unique_lock<std::mutex> guard(mutex);
      while (!called && LoadAcquire(oracle.stop) == 0) wake.wait_for(guard, std::chrono::milliseconds(20));
    }
    store.CancelNotify(*token);
    if (!called) break;
    if (LoadAcquire(oracle.measuring) != 0) NoteWorst(region.worst_feed_us, begin, oracle, child, stopped);
    ++region.feeds;
  }
}

void RunChild(const std::string& path, const store::OpenOptions& options, Oracle& oracle, uint32_t child, uint64_t seed,
              WriterOptions writer_options) {
  Region& region = oracle.regions[child];
  if (child == kCompactor) writer_options.compactions_of_1000 = kCompactionsOf1000;
  Result<std::shared_ptr<store::Store>> opened = store::Store::Open(path, options);
  if (!opened.ok()) {
    StoreRelease(region.error, static_cast<uint64_t>(opened.status().code()) + 1);
    return;
  }
  store::Store& store = **opened;
  Writer writer(store, oracle, child, child, seed, writer_options);
  while (LoadAcquire(region.pending_count) != 0 && LoadAcquire(region.error) == 0) writer.TakeOver();
  FetchAdd(oracle.ready, uint64_t{1});
  std::thread reader([&] { RunReader(store, oracle, child, seed + 1); });
  std::thread follower([&] { RunFollower(store, oracle, child); });
  Random random(seed);
  while (LoadAcquire(oracle.stop) == 0) {
    writer.Any();
    if (random.Below(8) == 0) std::this_thread::sleep_for(std::chrono::microseconds(kPause));
  }
  follower.join();
  reader.join();
  const Status closed = store.Close();
  if (!closed.ok()) StoreRelease(region.error, static_cast<uint64_t>(closed.code()) + 1);
}

class Survivors {
 public:
  Survivors(uint64_t seed, WriterOptions options)
      : oracle_(MakeShared<Oracle>()), random_(seed), options_(options), store_(kDimensions) {
    for (uint32_t child = 0; child < kChildren; ++child) Start(child);
    while (LoadAcquire(oracle_.ready) < kChildren) SleepWatching(500);
    StoreRelease(oracle_.measuring, uint64_t{1});
  }

  void KillOne() {
    Watch(kKillEvery);
    const auto child = static_cast<uint32_t>(random_.Below(kChildren));
    Kill(processes_[child]);
    Await(processes_[child]);
    Start(child);
  }

  /// Stops a process, if it can while that holds the write lock, and lets it sleep. True when it did hold it.
  bool StopOne() {
    const auto child = static_cast<uint32_t>(random_.Below(kChildren));
    Watch(random_.Below(20000));
    bool holds = false;
    FetchAdd(oracle_.stopped[child], uint64_t{1});
    for (int attempt = 0; attempt < kAttempts && !holds; ++attempt) {
      Stop(processes_[child]);
      holds = HoldsWriteLock(processes_[child]);
      if (holds) break;
      Continue(processes_[child]);
      Watch(random_.Below(1000));
    }
    if (!holds) Stop(processes_[child]);
    Watch(kStopMin + random_.Below(kStopSpread));
    if (holds) EXPECT_TRUE(HoldsWriteLock(processes_[child]));  // nobody took it from the living
    Continue(processes_[child]);
    Watch(5000);
    FetchAdd(oracle_.stopped[child], uint64_t{1});
    return holds;
  }

  /// Lets all end by themselves, then judges.
  void Finish(const char* name, uint64_t turns, uint64_t feed_limit) {
    StoreRelease(oracle_.measuring, uint64_t{0});
    StoreRelease(oracle_.stop, uint64_t{1});
    for (uint32_t child = 0; child < kChildren; ++child) {
      bool ended = false;
      for (int wait = 0; wait < kEndWithinMilliseconds && !ended; ++wait) {
        ended = HasEnded(processes_[child]);
        if (!ended) SleepWatching(1000);
      }
      EXPECT_TRUE(ended);  // nobody hangs
      if (!ended) {
        Kill(processes_[child]);
        Await(processes_[child]);
      }
    }
    ASSERT_OK(store_.Open());
    EXPECT_FALSE(store_.Recovered());
    uint64_t calls = 0, busy = 0, reads = 0, feeds = 0, compactions = 0, call = 0, flush = 0, read = 0, feed = 0;
    for (uint32_t writer = 0; writer < kChildren; ++writer) {
      Region& region = oracle_.regions[writer];
      CheckRegion(*store_, region, writer);
      calls += region.calls;
      busy += region.busy;
      reads += region.reads;
      feeds += region.feeds;
      compactions += region.compactions;
      call = std::max(call, region.worst_us);
      flush = std::max(flush, region.worst_flush_us);
      read = std::max(read, region.worst_read_us);
      feed = std::max(feed, region.worst_feed_us);
    }
    CheckWhole(*store_);
    EXPECT_OK(test::PutText(*store_, "and on", "it goes"));
    EXPECT_LT(call, kCallLimit + slack_);
    EXPECT_LT(read, kCallLimit + slack_);
    EXPECT_LT(feed, feed_limit + slack_);
    EXPECT_GT(calls, 100u);
    EXPECT_GT(reads, 0u);
    EXPECT_GT(feeds, 0u);
    EXPECT_GT(compactions, 0u);
    const auto number = [](uint64_t value) { return static_cast<unsigned long long>(value); };
    std::printf(
        "       T5 seed %llu: %llu %s; %llu writes (%llu busy), %llu reads, %llu wakes of followers, %llu compactions "
        "begun; worst write %llu us, flush %llu us, read %llu us, wake %llu us, host's slack %llu us\n",
        number(TestSeed()), number(turns), name, number(calls), number(busy), number(reads), number(feeds),
        number(compactions), number(call), number(flush), number(read), number(feed), number(slack_));
  }

 private:
  static constexpr int kAttempts = 300;
  static constexpr int kEndWithinMilliseconds = 10000;

  void Start(uint32_t child) {
    const uint64_t seed = random_.Next();
    processes_[child] =
        StartChild([=, this] { RunChild(store_.path(), store_.options, oracle_, child, seed, options_); });
  }
  void Watch(uint64_t microseconds) { slack_ = std::max(slack_, SleepWatching(microseconds)); }

  bool HoldsWriteLock(int process) {
    const auto directory = io::File::OpenDirectory(store_.path().c_str());
    EXPECT_OK(directory);
    const auto file = io::File::Open(*directory, "lock", io::File::Mode::kReadWrite, FileRole::kLock);
    EXPECT_OK(file);
    const auto map = io::Mapping::Map(*file, 0, format::kLockFileBytes, io::Mapping::Kind::kShared);
    EXPECT_OK(map);
    if (!map.ok()) return false;
    const auto* session = reinterpret_cast<const format::SessionWords*>(map->data());
    const auto* lines = reinterpret_cast<const format::ParticipantLine*>(map->data() + format::kParticipantsOffset);
    const uint32_t number = (LoadAcquire(session->write_lock) & 0x7FFFFFFFu) >> 20;
    return number != 0 && LoadRelaxed(lines[number].process) == static_cast<uint32_t>(process);
  }

  Oracle& oracle_;
  Random random_;
  const WriterOptions options_;
  test::StoreFixture store_;
  std::array<int, kChildren> processes_{};
  uint64_t slack_ = 0;
};

TEST(Survivors, GoOnWithinAQuarterOfASecondOfADeath) {
  const uint64_t kills = TestRounds(40, 2000);
  WriterOptions options;
  options.flushes_of_1000 = 1;
  // A store of its own for every hundred: the checks walk the whole log.
  for (uint64_t done = 0; done < kills;) {
    Survivors survivors(TestSeed() + done, options);
    const uint64_t turns = std::min<uint64_t>(kills - done, 100);
    for (uint64_t i = 0; i < turns; ++i) survivors.KillOne();
    done += turns;
    survivors.Finish("kills", turns, kCallLimit);
  }
}

TEST(Survivors, WritersAreBusyAndReadersAreNotWhileAnOwnerSleeps) {
  const uint64_t stops = TestRounds(4, 500);
  WriterOptions options;
  options.flushes_of_1000 = 0;
  options.lock_timeout_us = kShortTimeout;
  options.busy_is_right = true;
  uint64_t held = 0;
  for (uint64_t done = 0; done < stops;) {
    Survivors survivors(TestSeed() + done, options);
    const uint64_t turns = std::min<uint64_t>(stops - done, 50);
    for (uint64_t i = 0; i < turns; ++i) held += survivors.StopOne() ? 1 : 0;
    done += turns;
    // Nothing is committed while the owner of the lock sleeps, so a follower waits as long as it does.
    survivors.Finish("stops", turns, kStopMin + kStopSpread + kCallLimit);
  }
  std::printf("       T5: the write lock was held through %llu of %llu stops\n", static_cast<unsigned long long>(held),
              static_cast<unsigned long long>(stops));
  EXPECT_GT(held, 0u);
}

}  // namespace
}  // namespace thermocline::kill

// T4: whoever recovers dies too. Repairs, openings, creations, closings and rebuilds, killed at any instruction.
//
// Goal: recovery is idempotent; however often it is cut short, the first that is not ends where the first would have.
// Method: a writer dies between its commit and its end; openers or survivors die while they repair that, again and
// again; at last one is left alone, and must find the commit applied whole and everything else as it was.

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <vector>

#include "core/base/atomic.h"
#include "core/io/system.h"
#include "kill/process.h"
#include "kill/stepper.h"
#include "kill/writer.h"

namespace thermocline::kill {
namespace {

constexpr uint32_t kDeadWriter = 0;
constexpr uint32_t kParentWriter = 1;
constexpr uint32_t kFirstHeir = 2;
constexpr uint32_t kHeirs = 4;
constexpr uint64_t kStatesPerStore = 12;
constexpr int kNestedMax = 6;
// Of a rebuild's hundred thousand instructions the short run steps through the first; the rest is killed by time.
constexpr uint64_t kRebuildTraced = 20000;
constexpr uint64_t kFillingPuts = 300;

unsigned long long Print(uint64_t value) { return static_cast<unsigned long long>(value); }

class Scene {
 public:
  explicit Scene(store::Durability durability = store::Durability::kNone)
      : oracle_(MakeShared<Oracle>()), durability_(durability), random_(TestSeed()) {
    NewStore();
  }

  void NewStore() {
    words_ = nullptr;
    oracle_.Clear();
    fixture_ = std::make_unique<test::StoreFixture>(kDimensions, durability_);
    ASSERT_OK(fixture_->Open());
    Writer writer(**fixture_, oracle_, kParentWriter, 1, TestSeed(), {});
    for (int i = 0; i < 20; ++i) writer.Any();
    words_ = std::make_unique<test::BootWordsByHand>(fixture_->path());
    fixture_->Kill();
  }

  /// A body for TraceChild: opens, writes, then one write of several as the operation.
  std::function<void()> Write(uint32_t writer_number, bool warm) {
    return [=, this] {
      Result<std::shared_ptr<store::Store>> opened = Open();
      if (!opened.ok()) return;
      Writer writer(**opened, oracle_, writer_number, 0, TestSeed(), {});
      for (uint32_t id = 0; warm && id < 6; ++id) writer.Put(id);
      writer.before_commit = BeginSteppable;
      writer.after_commit = EndSteppable;
      writer.WriteSeveral();
    };
  }

  /// A body whose operation is to open the store.
  std::function<void()> Opening() {
    return [this] {
      BeginSteppable();
      static_cast<void>(Open().ok());
      EndSteppable();
    };
  }

  /// A body that writes so much that every slot and byte thought to be backed is used, and ends. It kills itself right
  /// after the commit of number `last`, before it can acknowledge it.
  std::function<void()> Filling(uint64_t last) {
    return [this, last] {
      Result<std::shared_ptr<store::Store>> opened = Open();
      if (!opened.ok()) return;
      // Whoever filled before this one may have died with a call in doubt, which the next call would overwrite.
      CheckRegion(**opened, oracle_.regions[kParentWriter], kParentWriter);
      Writer writer(**opened, oracle_, kParentWriter, 1, random_.Next(), {});
      uint64_t commits = 0;
      writer.after_commit = [&] {
        if (++commits == last) static_cast<void>(raise(SIGKILL));
      };
      for (uint64_t i = 0; i < kFillingPuts; ++i) writer.Put(writer.RandomId());
    };
  }

  /// Kills writers until one has committed and not applied. The trace is made at the first call. Everybody is dead
  /// then.
  void MakeUnapplied() { MakeUnapplied(false); }
  /// The same while the parent has the store open, as a survivor.
  void MakeUnappliedBeside() { MakeUnapplied(true); }

  /// Opens undisturbed and checks all of it.
  void Settle(Pending pending) {
    ASSERT_OK(fixture_->Open());
    SettleOpen(pending);
    fixture_->Kill();
  }

  void SettleOpen(Pending pending) {
    store::Store& store = **fixture_;
    Writer writer(store, oracle_, kParentWriter, 1, random_.Next(), {});
    CheckRegion(store, oracle_.regions[kParentWriter], kParentWriter);
    writer.Put(writer.RandomId());
    CheckRegion(store, oracle_.regions[kDeadWriter], kDeadWriter, pending);
    for (uint32_t heir = kFirstHeir; heir < kFirstHeir + kHeirs; ++heir) {
      CheckRegion(store, oracle_.regions[heir], heir);
    }
    CheckRegion(store, oracle_.regions[kParentWriter], kParentWriter);
    CheckWhole(store);
  }

  test::StoreFixture& fixture() { return *fixture_; }
  Oracle& oracle() { return oracle_; }
  Random& random() { return random_; }
  uint64_t window() const { return visible_ - committed_; }

 private:
  Result<std::shared_ptr<store::Store>> Open() { return store::Store::Open(fixture_->path(), fixture_->options); }

  void MakeUnapplied(bool beside) {
    const auto settle = [&](Pending pending) { beside ? SettleOpen(pending) : Settle(pending); };
    if (write_.instructions() == 0) {
      words_ = std::make_unique<test::BootWordsByHand>(fixture_->path());
      uint64_t tail = 0;
      uint64_t applied = 0;
      write_ = TraceChild(Write(kDeadWriter, true), [&](uint64_t k) {
        const uint64_t tail_now = LoadAcquire((*words_)->tail);
        const uint64_t applied_now = LoadAcquire((*words_)->applied);
        if (k > 1 && tail_now != tail) committed_ = k;
        if (k > 1 && applied_now != applied) visible_ = k;
        tail = tail_now;
        applied = applied_now;
      });
      ASSERT_GT(visible_, committed_);
      settle(Pending::kCommitted);
    }
    for (int attempt = 0; attempt < 200; ++attempt) {
      KillChildAfter(Write(kDeadWriter, true), write_, committed_ + random_.Below(visible_ - committed_));
      const Result<bool> unapplied = IsUnapplied();
      ASSERT_OK(unapplied);
      if (*unapplied) return;
      settle(Pending::kEither);
    }
    test::ReportFailure(__FILE__, __LINE__, "no writer died between commit and end");
  }

  /// Whether a frame lies between the last applied one and the tail.
  Result<bool> IsUnapplied() const {
    const test::BootWordsByHand words(fixture_->path());
    const Position tail(LoadAcquire(words->tail));
    std::fstream log(fixture_->Join(std::to_string(Raw(tail.segment())) + ".log"), std::ios::binary | std::ios::in);
    const Position last(LoadAcquire(words->last_frame));
    if (last.segment() != tail.segment()) return true;
    format::FrameHeader header;
    log.seekg(static_cast<std::streamoff>(last.offset()));
    if (!log.read(reinterpret_cast<char*>(&header), sizeof header)) return ErrorCode::kCorrupt;
    return last.offset() + sizeof header + header.body_bytes < tail.offset();
  }

  Oracle& oracle_;
  const store::Durability durability_;
  Random random_;
  std::unique_ptr<test::StoreFixture> fixture_;
  std::unique_ptr<test::BootWordsByHand> words_;
  Trace write_;
  uint64_t committed_ = 0;
  uint64_t visible_ = 0;
};

TEST(Recovery, OpenersThatDieWhileTheyRepairLeaveItToTheNext) {
  const uint64_t states = TestRounds(24, 400);
  Scene scene;
  Trace opening;
  uint64_t kills = 0;
  for (uint64_t state = 0; state < states && test::FailureCount() == 0; ++state) {
    if (state % kStatesPerStore == kStatesPerStore - 1) scene.NewStore();
    scene.MakeUnapplied();
    if (state == 0) {
      // Repairs as it goes, so another state is needed after it.
      opening = TraceChild(scene.Opening());
      ASSERT_GT(opening.instructions(), 0u);
      scene.Settle(Pending::kCommitted);
      scene.MakeUnapplied();
    }
    for (uint64_t left = scene.random().Below(kNestedMax) + 1; left > 0; --left, ++kills) {
      KillChildAfter(scene.Opening(), opening, 1 + scene.random().Below(opening.instructions()));
    }
    ASSERT_OK(scene.fixture().Open());
    EXPECT_FALSE(scene.fixture().Recovered());
    scene.SettleOpen(Pending::kCommitted);
    scene.fixture().Kill();
  }
  std::printf(
      "       T4: an opening has %llu instructions, %llu lie between commit and end; %llu states, %llu openers "
      "killed\n",
      Print(opening.instructions()), Print(scene.window()), Print(states), Print(kills));
}

TEST(Recovery, SurvivorsThatDieWhileTheyRepairLeaveItToTheNext) {
  const uint64_t states = TestRounds(8, 400);
  Scene scene;
  Trace takeover;
  uint64_t kills = 0;
  for (uint64_t state = 0; state < states && test::FailureCount() == 0; ++state) {
    if (state % kStatesPerStore == kStatesPerStore - 1) scene.NewStore();
    ASSERT_OK(scene.fixture().Open());  // the session lives on, and with it the dead owner's lock
    scene.MakeUnappliedBeside();
    if (state == 0) {
      takeover = TraceChild(scene.Write(kFirstHeir, false));
      ASSERT_GT(takeover.instructions(), 0u);
      scene.SettleOpen(Pending::kCommitted);
      scene.MakeUnappliedBeside();
    }
    const auto heirs = static_cast<uint32_t>(1 + scene.random().Below(kHeirs));
    for (uint32_t heir = kFirstHeir; heir < kFirstHeir + heirs; ++heir, ++kills) {
      KillChildAfter(scene.Write(heir, false), takeover, 1 + scene.random().Below(takeover.instructions()));
    }
    CheckVisibility(*scene.fixture(), scene.oracle().regions[kDeadWriter], kDeadWriter);
    scene.SettleOpen(Pending::kCommitted);
    scene.fixture().Kill();
  }
  std::printf("       T4: a write that takes over has %llu instructions; %llu states, %llu heirs killed\n",
              Print(takeover.instructions()), Print(states), Print(kills));
}

TEST(Recovery, RebuildsThatAreCutShortLeaveItToTheNext) {
  const uint64_t states = TestRounds(5, 300);
  Scene scene;
  Trace rebuilding;
  uint64_t kills = 0;
  uint64_t worst = 0;
  for (uint64_t state = 0; state < states && test::FailureCount() == 0; ++state) {
    if (state % kStatesPerStore == kStatesPerStore - 1) scene.NewStore();
    scene.MakeUnapplied();
    std::filesystem::remove(scene.fixture().Join("cache"));
    if (state == 0) {
      rebuilding = TraceChild(scene.Opening(), nullptr, TestScale() == 1 ? kRebuildTraced : UINT64_MAX);
      ASSERT_GT(rebuilding.instructions(), 0u);
      scene.Settle(Pending::kCommitted);
      scene.MakeUnapplied();
      std::filesystem::remove(scene.fixture().Join("cache"));
    }
    for (uint64_t left = scene.random().Below(kNestedMax) + 1; left > 0; --left, ++kills) {
      if (left % 2 == 0) {
        KillChildAfter(scene.Opening(), rebuilding, 1 + scene.random().Below(rebuilding.instructions()));
      } else {
        const int opener = StartChild(scene.Filling(scene.random().Below(2 * kFillingPuts)));
        SleepWatching(scene.random().Below(3000));
        Kill(opener);
        Await(opener);
      }
    }
    const uint64_t begin = io::NowMonotonicMicroseconds();
    ASSERT_OK(scene.fixture().Open());
    worst = std::max(worst, io::NowMonotonicMicroseconds() - begin);
    scene.SettleOpen(Pending::kCommitted);
    scene.fixture().Kill();
  }
  std::printf(
      "       T4: %llu instructions of a rebuild; %llu states, %llu rebuilders killed, last open at worst %llu us\n",
      Print(rebuilding.instructions()), Print(states), Print(kills), Print(worst));
}

TEST(Recovery, ACreationThatIsCutShortLeavesADirectoryToCreateIn) {
  Scene scene;
  const auto empty = [&] { std::filesystem::remove_all(scene.fixture().path()); };
  empty();
  const Trace creation = TraceChild(scene.Opening());
  ASSERT_GT(creation.instructions(), 0u);
  const uint64_t kills = TestRounds(25, 8000);
  const uint64_t stride = std::max<uint64_t>(1, creation.instructions() / kills);
  uint64_t done = 0;
  for (uint64_t k = 1 + scene.random().Below(stride); k <= creation.instructions(); k += stride, ++done) {
    empty();
    const KillPlace place = KillChildAfter(scene.Opening(), creation, k);
    ASSERT_OK(scene.fixture().Open());
    EXPECT_EQ(scene.fixture()->size(), 0u);
    EXPECT_OK(test::PutText(*scene.fixture(), "first", "one"));
    test::ExpectWhole(*scene.fixture());
    EXPECT_OK(scene.fixture().Close());
    if (test::FailureCount() > 0) {
      test::ReportFailure(__FILE__, __LINE__,
                          "killed after " + std::to_string(k) + " instructions, " + DescribeAddress(place.address));
      return;
    }
  }
  std::printf("       T4: a creation has %llu instructions; %llu creators killed\n", Print(creation.instructions()),
              Print(done));
}

uint64_t BytesOf(const std::string& directory) {
  uint64_t bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    std::error_code gone;
    const uint64_t size = entry.file_size(gone);
    if (!gone) bytes += size;
  }
  return bytes;
}

TEST(Recovery, AClosingThatIsCutShortLosesNothing) {
  Scene scene(store::Durability::kFlush);
  // Writes, then closes: what lies beyond the tails is given back, the marker is written.
  const auto closing = [&] {
    Result<std::shared_ptr<store::Store>> opened = store::Store::Open(scene.fixture().path(), scene.fixture().options);
    if (!opened.ok()) return;
    Writer writer(**opened, scene.oracle(), kDeadWriter, 0, TestSeed(), {});
    for (uint32_t id = 0; id < 6; ++id) writer.Put(id);
    BeginSteppable();
    static_cast<void>((*opened)->Close().ok());
    EndSteppable();
  };
  // Besides every so many instructions: right after each shrinking of a file.
  std::vector<uint64_t> places;
  uint64_t bytes = 0;
  const Trace trace = TraceChild(closing, [&](uint64_t k) {
    const uint64_t now = BytesOf(scene.fixture().path());
    if (now < bytes) places.push_back(k + 1);
    bytes = now;
  });
  ASSERT_GT(trace.instructions(), 0u);
  EXPECT_GT(places.size(), 0u);
  const uint64_t kills = TestRounds(12, 4000);
  const uint64_t stride = std::max<uint64_t>(1, trace.instructions() / kills);
  for (uint64_t k = 1 + scene.random().Below(stride); k <= trace.instructions(); k += stride) places.push_back(k);
  uint64_t done = 0;
  for (const uint64_t k : places) {
    if (done++ % kStatesPerStore == 0) scene.NewStore();
    const KillPlace place = KillChildAfter(closing, trace, k);
    // In a child, because a store that believes in space it does not have dies by SIGBUS.
    EXPECT_EQ(Await(StartChild(scene.Filling(kFillingPuts + 1))), 0);
    scene.Settle(Pending::kEither);
    if (test::FailureCount() > 0) {
      test::ReportFailure(__FILE__, __LINE__,
                          "killed after " + std::to_string(k) + " instructions, " + DescribeAddress(place.address));
      return;
    }
  }
  std::printf("       T4: a closing has %llu instructions; %llu closers killed\n", Print(trace.instructions()),
              Print(done));
}

}  // namespace
}  // namespace thermocline::kill

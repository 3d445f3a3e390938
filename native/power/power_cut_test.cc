// T6: the power goes at random moments of random histories, also while the store recovers from the cut before.
//
// Method: everything that a history does to its files is recorded (recorder.h). Disks as the cut may leave them are
// made of it, opened as after a reboot, and compared with the oracle (timeline.h): exactly a prefix of the commit
// order that holds everything a returned flush covered. Then some of them are recorded in their turn and cut again.
// A history is one seed: `--seed <the seed printed> --rounds 1` makes it and its disks again.

#include <cstdio>
#include <filesystem>

#include "power/recorder.h"
#include "power/workload.h"
#include "test/fast_directory.h"

namespace thermocline::power {
namespace {

using test::FastDirectory;
using test::TestRounds;

constexpr uint64_t kStepsMax = 60;
constexpr uint64_t kImagesPerHistory = 20;
constexpr uint64_t kCutsInARowMax = 3;

/// What may be in a lock file that no session of this boot has zeroed.
std::string RandomLock(Random& random) {
  if (random.Below(3) == 0) return "";
  std::string lock(random.Below(2) == 0 ? format::kLockFileBytes : random.Below(8192), '\0');
  if (random.Below(2) == 0) {
    for (char& byte : lock) byte = static_cast<char>(random.Next());
  }
  return lock;
}

struct Tally {
  uint64_t images = 0;
  uint64_t cut_again = 0;
  uint64_t recovered = 0;
  uint64_t clean = 0;
  uint64_t lost_frames = 0;  // committed before the cut, not covered by a flush, gone
};

class PowerCuts {
 public:
  PowerCuts(uint64_t seed, RecorderOptions recording) : seed_(seed), random_(seed), recording_(recording) {}

  /// Number of problems found.
  uint64_t Run(Tally* tally) {
    return Record(tally, [this](Workload& workload, Recorder& recorder, uint32_t dimensions) {
      const Moment end = Stop(workload, recorder);
      for (uint64_t i = 0; i < kImagesPerHistory; ++i) {
        const Moment cut = 1 + random_.Below(end);
        Open(recorder, cut, workload.timeline, workload.timeline.RangeAt(cut), dimensions, 1);
      }
    });
  }

  /// The same, with a compaction at the end and a cut at each of its moments.
  uint64_t RunCompaction(Tally* tally) {
    return Record(tally, [this](Workload& workload, Recorder& recorder, uint32_t dimensions) {
      const Moment begin = recorder.Look();
      workload.Compact();
      const Moment end = Stop(workload, recorder);
      for (Moment cut = begin; cut <= end && problems_ == 0; ++cut) {
        Open(recorder, cut, workload.timeline, workload.timeline.RangeAt(cut), dimensions, 1);
      }
    });
  }

 private:
  template <typename Cuts>
  uint64_t Record(Tally* tally, const Cuts& cuts) {
    tally_ = tally;
    SeedRandomBytes(seed_);
    const std::string directory = root_.Join("store");
    std::filesystem::create_directory(directory);
    constexpr uint32_t kDimensions[] = {1, 3, 16, 1024};
    const uint32_t dimensions = kDimensions[random_.Below(std::size(kDimensions))];
    const test::OtherBoot boot("first boot");
    Workload workload(directory, dimensions, store::Durability::kFlush, random_);
    Recorder recorder(directory, recording_);
    const Status opened = workload.Open();
    EXPECT_OK(opened);
    if (!opened.ok()) return 1;
    for (uint64_t steps = random_.Below(kStepsMax); steps > 0; --steps) workload.Step(recorder);
    cuts(workload, recorder, dimensions);
    return problems_;
  }

  static Moment Stop(Workload& workload, Recorder& recorder) {
    const Moment end = recorder.Look();
    recorder.Stop();
    workload.Kill();
    return end;
  }

  void Report(const std::string& what) {
    ++problems_;
    if (quiet) return;
    test::ReportFailure(__FILE__, __LINE__, what + "; replay: --seed " + std::to_string(seed_) + " --rounds 1");
  }

  /// Makes one disk of the recording and opens it; then perhaps records that and cuts again.
  void Open(Recorder& recorder, Moment cut, const Timeline& timeline, Timeline::Range range, uint32_t dimensions,
            uint64_t cuts) {
    ++tally_->images;
    const std::string directory = root_.Join("disk" + std::to_string(cuts));
    WriteImage(directory, recorder.ImageAt(cut, random_));
    if (random_.Below(4) > 0) test::WriteFileBytes(directory + "/lock", RandomLock(random_));
    RebindCleanMarker(directory);
    const std::string boot_id = "boot " + std::to_string(++boots_);
    const test::OtherBoot boot(boot_id.c_str());
    Workload again(directory, dimensions, store::Durability::kFlush, random_);
    again.timeline = timeline;
    // The recorder of this one takes the watch and gives it back.
    const bool cut_again = cuts < kCutsInARowMax && random_.Below(3) == 0;
    std::optional<Recorder> second;
    if (cut_again) second.emplace(directory, recording_);
    const Status opened = again.Open();
    if (!opened.ok()) {
      Report("cut " + std::to_string(cuts) + " at " + std::to_string(cut) + ": " + test::DescribeStatus(opened));
      return;
    }
    if (const auto problem = again.timeline.Settle(again.store(), range)) {
      Report("cut " + std::to_string(cuts) + " at " + std::to_string(cut) + ": " + *problem);
      return;
    }
    tally_->lost_frames += range.frames_max - again.timeline.size();
    const bool recovered = again.store().Stats()->recovered;
    (recovered ? tally_->recovered : tally_->clean) += 1;
    again.timeline.BeginAnew();
    if (!cut_again) {
      GoOn(again, directory);
      return;
    }
    ++tally_->cut_again;
    const Moment open_at = second->Look();
    for (uint64_t steps = random_.Below(8); steps > 0; --steps) again.Step(*second);
    const Moment end = second->Look();
    second->Stop();
    again.Kill();
    const Moment next_cut = random_.Below(2) == 0 ? 1 + random_.Below(open_at) : 1 + random_.Below(end);
    Open(*second, next_cut, again.timeline, again.timeline.RangeAt(next_cut), dimensions, cuts + 1);
  }

  /// The store can be written to, and what is written is there after a clean close.
  void GoOn(Workload& again, const std::string& directory) {
    const int failures = test::FailureCount();
    test::ExpectWhole(again.store());
    if (random_.Below(4) > 0) return again.Kill();
    Recorder watching(directory, {});
    for (int steps = 0; steps < 3; ++steps) again.Step(watching);
    EXPECT_OK(again.Close());
    const Status opened = again.Open();
    EXPECT_OK(opened);
    if (!opened.ok()) return Report("does not open again");
    if (const auto problem = again.timeline.Compare(again.store())) Report("after going on: " + *problem);
    test::ExpectWhole(again.store());
    again.Kill();
    if (test::FailureCount() != failures && problems_ == 0) Report("see above");
  }

 public:
  bool quiet = false;

 private:
  const uint64_t seed_;
  Random random_;
  const RecorderOptions recording_;
  const FastDirectory root_;
  Tally* tally_ = nullptr;
  uint64_t problems_ = 0;
  uint64_t boots_ = 0;
};

TEST(PowerCut, LeavesAPrefixThatHoldsEverythingAReturnedFlushCovered) {
  const uint64_t rounds = TestRounds(40, 4000);  // 1,000 and 100,000 disks
  Tally tally;
  for (uint64_t round = 0; round < rounds; ++round) {
    PowerCuts cuts(TestSeed() + round, {});
    if (cuts.Run(&tally) > 0) break;
  }
  std::printf(
      "%llu disks, %llu of them cut again, %llu recovered, %llu clean, %llu unflushed commits lost, seeds from %llu\n",
      static_cast<unsigned long long>(tally.images), static_cast<unsigned long long>(tally.cut_again),
      static_cast<unsigned long long>(tally.recovered), static_cast<unsigned long long>(tally.clean),
      static_cast<unsigned long long>(tally.lost_frames), static_cast<unsigned long long>(TestSeed()));
  // Cuts that lose nothing would show nothing.
  EXPECT_GT(tally.lost_frames, rounds);
  EXPECT_GT(tally.recovered, rounds);
  EXPECT_GT(tally.clean, 0u);
}

// Goal: wherever the power goes in a compaction, also where its list is renamed and not synced, and while the old files
// are unlinked, the store is a prefix with everything that was flushed. Method: histories that end with a compaction;
// a disk for every moment of it.
TEST(PowerCut, InACompactionLeavesAPrefixToo) {
  const uint64_t rounds = TestRounds(4, 300);
  Tally tally;
  for (uint64_t round = 0; round < rounds; ++round) {
    PowerCuts cuts(TestSeed() + 1000000 + round, {});
    if (cuts.RunCompaction(&tally) > 0) break;
  }
  std::printf("%llu disks at each moment of %llu compactions, %llu recovered, %llu clean, seeds from %llu\n",
              static_cast<unsigned long long>(tally.images), static_cast<unsigned long long>(rounds),
              static_cast<unsigned long long>(tally.recovered), static_cast<unsigned long long>(tally.clean),
              static_cast<unsigned long long>(TestSeed() + 1000000));
  EXPECT_GT(tally.images, 20 * rounds);
}

// Goal: the harness sees what it is for. Method: the same on a disk that does not keep what was synced.
TEST(PowerCut, OnADiskThatDoesNotKeepWhatWasSyncedIsNoticed) {
  for (const RecorderOptions lying : {RecorderOptions{false, true}, RecorderOptions{true, false}}) {
    uint64_t noticed = 0;
    Tally tally;
    for (uint64_t round = 0; round < 6; ++round) {
      PowerCuts cuts(TestSeed() + round, lying);
      cuts.quiet = true;
      noticed += cuts.Run(&tally);
    }
    EXPECT_GT(noticed, tally.images / 5);
  }
}

}  // namespace
}  // namespace thermocline::power

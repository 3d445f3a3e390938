// T8: after the first sync that failed nobody is told again that something is durable, in no process, until the next
// boot (R8): the kernel reports a lost page once and success ever after.

#include <atomic>
#include <cerrno>
#include <chrono>
#include <filesystem>

#include "power/faults.h"
#include "power/recorder.h"
#include "power/workload.h"
#include "test/fast_directory.h"

namespace thermocline::power {
namespace {

using test::FastDirectory;
using test::Memory;

constexpr uint32_t kDimensions = 16;

store::OpenOptions Options() {
  store::OpenOptions options;
  options.dimensions = kDimensions;
  options.lock_timeout_us = test::kLockTimeout;
  options.with_helper = false;
  return options;
}

Fault FailingSync(uint64_t count, bool for_ever) {
  Fault fault;
  fault.call = Call::kSyncData;
  fault.count = count;
  fault.error_number = EIO;
  fault.for_ever = for_ever;
  return fault;
}

TEST(SyncFailure, PoisonsTheStoreForEveryParticipantAndLeavesItReadable) {
  for (const bool for_ever : {false, true}) {
    const FastDirectory root;
    const std::string directory = root.Join("store");
    auto one = store::Store::Open(directory, Options());
    auto other = store::Store::Open(directory, Options());
    ASSERT_OK(one);
    ASSERT_OK(other);
    ASSERT_OK(test::PutText(**one, "a", "1"));
    ASSERT_OK((*one)->Flush(test::kLockTimeout));
    ASSERT_OK(test::PutText(**one, "b", "2"));
    const Faults faults(FailingSync(1, for_ever));
    const Status failed = (*one)->Flush(test::kLockTimeout);
    EXPECT_ERROR(failed, ErrorCode::kIo);
    EXPECT_EQ(failed.error_number(), EIO);
    const auto begin = std::chrono::steady_clock::now();
    for (store::Store* store : {one->get(), other->get()}) {
      EXPECT_ERROR(store->Flush(test::kLockTimeout), ErrorCode::kPoisoned);
      EXPECT_ERROR(test::PutText(*store, "c", "3"), ErrorCode::kPoisoned);
      EXPECT_ERROR(test::Delete(*store, "a"), ErrorCode::kPoisoned);
      EXPECT_EQ(test::Get(*store, "b")->content.value_or(""), "2");
      EXPECT_EQ(store->Stats()->durable_sequence, 1u);
    }
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(100));
    // Whoever comes later in this boot is told too, also when the first ones have gone.
    auto third = store::Store::Open(directory, Options());
    ASSERT_OK(third);
    EXPECT_ERROR(test::PutText(**third, "c", "3"), ErrorCode::kPoisoned);
    EXPECT_OK((*one)->Close());
    EXPECT_OK((*other)->Close());
    EXPECT_OK((*third)->Close());
    auto fourth = store::Store::Open(directory, Options());
    ASSERT_OK(fourth);
    EXPECT_ERROR(test::PutText(**fourth, "c", "3"), ErrorCode::kPoisoned);
    EXPECT_TRUE(test::Get(**fourth, "b").has_value());
    EXPECT_OK((*fourth)->Close());
  }
}

/// A store of one memory whose sync failed, and whose cache its next opener has to rebuild.
void PoisonWithoutCache(const std::string& directory) {
  {
    auto store = store::Store::Open(directory, Options());
    ASSERT_OK(store);
    ASSERT_OK(test::PutText(**store, "a", "1"));
    const Faults faults(FailingSync(1, false));
    EXPECT_ERROR((*store)->Flush(test::kLockTimeout), ErrorCode::kIo);
  }
  const test::BootWordsByHand words(directory);
  ASSERT_TRUE(words.mapped());
  words->index = 0;  // no sane word
}

TEST(SyncFailure, IsStillKnownWhenTheCacheOfThatBootHasToBeRebuilt) {
  const FastDirectory root;
  const std::string directory = root.Join("store");
  PoisonWithoutCache(directory);
  auto again = store::Store::Open(directory, Options());
  ASSERT_OK(again);
  EXPECT_TRUE((*again)->Stats()->recovered);
  EXPECT_TRUE(test::Get(**again, "a").has_value());
  EXPECT_ERROR(test::PutText(**again, "b", "1"), ErrorCode::kPoisoned);
  EXPECT_EQ((*again)->Stats()->durable_sequence, 0u);
  EXPECT_OK((*again)->Close());
}

// The rebuild ends in the middle, by a full disk here; a kill leaves the same.
TEST(SyncFailure, IsStillKnownWhenARebuildOfTheCacheDidNotComeToItsEnd) {
  for (uint64_t failing = 1;; ++failing) {
    const FastDirectory root;
    const std::string directory = root.Join("store");
    PoisonWithoutCache(directory);
    Fault fault;
    fault.call = Call::kWrite;
    fault.count = failing;
    fault.error_number = ENOSPC;
    {
      const Faults faults(fault);
      const auto refused = store::Store::Open(directory, Options());
      if (!faults.has_failed()) break;
      EXPECT_ERROR(refused, ErrorCode::kFull);
    }
    auto again = store::Store::Open(directory, Options());
    ASSERT_OK(again);
    EXPECT_TRUE(test::Get(**again, "a").has_value());
    EXPECT_ERROR(test::PutText(**again, "b", "1"), ErrorCode::kPoisoned);
    EXPECT_OK((*again)->Close());
  }
}

TEST(SyncFailure, OfARecoveryIsKnownToTheNextOpenerOfThatBoot) {
  const FastDirectory root;
  const std::string directory = root.Join("store");
  {
    const test::OtherBoot boot("first");
    auto store = store::Store::Open(directory, Options());
    ASSERT_OK(store);
    ASSERT_OK(test::PutText(**store, "a", "1"));
  }
  {
    const test::OtherBoot boot("second");
    {
      const Faults faults(FailingSync(1, false));
      EXPECT_ERROR(store::Store::Open(directory, Options()), ErrorCode::kIo);
    }
    auto again = store::Store::Open(directory, Options());
    ASSERT_OK(again);
    EXPECT_TRUE(test::Get(**again, "a").has_value());
    EXPECT_ERROR(test::PutText(**again, "b", "1"), ErrorCode::kPoisoned);
  }
  const test::OtherBoot boot("third");
  auto again = store::Store::Open(directory, Options());
  ASSERT_OK(again);
  EXPECT_OK(test::PutText(**again, "b", "1"));
  EXPECT_OK((*again)->Flush(test::kLockTimeout));
  EXPECT_EQ((*again)->size(), 2u);
  EXPECT_OK((*again)->Close());
}

// Goal: of all who wait for one sync none is told that it went well. Method: threads put and flush until one fails;
// what their returned flushes covered is what the successful syncs covered.
TEST(SyncFailure, FailsForAllWhoSharedTheFlush) {
  constexpr int kThreads = 6;
  for (uint64_t failing = 2; failing < 20; failing += 3) {
    const FastDirectory root;
    auto opened = store::Store::Open(root.Join("store"), Options());
    ASSERT_OK(opened);
    store::Store& store = **opened;
    ASSERT_OK(test::PutText(store, "first", ""));
    const Faults faults(FailingSync(failing, false));
    std::atomic<Sequence> covered{0};
    std::atomic<int> io{0};
    test::RunThreads(kThreads, [&](int thread) {
      for (int i = 0;; ++i) {
        const Result<Sequence> sequence = test::PutText(store, std::to_string(thread) + "-" + std::to_string(i), "x");
        const Status flushed = sequence.ok() ? store.Flush(test::kLockTimeout) : sequence.status();
        if (!flushed.ok()) {
          if (flushed.code() == ErrorCode::kIo) io.fetch_add(1);
          EXPECT_TRUE(flushed.code() == ErrorCode::kIo || flushed.code() == ErrorCode::kPoisoned);
          return;
        }
        Sequence seen = covered.load();
        while (seen < *sequence && !covered.compare_exchange_weak(seen, *sequence)) {
        }
      }
    });
    EXPECT_EQ(io.load(), 1);
    EXPECT_LE(covered.load(), store.Stats()->durable_sequence);
    EXPECT_LT(store.Stats()->durable_sequence, store.sequence());
  }
}

// Goal: nothing that a returned flush covered is lost, whichever sync fails. Method: a recorded history in which one
// sync fails and everything it was to write is gone, cut at its end.
TEST(SyncFailure, AtAnyPointLosesNothingThatAReturnedFlushCovered) {
  const uint64_t rounds = TestRounds(60, 3000);
  uint64_t poisoned = 0;
  for (uint64_t round = 0; round < rounds; ++round) {
    const uint64_t seed = TestSeed() + round;
    Random random(seed);
    SeedRandomBytes(seed);
    const FastDirectory root;
    const std::string directory = root.Join("store");
    std::filesystem::create_directory(directory);
    Timeline timeline;
    DiskImage image;
    Timeline::Range range;
    {
      const test::OtherBoot boot("before");
      auto opened = store::Store::Open(directory, Options());
      ASSERT_OK(opened);
      RecorderOptions recording;
      recording.failing_sync = 1 + random.Below(12);
      Recorder recorder(directory, recording);
      bool failed = false;
      for (int i = 0; i < 60; ++i) {
        auto memory = std::make_shared<Memory>();
        memory->id = std::to_string(random.Below(30));
        memory->embedding = test::EmbeddingOf(random.Next(), kDimensions);
        memory->created_at = memory->last_access = 1;
        TimelineFrame frame;
        frame.begun = recorder.now();
        const Result<Sequence> sequence = test::Put(**opened, *memory);
        EXPECT_TRUE(sequence.ok() || failed || sequence.status().code() == ErrorCode::kIo);
        failed = failed || !sequence.ok();
        if (sequence.ok()) {
          frame.last = *sequence;
          frame.changes.push_back({memory->id, memory, false});
          timeline.Commit(std::move(frame));
        }
        if (random.Below(3) == 0) {
          const Status flushed = (*opened)->Flush(test::kLockTimeout);
          EXPECT_TRUE(!flushed.ok() || !failed);  // never again
          failed = failed || !flushed.ok();
          if (flushed.ok()) timeline.Flushed(recorder.now(), timeline.last());
        }
        recorder.Look();
      }
      poisoned += failed ? 1 : 0;
      const Moment end = recorder.Look();
      range = timeline.RangeAt(end);
      image = recorder.ImageAt(
          end, [](const std::string&, uint64_t) { return true; }, true);
    }
    const std::string disk = root.Join("disk");
    WriteImage(disk, image);
    const test::OtherBoot boot("after");
    auto opened = store::Store::Open(disk, Options());
    ASSERT_OK(opened);
    const auto problem = timeline.Settle(**opened, range);
    if (problem) {
      test::ReportFailure(__FILE__, __LINE__, *problem + "; replay: --seed " + std::to_string(seed) + " --rounds 1");
      return;
    }
  }
  EXPECT_GT(poisoned, rounds / 2);
}

// A list that was renamed in is used by whoever comes next, and no later sync of the directory tells whether it is on
// the disk.
TEST(SyncFailure, OfTheDirectoryOfANewListPoisons) {
  const FastDirectory root;
  auto store = store::Store::Open(root.Join("store"), Options());
  ASSERT_OK(store);
  ASSERT_OK(test::PutText(**store, "a", "1"));
  {
    Fault fault;
    fault.call = Call::kSyncDirectory;
    fault.count = 2;  // the first is that of the segment's files, before the list
    fault.error_number = EIO;
    const Faults faults(fault);
    EXPECT_ERROR(test::PutText(**store, "large", std::string(3u << 20, 'x')), ErrorCode::kIo);
    EXPECT_TRUE(faults.has_failed());
  }
  EXPECT_ERROR(test::PutText(**store, "b", "1"), ErrorCode::kPoisoned);
  EXPECT_ERROR((*store)->Flush(test::kLockTimeout), ErrorCode::kPoisoned);
}

// What nobody's data depends on yet may fail to be synced without harm: it is made anew by the next try.
TEST(SyncFailure, OfAFileThatIsNotListedYetIsAnErrorAndNoPoison) {
  const FastDirectory root;
  auto store = store::Store::Open(root.Join("store"), Options());
  ASSERT_OK(store);
  ASSERT_OK(test::PutText(**store, "a", "1"));
  for (uint64_t count = 1; count <= 3; ++count) {
    Fault fault;
    fault.call = Call::kSync;
    fault.count = count;
    fault.error_number = ENOSPC;
    const Faults faults(fault);
    const std::string large(3u << 20, 'x');  // wants a new segment
    EXPECT_ERROR(test::PutText(**store, "large" + std::to_string(count), large), ErrorCode::kFull);
    EXPECT_TRUE(faults.has_failed());
    EXPECT_OK(test::PutText(**store, "large" + std::to_string(count), large));
  }
  EXPECT_OK((*store)->Flush(test::kLockTimeout));
  test::ExpectWhole(**store);
  EXPECT_OK((*store)->Close());
}

TEST(Durability, NoneMakesNoSyncInAllItsLife) {
  const FastDirectory root;
  const Faults faults;
  store::OpenOptions options = Options();
  options.durability = store::Durability::kNone;
  options.with_helper = true;
  for (int turn = 0; turn < 3; ++turn) {
    const std::string boot_id = std::to_string(turn);
    const test::OtherBoot boot(boot_id.c_str());  // recovers, too
    auto store = store::Store::Open(root.Join("store"), options);
    ASSERT_OK(store);
    for (int i = 0; i < 600; ++i) ASSERT_OK(test::PutText(**store, std::to_string(i), "text"));
    ASSERT_OK(test::PutText(**store, "large", std::string(3u << 20, 'x')));
    ASSERT_OK(test::Delete(**store, "5"));
    (*store)->MakeSpaceAhead();
    ASSERT_OK((*store)->GrowIndex(5000));
    ASSERT_OK((*store)->Close());
  }
  EXPECT_EQ(faults.syncs(), 0u);
}

TEST(Durability, AFlushThatFindsNothingNewMakesNoSync) {
  const FastDirectory root;
  auto store = store::Store::Open(root.Join("store"), Options());
  ASSERT_OK(store);
  ASSERT_OK(test::PutText(**store, "a", "1"));
  ASSERT_OK((*store)->Flush(test::kLockTimeout));
  ASSERT_OK(test::PutText(**store, "b", "1"));
  const Faults faults;
  ASSERT_OK((*store)->Flush(test::kLockTimeout));
  EXPECT_EQ(faults.syncs(), 1u);  // of the log alone
  ASSERT_OK((*store)->Flush(test::kLockTimeout));
  EXPECT_EQ(faults.syncs(), 1u);
  ASSERT_OK((*store)->Close());
}

}  // namespace
}  // namespace thermocline::power

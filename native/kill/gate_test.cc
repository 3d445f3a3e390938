// Several processes that open a store at once whose cache has to be rebuilt: one rebuilds, the others wait at the gate,
// and whoever is killed leaves it to the next.

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "core/io/system.h"
#include "kill/process.h"
#include "test/fast_directory.h"
#include "test/store_fixture.h"

namespace thermocline::kill {
namespace {

constexpr uint32_t kDimensions = 4;
constexpr int kMemories = 6000;
constexpr int kOpeners = 3;
constexpr uint64_t kGiveUpAfter = 60000000;

struct Region {
  uint64_t go = 0;
  uint64_t opened[kOpeners] = {};
  uint64_t wrong[kOpeners] = {};
  uint64_t recovered[kOpeners] = {};
};

std::string IdOf(int number) { return "m" + std::to_string(number); }

store::OpenOptions OptionsOf() {
  store::OpenOptions options;
  options.dimensions = kDimensions;
  options.durability = store::Durability::kFlush;
  options.lock_timeout_us = test::kLockTimeout;
  return options;
}

/// Flushed, and left as a killed process leaves it.
void Fill(const std::string& path) {
  const auto opened = store::Store::Open(path, OptionsOf());
  ASSERT_OK(opened);
  for (int begin = 0; begin < kMemories; begin += 100) {
    std::vector<test::Memory> memories(100);
    store::Batch batch((*opened)->hash_key());
    for (int i = 0; i < 100; ++i) {
      test::Memory& memory = memories[static_cast<size_t>(i)];
      memory.id = IdOf(begin + i);
      memory.embedding = test::EmbeddingOf(static_cast<uint64_t>(begin + i), kDimensions);
      memory.content = memory.id;
      batch.Put(test::PutInputOf(memory), false);
    }
    ASSERT_OK((*opened)->Commit(batch, test::kLockTimeout));
  }
  ASSERT_OK((*opened)->Flush(test::kLockTimeout));
}

bool HasAll(store::Store& store) {
  if (store.size() < kMemories) return false;
  for (int i = 0; i < kMemories; ++i) {
    const auto found = test::Get(store, IdOf(i));
    if (!found || found->content != found->id) return false;
  }
  return true;
}

void RunOpener(const std::string& path, Region& region, int number) {
  while (LoadAcquire(region.go) == 0) io::YieldThread();
  const auto opened = store::Store::Open(path, OptionsOf());
  const bool right =
      opened.ok() && HasAll(**opened) && test::PutText(**opened, "by " + std::to_string(number), "written").ok();
  if (opened.ok()) StoreRelease(region.recovered[number], uint64_t{(*opened)->Stats()->recovered});
  StoreRelease(region.wrong[number], uint64_t{!right});
  StoreRelease(region.opened[number], uint64_t{1});
  ::pause();
}

// Goal: of several who open a store at once the one that rebuilds may be killed at any moment; the next in line does
// it, the others find it done, and nothing is lost. Method: the power was lost (another boot); one of three openers is
// killed at a random moment of the time that a rebuild takes.
TEST(Gate, ARebuildersDeathIsMadeGoodByThoseWhoWait) {
  test::FastDirectory directory;
  const std::string made = directory.Join("made");
  Fill(made);
  const test::OtherBoot boot("another");
  Random random(TestSeed());
  const uint64_t rounds = TestRounds(25, 1500);
  uint64_t rebuilt_by_heirs = 0;
  uint64_t usual_us = 30000;
  for (uint64_t round = 0; round < rounds && test::FailureCount() == 0; ++round) {
    const std::string path = directory.Join("store");
    std::filesystem::remove_all(path);
    std::filesystem::copy(made, path);
    Region& region = MakeShared<Region>();
    int children[kOpeners];
    for (int i = 0; i < kOpeners; ++i) children[i] = StartChild([&, i] { RunOpener(path, region, i); });
    StoreRelease(region.go, uint64_t{1});
    const auto victim = static_cast<size_t>(random.Below(kOpeners));
    SleepWatching(random.Below(2 * usual_us));
    Kill(children[victim]);
    Await(children[victim]);
    uint64_t rebuilders = 0;
    for (size_t i = 0; i < kOpeners; ++i) {
      if (i == victim) continue;
      const uint64_t begin = io::NowMonotonicMicroseconds();
      while (LoadAcquire(region.opened[i]) == 0 && io::NowMonotonicMicroseconds() - begin < kGiveUpAfter) {
        SleepWatching(500);
      }
      EXPECT_EQ(LoadAcquire(region.opened[i]), 1u);
      EXPECT_EQ(LoadAcquire(region.wrong[i]), 0u);
      rebuilders += LoadAcquire(region.recovered[i]);
    }
    EXPECT_LE(rebuilders, 1u);
    rebuilt_by_heirs += rebuilders;
    if (LoadAcquire(region.opened[victim]) != 0) usual_us = std::max<uint64_t>(usual_us * 3 / 4, 1000);
    for (size_t i = 0; i < kOpeners; ++i) {
      if (i == victim) continue;
      Kill(children[i]);
      Await(children[i]);
    }
    const auto last = store::Store::Open(path, OptionsOf());
    ASSERT_OK(last);
    EXPECT_TRUE(HasAll(**last));
    test::ExpectWhole(**last);
    for (size_t i = 0; i < kOpeners; ++i) {
      if (i != victim) EXPECT_TRUE(test::Get(**last, "by " + std::to_string(i)).has_value());
    }
    EXPECT_OK((*last)->Close());
  }
  EXPECT_GT(rebuilt_by_heirs, 0u);  // or nobody was killed in the middle
  std::printf("%llu rounds, %llu rebuilt by who was not killed\n", static_cast<unsigned long long>(rounds),
              static_cast<unsigned long long>(rebuilt_by_heirs));
}

}  // namespace
}  // namespace thermocline::kill

// Compactions that are killed one after the other, in a store that somebody always has open.

#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "core/store/file_names.h"
#include "kill/process.h"
#include "test/fast_directory.h"
#include "test/store_fixture.h"

namespace thermocline::kill {
namespace {

constexpr uint32_t kDimensions = 8;
constexpr int kMemories = 700;
constexpr int kDeaths = 6;

std::vector<std::string> SegmentFiles(store::Store& store) {
  Result<std::vector<std::string>> names = io::ListDirectory(store.directory());
  EXPECT_OK(names);
  std::erase_if(*names, [](const std::string& name) { return store::SegmentOfFileName(name) == 0; });
  return *names;
}

// Goal: what compactions leave that are killed does not pile up for as long as one process has the store open. Method:
// one after the other is killed in the middle of its copy.
TEST(LeftBehind, IsOfOneCompactionAtMostHoweverManyAreKilled) {
  test::FastDirectory directory;
  store::OpenOptions options;
  options.dimensions = kDimensions;
  options.lock_timeout_us = test::kLockTimeout;
  options.with_helper = false;
  const auto opened = store::Store::Open(directory.Join("store"), options);
  ASSERT_OK(opened);
  store::Store& store = **opened;
  for (int version = 0; version < 2; ++version) {
    for (int i = 0; i < kMemories; i += 1 + version) {
      test::Memory memory;
      memory.id = "m" + std::to_string(i);
      memory.embedding = test::EmbeddingOf(static_cast<uint64_t>(i), kDimensions);
      memory.content = "version " + std::to_string(version);
      ASSERT_OK(test::Put(store, memory));
    }
  }
  const auto listed = [&] { return 2 * store.TakeSnapshot()->parts.size(); };
  size_t worst = 0;
  for (int death = 0; death < kDeaths; ++death) {
    const int child = StartChild([&] {
      const auto own = store::Store::Open(directory.Join("store"), options);
      store::CompactPolicy policy;
      policy.between = [] { ::kill(::getpid(), SIGKILL); };
      const std::atomic<bool> never{false};
      static_cast<void>((*own)->Compact(test::kLockTimeout, never, policy).ok());
    });
    EXPECT_EQ(Await(child), 128 + SIGKILL);
    worst = std::max(worst, SegmentFiles(store).size() - listed());
  }
  EXPECT_GE(worst, 2u);  // a copy, or nothing was shown
  EXPECT_LE(worst, 2u);
  const std::atomic<bool> never{false};
  ASSERT_OK(store.Compact(test::kLockTimeout, never));
  EXPECT_EQ(SegmentFiles(store).size(), listed());
  for (int i = 0; i < kMemories; ++i) {
    const std::optional<test::Memory> found = test::Get(store, "m" + std::to_string(i));
    ASSERT_TRUE(found.has_value());
    EXPECT_EQ(found->content.value_or(""), i % 2 == 0 ? "version 1" : "version 0");
  }
  test::ExpectWhole(store);
  EXPECT_OK(opened->get()->Close());
}

}  // namespace
}  // namespace thermocline::kill

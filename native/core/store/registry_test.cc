// One store per directory and process, whoever asks for it and when.

#include <atomic>
#include <thread>
#include <vector>

#include "core/io/kernel_lock.h"
#include "core/store/registry.h"
#include "test/store_fixture.h"

namespace thermocline::store {
namespace {

using test::TempDirectory;

TEST(StoreRegistry, TheCloseOfOneHandleLeavesTheOthersOfItsProcessOpen) {
  TempDirectory directory;
  OpenOptions options;
  options.dimensions = 2;
  auto first = AcquireStore(directory.Join("store"), options);
  auto second = AcquireStore(directory.Join("./store"), {});
  ASSERT_OK(first);
  ASSERT_OK(second);
  EXPECT_TRUE(*first == *second);
  ASSERT_OK(ReleaseStore(*first));
  ASSERT_OK(test::PutText(**second, "later", "1"));
  EXPECT_EQ((*second)->size(), 1u);
  ASSERT_OK(ReleaseStore(*second));
}

// A handle asks for more than the first one of its process: then the last close makes all of it durable.
TEST(StoreRegistry, TheHighestDurabilityThatAHandleAskedForHolds) {
  for (const bool raised : {false, true}) {
    TempDirectory directory;
    OpenOptions options;
    options.dimensions = 2;
    options.durability = Durability::kNone;
    auto first = AcquireStore(directory.Join("store"), options);
    ASSERT_OK(first);
    ASSERT_OK(test::PutText(**first, "a", "1"));
    for (const Durability asked : {Durability::kFlush, Durability::kNone}) {
      options.durability = raised ? asked : Durability::kNone;
      auto other = AcquireStore(directory.Join("store"), options);
      ASSERT_OK(other);
      ASSERT_OK(ReleaseStore(*other));
    }
    ASSERT_OK(ReleaseStore(*first));
    const std::string cache = test::ReadFileBytes(directory.Join("store/cache"));
    const std::string marker = cache.substr(format::kCleanOffset, sizeof(format::CleanMarker));
    EXPECT_EQ(marker != std::string(marker.size(), '\0'), raised);
  }
}

TEST(StoreRegistry, KeepsDirectoriesApartAndRefusesWhatTheOpenOneIsNot) {
  TempDirectory directory;
  OpenOptions options;
  options.dimensions = 2;
  auto first = AcquireStore(directory.Join("first"), options);
  ASSERT_OK(first);
  auto second = AcquireStore(directory.Join("second"), options);
  ASSERT_OK(second);
  EXPECT_FALSE(*first == *second);
  EXPECT_TRUE(*AcquireStore(directory.Join("second/"), options) == *second);
  options.dimensions = 3;
  EXPECT_ERROR(AcquireStore(directory.Join("second"), options), ErrorCode::kDimension);
  options.create = false;
  EXPECT_ERROR(AcquireStore(directory.Join("third"), options), ErrorCode::kNotFound);
  for (const auto& store : {*first, *second, *second}) EXPECT_OK(ReleaseStore(store));
  EXPECT_OK(ReleaseStore(*second));  // whom nobody has open is nobody's to close
}

// Goal: a store whose opener waits, for a process that was stopped in the middle of opening it, keeps nobody from
// others. Method: its gate is held until others were opened and closed many times.
TEST(StoreRegistry, WhoWaitsForOneStoreKeepsNobodyFromOthers) {
  TempDirectory directory;
  OpenOptions options;
  options.dimensions = 2;
  options.lock_timeout_us = test::kLockTimeout;
  for (const char* name : {"held", "other"}) {
    const auto made = AcquireStore(directory.Join(name), options);
    ASSERT_OK(made);
    ASSERT_OK(ReleaseStore(*made));
  }
  Result<io::File> held = io::File::OpenDirectory(directory.Join("held").c_str());
  ASSERT_OK(held);
  Result<io::File> lock = io::File::Open(*held, "lock", io::File::Mode::kReadWrite, FileRole::kLock);
  ASSERT_OK(lock);
  const Result<bool> taken = io::TryLockByte(*lock, format::kGateByte);
  ASSERT_OK(taken);
  ASSERT_TRUE(*taken);

  Result<std::shared_ptr<Store>> waiting = ErrorCode::kNotFound;
  std::thread waiter([&] { waiting = AcquireStore(directory.Join("held"), options); });
  for (int i = 0; i < 200; ++i) {
    const auto other = AcquireStore(directory.Join("other"), options);
    EXPECT_OK(other);
    if (other.ok()) EXPECT_OK(ReleaseStore(*other));
  }
  io::UnlockByte(*lock, format::kGateByte);
  waiter.join();
  ASSERT_OK(waiting);
  EXPECT_OK(ReleaseStore(*waiting));
}

// Goal: threads that open and close the same store, also one that is not there yet, are one participant at any moment.
TEST(StoreRegistry, ThreadsThatOpenAndCloseTheSameStoreShareIt) {
  TempDirectory directory;
  OpenOptions options;
  options.dimensions = 2;
  options.durability = Durability::kNone;
  options.lock_timeout_us = test::kLockTimeout;
  for (int round = 0; round < 20; ++round) {
    const std::string path = directory.Join("store" + std::to_string(round));
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 4; ++thread) {
      threads.emplace_back([&, thread] {
        for (int turn = 0; turn < 10; ++turn) {
          const auto store = AcquireStore(path, options);
          if (!store.ok()) {
            wrong += 1;
            continue;
          }
          const Result<StoreStats> stats = (*store)->Stats();
          const std::string id = std::to_string(thread) + "/" + std::to_string(turn);
          const bool put = test::PutText(**store, id, id).ok();
          if (!put || !stats.ok() || stats->participants != 1 || !ReleaseStore(*store).ok()) wrong += 1;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(wrong.load(), 0);
    const auto store = AcquireStore(path, options);
    ASSERT_OK(store);
    EXPECT_EQ((*store)->size(), 40u);
    ASSERT_OK(ReleaseStore(*store));
  }
}

}  // namespace
}  // namespace thermocline::store

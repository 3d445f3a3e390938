// What others do to the list of segments, or a dead owner left of it, costs an operation neither its end nor the store.

#include <cerrno>
#include <functional>

#include "core/io/kernel_lock.h"
#include "power/faults.h"
#include "power/full_store.h"
#include "test/session_fixture.h"

namespace thermocline::power {
namespace {

void OpenBoth(Scene& scene) {
  ASSERT_OK(scene.Open());
  Result<std::shared_ptr<Store>> other = Store::Open(scene.path(), Options());
  ASSERT_OK(other);
  scene.other = *other;
}

// Goal: a compaction comes to its end beside others who change the list all the time, and keeps nobody out for it until
// it has met some of them. Method: whenever it has read the list and is about to write its own, a flush of another
// participant puts one in place.
TEST(ListRace, ACompactionEndsThoughTheListIsAnotherEachTime) {
  const Template made(Durability::kFlush);
  Scene scene(made, Durability::kFlush);
  OpenBoth(scene);
  const test::BootWordsByHand words(scene.path());
  const uint64_t generation = LoadAcquire(words->list_generation);
  uint64_t changed = 0;
  uint64_t refused = 0;
  {
    const BeforeNamed change(Call::kOpen, "meta.rewritten", [&] {
      StoreRelease(words->structure_unsynced, uint64_t{1});  // as a handle without syncs leaves it
      const Status flushed = scene.other->Flush(0);
      if (!flushed.ok()) EXPECT_ERROR(flushed, ErrorCode::kBusy);
      (flushed.ok() ? changed : refused) += 1;
    });
    ASSERT_OK(scene.store->Compact(test::kLockTimeout, kNever));
  }
  EXPECT_GE(changed, 8u);  // a copy's number and its publication, each beside some of them
  EXPECT_GE(refused, 2u);
  EXPECT_GT(LoadAcquire(words->list_generation), generation + changed);
  EXPECT_LT(scene.store->Stats()->segments, 3u);
  scene.ExpectModel(*scene.store);
  scene.ExpectModel(*scene.other);
  test::ExpectWhole(*scene.store);
  EXPECT_OK(scene.Close());
}

// Goal: what only the heir of a dead writer lacks is an error of that call alone; damage would be everybody's. Method:
// the heir may open no file, then it may.
TEST(ListRace, AnHeirWithoutDescriptorsLeavesTheDeadWritersLockToTheNext) {
  const Template made(Durability::kFlush);
  Scene scene(made, Durability::kFlush);
  OpenBoth(scene);
  const test::SessionByHand session(scene.path());
  ASSERT_OK(test::Delete(*scene.store, "none"));
  StoreRelease(session->write_lock, session.WordOf(2));
  scene.other.reset();
  {
    Fault fault;
    fault.call = Call::kOpen;
    fault.error_number = EMFILE;
    fault.for_ever = true;
    const Faults faults(fault);
    EXPECT_ERROR(test::Delete(*scene.store, "none"), ErrorCode::kIo);
    EXPECT_TRUE(faults.has_failed());
  }
  EXPECT_OK(test::Delete(*scene.store, "none"));
  EXPECT_EQ(LoadAcquire(session->write_lock), 0u);
  scene.ExpectModel(*scene.store);
  test::ExpectWhole(*scene.store);
  EXPECT_OK(scene.Close());
}

// Goal: who finds the disk full when it joins is told so and takes no number with it. Method: all numbers whose lines
// are on the first page are taken, so that the next one's has to be backed.
TEST(ListRace, WhoCannotJoinForLackOfSpaceTakesNoNumber) {
  constexpr uint32_t kFirstOfNextPage = 64;
  const Template made(Durability::kFlush);
  Scene scene(made, Durability::kFlush);
  ASSERT_OK(scene.Open());
  Result<io::File> directory = io::File::OpenDirectory(scene.path().c_str());
  ASSERT_OK(directory);
  Result<io::File> lock = io::File::Open(*directory, "lock", io::File::Mode::kReadWrite, FileRole::kLock);
  ASSERT_OK(lock);
  for (uint32_t number = 2; number < kFirstOfNextPage; ++number) {
    EXPECT_TRUE(*io::TryLockByte(*lock, format::kParticipantByte + number));
  }
  {
    Fault fault;
    fault.call = Call::kAllocate;
    fault.error_number = ENOSPC;
    const Faults faults(fault);
    EXPECT_ERROR(Store::Open(scene.path(), Options()), ErrorCode::kFull);
    EXPECT_TRUE(faults.has_failed());
  }
  EXPECT_FALSE(*io::AnyByteLocked(*lock, format::kParticipantByte + kFirstOfNextPage, 1));
  Result<std::shared_ptr<Store>> other = Store::Open(scene.path(), Options());
  ASSERT_OK(other);
  EXPECT_TRUE(*io::AnyByteLocked(*lock, format::kParticipantByte + kFirstOfNextPage, 1));
  scene.other = *other;
  scene.ExpectModel(*scene.other);
  EXPECT_OK(scene.Close());
}

}  // namespace
}  // namespace thermocline::power

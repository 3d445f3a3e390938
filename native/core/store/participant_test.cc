// The lock between participants: who waits, who takes over, who is believed alive.

#include "core/store/participant.h"

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "core/io/kernel_lock.h"
#include "core/io/mapping.h"
#include "core/io/system.h"
#include "test/store_fixture.h"

namespace thermocline::store {
namespace {

/// A lock file's words, and participants that each have a descriptor of their own, as processes do.
class Session {
 public:
  Session() {
    Result<io::File> opened = io::File::OpenDirectory(directory_.path().c_str());
    EXPECT_OK(opened);
    folder_ = std::move(*opened);
    const io::File file = OpenLock();
    EXPECT_OK(file.SetSize(format::kLockFileBytes));
    Result<io::Mapping> map = io::Mapping::Map(file, 0, format::kLockFileBytes, io::Mapping::Kind::kShared);
    EXPECT_OK(map);
    map_ = std::move(*map);
  }
  io::File OpenLock() const {
    Result<io::File> file = io::File::Open(folder_, "lock", io::File::Mode::kCreate, FileRole::kLock);
    EXPECT_OK(file);
    return std::move(*file);
  }
  format::SessionWords& words() const { return *reinterpret_cast<format::SessionWords*>(map_.data()); }
  format::ParticipantLine* lines() const {
    return reinterpret_cast<format::ParticipantLine*>(map_.data() + format::kParticipantsOffset);
  }

 private:
  TempDirectory directory_;
  io::File folder_;
  io::Mapping map_;
};

struct Member {
  explicit Member(const Session& session, SharedLock::Order order = SharedLock::Order::kAnyone)
      : file(session.OpenLock()) {
    const Result<Participant> joined = JoinSession(file, session.lines());
    EXPECT_OK(joined);
    self = *joined;
    lock.emplace(session.words().write_lock, file, session.lines(), self, order);
  }
  io::File file;
  Participant self;
  std::optional<SharedLock> lock;
};

TEST(Participant, WhoseLineIsAHoleHasItBackedBeforeTheNumberIsItsOwn) {
  const Session session;
  const io::File file = session.OpenLock();
  EXPECT_OK(file.Allocate(0, FirstLockBytes()));
  std::vector<std::unique_ptr<Member>> members;
  const uint64_t lines = (FirstLockBytes() - format::kParticipantsOffset) / sizeof(format::ParticipantLine);
  for (uint64_t i = 1; i < lines; ++i) members.push_back(std::make_unique<Member>(session));
  EXPECT_EQ(*file.AllocatedBytes(), FirstLockBytes());
  members.push_back(std::make_unique<Member>(session));
  EXPECT_EQ(uint64_t{members.back()->self.number}, lines);
  const uint64_t backed = *file.AllocatedBytes();
  EXPECT_TRUE(backed > FirstLockBytes() && backed < format::kLockFileBytes);
  // The page that is backed has others' lines too, and keeps them.
  members.push_back(std::make_unique<Member>(session));
  EXPECT_EQ(session.lines()[lines].incarnation, members[lines - 1]->self.incarnation);
  EXPECT_EQ(*file.AllocatedBytes(), backed);
}

TEST(SharedLock, ExcludesThreadsAndParticipantsFromOneAnother) {
  const Session session;
  Member first(session);
  Member second(session);
  EXPECT_NE(first.self.number, second.self.number);
  uint64_t count = 0;  // not atomic: the lock is what is tested
  const uint64_t rounds = 4000 * TestScale();
  test::RunThreads(6, [&](int thread) {
    SharedLock& lock = thread % 2 == 0 ? *first.lock : *second.lock;
    for (uint64_t round = 0; round < rounds; ++round) {
      EXPECT_TRUE(lock.Acquire(test::kLockTimeout) == SharedLock::Outcome::kAcquired);
      count += 1;
      lock.Release();
    }
  });
  EXPECT_EQ(count, 6 * rounds);
  EXPECT_EQ(session.words().write_lock, 0u);
}

TEST(SharedLock, IsBusyAfterTheTimeWhileItsOwnerLivesAndNotBefore) {
  const Session session;
  Member owner(session);
  Member waiter(session);
  ASSERT_TRUE(owner.lock->Acquire(0) == SharedLock::Outcome::kAcquired);
  for (Member* member : {&waiter, &owner}) {  // another thread of the owner waits as well
    const uint64_t begin = io::NowMonotonicMicroseconds();
    EXPECT_TRUE(member->lock->Acquire(50000) == SharedLock::Outcome::kBusy);
    EXPECT_GE(io::NowMonotonicMicroseconds() - begin, 50000u);
  }
  owner.lock->Release();
  EXPECT_TRUE(waiter.lock->Acquire(0) == SharedLock::Outcome::kAcquired);
}

// Goal: one who needs the lock once is not kept out by one who holds it nearly all the time. Method: the owner comes
// back the moment it released; how often it does so for each time that the other gets it.
TEST(SharedLock, WhoComesBackAtOnceLetsPassWhomItsReleaseWoke) {
  constexpr int kTimes = 20;
  const Session session;
  Member often(session, SharedLock::Order::kWokenFirst);
  Member seldom(session, SharedLock::Order::kWokenFirst);
  std::atomic<uint64_t> held{0};
  std::atomic<bool> stop{false};
  test::RunThreads(2, [&](int thread) {
    if (thread == 0) {
      while (!stop.load()) {
        EXPECT_TRUE(often.lock->Acquire(test::kLockTimeout) == SharedLock::Outcome::kAcquired);
        held.fetch_add(1);
        const uint64_t begin = io::NowMonotonicMicroseconds();
        while (io::NowMonotonicMicroseconds() - begin < 500) io::SpinPause();
        often.lock->Release();
      }
      return;
    }
    for (int time = 0; time < kTimes; ++time) {
      for (const uint64_t seen = held.load(); held.load() == seen;) std::this_thread::yield();
      EXPECT_TRUE(seldom.lock->Acquire(test::kLockTimeout) == SharedLock::Outcome::kAcquired);
      seldom.lock->Release();
    }
    stop.store(true);
  });
  printf("       held %llu times beside %d\n", static_cast<unsigned long long>(held.load()), kTimes);
  EXPECT_LT(held.load(), 100u * kTimes);
}

TEST(SharedLock, OfADeadOwnerIsTakenByExactlyOneWaiter) {
  const Session session;
  for (int round = 0; round < 4; ++round) {
    Member waiters[3] = {Member(session), Member(session), Member(session)};
    auto owner = std::make_unique<Member>(session);
    ASSERT_TRUE(owner->lock->Acquire(0) == SharedLock::Outcome::kAcquired);
    owner.reset();  // the descriptor goes, and with it the kernel's lock
    std::atomic<int> from_dead{0};
    std::atomic<int> inside{0};
    test::RunThreads(3, [&](int thread) {
      const SharedLock::Outcome outcome = waiters[thread].lock->Acquire(test::kLockTimeout);
      EXPECT_TRUE(outcome != SharedLock::Outcome::kBusy);
      EXPECT_EQ(inside.fetch_add(1), 0);
      if (outcome == SharedLock::Outcome::kAcquiredFromDead) from_dead.fetch_add(1);
      inside.fetch_sub(1);
      waiters[thread].lock->Release();
    });
    EXPECT_EQ(from_dead.load(), 1);
  }
}

TEST(SharedLock, ADeadOwnersNumberInOtherHandsIsNotTheOwner) {
  const Session session;
  Member witness(session);
  auto owner = std::make_unique<Member>(session);
  const uint32_t number = owner->self.number;
  ASSERT_TRUE(owner->lock->Acquire(0) == SharedLock::Outcome::kAcquired);
  owner.reset();
  Member next(session);
  EXPECT_EQ(next.self.number, number);
  EXPECT_NE(next.self.word(), session.words().write_lock & 0x7FFFFFFFu);
  EXPECT_TRUE(next.lock->Acquire(300000) == SharedLock::Outcome::kAcquiredFromDead);
  EXPECT_TRUE(witness.lock->Acquire(50000) == SharedLock::Outcome::kBusy);
}

TEST(SharedLock, OfADeadOwnerIsTakenAlsoByWhoNeverWaits) {
  const Session session;
  Member next(session);
  auto owner = std::make_unique<Member>(session);
  ASSERT_TRUE(owner->lock->Acquire(0) == SharedLock::Outcome::kAcquired);
  EXPECT_TRUE(next.lock->Acquire(0) == SharedLock::Outcome::kBusy);
  owner.reset();
  EXPECT_TRUE(next.lock->Acquire(0) == SharedLock::Outcome::kAcquiredFromDead);
}

TEST(SharedLock, GivenBackUnrepairedIsTheDeadOwnersForTheNextWhoAsks) {
  const Session session;
  Member first(session);
  Member second(session);
  auto owner = std::make_unique<Member>(session);
  ASSERT_TRUE(owner->lock->Acquire(0) == SharedLock::Outcome::kAcquired);
  owner.reset();
  uint32_t dead_owner = 0;
  ASSERT_TRUE(first.lock->Acquire(0, &dead_owner) == SharedLock::Outcome::kAcquiredFromDead);
  first.lock->GiveBack(dead_owner);
  EXPECT_TRUE(second.lock->Acquire(0) == SharedLock::Outcome::kAcquiredFromDead);
}

TEST(Participant, WhenEveryNumberIsTakenNobodyElseJoins) {
  const Session session;
  const io::File file = session.OpenLock();
  // One descriptor's locks are one owner's: the last number is looked for by another.
  for (uint32_t number = 1; number <= format::kParticipantsMax; ++number) {
    const Result<bool> taken = io::TryLockByte(file, format::kParticipantByte + number);
    ASSERT_OK(taken);
    ASSERT_TRUE(*taken);
  }
  const io::File other = session.OpenLock();
  EXPECT_ERROR(JoinSession(other, session.lines()), ErrorCode::kBusy);
  io::UnlockByte(file, format::kParticipantByte + format::kParticipantsMax);
  const Result<Participant> joined = JoinSession(other, session.lines());
  ASSERT_OK(joined);
  EXPECT_EQ(joined->number, format::kParticipantsMax);
}

TEST(Participant, AWordThatNamesNobodyIsNobodys) {
  const Session session;
  Member member(session);
  EXPECT_TRUE(OwnerLives(session.OpenLock(), session.lines(), member.self.word()));
  EXPECT_FALSE(OwnerLives(session.OpenLock(), session.lines(), 5));  // number 0
  EXPECT_FALSE(OwnerLives(session.OpenLock(), session.lines(), (format::kParticipantsMax + 1) << 20));
}

}  // namespace
}  // namespace thermocline::store

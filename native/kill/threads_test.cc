// What needs a thread of its own where there is none to be had: an error with its number, or done without.
//
// Root's processes are never refused a thread, so the scene runs in a child that has dropped it; run by another user,
// the child stays who it is.

#include <grp.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "core/search/pool.h"
#include "kill/process.h"
#include "test/store_fixture.h"

namespace thermocline::kill {
namespace {

constexpr uid_t kNobody = 65534;

/// While it lives, this process gets no more threads.
class NoThreads {
 public:
  NoThreads() {
    EXPECT_EQ(::getrlimit(RLIMIT_NPROC, &earlier_), 0);
    rlimit none = earlier_;
    none.rlim_cur = 0;
    EXPECT_EQ(::setrlimit(RLIMIT_NPROC, &none), 0);
  }
  ~NoThreads() { EXPECT_EQ(::setrlimit(RLIMIT_NPROC, &earlier_), 0); }
  NoThreads(const NoThreads&) = delete;
  NoThreads& operator=(const NoThreads&) = delete;

 private:
  rlimit earlier_{};
};

class CountingJob final : public search::PoolJob {
 public:
  void Work() override { worked_.fetch_add(1); }
  int worked() const { return worked_.load(); }

 private:
  std::atomic<int> worked_{0};
};

void ExpectNoThread(const Status& status) {
  EXPECT_ERROR(status, ErrorCode::kIo);
  EXPECT_EQ(status.error_number(), EAGAIN);
}

// Goal: where the system gives no thread, an opening and a follower are told so and leave nothing behind, and a search
// goes on with the threads it has; the process lives, and later everything is as ever.
void RunWithoutThreads(const std::string& path) {
  store::OpenOptions options;
  options.dimensions = 3;
  options.durability = store::Durability::kFlush;
  options.lock_timeout_us = test::kLockTimeout;
  options.with_helper = false;
  auto opened = store::Store::Open(path, options);
  ASSERT_OK(opened);
  store::Store& store = **opened;
  ASSERT_OK(test::PutText(store, "a", "kept"));
  {
    const NoThreads none;
    store::OpenOptions with_helper = options;
    with_helper.with_helper = true;
    ExpectNoThread(store::Store::Open(path, with_helper).status());
    EXPECT_EQ(store.Stats()->participants, 1u);
    ExpectNoThread(store.NotifyAbove(0, [] {}).status());
    CountingJob job;
    search::ScanPool::Shared().Run(job, 8);
    EXPECT_EQ(job.worked(), 1);
    ASSERT_OK(test::PutText(store, "b", "kept too"));
    ASSERT_OK(store.Flush(test::kLockTimeout));
  }
  std::atomic<bool> called{false};
  const Result<uint64_t> token = store.NotifyAbove(0, [&] { called.store(true); });
  ASSERT_OK(token);
  while (!called.load()) io::YieldThread();
  CountingJob job;
  search::ScanPool::Shared().Run(job, 2);
  EXPECT_GE(job.worked(), 1);
  options.with_helper = true;
  auto other = store::Store::Open(path, options);
  ASSERT_OK(other);
  EXPECT_TRUE(test::Get(**other, "a").has_value());
  EXPECT_EQ((*other)->Stats()->participants, 2u);
  EXPECT_OK((*other)->Close());
  test::ExpectWhole(store);
  EXPECT_OK(store.Close());
}

TEST(Threads, ThatCannotBeHadAreAnErrorOrDoneWithout) {
  const TempDirectory directory;
  const std::string path = directory.Join("store");
  const int child = StartChild([&] {
    const bool root = ::geteuid() == 0;
    const bool dropped = !root || (::chown(directory.path().c_str(), kNobody, kNobody) == 0 &&
                                   ::setgroups(0, nullptr) == 0 && ::setgid(kNobody) == 0 && ::setuid(kNobody) == 0);
    EXPECT_TRUE(dropped);
    if (dropped) RunWithoutThreads(path);
    std::fflush(stdout);
    ::_exit(test::FailureCount() == 0 ? 0 : 1);
  });
  EXPECT_EQ(Await(child), 0);
}

}  // namespace
}  // namespace thermocline::kill

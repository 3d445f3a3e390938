// Threads that follow the store: one waiter thread a process sleeps on the shared wake word.
//
// A writer pays one load when nobody follows. Pairing: the waiter raises the flag `followers`, then looks at `applied`;
// the writer moves `applied`, then looks at the flag, with a full fence between on either side. So one of the two sees
// the other. The writer lowers the flag before it wakes: whoever was woken raises it again before it looks again. So a
// follower that was killed costs one commit a wake-up that nobody needed, not every commit of the session.
//
// A writer can be killed between `applied` and the wake-up, or between lowering the flag and the wake-up, so a follower
// sleeps in slices: that is all that such a death costs.

#include <algorithm>
#include <utility>

#include "core/io/system.h"
#include "core/store/store.h"

namespace thermocline::store {
namespace {

// The contract is 50 ms, also after a writer that died before it could wake anybody.
constexpr uint64_t kWaitMicroseconds = 40000;

}  // namespace

Result<uint64_t> Store::NotifyAbove(Sequence sequence, std::function<void()> callback) {
  const std::lock_guard<std::mutex> guard(waiter_mutex_);
  const uint64_t token = next_token_++;
  if (!waiter_.joinable()) {
    Result<io::Thread> started = io::Thread::Start([this] { RunWaiter(); });
    if (!started.ok()) return started.status();
    waiter_ = std::move(*started);
    waiters_.push_back({token, sequence, std::move(callback)});  // it asks for the mutex first
  } else {
    waiters_.push_back({token, sequence, std::move(callback)});
    waiter_wake_.notify_one();
    FetchAdd(session_->wake, 1u);
    io::FutexWake(session_->wake, 0x7FFFFFFFu);
  }
  return token;
}

void Store::CancelNotify(uint64_t token) {
  const std::lock_guard<std::mutex> guard(waiter_mutex_);
  std::erase_if(waiters_, [token](const Waiter& waiter) { return waiter.token == token; });
}

void Store::RunWaiter() {
  for (;;) {
    {
      std::unique_lock<std::mutex> guard(waiter_mutex_);
      waiter_wake_.wait(guard, [this] { return !waiters_.empty() || waiter_stop_.load(); });
    }
    if (waiter_stop_.load()) return;
    for (;;) {
      const uint32_t wake = LoadAcquire(session_->wake);
      StoreRelaxed(session_->followers, 1u);
      std::atomic_thread_fence(std::memory_order_seq_cst);  // pairs with the fence in WakeFollowers
      bool idle = false;
      {
        const std::lock_guard<std::mutex> guard(waiter_mutex_);
        const Sequence applied = sequence();
        // Whoever waits for commits in files that are lost is called, looks, and is told.
        const bool lost = !CheckFiles().ok();
        // Called under the mutex, so that CancelNotify can promise; the callbacks only queue work elsewhere.
        for (Waiter& waiter : waiters_) {
          if (applied > waiter.sequence || lost) std::exchange(waiter.callback, nullptr)();
        }
        std::erase_if(waiters_, [](const Waiter& waiter) { return waiter.callback == nullptr; });
        idle = waiters_.empty();
      }
      if (idle || waiter_stop_.load()) break;
      io::FutexWait(session_->wake, wake, kWaitMicroseconds);
    }
  }
}

void Store::StopWaiter() {
  if (!waiter_.joinable()) return;
  {
    const std::lock_guard<std::mutex> guard(waiter_mutex_);
    waiter_stop_.store(true);
    waiter_wake_.notify_one();
  }
  FetchAdd(session_->wake, 1u);
  io::FutexWake(session_->wake, 0x7FFFFFFFu);
  waiter_.Join();
}

void Store::WakeFollowers() {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (LoadRelaxed(session_->followers) == 0) return;
  // Lowered before the bump: a follower that raises it in between sees the bump, or the bump's commit.
  Exchange(session_->followers, 0u);
  FetchAdd(session_->wake, 1u);
  io::FutexWake(session_->wake, 0x7FFFFFFFu);
}

}  // namespace thermocline::store

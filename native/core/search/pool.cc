#include "core/search/pool.h"

#include <algorithm>
#include <atomic>

#include "core/io/system.h"
#include "core/io/thread.h"

namespace thermocline::search {
namespace {

constexpr uint32_t kPoolThreadsMax = 64;

}  // namespace

ScanPool& ScanPool::Shared() {
  static std::atomic<ScanPool*> shared{nullptr};
  const uint32_t generation = io::ForkGeneration();
  ScanPool* pool = shared.load(std::memory_order_acquire);
  if (pool != nullptr && pool->fork_generation_ == generation) return *pool;
  // Never freed: its threads outlive every static. Of two that race here one stays unused.
  auto* fresh = new ScanPool();
  fresh->fork_generation_ = generation;
  if (shared.compare_exchange_strong(pool, fresh, std::memory_order_acq_rel)) return *fresh;
  delete fresh;
  return *pool;
}

void ScanPool::Run(PoolJob& job, uint32_t threads) {
  if (threads <= 1) {
    job.Work();
    return;
  }
  Ticket ticket{&job, std::min(threads - 1, kPoolThreadsMax), 0};
  {
    const std::lock_guard<std::mutex> guard(mutex_);
    tickets_.push_back(&ticket);
    // As many as the largest search asked for, however many searches there are: more would only share the cores.
    // Where there are no more to be had, fewer do it: the caller alone, if need be.
    for (; threads_ < ticket.wanted; ++threads_) {
      Result<io::Thread> started = io::Thread::Start([this] { RunThread(); });
      if (!started.ok()) break;
      started->Detach();
    }
  }
  wake_.notify_all();
  job.Work();
  std::unique_lock<std::mutex> guard(mutex_);
  std::erase(tickets_, &ticket);
  ended_.wait(guard, [&ticket] { return ticket.working == 0; });
}

ScanPool::Ticket* ScanPool::NextTicket() {
  for (Ticket* ticket : tickets_) {
    if (ticket->wanted > 0) return ticket;
  }
  return nullptr;
}

void ScanPool::RunThread() {
  std::unique_lock<std::mutex> guard(mutex_);
  for (;;) {
    Ticket* ticket = NextTicket();
    if (ticket == nullptr) {
      wake_.wait(guard, [this] { return NextTicket() != nullptr; });
      continue;
    }
    --ticket->wanted;
    ++ticket->working;
    guard.unlock();
    ticket->job->Work();
    guard.lock();
    // The caller's stack holds the ticket; it waits for this.
    --ticket->working;
    ended_.notify_all();
  }
}

}  // namespace thermocline::search

// Threads that help a search, shared by all stores of the process.
//
// Started when first asked for, asleep while nobody asks, never ended: the binary is linked so that it stays loaded,
// since a worker's end may unload an addon that a sleeping thread returns into.
// The caller always works too and waits only for helpers that began, so a busy pool slows nothing and searches on
// many threads cannot wait for each other in a circle.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <vector>

namespace thermocline::search {

/// Work that any number of threads can do together: each takes pieces until none is left.
class PoolJob {
 public:
  virtual void Work() = 0;

 protected:
  ~PoolJob() = default;
};

class ScanPool {
 public:
  /// The process's own; a forked child gets a new one, since the parent's threads are not there.
  static ScanPool& Shared();

  /// Work on the calling thread and on up to `threads` - 1 others. Returns when all of them have returned.
  void Run(PoolJob& job, uint32_t threads);

 private:
  struct Ticket {
    PoolJob* job;
    uint32_t wanted;   // helpers that may still begin
    uint32_t working;  // that have begun and not ended
  };

  void RunThread();
  Ticket* NextTicket();

  uint32_t fork_generation_ = 0;
  std::mutex mutex_;
  std::condition_variable wake_;   // there is work
  std::condition_variable ended_;  // a helper has ended
  std::vector<Ticket*> tickets_;
  uint32_t threads_ = 0;
};

}  // namespace thermocline::search

// A thread, or the system's word that there is none to be had: std::thread would end the process for that, because what
// it throws has no way through this code.
//
// Thread rule: a Thread is its owner's alone.
#pragma once

#include <functional>
#include <memory>

#include "core/base/status.h"

namespace thermocline::io {

class Thread {
 public:
  Thread();
  Thread(Thread&& other) noexcept;
  Thread& operator=(Thread&& other) noexcept;
  /// Joined or detached by then, or never started.
  ~Thread();

  /// `body` runs on a new thread. kIo (EAGAIN): the system, the user or the container has no more; nothing was started.
  static Result<Thread> Start(std::function<void()> body);

  /// Started, and neither joined nor detached.
  bool joinable() const { return handle_ != nullptr; }
  /// Waits for its end.
  void Join();
  void Detach();

 private:
  struct Handle;

  std::unique_ptr<Handle> handle_;
};

}  // namespace thermocline::io

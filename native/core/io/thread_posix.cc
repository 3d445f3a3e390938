#include "core/io/thread.h"

#include <pthread.h>

#include <utility>

#include "core/base/assert.h"

namespace thermocline::io {
namespace {

void* Run(void* argument) {
  const std::unique_ptr<std::function<void()>> body(static_cast<std::function<void()>*>(argument));
  (*body)();
  return nullptr;
}

}  // namespace

struct Thread::Handle {
  pthread_t id;
};

Thread::Thread() = default;
Thread::Thread(Thread&& other) noexcept = default;

Thread& Thread::operator=(Thread&& other) noexcept {
  THERMOCLINE_ASSERT(!joinable());  // it would run on with nobody to wait for it
  handle_ = std::move(other.handle_);
  return *this;
}

Thread::~Thread() { THERMOCLINE_ASSERT(!joinable()); }

Result<Thread> Thread::Start(std::function<void()> body) {
  Thread thread;
  auto handle = std::make_unique<Handle>();
  auto argument = std::make_unique<std::function<void()>>(std::move(body));
  const int error_number = ::pthread_create(&handle->id, nullptr, Run, argument.get());
  if (error_number != 0) return Status::FromErrno(error_number, FileRole::kNone);
  static_cast<void>(argument.release());  // the thread's own
  thread.handle_ = std::move(handle);
  return thread;
}

void Thread::Join() {
  ::pthread_join(handle_->id, nullptr);
  handle_ = nullptr;
}

void Thread::Detach() {
  ::pthread_detach(handle_->id);
  handle_ = nullptr;
}

}  // namespace thermocline::io

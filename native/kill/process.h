// Children for the kill tests: forked, sharing nothing with their parent but what is asked for, killed and awaited.
//
// Not here: what a child does to a store (writer.h) and stopping it between two instructions (stepper.h).
// Thread rule: one thread of the parent. A child that outlived its parent would hold locks for ever, so the kernel
// kills it.
#pragma once

#include <cstdint>
#include <functional>
#include <new>

namespace thermocline::kill {

/// Runs `body` in a new process, which then ends without destructors, buffers or exit handlers. Returns its process id.
int StartChild(const std::function<void()>& body);
void Kill(int process);
/// Returns when all its threads stand: until then one may run on, and let go what it was seen to hold.
void Stop(int process);
void Continue(int process);
/// Waits until it is gone. The exit code, or 128 + the signal that ended it.
int Await(int process);
/// Whether it is gone by now; then it is awaited.
bool HasEnded(int process);

/// Sleeps, and returns by how much the longest slice of it overslept: what the host itself costs a thread.
uint64_t SleepWatching(uint64_t microseconds);

/// Zeroed memory that children forked later share. Never given back before the process ends.
void* SharedBytes(uint64_t size);

template <typename T>
T& MakeShared() {
  return *new (SharedBytes(sizeof(T))) T{};
}

}  // namespace thermocline::kill

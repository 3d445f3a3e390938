// What else the core asks of the operating system: sleeping on words, clocks, identity, randomness.
#pragma once

#include <cstdint>

#include "core/base/status.h"
#include "core/io/file.h"

namespace thermocline::io {

/// Sleeps until somebody wakes `word`, at most `timeout_us`; returns at once when it is not `expected`. May wake for
/// nothing. Works between processes that map the word's file (a shared futex).
void FutexWait(uint32_t& word, uint32_t expected, uint64_t timeout_us);
/// Those that it woke, of `count` at most.
uint32_t FutexWake(uint32_t& word, uint32_t count);

/// Microseconds, monotonic.
uint64_t NowMonotonicMicroseconds();
/// Milliseconds since the Unix epoch, as Date.now().
double NowUnixMilliseconds();

struct BootIdentity {
  uint64_t low = 0;
  uint64_t high = 0;
  friend bool operator==(const BootIdentity&, const BootIdentity&) = default;
};

/// Hash of boot id, device, inode and mount id of a file: the same answer means that the page cache that held its
/// bytes has lived on. THERMOCLINE_BOOT_ID in the environment replaces the boot id, so that tests can reboot.
Result<BootIdentity> BootIdentityOf(const File& file);

/// Random bytes from the kernel.
Status FillRandom(void* out, uint64_t size);

/// What the kernel maps at once.
uint64_t PageBytes();
uint32_t ProcessId();
/// Forks between the first process that asked and this one. Cost: one load.
uint32_t ForkGeneration();

/// Calls `child` in every child that is forked from now on, before anything else runs there.
void OnFork(void (*child)());

/// Announces that this process will ask for ProcessBarrier. False where the kernel has none.
bool PrepareProcessBarrier();
/// A full memory barrier on every running thread of this process: what each stored before it is seen by the caller
/// after it. So the other side of a pairing that is rare here needs no barrier of its own. Microseconds.
void ProcessBarrier();

/// One pause instruction in a spin loop.
void SpinPause();
void YieldThread();

}  // namespace thermocline::io

#include <fcntl.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "core/base/hash.h"
#include "core/io/system.h"

namespace thermocline::io {

void FutexWait(uint32_t& word, uint32_t expected, uint64_t timeout_us) {
  timespec timeout;
  timeout.tv_sec = static_cast<time_t>(timeout_us / 1000000);
  timeout.tv_nsec = static_cast<long>(timeout_us % 1000000 * 1000);
  // Not FUTEX_PRIVATE: waiters may be in other processes.
  ::syscall(SYS_futex, &word, FUTEX_WAIT, expected, &timeout, nullptr, 0);
}

uint32_t FutexWake(uint32_t& word, uint32_t count) {
  const long woken = ::syscall(SYS_futex, &word, FUTEX_WAKE, count, nullptr, nullptr, 0);
  return woken > 0 ? static_cast<uint32_t>(woken) : 0;
}

uint64_t NowMonotonicMicroseconds() {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000 + static_cast<uint64_t>(now.tv_nsec) / 1000;
}

double NowUnixMilliseconds() {
  timespec now;
  ::clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<double>(static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1000000);
}

Result<BootIdentity> BootIdentityOf(const File& file) {
  char text[128] = {};
  size_t used = 0;
  const char* override = std::getenv("THERMOCLINE_BOOT_ID");
  if (override != nullptr) {
    used = std::strlen(override);
    if (used > sizeof text) used = sizeof text;
    std::memcpy(text, override, used);
  } else {
    const int descriptor = ::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return Status::FromErrno(errno, FileRole::kNone);
    const ssize_t got = ::read(descriptor, text, sizeof text);
    const int error_number = errno;
    ::close(descriptor);
    if (got <= 0) return Status::FromErrno(got < 0 ? error_number : EIO, FileRole::kNone);
    used = static_cast<size_t>(got);
  }
  struct statx info;
  if (::statx(file.descriptor(), "", AT_EMPTY_PATH, STATX_INO | STATX_MNT_ID, &info) != 0) {
    return Status::FromErrno(errno, file.role());
  }
  // Without a mount id (kernels before 5.8) device and inode still tell copies apart.
  const uint64_t mount_id = (info.stx_mask & STATX_MNT_ID) != 0 ? info.stx_mnt_id : 0;
  const uint64_t place[4] = {info.stx_dev_major, info.stx_dev_minor, info.stx_ino, mount_id};
  const HashKey key{SipHash13({1, 2}, text, used), SipHash13({3, 4}, text, used)};
  return BootIdentity{SipHash13(key, place, sizeof place), SipHash13({key.high, key.low}, place, sizeof place)};
}

Status FillRandom(void* out, uint64_t size) {
  auto* at = static_cast<char*>(out);
  while (size > 0) {
    const ssize_t got = ::getrandom(at, size, 0);
    if (got < 0) {
      if (errno == EINTR) continue;
      return Status::FromErrno(errno, FileRole::kNone);
    }
    at += got;
    size -= static_cast<uint64_t>(got);
  }
  return Status::Ok();
}

uint64_t PageBytes() { return static_cast<uint64_t>(::sysconf(_SC_PAGESIZE)); }

uint32_t ProcessId() { return static_cast<uint32_t>(::getpid()); }

uint32_t ForkGeneration() {
  static std::atomic<uint32_t> generation{0};
  static const int registered =
      ::pthread_atfork(nullptr, nullptr, [] { generation.fetch_add(1, std::memory_order_relaxed); });
  static_cast<void>(registered);
  return generation.load(std::memory_order_relaxed);
}

void OnFork(void (*child)()) { ::pthread_atfork(nullptr, nullptr, child); }

bool PrepareProcessBarrier() { return ::syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0; }

void ProcessBarrier() {
  if (::syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0 || errno != EPERM) return;
  // A forked child of a process that announced itself may have to do so again.
  PrepareProcessBarrier();
  ::syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
}

void SpinPause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  asm volatile("yield");
#endif
}

void YieldThread() { ::sched_yield(); }

}  // namespace thermocline::io

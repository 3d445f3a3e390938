#include "power/system_calls.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <mutex>
#include <optional>

#include "test/harness.h"

namespace thermocline::power {
namespace {

std::atomic<CallWatcher*> watcher_of_all{nullptr};
thread_local int unwatched = 0;
std::mutex random_mutex;
std::optional<Random> random_bytes;
std::atomic<uint32_t> other_file_system{0};  // 0: what the system says

/// Makes the call unless the watcher answers otherwise.
template <typename Result, typename Make>
Result Ask(const CallInfo& call, Make make) {
  CallWatcher* watcher = unwatched > 0 ? nullptr : watcher_of_all.load(std::memory_order_acquire);
  if (watcher == nullptr) return make(call.length);
  Answer answer;
  {
    const Unwatched guard;
    answer = watcher->Before(call);
  }
  if (answer.error_number != 0) {
    errno = answer.error_number;
    return static_cast<Result>(-1);
  }
  const Result result = answer.skip ? Result{} : make(answer.half && call.length > 1 ? call.length / 2 : call.length);
  if (result >= 0) {
    const int error_number = errno;
    const Unwatched guard;
    watcher->After(call, static_cast<int>(result));
    errno = error_number;
  }
  return result;
}

bool IsDirectory(int descriptor) {
  const Unwatched guard;
  struct stat info;
  return ::fstat(descriptor, &info) == 0 && S_ISDIR(info.st_mode);
}

}  // namespace

const char* NameOf(Call call) {
  constexpr const char* kNames[] = {"open",      "pread",     "pwrite",
                                    "ftruncate", "fallocate", "fallocate (punch)",
                                    "fdatasync", "fsync",     "fsync of a directory",
                                    "renameat",  "unlinkat",  "mkdir",
                                    "mmap",      "fstat",     "fcntl",
                                    "getrandom", "fdopendir"};
  static_assert(sizeof kNames / sizeof kNames[0] == static_cast<size_t>(Call::kCount));
  return kNames[static_cast<size_t>(call)];
}

void WatchCalls(CallWatcher* watcher) { watcher_of_all.store(watcher, std::memory_order_release); }

void UnwatchCalls(const CallWatcher* watcher) {
  CallWatcher* expected = const_cast<CallWatcher*>(watcher);  // compared only
  watcher_of_all.compare_exchange_strong(expected, nullptr, std::memory_order_acq_rel);
}

void SeedRandomBytes(uint64_t seed) {
  const std::lock_guard<std::mutex> lock(random_mutex);
  random_bytes.emplace(seed);
}

OtherFileSystem::OtherFileSystem(uint32_t type) { other_file_system.store(type); }
OtherFileSystem::~OtherFileSystem() { other_file_system.store(0); }

Unwatched::Unwatched() { ++unwatched; }
Unwatched::~Unwatched() { --unwatched; }

}  // namespace thermocline::power

using thermocline::power::Ask;
using thermocline::power::Call;
using thermocline::power::CallInfo;

extern "C" {

int __real_open(const char* path, int flags, ...);
int __real_openat(int directory, const char* path, int flags, ...);
ssize_t __real_pread(int descriptor, void* bytes, size_t size, off_t offset);
ssize_t __real_pwrite(int descriptor, const void* bytes, size_t size, off_t offset);
int __real_ftruncate(int descriptor, off_t size);
int __real_fallocate(int descriptor, int mode, off_t offset, off_t length);
int __real_fdatasync(int descriptor);
int __real_fsync(int descriptor);
int __real_renameat(int from_directory, const char* from, int to_directory, const char* to);
int __real_unlinkat(int directory, const char* path, int flags);
int __real_mkdir(const char* path, mode_t mode);
void* __real_mmap(void* address, size_t length, int protection, int flags, int descriptor, off_t offset);
int __real_fstat(int descriptor, struct stat* info);
int __real_fcntl(int descriptor, int command, ...);
DIR* __real_fdopendir(int descriptor);
int __real_mkdirat(int directory, const char* path, mode_t mode);
int __real_fstatfs(int descriptor, struct statfs* info);
int __real_stat(const char* path, struct stat* info);
int __real_statx(int directory, const char* path, int flags, unsigned mask, struct statx* info);
ssize_t __real_read(int descriptor, void* bytes, size_t size);

ssize_t __real_getrandom(void* bytes, size_t size, unsigned flags);

// Declared for -Wmissing-declarations' sake by their definitions alone: nobody calls them by these names.
int __wrap_open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  CallInfo call{Call::kOpen};
  call.descriptor = AT_FDCWD;
  call.name = path;
  call.flags = flags;
  return Ask<int>(call, [&](uint64_t) { return __real_open(path, flags, mode); });
}

int __wrap_openat(int directory, const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  CallInfo call{Call::kOpen};
  call.descriptor = directory;
  call.name = path;
  call.flags = flags;
  return Ask<int>(call, [&](uint64_t) { return __real_openat(directory, path, flags, mode); });
}

ssize_t __wrap_pread(int descriptor, void* bytes, size_t size, off_t offset) {
  return Ask<ssize_t>({Call::kRead, descriptor},
                      [&](uint64_t) { return __real_pread(descriptor, bytes, size, offset); });
}

ssize_t __wrap_read(int descriptor, void* bytes, size_t size) {
  return Ask<ssize_t>({Call::kRead, descriptor}, [&](uint64_t) { return __real_read(descriptor, bytes, size); });
}

ssize_t __wrap_pwrite(int descriptor, const void* bytes, size_t size, off_t offset) {
  CallInfo call{Call::kWrite, descriptor};
  call.length = size;
  return Ask<ssize_t>(call, [&](uint64_t length) { return __real_pwrite(descriptor, bytes, length, offset); });
}

int __wrap_ftruncate(int descriptor, off_t size) {
  return Ask<int>({Call::kTruncate, descriptor}, [&](uint64_t) { return __real_ftruncate(descriptor, size); });
}

int __wrap_fallocate(int descriptor, int mode, off_t offset, off_t length) {
  const Call call = (mode & FALLOC_FL_PUNCH_HOLE) != 0 ? Call::kPunch : Call::kAllocate;
  return Ask<int>({call, descriptor}, [&](uint64_t) { return __real_fallocate(descriptor, mode, offset, length); });
}

int __wrap_fdatasync(int descriptor) {
  return Ask<int>({Call::kSyncData, descriptor}, [&](uint64_t) { return __real_fdatasync(descriptor); });
}

int __wrap_fsync(int descriptor) {
  const Call call = thermocline::power::IsDirectory(descriptor) ? Call::kSyncDirectory : Call::kSync;
  return Ask<int>({call, descriptor}, [&](uint64_t) { return __real_fsync(descriptor); });
}

int __wrap_renameat(int from_directory, const char* from, int to_directory, const char* to) {
  CallInfo call{Call::kRename, to_directory};
  call.name = to;
  call.from = from;
  return Ask<int>(call, [&](uint64_t) { return __real_renameat(from_directory, from, to_directory, to); });
}

int __wrap_unlinkat(int directory, const char* path, int flags) {
  CallInfo call{Call::kUnlink, directory};
  call.name = path;
  return Ask<int>(call, [&](uint64_t) { return __real_unlinkat(directory, path, flags); });
}

int __wrap_mkdir(const char* path, mode_t mode) {
  CallInfo call{Call::kMakeDirectory};
  call.name = path;
  return Ask<int>(call, [&](uint64_t) { return __real_mkdir(path, mode); });
}

int __wrap_mkdirat(int directory, const char* path, mode_t mode) {
  CallInfo call{Call::kMakeDirectory, directory};
  call.name = path;
  return Ask<int>(call, [&](uint64_t) { return __real_mkdirat(directory, path, mode); });
}

void* __wrap_mmap(void* address, size_t length, int protection, int flags, int descriptor, off_t offset) {
  void* mapped = MAP_FAILED;
  const int result = Ask<int>({Call::kMap, descriptor}, [&](uint64_t) {
    mapped = __real_mmap(address, length, protection, flags, descriptor, offset);
    return mapped == MAP_FAILED ? -1 : 0;
  });
  return result < 0 ? MAP_FAILED : mapped;
}

DIR* __wrap_fdopendir(int descriptor) {
  DIR* stream = nullptr;
  const int result = Ask<int>({Call::kList, descriptor}, [&](uint64_t) {
    stream = __real_fdopendir(descriptor);
    return stream == nullptr ? -1 : 0;
  });
  return result < 0 ? nullptr : stream;
}

ssize_t __wrap_getrandom(void* bytes, size_t size, unsigned flags) {
  return Ask<ssize_t>({Call::kRandom}, [&](uint64_t) {
    const std::lock_guard<std::mutex> lock(thermocline::power::random_mutex);
    auto& random = thermocline::power::random_bytes;
    if (!random) return __real_getrandom(bytes, size, flags);
    for (size_t i = 0; i < size; ++i) static_cast<char*>(bytes)[i] = static_cast<char>(random->Next());
    return static_cast<ssize_t>(size);
  });
}

int __wrap_fstat(int descriptor, struct stat* info) {
  return Ask<int>({Call::kStat, descriptor}, [&](uint64_t) { return __real_fstat(descriptor, info); });
}

int __wrap_stat(const char* path, struct stat* info) {
  return Ask<int>({Call::kStat}, [&](uint64_t) { return __real_stat(path, info); });
}

int __wrap_statx(int directory, const char* path, int flags, unsigned mask, struct statx* info) {
  return Ask<int>({Call::kStat, directory}, [&](uint64_t) { return __real_statx(directory, path, flags, mask, info); });
}

int __wrap_fstatfs(int descriptor, struct statfs* info) {
  const int result = Ask<int>({Call::kStat, descriptor}, [&](uint64_t) { return __real_fstatfs(descriptor, info); });
  const uint32_t type = thermocline::power::other_file_system.load();
  if (result == 0 && type != 0) info->f_type = type;
  return result;
}

int __wrap_fcntl(int descriptor, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  void* argument = va_arg(arguments, void*);  // core/io gives a pointer or nothing
  va_end(arguments);
  return Ask<int>({Call::kLock, descriptor}, [&](uint64_t) { return __real_fcntl(descriptor, command, argument); });
}

}  // extern "C"

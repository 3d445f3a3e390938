// The system calls of core/io, seen and answered by a test. The linker puts these functions in the place of the C
// library's (--wrap, see the Makefile), so the core that is tested is the core that is shipped.
//
// Not here: what is done with a call (faults.h, recorder.h). Calls that the C++ library makes by itself are not seen.
// Thread rule: a watcher is asked by every thread that makes a call, one at a time or several; it guards itself. What
// a watcher calls in its turn goes to the system unseen.
#pragma once

#include <cstdint>

namespace thermocline::power {

enum class Call : uint8_t {
  kOpen,
  kRead,
  kWrite,
  kTruncate,
  kAllocate,
  kPunch,
  kSyncData,
  kSync,
  kSyncDirectory,
  kRename,
  kUnlink,
  kMakeDirectory,
  kMap,
  kStat,
  kLock,
  kRandom,
  kList,
  kCount
};

const char* NameOf(Call call);

struct CallInfo {
  Call call;
  int descriptor = -1;         // of the file, or of the directory that a name is relative to
  const char* name = nullptr;  // kOpen, kRename (of the target), kUnlink, kMakeDirectory
  const char* from = nullptr;  // kRename
  int flags = 0;               // kOpen
  uint64_t length = 0;         // kWrite
};

struct Answer {
  int error_number = 0;  // not 0: the call fails with it and is not made
  bool skip = false;     // succeeds without being made
  bool half = false;     // kWrite: writes half of the bytes
};

class CallWatcher {
 public:
  virtual ~CallWatcher() = default;
  virtual Answer Before(const CallInfo& call) = 0;
  /// After a call that was made or skipped and succeeded. kOpen: `result` is the descriptor.
  virtual void After(const CallInfo& call, int result) = 0;
};

/// From now on. The caller sees to it that no call is under way.
void WatchCalls(CallWatcher* watcher);
/// Nobody watches, if this one did.
void UnwatchCalls(const CallWatcher* watcher);

/// Bytes that the core asks of the kernel come from this seed from now on, so that ids and salts are those of the
/// run before.
void SeedRandomBytes(uint64_t seed);

/// While it lives, every file lies on a file system of this type, a number of statfs(2).
class OtherFileSystem {
 public:
  explicit OtherFileSystem(uint32_t type);
  ~OtherFileSystem();
  OtherFileSystem(const OtherFileSystem&) = delete;
  OtherFileSystem& operator=(const OtherFileSystem&) = delete;
};

/// While it lives, what this thread calls is not seen.
class Unwatched {
 public:
  Unwatched();
  ~Unwatched();
  Unwatched(const Unwatched&) = delete;
  Unwatched& operator=(const Unwatched&) = delete;
};

}  // namespace thermocline::power

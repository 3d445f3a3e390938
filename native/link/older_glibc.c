// Lets a binary that was linked on a newer system run with glibc 2.28, which Node itself asks for.
//
// Linked into the addon when binding.gyp is told `portable=1`. Not here: anything that the core calls by name. A
// function that got a newer version in glibc, but is the same function, is bound to its oldest one; the linker sends
// calls here (--wrap, listed in binding.gyp). What a binary then needs is checked when it is packed.
//
// No header of the system is included: its declarations would bind to the newest versions.

#if defined(__x86_64__)
#define THERMOCLINE_OLDEST "GLIBC_2.2.5"
enum { kStatVersion = 1 };
#elif defined(__aarch64__)
#define THERMOCLINE_OLDEST "GLIBC_2.17"
enum { kStatVersion = 0 };
#else
#error "which version of glibc was the first for this processor?"
#endif

#define THERMOCLINE_BIND_TO_OLDEST(name) __asm__(".symver oldest_" #name ", " #name "@" THERMOCLINE_OLDEST)

// glibc 2.34 moved the threads from a library of their own into libc and gave them a new version.
THERMOCLINE_BIND_TO_OLDEST(pthread_create);
THERMOCLINE_BIND_TO_OLDEST(pthread_join);
THERMOCLINE_BIND_TO_OLDEST(pthread_detach);
int oldest_pthread_create(unsigned long* thread, const void* attributes, void* (*start)(void*), void* argument);
int oldest_pthread_join(unsigned long thread, void** result);
int oldest_pthread_detach(unsigned long thread);

int __wrap_pthread_create(unsigned long* thread, const void* attributes, void* (*start)(void*), void* argument) {
  return oldest_pthread_create(thread, attributes, start, argument);
}
int __wrap_pthread_join(unsigned long thread, void** result) { return oldest_pthread_join(thread, result); }
int __wrap_pthread_detach(unsigned long thread) { return oldest_pthread_detach(thread); }

// Waiting by a clock of one's choice came with glibc 2.30. The deadline is moved to the wall clock, as the C++ library did
// before: a clock that is set meanwhile makes one wait longer or shorter, which the callers' loops bear.
struct Time {
  long seconds;
  long nanoseconds;
};
enum { kWallClock = 0, kNanosecondsPerSecond = 1000000000 };
int clock_gettime(int clock, struct Time* now);
int pthread_cond_timedwait(void* condition, void* mutex, const struct Time* deadline);

int __wrap_pthread_cond_clockwait(void* condition, void* mutex, int clock, const struct Time* deadline) {
  struct Time now;
  struct Time wall;
  clock_gettime(clock, &now);
  clock_gettime(kWallClock, &wall);
  wall.seconds += deadline->seconds - now.seconds;
  wall.nanoseconds += deadline->nanoseconds - now.nanoseconds;
  if (wall.nanoseconds < 0) {
    wall.nanoseconds += kNanosecondsPerSecond;
    --wall.seconds;
  } else if (wall.nanoseconds >= kNanosecondsPerSecond) {
    wall.nanoseconds -= kNanosecondsPerSecond;
    ++wall.seconds;
  }
  return pthread_cond_timedwait(condition, mutex, &wall);
}

// glibc 2.29 has versions that do not set errno through a hook; they compute the same.
THERMOCLINE_BIND_TO_OLDEST(exp);
THERMOCLINE_BIND_TO_OLDEST(log);
THERMOCLINE_BIND_TO_OLDEST(log2);
THERMOCLINE_BIND_TO_OLDEST(pow);
double oldest_exp(double x);
double oldest_log(double x);
double oldest_log2(double x);
double oldest_pow(double x, double y);

double __wrap_exp(double x) { return oldest_exp(x); }
double __wrap_log(double x) { return oldest_log(x); }
double __wrap_log2(double x) { return oldest_log2(x); }
double __wrap_pow(double x, double y) { return oldest_pow(x, y); }

// Before glibc 2.33 these were inline functions of its headers around versioned ones, which are still there.
int __xstat64(int version, const char* path, void* info);
int __fxstat64(int version, int descriptor, void* info);
int __lxstat64(int version, const char* path, void* info);
int __fxstatat64(int version, int descriptor, const char* path, void* info, int flags);

int __wrap_stat64(const char* path, void* info) { return __xstat64(kStatVersion, path, info); }
int __wrap_fstat64(int descriptor, void* info) { return __fxstat64(kStatVersion, descriptor, info); }
int __wrap_lstat64(const char* path, void* info) { return __lxstat64(kStatVersion, path, info); }
int __wrap_fstatat64(int descriptor, const char* path, void* info, int flags) {
  return __fxstatat64(kStatVersion, descriptor, path, info, flags);
}

// glibc 2.32 tells by this whether a process has one thread, so that reference counts may do without atomics. A process
// with Node in it never has one.
__attribute__((visibility("hidden"))) char __libc_single_threaded = 0;

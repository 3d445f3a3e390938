#include "kill/process.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "core/io/system.h"

namespace thermocline::kill {
namespace {

constexpr uint64_t kSleepSlice = 1000;

int CodeOf(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

}  // namespace

int StartChild(const std::function<void()>& body) {
  std::fflush(stdout);
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) std::abort();
  if (child > 0) return child;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);
  body();
  std::fflush(stdout);
  ::_exit(0);
}

void Kill(int process) { ::kill(process, SIGKILL); }
void Stop(int process) {
  ::kill(process, SIGSTOP);
  int status = 0;
  while (::waitpid(process, &status, WUNTRACED) < 0 && errno == EINTR) {
  }
}
void Continue(int process) { ::kill(process, SIGCONT); }

int Await(int process) {
  for (;;) {
    int status = 0;
    const pid_t got = ::waitpid(process, &status, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -1;
    if (!WIFSTOPPED(status)) return CodeOf(status);
  }
}

bool HasEnded(int process) {
  int status = 0;
  return ::waitpid(process, &status, WNOHANG) == process && !WIFSTOPPED(status);
}

uint64_t SleepWatching(uint64_t microseconds) {
  const uint64_t begin = io::NowMonotonicMicroseconds();
  uint64_t worst = 0;
  for (uint64_t now = begin; now - begin < microseconds;) {
    const uint64_t slice = std::min(kSleepSlice, microseconds - (now - begin));
    ::usleep(static_cast<useconds_t>(slice));
    const uint64_t after = io::NowMonotonicMicroseconds();
    worst = std::max(worst, after - now - std::min(after - now, slice));
    now = after;
  }
  return worst;
}

void* SharedBytes(uint64_t size) {
  void* bytes = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (bytes == MAP_FAILED) std::abort();
  return bytes;
}

}  // namespace thermocline::kill

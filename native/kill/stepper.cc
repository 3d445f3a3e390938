#include "kill/stepper.h"

#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <unordered_map>

#include "kill/process.h"

extern "C" const char __executable_start;

namespace thermocline::kill {
namespace {

// Single steps that are still cheaper than looking for a better breakpoint.
constexpr uint64_t kStepsMax = 400;
constexpr uint64_t kInstructionsMax = 1000000;
constexpr unsigned long kBreakpointOn = 1;  // local, on execution, of one byte

void* Number(uint64_t value) { return reinterpret_cast<void*>(value); }  // ptrace takes numbers as pointers

/// The signal that the child stopped for, or 0 when it is gone.
int AwaitStop(int process) {
  for (;;) {
    int status = 0;
    const pid_t got = ::waitpid(process, &status, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 || !WIFSTOPPED(status)) return 0;
    return WSTOPSIG(status);
  }
}

uint64_t AddressOf(int process) {
  return static_cast<uint64_t>(::ptrace(PTRACE_PEEKUSER, process, Number(offsetof(user_regs_struct, rip)), nullptr));
}

void SetDebugRegister(int process, size_t number, uint64_t value) {
  const uint64_t place = offsetof(user, u_debugreg) + number * sizeof(value);
  if (::ptrace(PTRACE_POKEUSER, process, Number(place), Number(value)) != 0) std::abort();
}

int StartTraced(const std::function<void()>& body) {
  const int child = StartChild([&] {
    if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) std::abort();
    body();
  });
  // The stop before the first instruction. Gone: `body` ended without an operation.
  for (;;) {
    const int signal = AwaitStop(child);
    if (signal == SIGSTOP) return child;
    if (signal == 0) return -1;
    ::ptrace(PTRACE_CONT, child, nullptr, Number(static_cast<uint64_t>(signal)));
  }
}

int Resume(int process, bool step) {
  // A signal that is no trap is handed on; SIGSTOP, the end's mark, is not.
  for (;;) {
    if (::ptrace(step ? PTRACE_SINGLESTEP : PTRACE_CONT, process, nullptr, nullptr) != 0) return 0;
    const int signal = AwaitStop(process);
    if (signal == SIGTRAP || signal == SIGSTOP || signal == 0) return signal;
  }
}

/// Length of a repeated string instruction (rep movs, rep stos), which would stop once for every byte; else 0.
uint64_t RepeatedLength(int process, uint64_t address) {
  const auto code = static_cast<uint64_t>(::ptrace(PTRACE_PEEKTEXT, process, Number(address), nullptr));
  if ((code & 0xFF) != 0xF3) return 0;
  const uint64_t prefix = (code >> 8 & 0xF0) == 0x40 ? 1 : 0;
  const uint64_t opcode = code >> (8 + 8 * prefix) & 0xFE;
  return opcode == 0xA4 || opcode == 0xAA ? 2 + prefix : 0;
}

/// Executes one instruction, a repeated one as a whole. As Resume.
int Step(int process) {
  const uint64_t address = AddressOf(process);
  const uint64_t length = RepeatedLength(process, address);
  if (length == 0) return Resume(process, true);
  SetDebugRegister(process, 0, address + length);
  SetDebugRegister(process, 7, kBreakpointOn);
  const int signal = Resume(process, false);
  if (signal != 0) SetDebugRegister(process, 7, 0);
  return signal;
}

struct Anchor {
  uint64_t address = 0;
  uint64_t passes = 0;
  uint64_t steps = 0;
};

/// The breakpoint that leads to instruction `after` with the fewest stops.
Anchor FindAnchor(const Trace& trace, uint64_t after) {
  Anchor best{0, 0, after};
  std::unordered_map<uint64_t, uint64_t> passes;
  const uint64_t from = after > kStepsMax ? after - kStepsMax : 1;
  for (uint64_t k = 1; k <= after; ++k) {
    const uint64_t address = trace.addresses[k];
    const uint64_t passed = ++passes[address];
    if (k < from) continue;
    const uint64_t cost = passed + (after - k);
    if (best.address == 0 ? cost < best.steps : cost < best.passes + best.steps) best = {address, passed, after - k};
  }
  return best;
}

}  // namespace

void BeginSteppable() { ::raise(SIGSTOP); }
void EndSteppable() { ::raise(SIGSTOP); }

Trace TraceChild(const std::function<void()>& body, const std::function<void(uint64_t)>& look,
                 uint64_t instructions_max) {
  Trace trace;
  const int child = StartTraced(body);
  if (child < 0) return trace;
  trace.addresses.push_back(AddressOf(child));
  for (;;) {
    const int signal = Step(child);
    if (signal == SIGSTOP || trace.instructions() >= std::min(instructions_max, kInstructionsMax)) break;
    if (signal == 0) {
      trace.addresses.clear();
      return trace;
    }
    trace.addresses.push_back(AddressOf(child));
    if (look) look(trace.instructions());
  }
  Kill(child);
  Await(child);
  return trace;
}

KillPlace KillChildAfter(const std::function<void()>& body, const Trace& trace, uint64_t after) {
  KillPlace place;
  const Anchor anchor = FindAnchor(trace, std::min(after, trace.instructions()));
  const int child = StartTraced(body);
  if (child < 0) return place;
  int signal = SIGTRAP;
  if (anchor.passes > 0) {
    SetDebugRegister(child, 0, anchor.address);
    SetDebugRegister(child, 7, kBreakpointOn);
    for (uint64_t pass = 0; pass < anchor.passes && signal == SIGTRAP; ++pass) signal = Resume(child, false);
    if (signal != 0) SetDebugRegister(child, 7, 0);
  }
  for (uint64_t step = 0; step < anchor.steps && signal == SIGTRAP; ++step) signal = Step(child);
  if (signal == SIGTRAP) place = {true, AddressOf(child)};
  if (signal == 0) return place;
  Kill(child);
  Await(child);
  return place;
}

std::string DescribeAddress(uint64_t address) {
  char text[40];
  const auto start = reinterpret_cast<uint64_t>(&__executable_start);
  std::snprintf(text, sizeof text, "program + 0x%llx", static_cast<unsigned long long>(address - start));
  return text;
}

}  // namespace thermocline::kill

// Stops a child between two instructions of one operation, then kills it there. Linux on x86-64, by ptrace.
//
// A first run of the operation is stepped through and its instruction addresses are kept. A later run is stopped after
// any instruction k of it by a hardware breakpoint on an address that came shortly before k, counting how often it is
// passed, and a few single steps from there: a hundred times faster than stepping from the beginning, which costs
// about 45 microseconds an instruction here. Children are forked by the process that traced, so code lies at the same
// addresses. A run that takes another path is stopped at the same place of the code as often passed, or ends by itself.
//
// A repeated string instruction counts as one: a kill in its midst is not made here.
// Only the child's first thread is traced; others, such as the helper's, run on.
// Thread rule: one thread of the parent.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace thermocline::kill {

/// In a child: what lies between the two is the operation. Each stops the child, when a parent traces it.
void BeginSteppable();
void EndSteppable();

struct Trace {
  /// Address of the instruction that comes after k instructions, k from 0.
  std::vector<uint64_t> addresses;
  uint64_t instructions() const { return addresses.empty() ? 0 : addresses.size() - 1; }
};

/// Runs `body`, which has one operation, in a child, and calls `look(k)` after every instruction k of it. The child
/// is killed at the end, or after `instructions_max`. Empty when it ended before.
Trace TraceChild(const std::function<void()>& body, const std::function<void(uint64_t)>& look = nullptr,
                 uint64_t instructions_max = UINT64_MAX);

struct KillPlace {
  bool hit = false;      // false: the operation ended before
  uint64_t address = 0;  // of the instruction that was not executed any more
};

/// Runs `body` in a child and kills it when `after` instructions of the operation have been executed; after the
/// operation when it never comes there.
KillPlace KillChildAfter(const std::function<void()>& body, const Trace& trace, uint64_t after);

/// For failures: the address as an offset into the program, for addr2line.
std::string DescribeAddress(uint64_t address);

}  // namespace thermocline::kill

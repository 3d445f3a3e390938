#include "core/kernels/kernels.h"

#include <atomic>
#include <cstdlib>

namespace thermocline::kernels {
namespace {

#if defined(__x86_64__)
bool RunsAvx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");  // unreachable: one processor runs the tests
}
bool RunsAvx512() {
  return RunsAvx2() &&                                                               // unreachable: as above
         __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&  // unreachable: as above
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");   // unreachable: as above
}
bool RunsAvx512Vbmi() {
  return RunsAvx512() &&                                                                // unreachable: as above
         __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni");  // unreachable: as above
}

const KernelsHere kAll[] = {{&kScalarKernels, true},
                            {&kAvx2Kernels, RunsAvx2()},
                            {&kAvx512Kernels, RunsAvx512()},
                            {&kAvx512VbmiKernels, RunsAvx512Vbmi()}};
#elif defined(__aarch64__)
const KernelsHere kAll[] = {{&kScalarKernels, true}, {&kNeonKernels, true}};
#else
const KernelsHere kAll[] = {{&kScalarKernels, true}};
#endif

/// Read once. Relaxed: the sets themselves are constants.
std::atomic<const Kernels*>& TheBest() {
  // So that a machine with the fastest set can also measure the others.
  const auto wanted = [] {
    const char* const name = std::getenv("THERMOCLINE_KERNELS");
    return std::string_view(name == nullptr ? "" : name);
  };
  static std::atomic<const Kernels*> best{&SetNamed(wanted())};
  return best;
}

}  // namespace

const Kernels& SetNamed(std::string_view name) {
  const Kernels* best = &kScalarKernels;
  for (const KernelsHere& each : kAll) {
    if (!each.runs) continue;  // unreachable: as above
    best = each.kernels;
    if (name == best->name) break;
  }
  return *best;
}

const Kernels& Best() { return *TheBest().load(std::memory_order_relaxed); }

BestForNow::BestForNow(const Kernels& kernels) : before_(Best()) {
  TheBest().store(&kernels, std::memory_order_relaxed);
}

BestForNow::~BestForNow() { TheBest().store(&before_, std::memory_order_relaxed); }

std::span<const KernelsHere> AllKernels() { return kAll; }

}  // namespace thermocline::kernels

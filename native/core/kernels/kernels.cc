#include "core/kernels/kernels.h"

#include <cstdlib>
#include <cstring>

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

const Kernels* Choose() {
  // So that a machine with the fastest set can also measure the others, and tests can search with each.
  const char* wanted = std::getenv("THERMOCLINE_KERNELS");
  const Kernels* best = &kScalarKernels;
  for (const KernelsHere& each : kAll) {
    if (!each.runs) continue;  // unreachable: as above
    best = each.kernels;
    if (wanted != nullptr && std::strcmp(wanted, each.kernels->name) == 0) return best;
  }
  return best;
}

}  // namespace

const Kernels& Best() {
  static const Kernels& best = *Choose();
  return best;
}

std::span<const KernelsHere> AllKernels() { return kAll; }

}  // namespace thermocline::kernels

// A search of one model: what its main does.
//
//   <model> [--executions n] [--weaken file:line:kind:order]
//
// Prints what the search found and, when nothing is weakened, each place that names a memory order.
#pragma once

#include "memory.h"

namespace modelled {

template <typename Model>
int Search(int count, char** arguments) {
  rl::test_params parameters;
  parameters.iteration_count = 1000;
  for (int at = 1; at + 1 < count; at += 2) {
    if (strcmp(arguments[at], "--executions") == 0)
      parameters.iteration_count = strtoull(arguments[at + 1], nullptr, 10);
    if (strcmp(arguments[at], "--weaken") == 0) Sites::Weaken(arguments[at + 1]);
  }
  parameters.search_type = rl::sched_random;
  parameters.execution_depth_limit = 20000;
  ::std::ostringstream output;
  parameters.output_stream = &output;
  parameters.progress_stream = &output;
  const bool holds = rl::simulate<Model>(parameters);
  if (holds) {
    printf("holds: %llu executions\n", static_cast<unsigned long long>(parameters.iteration_count));
  } else {
    printf("found: %s, execution %llu\n", rl::test_result_str(parameters.test_result),
           static_cast<unsigned long long>(parameters.stop_iteration));
    fputs(output.str().c_str(), stderr);
  }
  for (const Site& site : Sites::All()) {
    printf("site %s:%d:%s %s\n", site.place.file, site.place.line, kKindNames[static_cast<int>(site.kind)],
           kOrderNames[static_cast<int>(site.order)]);
  }
  fflush(stdout);
  _Exit(holds ? 0 : 1);  // threads of a failed execution were never unwound
}

/// What a model asserts. Not Relacy's macro: this one says what was claimed.
#define MODEL_ASSERT(claim) RL_ASSERT(claim)

}  // namespace modelled

// A forked child holds copies of descriptors whose locks are the parent's (R14): it is told so and touches nothing.

#include <sys/wait.h>
#include <unistd.h>

#include "core/store/registry.h"
#include "test/harness.h"

namespace thermocline::kill {
namespace {

TEST(Fork, AChildIsRefusedAndTheParentGoesOn) {
  test::TempDirectory directory;
  store::OpenOptions options;
  options.dimensions = 4;
  auto opened = store::AcquireStore(directory.Join("store"), options);
  ASSERT_OK(opened);
  store::Store& store = **opened;
  EXPECT_FALSE(store.forked());
  const pid_t child = ::fork();
  if (child == 0) {
    // Refused, and giving its use back closes nothing of the parent's.
    const bool refused = store.forked() && store::ReleaseStore(*opened).ok();
    ::_exit(refused ? 0 : 1);
  }
  int status = -1;
  ASSERT_TRUE(::waitpid(child, &status, 0) == child);
  EXPECT_EQ(status, 0);
  EXPECT_FALSE(store.forked());
  store::Batch batch(store.hash_key());
  store::PutInput put;
  put.id = "after the fork";
  batch.Put(put, false);
  EXPECT_OK(store.Commit(batch, 1000000));
  ASSERT_OK(store::ReleaseStore(*opened));
}

}  // namespace
}  // namespace thermocline::kill

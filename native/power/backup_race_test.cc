// Goal: who takes the place of a backup while it is made keeps it; the backup says so and leaves nothing. Method: at
// the rename that would put it there, somebody else has just been faster.

#include <cerrno>
#include <functional>

#include "power/faults.h"
#include "power/full_store.h"
#include "power/system_calls.h"

namespace thermocline::power {
namespace {

/// Renames to the name fail.
class FailingRename final : public CallWatcher {
 public:
  FailingRename(std::string name, int error_number) : name_(std::move(name)), error_number_(error_number) {
    WatchCalls(this);
  }
  ~FailingRename() override { UnwatchCalls(this); }
  FailingRename(const FailingRename&) = delete;
  FailingRename& operator=(const FailingRename&) = delete;

  Answer Before(const CallInfo& call) override {
    Answer answer;
    if (call.call == Call::kRename && name_ == call.name) answer.error_number = error_number_;
    return answer;
  }
  void After(const CallInfo&, int) override {}

 private:
  const std::string name_;
  const int error_number_;
};

TEST(BackupRace, APlaceThatWasTakenMeanwhileIsLeftToWhoTookIt) {
  const Template made(Durability::kFlush);
  const std::function<void(const std::string&)> others[] = {
      [](const std::string& place) {
        std::filesystem::create_directory(place);
        test::WriteFileBytes(place + "/letter", "dear");
      },
      [](const std::string& place) { test::WriteFileBytes(place, "a file"); },
  };
  for (const auto& take : others) {
    Scene scene(made, Durability::kFlush);
    ASSERT_OK(scene.Open());
    const std::string place = scene.Beside("copy");
    {
      const BeforeNamed faster(Call::kRename, "copy", [&] { take(place); });
      EXPECT_ERROR(scene.store->Backup(place, kNever), ErrorCode::kExists);
    }
    EXPECT_TRUE(std::filesystem::is_directory(place) ? std::filesystem::exists(place + "/letter")
                                                     : test::ReadFileBytes(place) == "a file");
    EXPECT_TRUE(scene.IsTidy("copy"));
    std::filesystem::remove_all(place);
    ASSERT_OK(scene.store->Backup(place, kNever));
    EXPECT_OK(scene.Close());
  }
}

// File systems have two ways to say that a directory is not empty.
TEST(BackupRace, APlaceThatIsTakenIsSaidToBeHoweverTheSystemSaysSo) {
  const Template made(Durability::kFlush);
  Scene scene(made, Durability::kFlush);
  ASSERT_OK(scene.Open());
  for (const int error_number : {EEXIST, ENOTEMPTY, ENOTDIR}) {
    const FailingRename taken("copy", error_number);
    EXPECT_ERROR(scene.store->Backup(scene.Beside("copy"), kNever), ErrorCode::kExists);
    EXPECT_TRUE(scene.IsTidy(""));
  }
  const FailingRename broken("copy", EIO);
  EXPECT_ERROR(scene.store->Backup(scene.Beside("copy"), kNever), ErrorCode::kIo);
  EXPECT_TRUE(scene.IsTidy(""));
  EXPECT_OK(scene.Close());
}

}  // namespace
}  // namespace thermocline::power

// Files on systems that lack a call, or answer oddly: what has another way takes it, anything else is a typed error.

#include <cerrno>
#include <cstring>

#include "core/io/file.h"
#include "core/io/kernel_lock.h"
#include "core/io/mapping.h"
#include "core/io/system.h"
#include "power/faults.h"
#include "test/harness.h"

namespace thermocline::power {
namespace {

class Folder {
 public:
  Folder() {
    Result<io::File> opened = io::File::OpenDirectory(directory_.path().c_str());
    EXPECT_OK(opened);
    folder_ = std::move(*opened);
  }
  io::File Create() const {
    Result<io::File> file = io::File::Open(folder_, "file", io::File::Mode::kCreateNew, FileRole::kLog);
    EXPECT_OK(file);
    return std::move(*file);
  }
  std::string Join(const char* name) const { return directory_.Join(name); }
  const io::File& folder() const { return folder_; }

 private:
  const TempDirectory directory_;
  io::File folder_;
};

Fault Failing(Call call, int error_number) {
  Fault fault;
  fault.call = call;
  fault.error_number = error_number;
  fault.for_ever = true;
  return fault;
}

std::string BytesOf(const io::File& file) {
  std::string bytes(*file.Size(), '\0');
  EXPECT_OK(file.ReadAt(0, {bytes.data(), bytes.size()}));
  return bytes;
}

TEST(File, SpaceIsMadeByWritingWhereTheFileSystemCannotAllocate) {
  const Folder folder;
  const io::File file = folder.Create();
  const std::string text(5000, 'x');
  EXPECT_OK(file.WriteAt(0, {text.data(), text.size()}));
  const Faults faults(Failing(Call::kAllocate, EOPNOTSUPP));
  EXPECT_OK(file.Allocate(5000, 10000));
  EXPECT_EQ(*file.Size(), 15000u);
  EXPECT_TRUE(BytesOf(file) == text + std::string(10000, '\0'));
  // Reserving keeps what is there, in pieces too.
  EXPECT_OK(file.Reserve(0, 15000));
  EXPECT_TRUE(BytesOf(file) == text + std::string(10000, '\0'));
  EXPECT_ERROR(file.Reserve(14000, 5000), ErrorCode::kCorrupt);  // of a file that ends before
}

TEST(File, AReservationThatCannotBeReadOrWrittenIsAnError) {
  const Folder folder;
  const io::File file = folder.Create();
  EXPECT_OK(file.SetSize(1000));
  {
    const Faults faults(Failing(Call::kAllocate, EIO));
    EXPECT_ERROR(file.Reserve(0, 1000), ErrorCode::kIo);
  }
  class Both final : public CallWatcher {
   public:
    Both() { WatchCalls(this); }
    ~Both() override { UnwatchCalls(this); }
    Answer Before(const CallInfo& call) override {
      Answer answer;
      if (call.call == Call::kAllocate) answer.error_number = EOPNOTSUPP;
      if (call.call == Call::kWrite) answer.error_number = ENOSPC;
      return answer;
    }
    void After(const CallInfo&, int) override {}
  };
  const Both both;
  EXPECT_ERROR(file.Reserve(0, 1000), ErrorCode::kFull);
  EXPECT_ERROR(file.Allocate(0, 1000), ErrorCode::kFull);
}

TEST(File, AHoleIsASavingThatAFileSystemMayLack) {
  const Folder folder;
  const io::File file = folder.Create();
  EXPECT_OK(file.Allocate(0, 8192));
  {
    const Faults faults(Failing(Call::kPunch, EOPNOTSUPP));
    EXPECT_OK(file.PunchHole(0, 4096));
  }
  const Faults faults(Failing(Call::kPunch, EIO));
  EXPECT_ERROR(file.PunchHole(0, 4096), ErrorCode::kIo);
}

TEST(File, MovingAFileOntoItselfKeepsItOpen) {
  const Folder folder;
  io::File file = folder.Create();
  io::File& same = file;
  file = std::move(same);
  EXPECT_TRUE(file.is_open());
  EXPECT_EQ(*file.Size(), 0u);
}

TEST(Mapping, MovedOntoItselfStaysMapped) {
  const Folder folder;
  const io::File file = folder.Create();
  EXPECT_OK(file.Allocate(0, 4096));
  Result<io::Mapping> made = io::Mapping::Map(file, 0, 4096, io::Mapping::Kind::kShared);
  ASSERT_OK(made);
  io::Mapping& same = *made;
  *made = std::move(same);
  ASSERT_TRUE(made->mapped());
  made->data()[17] = 'x';
  EXPECT_EQ(BytesOf(file)[17], 'x');
}

TEST(File, APathThroughAFileIsNoDirectoryAndNoFailure) {
  const Folder folder;
  folder.Create();
  const auto kind = [&](const char* name) { return *io::KindOfPath(folder.Join(name).c_str()); };
  EXPECT_TRUE(kind("file") == io::PathKind::kOther);
  EXPECT_TRUE(kind("file/within") == io::PathKind::kOther);
  EXPECT_TRUE(kind("absent") == io::PathKind::kAbsent);
  EXPECT_TRUE(kind("") == io::PathKind::kDirectory);
  EXPECT_OK(io::MakeDirectory(folder.Join("").c_str()));  // it is there already
  EXPECT_ERROR(io::MakeDirectory(folder.Join("file/within").c_str()), ErrorCode::kIo);
  EXPECT_OK(io::RemoveDirectory(folder.folder(), "absent"));
}

TEST(KernelLock, SaysTakenHoweverTheSystemSaysSo) {
  const Folder folder;
  const io::File file = folder.Create();
  for (const int error_number : {EAGAIN, EACCES}) {
    const Faults faults(Failing(Call::kLock, error_number));
    EXPECT_FALSE(*io::TryLockByte(file, 1));
  }
  const Faults faults(Failing(Call::kLock, ENOLCK));
  EXPECT_ERROR(io::TryLockByte(file, 1), ErrorCode::kIo);
  EXPECT_ERROR(io::AnyByteLocked(file, 1, 1), ErrorCode::kIo);
}

TEST(System, ALongBootIdIsCutAndStillTellsFilesApart) {
  const Folder folder;
  const io::File file = folder.Create();
  ::setenv("THERMOCLINE_BOOT_ID", std::string(1000, 'b').c_str(), 1);
  const Result<io::BootIdentity> of_file = io::BootIdentityOf(file);
  const Result<io::BootIdentity> of_folder = io::BootIdentityOf(folder.folder());
  ::unsetenv("THERMOCLINE_BOOT_ID");
  ASSERT_OK(of_file);
  ASSERT_OK(of_folder);
  EXPECT_NE(of_file->low, of_folder->low);
}

}  // namespace
}  // namespace thermocline::power

// Who may touch a store (design R10): files of 0600 in a directory of 0700 whatever the umask, opened close-on-exec and
// through no link; what a user may not touch is an error with its number, and stays as it is.
//
// Root may touch everything, so each scene runs in a child that has dropped it. Run by another user, the child stays
// who it is.

#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "kill/process.h"
#include "test/store_fixture.h"

namespace thermocline::kill {
namespace {

constexpr uid_t kNobody = 65534;

/// Runs the scene as nobody; a failed expectation there is one here.
void RunAsNobody(const std::function<void()>& scene) {
  const int child = StartChild([&scene] {
    const bool dropped = ::geteuid() != 0 || (::setgroups(0, nullptr) == 0 && ::setgid(kNobody) == 0 &&
                                              ::setuid(kNobody) == 0 && ::geteuid() != 0);
    EXPECT_TRUE(dropped);
    if (dropped) scene();
    std::fflush(stdout);
    ::_exit(test::FailureCount() == 0 ? 0 : 1);
  });
  EXPECT_EQ(Await(child), 0);
}

store::OpenOptions OptionsOf(uint32_t dimensions) {
  store::OpenOptions options;
  options.dimensions = dimensions;
  options.durability = store::Durability::kFlush;
  options.lock_timeout_us = test::kLockTimeout;
  return options;
}

/// A place where nobody may make directories.
class OpenPlace {
 public:
  OpenPlace() { EXPECT_EQ(::chmod(directory_.path().c_str(), 0777), 0); }
  std::string path() const { return directory_.Join("store"); }
  std::string Join(const std::string& name) const { return path() + "/" + name; }
  const std::string& parent() const { return directory_.path(); }

 private:
  TempDirectory directory_;
};

uint32_t ModeOf(const std::string& path) {
  struct stat info {};
  EXPECT_EQ(::lstat(path.c_str(), &info), 0);
  return info.st_mode & 07777;
}

std::map<std::string, std::string> BytesIn(const std::string& path) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(path)) {
    files[entry.path().filename().string()] = test::ReadFileBytes(entry.path().string());
  }
  return files;
}

void MakeStore(const std::string& path) {
  const auto store = store::Store::Open(path, OptionsOf(3));
  ASSERT_OK(store);
  ASSERT_OK(test::PutText(**store, "a", "kept"));
  ASSERT_OK((*store)->Close());
}

void ExpectRefused(const std::string& path, int error_number) {
  const auto opened = store::Store::Open(path, OptionsOf(3));
  EXPECT_ERROR(opened, ErrorCode::kIo);
  if (!opened.ok()) EXPECT_EQ(opened.status().error_number(), error_number);
}

void ExpectKept(const std::string& path) {
  const auto store = store::Store::Open(path, OptionsOf(3));
  ASSERT_OK(store);
  EXPECT_TRUE(test::Get(**store, "a").has_value());
  EXPECT_OK((*store)->Close());
}

TEST(Permissions, AreTheOwnersAloneWhateverTheUmaskSays) {
  OpenPlace place;
  RunAsNobody([&] {
    ::umask(0);
    const auto opened = store::Store::Open(place.path(), OptionsOf(3));
    ASSERT_OK(opened);
    for (int i = 0; i < 600; ++i) ASSERT_OK(test::PutText(**opened, std::to_string(i), "fills segments"));
    for (int i = 0; i < 500; ++i) ASSERT_OK(test::Delete(**opened, std::to_string(i)));
    const std::atomic<bool> never{false};
    ASSERT_OK((*opened)->Compact(test::kLockTimeout, never));
    EXPECT_EQ(ModeOf(place.path()), 0700u);
    size_t files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(place.path())) {
      EXPECT_EQ(ModeOf(entry.path().string()), 0600u);
      ++files;
    }
    EXPECT_GE(files, 5u);
    ASSERT_OK((*opened)->Close());
  });
}

TEST(Permissions, OfAnothersStoreAreAnErrorThatChangesNothing) {
  OpenPlace place;
  MakeStore(place.path());
  if (::geteuid() != 0) {
    std::printf("not run here: a store of another user (needs root)\n");
    return;
  }
  const auto before = BytesIn(place.path());
  RunAsNobody([&] { ExpectRefused(place.path(), EACCES); });
  // The directory may be entered, its files may not be read.
  ASSERT_EQ(::chmod(place.path().c_str(), 0755), 0);
  RunAsNobody([&] { ExpectRefused(place.path(), EACCES); });
  EXPECT_TRUE(BytesIn(place.path()) == before);
  ExpectKept(place.path());
}

TEST(Permissions, ThatWereTakenAwayAreAnErrorAndTheStoreIsThereWhenTheyAreBack) {
  OpenPlace place;
  RunAsNobody([&] {
    MakeStore(place.path());
    for (const char* name : {"meta", "lock", "cache", "1.log", "1.blocks"}) {
      const auto before = BytesIn(place.path());
      ASSERT_EQ(::chmod(place.Join(name).c_str(), 0), 0);
      ExpectRefused(place.path(), EACCES);
      ASSERT_EQ(::chmod(place.Join(name).c_str(), 0600), 0);
      auto after = BytesIn(place.path());
      after["lock"] = before.at("lock");  // session words, worth nothing
      EXPECT_TRUE(after == before);
      ExpectKept(place.path());
    }
    // Nothing can be made where nothing may be written.
    ASSERT_EQ(::chmod(place.path().c_str(), 0500), 0);
    std::filesystem::path other = place.path();
    ExpectRefused((other / "below").string(), EACCES);
    ASSERT_EQ(::chmod(place.path().c_str(), 0700), 0);
    ExpectKept(place.path());
  });
}

// Goal: nobody is led by a link to a file outside of the store. Method: each file is moved away and a link to it put in
// its place: its bytes would be right.
TEST(Permissions, LinksInThePlaceOfFilesAreNotFollowed) {
  OpenPlace place;
  RunAsNobody([&] {
    MakeStore(place.path());
    for (const char* name : {"meta", "lock", "cache", "1.log", "1.blocks"}) {
      const std::string outside = place.parent() + "/outside";
      std::filesystem::rename(place.Join(name), outside);
      std::filesystem::create_symlink(outside, place.Join(name));
      const std::string before = test::ReadFileBytes(outside);
      ExpectRefused(place.path(), ELOOP);
      EXPECT_TRUE(test::ReadFileBytes(outside) == before);
      std::filesystem::remove(place.Join(name));
      std::filesystem::rename(outside, place.Join(name));
      ExpectKept(place.path());
    }
    // One that leads to a whole store is the user's own way of naming it.
    std::filesystem::create_directory_symlink(place.path(), place.parent() + "/named");
    ExpectKept(place.parent() + "/named");
  });
}

TEST(Permissions, PipesAndDirectoriesInThePlaceOfFilesAreRefusedWithoutWaiting) {
  OpenPlace place;
  RunAsNobody([&] {
    MakeStore(place.path());
    for (const char* name : {"meta", "lock", "cache", "1.log", "1.blocks"}) {
      const std::string outside = place.parent() + "/outside";
      std::filesystem::rename(place.Join(name), outside);
      ASSERT_EQ(::mkfifo(place.Join(name).c_str(), 0600), 0);
      EXPECT_FALSE(store::Store::Open(place.path(), OptionsOf(3)).ok());
      std::filesystem::remove(place.Join(name));
      std::filesystem::create_directory(place.Join(name));
      EXPECT_FALSE(store::Store::Open(place.path(), OptionsOf(3)).ok());
      std::filesystem::remove(place.Join(name));
      std::filesystem::rename(outside, place.Join(name));
      ExpectKept(place.path());
    }
  });
}

TEST(Permissions, NoDescriptorIsInheritedByAnotherProgram) {
  OpenPlace place;
  const auto store = store::Store::Open(place.path(), OptionsOf(3));
  ASSERT_OK(store);
  ASSERT_OK(test::PutText(**store, "a", "kept"));
  size_t ours = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code error;
    const std::string target = std::filesystem::read_symlink(entry.path(), error).string();
    if (error || target.find(place.path()) == std::string::npos) continue;
    ++ours;
    EXPECT_TRUE((::fcntl(std::stoi(entry.path().filename().string()), F_GETFD) & FD_CLOEXEC) != 0);
  }
  EXPECT_GE(ours, 4u);
  EXPECT_OK((*store)->Close());
}

}  // namespace
}  // namespace thermocline::kill

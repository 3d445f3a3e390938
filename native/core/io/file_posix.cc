#include <dirent.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/io/file.h"

namespace thermocline::io {
namespace {

alignas(4096) constexpr char kZeros[kZeroChunkBytes] = {};

template <typename Call>
auto Retry(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

}  // namespace

File::File(File&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), role_(std::exchange(other.role_, FileRole::kNone)) {}

File& File::operator=(File&& other) noexcept {
  if (this != &other) {
    Close();
    descriptor_ = std::exchange(other.descriptor_, -1);
    role_ = std::exchange(other.role_, FileRole::kNone);
  }
  return *this;
}

File::~File() { Close(); }

void File::Close() {
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
}

Result<File> File::Open(const File& directory, const char* path, Mode mode, FileRole role) {
  // O_NONBLOCK: opening a fifo that somebody put in the place must not hang; it has no meaning for regular files.
  int flags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
  switch (mode) {
    case Mode::kRead:
      flags |= O_RDONLY;
      break;
    case Mode::kReadWrite:
      flags |= O_RDWR;
      break;
    case Mode::kCreate:
      flags |= O_RDWR | O_CREAT;
      break;
    case Mode::kCreateNew:
      flags |= O_RDWR | O_CREAT | O_TRUNC;
      break;
  }
  File file;
  file.role_ = role;
  file.descriptor_ = Retry([&] { return ::openat(directory.descriptor_, path, flags, 0600); });
  if (file.descriptor_ < 0) return Status::FromErrno(errno, role);
  struct stat info;
  if (::fstat(file.descriptor_, &info) != 0) return Status::FromErrno(errno, role);
  if (!S_ISREG(info.st_mode)) return ErrorCode::kNotAStore;
  return file;
}

Result<File> File::OpenDirectory(const char* path) {
  File file;
  file.role_ = FileRole::kDirectory;
  file.descriptor_ = Retry([&] { return ::open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
  if (file.descriptor_ < 0) return Status::FromErrno(errno, FileRole::kDirectory);
  return file;
}

Result<File> File::OpenDirectoryAt(const File& directory, const char* name) {
  File file;
  file.role_ = FileRole::kDirectory;
  constexpr int kFlags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW;
  file.descriptor_ = Retry([&] { return ::openat(directory.descriptor_, name, kFlags); });
  if (file.descriptor_ < 0) return Status::FromErrno(errno, FileRole::kDirectory);
  return file;
}

Result<uint64_t> File::Size() const {
  struct stat info;
  if (::fstat(descriptor_, &info) != 0) return Status::FromErrno(errno, role_);
  return static_cast<uint64_t>(info.st_size);
}

Result<uint64_t> File::AllocatedBytes() const {
  struct stat info;
  if (::fstat(descriptor_, &info) != 0) return Status::FromErrno(errno, role_);
  return static_cast<uint64_t>(info.st_blocks) * 512;
}

Result<FileIdentity> File::Identity() const {
  struct stat info;
  if (::fstat(descriptor_, &info) != 0) return Status::FromErrno(errno, role_);
  return FileIdentity{static_cast<uint64_t>(info.st_dev), static_cast<uint64_t>(info.st_ino)};
}

Status File::ReadAt(uint64_t offset, std::span<char> out) const {
  while (!out.empty()) {
    const ssize_t got = Retry([&] { return ::pread(descriptor_, out.data(), out.size(), static_cast<off_t>(offset)); });
    if (got < 0) return Status::FromErrno(errno, role_);
    if (got == 0) return Status::Corrupt(role_, 0, offset);
    offset += static_cast<uint64_t>(got);
    out = out.subspan(static_cast<size_t>(got));
  }
  return Status::Ok();
}

Status File::WriteAt(uint64_t offset, std::span<const char> bytes) const {
  while (!bytes.empty()) {
    const ssize_t put =
        Retry([&] { return ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset)); });
    if (put < 0) return Status::FromErrno(errno, role_);
    offset += static_cast<uint64_t>(put);
    bytes = bytes.subspan(static_cast<size_t>(put));
  }
  return Status::Ok();
}

Status File::SetSize(uint64_t size) const {
  if (Retry([&] { return ::ftruncate(descriptor_, static_cast<off_t>(size)); }) != 0) {
    return Status::FromErrno(errno, role_);
  }
  return Status::Ok();
}

Status File::Allocate(uint64_t offset, uint64_t length, uint64_t chunk_bytes) const {
  const int result =
      Retry([&] { return ::fallocate(descriptor_, 0, static_cast<off_t>(offset), static_cast<off_t>(length)); });
  // A file system without fallocate still gets its blocks from the zeros below.
  if (result != 0 && errno != EOPNOTSUPP) return Status::FromErrno(errno, role_);
  while (length > 0) {
    const uint64_t chunk = std::min({length, chunk_bytes, kZeroChunkBytes});
    THERMOCLINE_RETURN_IF_ERROR(WriteAt(offset, {kZeros, chunk}));
    offset += chunk;
    length -= chunk;
  }
  return Status::Ok();
}

Status File::Reserve(uint64_t offset, uint64_t length) const {
  const int result = Retry([&] {
    return ::fallocate(descriptor_, FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset), static_cast<off_t>(length));
  });
  if (result == 0) return Status::Ok();
  if (errno != EOPNOTSUPP) return Status::FromErrno(errno, role_);
  std::vector<char> bytes(std::min(length, kZeroChunkBytes));
  while (length > 0) {
    const std::span<char> chunk(bytes.data(), std::min<uint64_t>(length, bytes.size()));
    THERMOCLINE_RETURN_IF_ERROR(ReadAt(offset, chunk));
    THERMOCLINE_RETURN_IF_ERROR(WriteAt(offset, chunk));
    offset += chunk.size();
    length -= chunk.size();
  }
  return Status::Ok();
}

Status File::PunchHole(uint64_t offset, uint64_t length) const {
  const int result = Retry([&] {
    return ::fallocate(descriptor_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset),
                       static_cast<off_t>(length));
  });
  if (result != 0 && errno != EOPNOTSUPP) return Status::FromErrno(errno, role_);
  return Status::Ok();
}

void File::StartWriteOut(uint64_t offset, uint64_t length) const {
  ::sync_file_range(descriptor_, static_cast<off_t>(offset), static_cast<off_t>(length), SYNC_FILE_RANGE_WRITE);
}

Status File::SyncData() const {
  if (Retry([&] { return ::fdatasync(descriptor_); }) != 0) return Status::FromErrno(errno, role_);
  return Status::Ok();
}

Status File::Sync() const {
  if (Retry([&] { return ::fsync(descriptor_); }) != 0) return Status::FromErrno(errno, role_);
  return Status::Ok();
}

Status MakeDirectory(const char* path) {
  if (::mkdir(path, 0700) != 0 && errno != EEXIST) return Status::FromErrno(errno, FileRole::kDirectory);
  return Status::Ok();
}

Status MakeDirectoryAt(const File& directory, const char* name) {
  if (::mkdirat(directory.descriptor(), name, 0700) != 0) return Status::FromErrno(errno, FileRole::kDirectory);
  return Status::Ok();
}

Status RemoveDirectory(const File& directory, const char* name) {
  if (::unlinkat(directory.descriptor(), name, AT_REMOVEDIR) != 0 && errno != ENOENT) {
    return Status::FromErrno(errno, FileRole::kDirectory);
  }
  return Status::Ok();
}

Result<std::vector<std::string>> ListDirectory(const File& directory) {
  // A descriptor of its own: closedir closes what it was given.
  const int descriptor =
      Retry([&] { return ::openat(directory.descriptor(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
  if (descriptor < 0) return Status::FromErrno(errno, FileRole::kDirectory);
  DIR* stream = ::fdopendir(descriptor);
  if (stream == nullptr) {
    const int error_number = errno;
    ::close(descriptor);
    return Status::FromErrno(error_number, FileRole::kDirectory);
  }
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(stream)) {
    if (std::strcmp(entry->d_name, ".") != 0 && std::strcmp(entry->d_name, "..") != 0)
      names.emplace_back(entry->d_name);
  }
  ::closedir(stream);
  return names;
}

Status Rename(const File& directory, const char* from, const char* to) {
  if (::renameat(directory.descriptor(), from, directory.descriptor(), to) != 0) {
    return Status::FromErrno(errno, FileRole::kDirectory);
  }
  return Status::Ok();
}

Status Unlink(const File& directory, const char* path) {
  if (::unlinkat(directory.descriptor(), path, 0) != 0 && errno != ENOENT) {
    return Status::FromErrno(errno, FileRole::kDirectory);
  }
  return Status::Ok();
}

bool Exists(const File& directory, const char* path) {
  struct stat info;
  return ::fstatat(directory.descriptor(), path, &info, AT_SYMLINK_NOFOLLOW) == 0;
}

bool HasOtherNames(const File& directory, const char* path) {
  struct stat info;
  return ::fstatat(directory.descriptor(), path, &info, AT_SYMLINK_NOFOLLOW) == 0 && info.st_nlink > 1;
}

Result<PathKind> KindOfPath(const char* path) {
  struct stat info;
  if (::stat(path, &info) == 0) return S_ISDIR(info.st_mode) ? PathKind::kDirectory : PathKind::kOther;
  if (errno == ENOENT) return PathKind::kAbsent;
  if (errno == ENOTDIR) return PathKind::kOther;
  return Status::FromErrno(errno, FileRole::kDirectory);
}

Result<bool> IsNetworkFileSystem(const File& directory) {
  struct statfs info;
  if (Retry([&] { return ::fstatfs(directory.descriptor(), &info); }) != 0) {
    return Status::FromErrno(errno, FileRole::kDirectory);
  }
  // Numbers of statfs(2). FUSE is not in the list: most of its file systems are local.
  constexpr uint64_t kNetwork[] = {0x6969 /* NFS */,      0x517B /* SMB */,      0xFE534D42 /* SMB2 */,
                                   0xFF534D42 /* CIFS */, 0x01021997 /* 9p */,   0x5346414F /* AFS */,
                                   0x73757245 /* Coda */, 0x00C36400 /* Ceph */, 0x564C /* NCP */};
  const auto type = static_cast<uint64_t>(static_cast<uint32_t>(info.f_type));
  return std::find(std::begin(kNetwork), std::end(kNetwork), type) != std::end(kNetwork);
}

}  // namespace thermocline::io

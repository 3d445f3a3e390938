// Files and directories: the only way in which the core touches the disk, but for mappings (mapping.h).
//
// Opened close-on-exec, without following links, as regular files; created 0600 in directories of 0700.
// Thread rule: a File may be used by many threads at once; syncs of one file are serialised by the caller (R8).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/base/status.h"

namespace thermocline::io {

struct FileIdentity {
  uint64_t device = 0;
  uint64_t inode = 0;
  friend bool operator==(const FileIdentity&, const FileIdentity&) = default;
};

/// Zeros are written in these: faster in large ones.
inline constexpr uint64_t kZeroChunkBytes = 64 * 1024;

class File {
 public:
  enum class Mode { kRead, kReadWrite, kCreate, kCreateNew };

  File() = default;
  File(File&& other) noexcept;
  File& operator=(File&& other) noexcept;
  ~File();

  /// `path` is relative to `directory`. kCreate opens or creates; kCreateNew truncates what an interrupted run left.
  static Result<File> Open(const File& directory, const char* path, Mode mode, FileRole role);
  /// A directory itself, for relative opens and syncs.
  static Result<File> OpenDirectory(const char* path);
  /// One below another, which is no link.
  static Result<File> OpenDirectoryAt(const File& directory, const char* name);

  bool is_open() const { return descriptor_ >= 0; }
  int descriptor() const { return descriptor_; }
  FileRole role() const { return role_; }

  Result<uint64_t> Size() const;
  /// Bytes on the disk, holes not counted.
  Result<uint64_t> AllocatedBytes() const;
  Result<FileIdentity> Identity() const;
  Status ReadAt(uint64_t offset, std::span<char> out) const;
  Status WriteAt(uint64_t offset, std::span<const char> bytes) const;
  /// Grows or shrinks. Only files that nobody has mapped may shrink (R9).
  Status SetSize(uint64_t size) const;
  /// Backs the range by the disk, so that a later store cannot meet a full disk (R9): blocks first, then zeros in
  /// chunks of `chunk_bytes`, at most 64 KiB, which keeps the page cache's folios as small: a mapped store of one byte
  /// makes the next sync write a whole folio. Extends the file. The range must hold nothing yet.
  Status Allocate(uint64_t offset, uint64_t length, uint64_t chunk_bytes = kZeroChunkBytes) const;
  /// Backs the range by the disk and keeps what it holds. Does not extend the file.
  Status Reserve(uint64_t offset, uint64_t length) const;
  /// Gives the range's blocks back; it reads as zeros.
  Status PunchHole(uint64_t offset, uint64_t length) const;
  /// The kernel begins to write the range out and goes on by itself. Proves nothing, fails silently: a hint that saves
  /// time before a sync.
  void StartWriteOut(uint64_t offset, uint64_t length) const;
  /// fdatasync.
  Status SyncData() const;
  /// fsync, for directories and for new files.
  Status Sync() const;
  void Close();

 private:
  int descriptor_ = -1;
  FileRole role_ = FileRole::kNone;
};

/// Creates a directory with mode 0700; an existing one is left as it is.
Status MakeDirectory(const char* path);
/// The same below a directory; there must be nothing of that name.
Status MakeDirectoryAt(const File& directory, const char* name);
/// Only an empty one. An absent one is not an error.
Status RemoveDirectory(const File& directory, const char* name);
/// Names in a directory, without "." and "..".
Result<std::vector<std::string>> ListDirectory(const File& directory);
Status Rename(const File& directory, const char* from, const char* to);
/// An absent file is not an error.
Status Unlink(const File& directory, const char* path);
bool Exists(const File& directory, const char* path);
/// Hard links: false also when there is no such file.
bool HasOtherNames(const File& directory, const char* path);

enum class PathKind { kAbsent, kDirectory, kOther };
Result<PathKind> KindOfPath(const char* path);
/// NFS, SMB, 9p and their like, where mapped memory and locks do not hold between hosts.
Result<bool> IsNetworkFileSystem(const File& directory);

}  // namespace thermocline::io

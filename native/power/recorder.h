// What a disk may hold when the power goes: every version of every page of a directory's files, and what was synced.
//
// The model is the kernel's promise and no more. Of a file, the pages as they were when the last sync of it began are
// on the disk, unless they were written since: then any version from there on may be, page by page (or sector by
// sector, where the power went while a page was written), and any length the file had. Names are made, replaced and
// removed on the disk when the directory is synced; until then each of those may have happened or not, in any choice.
// A sync of a file says nothing of its name. A rename is one step.
//
// Pages are looked at whenever the core makes a system call that matters here, and at each Look: what was stored
// through a mapping in between two looks appears as one step, which sectors and the choice per page take apart again.
// `lock` is not recorded: the first opener zeroes it, so it may hold anything.
//
// Thread rule: one recorder at a time; its calls from any thread.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "power/system_calls.h"
#include "test/harness.h"

namespace thermocline::power {

inline constexpr uint64_t kPageBytes = 4096;
inline constexpr uint64_t kSectorBytes = 512;

/// Counts what happened, from 1.
using Moment = uint64_t;

/// Files of a directory by name: what is found when the power is back.
using DiskImage = std::map<std::string, std::string>;

struct RecorderOptions {
  bool files_synced = true;        // false: fdatasync and fsync do nothing, as on a disk that lies
  bool directories_synced = true;  // false: neither does fsync of the directory
  // This sync, from 1, fails with EIO and what it was to write is gone; all later ones say that all is well (R8).
  uint64_t failing_sync = 0;
};

class Recorder final : public CallWatcher {
 public:
  /// What is in the directory now is on the disk. Watches from now on.
  explicit Recorder(std::string directory, RecorderOptions options = {});
  ~Recorder() override;
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  /// Nothing more is seen; what was recorded stays.
  void Stop();
  /// Stores made by now are seen. Returns the moment, which the power may go at.
  Moment Look();
  Moment now();
  /// Syncs of files and directories so far.
  uint64_t syncs();

  /// One disk as the power's going at `cut` may leave it.
  DiskImage ImageAt(Moment cut, Random& random);
  /// Whether a page is as it was when it was last on the disk for certain; else it is as at the cut.
  using IsLost = std::function<bool(const std::string& name, uint64_t page)>;
  /// The one disk that a test asks for. `names_lost`: so are the names.
  DiskImage ImageAt(Moment cut, const IsLost& is_lost, bool names_lost = false);
  /// As if the last sync of the directory had not come to be: its caller died before it.
  void ForgetDirectorySync();
  /// The kernel writes a file out by itself, as it may at any time.
  void WriteBack(const std::string& name);

  Answer Before(const CallInfo& call) override;
  void After(const CallInfo& call, int result) override;

 private:
  using Page = std::array<char, kPageBytes>;
  struct PageVersion {
    Moment when;
    std::shared_ptr<const Page> bytes;  // nullptr: zeros
  };
  struct SizeVersion {
    Moment when;
    uint64_t bytes;
  };
  struct Sync {
    Moment from, to;
  };
  struct File {
    int descriptor = -1;
    uint64_t inode = 0;
    std::string last;  // what the latest versions say
    std::vector<std::vector<PageVersion>> pages;
    std::vector<SizeVersion> sizes;
    std::vector<Sync> syncs;
    bool failed = false;  // a sync of it did: what later ones say of it means nothing
  };
  struct NameChange {
    Moment when;
    std::string name;
    int file;               // index, -1: removed
    std::string also_gone;  // of a rename: the name it had
  };
  /// Which of the versions low..high of a page, or of the length (kLength), is on the disk.
  using PickVersion = std::function<int(uint64_t page, int low, int high)>;
  static constexpr uint64_t kLength = UINT64_MAX;
  using PickChange = std::function<bool()>;

  int AddFile(const std::string& name);
  void LookAt(File& file, bool is_old);
  Moment LookAtAll();
  int FileOf(int descriptor) const;
  bool IsOurDirectory(int descriptor) const;
  void Finish(const CallInfo& call, Moment from);
  std::map<std::string, int> NamesAt(Moment cut, const PickChange& has_happened) const;
  std::string BytesAt(const File& file, Moment cut, const PickVersion& pick, uint64_t step) const;

  const std::string directory_;
  const RecorderOptions options_;
  uint64_t device_ = 0;
  uint64_t inode_ = 0;
  std::mutex mutex_;
  Moment now_ = 0;
  std::vector<File> files_;
  std::vector<NameChange> changes_;
  std::vector<Sync> directory_syncs_;
  std::map<std::string, int> names_;
  std::map<std::string, int> first_names_;
  uint64_t syncs_ = 0;
};

/// Makes the directory hold these files and nothing else.
void WriteImage(const std::string& directory, const DiskImage& image);
/// A clean marker names the inodes of its files; these are others, which stand for the same.
void RebindCleanMarker(const std::string& directory);

}  // namespace thermocline::power

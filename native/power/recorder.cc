#include "power/recorder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "core/base/crc32c.h"
#include "core/format/layout.h"
#include "core/io/file.h"
#include "core/io/system.h"
#include "test/harness.h"

namespace thermocline::power {
namespace {

constexpr char kLockName[] = "lock";

std::string ReadAll(int descriptor) {
  struct stat info;
  if (::fstat(descriptor, &info) != 0) return {};
  std::string bytes(static_cast<size_t>(info.st_size), '\0');
  size_t at = 0;
  while (at < bytes.size()) {
    const ssize_t got = ::pread(descriptor, bytes.data() + at, bytes.size() - at, static_cast<off_t>(at));
    if (got <= 0) break;
    at += static_cast<size_t>(got);
  }
  bytes.resize(at);
  return bytes;
}

/// Index of the last version made at or before a moment; -1: none.
template <typename Version>
int LastAt(const std::vector<Version>& versions, Moment moment) {
  const auto after = std::upper_bound(versions.begin(), versions.end(), moment,
                                      [](Moment value, const Version& version) { return value < version.when; });
  return static_cast<int>(after - versions.begin()) - 1;
}

}  // namespace

Recorder::Recorder(std::string directory, RecorderOptions options)
    : directory_(std::move(directory)), options_(options) {
  const Unwatched guard;
  struct stat info;
  if (::stat(directory_.c_str(), &info) == 0) {
    device_ = info.st_dev;
    inode_ = info.st_ino;
  }
  for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
    const std::string name = entry.path().filename();
    if (name != kLockName) AddFile(name);
  }
  first_names_ = names_;
  changes_.clear();
  for (File& file : files_) file.syncs.push_back({0, 0});
  WatchCalls(this);
}

void Recorder::Stop() { UnwatchCalls(this); }

Recorder::~Recorder() {
  Stop();
  for (const File& file : files_) ::close(file.descriptor);
}

/// The file that a name leads to, known from now on. -1: it is not there.
int Recorder::AddFile(const std::string& name) {
  const int descriptor = ::open((directory_ + "/" + name).c_str(), O_RDONLY | O_CLOEXEC);
  struct stat info;
  if (descriptor < 0 || ::fstat(descriptor, &info) != 0) return -1;
  int index = -1;
  for (size_t i = 0; i < files_.size(); ++i) {
    if (files_[i].inode == info.st_ino) index = static_cast<int>(i);
  }
  if (index >= 0) {
    ::close(descriptor);
  } else {
    index = static_cast<int>(files_.size());
    File file;
    file.descriptor = descriptor;
    file.inode = info.st_ino;
    files_.push_back(std::move(file));
    LookAt(files_.back(), true);
  }
  if (const auto known = names_.find(name); known == names_.end() || known->second != index) {
    names_[name] = index;
    changes_.push_back({now_, name, index, ""});
  }
  return index;
}

/// Whatever differs from the latest version becomes one. `is_old`: nothing is known yet.
void Recorder::LookAt(File& file, bool is_old) {
  std::string bytes = ReadAll(file.descriptor);
  if (is_old || bytes.size() != file.last.size()) file.sizes.push_back({now_, bytes.size()});
  const size_t pages = (std::max(bytes.size(), file.last.size()) + kPageBytes - 1) / kPageBytes;
  if (file.pages.size() < pages) file.pages.resize(pages);
  for (size_t i = 0; i < pages; ++i) {
    const size_t at = i * kPageBytes;
    const size_t size = bytes.size() > at ? std::min<size_t>(kPageBytes, bytes.size() - at) : 0;
    const size_t old_size = file.last.size() > at ? std::min<size_t>(kPageBytes, file.last.size() - at) : 0;
    const size_t common = std::min(size, old_size);
    bool same = std::memcmp(bytes.data() + at, file.last.data() + at, common) == 0;
    // Beyond its end a file reads as zeros, which is what a new page is anyway.
    for (size_t j = common; same && j < size; ++j) same = bytes[at + j] == '\0';
    for (size_t j = common; same && j < old_size; ++j) same = file.last[at + j] == '\0';
    if (same) continue;
    auto page = std::make_shared<Page>();
    page->fill('\0');
    std::memcpy(page->data(), bytes.data() + at, size);
    file.pages[i].push_back({now_, std::move(page)});
  }
  file.last = std::move(bytes);
}

Moment Recorder::LookAtAll() {
  ++now_;
  for (File& file : files_) LookAt(file, false);
  return now_;
}

Moment Recorder::Look() {
  const Unwatched guard;
  const std::lock_guard<std::mutex> lock(mutex_);
  return LookAtAll();
}

Moment Recorder::now() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return now_;
}

uint64_t Recorder::syncs() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return syncs_;
}

int Recorder::FileOf(int descriptor) const {
  struct stat info;
  if (::fstat(descriptor, &info) != 0 || info.st_dev != device_) return -1;
  for (size_t i = 0; i < files_.size(); ++i) {
    if (files_[i].inode == info.st_ino) return static_cast<int>(i);
  }
  return -1;
}

bool Recorder::IsOurDirectory(int descriptor) const {
  struct stat info;
  return ::fstat(descriptor, &info) == 0 && info.st_dev == device_ && info.st_ino == inode_;
}

Answer Recorder::Before(const CallInfo& call) {
  Answer answer;
  switch (call.call) {
    case Call::kSyncData:
    case Call::kSync:
    case Call::kSyncDirectory: {
      const std::lock_guard<std::mutex> lock(mutex_);
      const Moment from = LookAtAll();
      ++now_;
      if (++syncs_ == options_.failing_sync) {
        if (const int file = FileOf(call.descriptor); file >= 0) files_[static_cast<size_t>(file)].failed = true;
        answer.error_number = EIO;
        return answer;
      }
      Finish(call, from);
      answer.skip = true;  // this disk is the recorder
      return answer;
    }
    case Call::kOpen:
    case Call::kRename:
    case Call::kUnlink:
    case Call::kTruncate:
    case Call::kPunch: {
      const std::lock_guard<std::mutex> lock(mutex_);
      LookAtAll();
      return answer;
    }
    default:
      return answer;
  }
}

/// A sync that ended: what its file held when it began is on the disk.
void Recorder::Finish(const CallInfo& call, Moment from) {
  if (call.call == Call::kSyncDirectory) {
    if (options_.directories_synced && IsOurDirectory(call.descriptor)) directory_syncs_.push_back({from, now_});
    return;
  }
  const int file = FileOf(call.descriptor);
  if (!options_.files_synced || file < 0 || files_[static_cast<size_t>(file)].failed) return;
  files_[static_cast<size_t>(file)].syncs.push_back({from, now_});
}

void Recorder::After(const CallInfo& call, int) {
  const bool named = call.call == Call::kOpen || call.call == Call::kRename || call.call == Call::kUnlink;
  if (!named && call.call != Call::kTruncate && call.call != Call::kPunch && call.call != Call::kWrite) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  if (call.call == Call::kOpen && ((call.flags & O_CREAT) == 0 || std::string(call.name) == kLockName)) return;
  if (named && !IsOurDirectory(call.descriptor)) return;
  LookAtAll();
  if (call.call == Call::kOpen) AddFile(call.name);
  if (call.call == Call::kRename) {
    const auto moved = names_.find(call.from);
    if (moved == names_.end()) return;
    changes_.push_back({now_, call.name, moved->second, call.from});
    names_[call.name] = moved->second;
    names_.erase(call.from);
  }
  if (call.call == Call::kUnlink && names_.erase(call.name) > 0) changes_.push_back({now_, call.name, -1, ""});
}

std::map<std::string, int> Recorder::NamesAt(Moment cut, const PickChange& has_happened) const {
  Moment synced = 0;
  for (const Sync& sync : directory_syncs_) {
    if (sync.to <= cut) synced = std::max(synced, sync.from);
  }
  std::map<std::string, int> names = first_names_;
  for (const NameChange& change : changes_) {
    if (change.when > cut) break;
    if (change.when > synced && !has_happened()) continue;
    if (change.file < 0) names.erase(change.name);
    if (change.file >= 0) names[change.name] = change.file;
    names.erase(change.also_gone);
  }
  return names;
}

std::string Recorder::BytesAt(const File& file, Moment cut, const PickVersion& pick, uint64_t step) const {
  Moment synced = 0;
  bool ever_synced = false;
  for (const Sync& sync : file.syncs) {
    if (sync.to > cut) continue;
    ever_synced = true;
    synced = std::max(synced, sync.from);
  }
  // Of a file that was never synced nothing need be there: no version, no byte.
  const int size_at = pick(kLength, ever_synced ? LastAt(file.sizes, synced) : -1, LastAt(file.sizes, cut));
  std::string bytes(size_at < 0 ? 0 : file.sizes[static_cast<size_t>(size_at)].bytes, '\0');
  for (size_t i = 0; i < file.pages.size() && i * kPageBytes < bytes.size(); ++i) {
    const std::vector<PageVersion>& versions = file.pages[i];
    const int low = ever_synced ? LastAt(versions, synced) : -1;
    const int high = LastAt(versions, cut);
    for (uint64_t from = 0; from < kPageBytes; from += low < high ? step : kPageBytes) {
      const int version = low < high ? pick(i, low, high) : high;
      const uint64_t at = i * kPageBytes + from;
      if (version < 0 || at >= bytes.size()) continue;
      const uint64_t size = low < high ? step : kPageBytes;
      std::memcpy(bytes.data() + at, versions[static_cast<size_t>(version)].bytes->data() + from,
                  std::min<uint64_t>(size, bytes.size() - at));
    }
  }
  return bytes;
}

DiskImage Recorder::ImageAt(Moment cut, Random& random) {
  const std::lock_guard<std::mutex> lock(mutex_);
  constexpr double kOldShares[] = {0, 0.1, 0.5, 0.5, 0.9, 1};
  const bool in_order = random.Below(2) == 0;
  bool going_on = true;
  const auto has_happened = [&] {
    const bool happened = random.Below(2) == 0;
    going_on = going_on && happened;
    return in_order ? going_on : happened;
  };
  const uint64_t step = random.Below(4) == 0 ? kSectorBytes : kPageBytes;
  DiskImage image;
  for (const auto& [name, index] : NamesAt(cut, has_happened)) {
    // A share for each file: one may have been written out whole and another not at all.
    const auto old_share = static_cast<uint64_t>(1000 * kOldShares[random.Below(std::size(kOldShares))]);
    const auto pick = [&](uint64_t, int low, int high) {
      if (low >= high) return high;
      if (random.Below(1000) < old_share) return low;
      if (random.Below(2) == 0) return high;
      return low + 1 + static_cast<int>(random.Below(static_cast<uint64_t>(high - low)));
    };
    image[name] = BytesAt(files_[static_cast<size_t>(index)], cut, pick, step);
  }
  return image;
}

DiskImage Recorder::ImageAt(Moment cut, const IsLost& is_lost, bool names_lost) {
  const std::lock_guard<std::mutex> lock(mutex_);
  DiskImage image;
  for (const auto& [name, index] : NamesAt(cut, [&] { return !names_lost; })) {
    const auto pick = [&, &file_name = name](uint64_t page, int low, int high) {
      return is_lost(file_name, page) ? low : high;
    };
    image[name] = BytesAt(files_[static_cast<size_t>(index)], cut, pick, kPageBytes);
  }
  return image;
}

void Recorder::ForgetDirectorySync() {
  const std::lock_guard<std::mutex> guard(mutex_);
  if (!directory_syncs_.empty()) directory_syncs_.pop_back();
}

void Recorder::WriteBack(const std::string& name) {
  const Unwatched guard;
  const std::lock_guard<std::mutex> lock(mutex_);
  const Moment from = LookAtAll();
  if (const auto found = names_.find(name); found != names_.end()) {
    files_[static_cast<size_t>(found->second)].syncs.push_back({from, ++now_});
  }
}

void WriteImage(const std::string& directory, const DiskImage& image) {
  std::filesystem::create_directories(directory);
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    if (!image.contains(entry.path().filename())) std::filesystem::remove(entry.path());
  }
  for (const auto& [name, bytes] : image) {
    std::ofstream(directory + "/" + name, std::ios::binary | std::ios::trunc) << bytes;
  }
}

void RebindCleanMarker(const std::string& path) {
  const auto directory = io::File::OpenDirectory(path.c_str());
  if (!directory.ok() || !io::Exists(*directory, "cache")) return;
  const auto cache = io::File::Open(*directory, "cache", io::File::Mode::kReadWrite, FileRole::kCache);
  if (!cache.ok() || *cache->Size() < format::kIndexOffset) return;
  format::CleanMarker marker;
  EXPECT_OK(cache->ReadAt(format::kCleanOffset, {reinterpret_cast<char*>(&marker), sizeof marker}));
  if (marker.magic != format::kCleanMagic || marker.crc != Crc32c(0, &marker, offsetof(format::CleanMarker, crc))) {
    return;
  }
  marker.directory_inode = directory->Identity()->inode;
  marker.cache_inode = cache->Identity()->inode;
  marker.crc = Crc32c(0, &marker, offsetof(format::CleanMarker, crc));
  EXPECT_OK(cache->WriteAt(format::kCleanOffset, {reinterpret_cast<const char*>(&marker), sizeof marker}));
}

}  // namespace thermocline::power

// A store whose bytes are changed, and everything that can be asked of what is left: a change is a list of Mutations.
// All in one file, because what is asked and what is known of the original belong together.
//
// What is expected: a typed error or the right bytes. Right is any version that was ever written under that id, since a
// damaged end of a log costs the end. Absent is right when the store says by its sequence that it lost the end, and
// where nothing is promised: a memory index that lost an entry (its cells carry no checksum) is told by verify alone.
#pragma once

#include <algorithm>
#include <ctime>
#include <set>

#include "core/base/crc32c.h"
#include "core/format/blocks.h"
#include "core/search/memory_cursor.h"
#include "core/search/search.h"
#include "core/store/salvage.h"
#include "test/fast_directory.h"
#include "test/store_fixture.h"

namespace thermocline::test {

inline constexpr uint32_t kHostileDimensions = 8;
inline constexpr uint64_t kHostilePage = 4096;

/// One change. Numbers are taken modulo what there is, so that any bits mean something.
struct Mutation {
  enum Kind : uint8_t {
    kFlipBit,
    kSetByte,
    kSetWord,
    kFillPage,
    kCopyPage,     // of the same store, any file
    kSwapPages,    // the same
    kForeignPage,  // of the other store, same file and place
    kStalePage,    // of this store as it was earlier, same place
    kSwapFiles,
    kCutFile,
    kExtendFile,
    kRemoveFile,
    kKinds
  };
  uint8_t kind = 0;
  uint8_t file = 0;
  uint8_t other_file = 0;
  uint8_t value = 0;
  uint32_t offset = 0;
  uint32_t other_offset = 0;
  uint64_t word = 0;
};

using StoreFiles = std::map<std::string, std::string>;

inline StoreFiles ReadStore(const std::string& path) {
  StoreFiles files;
  for (const auto& entry : std::filesystem::directory_iterator(path)) {
    files[entry.path().filename().string()] = ReadFileBytes(entry.path().string());
  }
  return files;
}

inline std::vector<std::string> NamesIn(const std::string& path) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(path)) names.push_back(entry.path().filename().string());
  return names;
}

class HostileStore {
 public:
  enum class History : uint8_t { kWritten, kCompacted };

  explicit HostileStore(History history = History::kWritten) : history_(history) {
    // The other store first: its ids are others, so a memory of it is seen at once.
    Make(directory_.Join("other"), "o", nullptr);
    other_ = ReadStore(directory_.Join("other"));
    Make(directory_.Join("made"), "m", &stale_);
    original_ = ReadStore(directory_.Join("made"));
    for (const auto& [name, bytes] : original_) names_.push_back(name);
    path_ = directory_.Join("store");
    kept_cache_ = directory_.Join("cache");
    std::filesystem::create_directory(path_);
    WriteFileBytes(path_ + "/cache", original_["cache"]);
    AdoptCache(&original_["cache"]);
  }

  const std::vector<std::string>& names() const { return names_; }
  const StoreFiles& original() const { return original_; }
  const std::string& path() const { return path_; }

  /// Applies a change to `files`.
  void Apply(const Mutation& mutation, StoreFiles* files) const {
    const std::string& name = names_[mutation.file % names_.size()];
    const std::string& other_name = names_[mutation.other_file % names_.size()];
    std::string& bytes = (*files)[name];
    std::string& other = (*files)[other_name];
    if (bytes.empty()) return;
    const size_t at = mutation.offset % bytes.size();
    const size_t page = at / kHostilePage * kHostilePage;
    const size_t page_bytes = std::min<size_t>(kHostilePage, bytes.size() - page);
    switch (mutation.kind % Mutation::kKinds) {
      case Mutation::kFlipBit:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << (mutation.value % 8)));
        break;
      case Mutation::kSetByte:
        bytes[at] = static_cast<char>(mutation.value);
        break;
      case Mutation::kSetWord: {
        const size_t word_at = std::min(at / 8 * 8, bytes.size() < 8 ? 0 : bytes.size() - 8);
        const size_t size = std::min<size_t>(mutation.value % 2 == 0 ? 8 : 4, bytes.size() - word_at);
        std::memcpy(bytes.data() + word_at, &mutation.word, size);
        break;
      }
      case Mutation::kFillPage:  // or all from there
        std::fill_n(bytes.begin() + static_cast<ptrdiff_t>(page),
                    mutation.value % 8 < 2 ? bytes.size() - page : page_bytes,
                    static_cast<char>(mutation.value % 2 == 0 ? 0 : 0xFF));
        break;
      case Mutation::kCopyPage:
      case Mutation::kSwapPages: {
        if (other.empty()) break;
        const size_t from = mutation.other_offset % other.size() / kHostilePage * kHostilePage;
        const size_t count = std::min(page_bytes, other.size() - from);
        for (size_t i = 0; i < count; ++i) {
          if (mutation.kind % Mutation::kKinds == Mutation::kCopyPage)
            bytes[page + i] = other[from + i];
          else
            std::swap(bytes[page + i], other[from + i]);
        }
        break;
      }
      case Mutation::kForeignPage:
      case Mutation::kStalePage: {
        const StoreFiles& source = mutation.kind % Mutation::kKinds == Mutation::kForeignPage ? other_ : stale_;
        const auto found = source.find(name);
        if (found == source.end() || found->second.size() <= page) break;
        bytes.replace(page, std::min(page_bytes, found->second.size() - page), found->second, page,
                      std::min(page_bytes, found->second.size() - page));
        break;
      }
      case Mutation::kSwapFiles:
        if (&bytes != &other) std::swap(bytes, other);
        break;
      case Mutation::kCutFile:
        bytes.resize(at);
        break;
      case Mutation::kExtendFile:
        bytes.append(1 + mutation.other_offset % 100000, static_cast<char>(mutation.value));
        break;
      case Mutation::kRemoveFile:
        files->erase(name);
        break;
      default:
        break;
    }
  }

  /// Makes checksums hold again where a hostile hand could: of meta, of headers, of the cache's words and its marker,
  /// and of frames and records where the original had them. A checksum that holds is no proof of sense.
  void Reseal(StoreFiles* files) const {
    for (auto& [name, bytes] : *files) {
      if (name == "meta") Crc<format::MetaHeader>(bytes, offsetof(format::MetaHeader, crc), 12, bytes.size());
      if (name == "cache") ResealCache(bytes);
      if (name.ends_with(".blocks")) Crc<format::BlocksHeader>(bytes, 8, 16, sizeof(format::BlocksHeader));
      if (name.ends_with(".log")) ResealLog(name, bytes);
    }
  }

  /// Writes the files out and asks everything of them. Failures go to the harness. True: opened.
  bool Examine(const StoreFiles& files, bool cache_is_right, std::string* outcome) {
    WriteOut(files);
    store::OpenOptions options;
    options.durability = store::Durability::kNone;
    options.lock_timeout_us = kLockTimeout;
    options.with_helper = false;
    const std::clock_t begin = std::clock();
    Result<std::shared_ptr<store::Store>> opened = store::Store::Open(path_, options);
    if (opened.ok()) {
      AskEverything(**opened, cache_is_right);
      Expect((*opened)->Close(), "close");
    } else {
      const ErrorCode code = opened.status().code();
      const bool typed = code == ErrorCode::kNotAStore || code == ErrorCode::kVersion ||
                         code == ErrorCode::kDimension || code == ErrorCode::kNotFound || code == ErrorCode::kArgument;
      if (!typed) Expect(opened.status(), "open");
    }
    *outcome = opened.ok() ? "opened" : DescribeError(opened.status().code()).code;
    constexpr double kSecondsMax = 5;
    EXPECT_LT(static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC, kSecondsMax);
    return opened.ok();
  }

  /// Salvages the files into a new store, where all that was taken must hold.
  void ExpectSalvage(const StoreFiles& files) {
    WriteOut(files);
    const std::string to = directory_.Join("salvaged");
    const Result<store::SalvageResult> result = store::Salvage(path_, to);
    if (!result.ok() && result.status().code() != ErrorCode::kNotAStore) Expect(result.status(), "salvage");
    if (!result.ok()) return EXPECT_FALSE(std::filesystem::exists(to));
    store::OpenOptions options;
    options.with_helper = false;
    Result<std::shared_ptr<store::Store>> copy = store::Store::Open(to, options);
    EXPECT_OK(copy);
    if (copy.ok()) ExpectWhole(**copy);
    if (copy.ok()) EXPECT_EQ((*copy)->size(), result->memories);
    if (copy.ok()) EXPECT_OK((*copy)->Close());
    std::filesystem::remove_all(to);
  }

  const format::Salt& salt() const { return salt_; }
  uint64_t refused() const { return refused_; }
  uint64_t right() const { return right_; }
  uint64_t missed() const { return missed_; }

 private:
  static Memory MemoryOf(const std::string& prefix, int number, int version) {
    Memory memory;
    memory.id = prefix + std::to_string(number);
    memory.embedding = EmbeddingOf(static_cast<uint64_t>(number * 10 + version), kHostileDimensions);
    memory.content = "content of " + memory.id + " version " + std::to_string(version) +
                     std::string(static_cast<size_t>(number % 50), 'x');
    memory.metadata = "{\"id\":\"" + memory.id + "\"}";
    memory.created_at = number;
    return memory;
  }

  /// 270 memories in two segments, some replaced, some deleted; flushed in between, closed.
  void Make(const std::string& path, const std::string& prefix, StoreFiles* stale) {
    store::OpenOptions options;
    options.dimensions = kHostileDimensions;
    options.durability = store::Durability::kFlush;
    options.lock_timeout_us = kLockTimeout;
    options.with_helper = false;
    Result<std::shared_ptr<store::Store>> opened = store::Store::Open(path, options);
    EXPECT_OK(opened);
    if (!opened.ok()) return;
    store::Store& store = **opened;
    const auto write = [&](int number, int version) {
      const Memory memory = MemoryOf(prefix, number, version);
      const Result<Sequence> put = Put(store, memory);
      EXPECT_OK(put);
      if (put.ok() && stale != nullptr) written_[memory.id] = *put;
    };
    for (int number = 0; number < kNumbers; ++number) {
      write(number, 0);
      if (number % 40 == 0) EXPECT_OK(store.Flush(kLockTimeout));
      if (number == 150 && stale != nullptr) *stale = ReadStore(path);
    }
    for (int number = 0; number < 30; number += 3) write(number, 1);
    for (int number = 1; number < 20; number += 6) {
      EXPECT_OK(Delete(store, prefix + std::to_string(number)));
      if (stale != nullptr) written_[prefix + std::to_string(number)] = 0;
    }
    if (history_ == History::kCompacted) {
      const std::atomic<bool> never{false};
      EXPECT_OK(store.Compact(kLockTimeout, never));
      for (int number = 30; number < 60; ++number) write(number, 1);
      EXPECT_OK(store.Flush(kLockTimeout));
    }
    if (stale != nullptr) {
      last_sequence_ = store.sequence();
      salt_ = store.salt();
      for (const store::LogRecord& record : AllRecords(store)) records_.push_back(record.position);
    }
    EXPECT_OK((*opened)->Close());
  }

  /// Makes a cache that was copied the cache of this very file: a copy is not believed, and what is not believed needs
  /// no attack.
  void AdoptCache(std::string* bytes) const {
    const Result<io::File> directory = io::File::OpenDirectory(path_.c_str());
    EXPECT_OK(directory);
    const Result<io::File> file = io::File::Open(*directory, "cache", io::File::Mode::kRead, FileRole::kCache);
    EXPECT_OK(file);
    const Result<io::BootIdentity> boot = io::BootIdentityOf(*file);
    EXPECT_OK(boot);
    format::CacheHeader header;
    std::memcpy(&header, bytes->data(), sizeof header);
    header.boot_low = boot->low;
    header.boot_high = boot->high;
    std::memcpy(bytes->data(), &header, sizeof header);
    format::CleanMarker marker;
    std::memcpy(&marker, bytes->data() + format::kCleanOffset, sizeof marker);
    EXPECT_EQ(marker.magic, format::kCleanMagic);
    marker.directory_inode = directory->Identity()->inode;
    marker.cache_inode = file->Identity()->inode;
    std::memcpy(bytes->data() + format::kCleanOffset, &marker, sizeof marker);
    ResealCache(*bytes);
  }

  /// In place, so that directory and cache stay the ones that the cache speaks of.
  void WriteOut(const StoreFiles& files) const {
    std::error_code error;
    if (std::filesystem::exists(kept_cache_)) std::filesystem::rename(kept_cache_, path_ + "/cache", error);
    for (const std::string& name : NamesIn(path_)) {
      if (files.contains(name)) continue;
      if (name == "cache")
        std::filesystem::rename(path_ + "/cache", kept_cache_, error);
      else
        std::filesystem::remove(path_ + "/" + name, error);
    }
    for (const auto& [name, bytes] : files) WriteFileBytes(path_ + "/" + name, bytes);
  }

  void Expect(const Status& status, const char* what) {
    if (status.ok()) {
      ++right_;
      return;
    }
    ++refused_;
    switch (status.code()) {
      case ErrorCode::kCorrupt:
      case ErrorCode::kIo:
      case ErrorCode::kPoisoned:
      case ErrorCode::kTooLarge:
      case ErrorCode::kChangesGone:
      case ErrorCode::kFull:
        return;
      default:
        ReportFailure(__FILE__, __LINE__, std::string(what) + ": " + DescribeStatus(status));
    }
  }

  /// Whether what a reference leads to was ever written under its id; reads as the binding does.
  void ExpectRight(store::Store& store, const store::MemoryRef& found, std::string_view asked, const char* what) {
    const Status whole = store.CheckRecord(found);
    if (!whole.ok()) return Expect(whole, what);
    const std::string id(found.record.id);
    if (!asked.empty()) EXPECT_EQ(id, std::string(asked));
    if (found.record.kind() == format::RecordKind::kDelete) return;
    if (!store::Store::OwnsBlock(found)) return Expect(Status::Corrupt(FileRole::kBlocks, 0, 0), what);
    const uint32_t crc = Crc32c(format::BlockSeed(store.salt(), found.segment->number(), found.record.slot()),
                                found.segment->embedding(found.record.slot()), kHostileDimensions * sizeof(float));
    if (crc != found.record.header.embedding_crc) return Expect(Status::Corrupt(FileRole::kBlocks, 0, 0), what);
    ++right_;
    const float* block = found.segment->embedding(found.record.slot());
    const std::vector<float> embedding(block, block + kHostileDimensions);
    const int number = id.size() > 1 && id[0] == 'm' ? std::atoi(id.c_str() + 1) : -1;
    bool is_right = false;
    for (int version = 0; version < 3 && number >= 0; ++version) {
      const Memory expected = MemoryOf("m", number, version);
      is_right = is_right || (id == expected.id && found.record.content == *expected.content &&
                              found.record.metadata == expected.metadata && embedding == expected.embedding);
    }
    if (!is_right && !resealed_) ReportFailure(__FILE__, __LINE__, std::string(what) + " gave wrong bytes as " + id);
  }

  void AskEverything(store::Store& store, bool cache_is_right) {
    const std::atomic<bool> never{false};
    {
      const store::Pin pin;
      for (int number = 0; number < kNumbers; number += number < 30 ? 1 : 7) {
        const std::string id = "m" + std::to_string(number);
        Result<std::optional<store::MemoryRef>> found = store.Find(id);
        if (!found.ok()) {
          Expect(found.status(), "get");
        } else if (found->has_value()) {
          ExpectRight(store, **found, id, "get");
        } else if (written_.at(id) != 0 && written_.at(id) <= store.sequence()) {
          ++missed_;
          if (cache_is_right && !resealed_) ReportFailure(__FILE__, __LINE__, "nothing under " + id);
        }
      }
    }
    AskSnapshot(store);
    const std::vector<float> query = EmbeddingOf(3, kHostileDimensions);
    for (const bool exact : {true, false}) {
      const store::Pin pin;
      search::SearchRequest request;
      request.query = query;
      request.exact = exact;
      request.limit = 50;
      const Result<std::vector<search::SearchHit>> hits = search::Search(store, request, never);
      Expect(hits.status(), "search");
      for (size_t i = 0; hits.ok() && i < hits->size(); ++i) {
        Result<store::MemoryRef> hit = store.ReadAt((*hits)[i].position);
        if (hit.ok())
          ExpectRight(store, *hit, {}, "hit");
        else
          Expect(hit.status(), "hit");
      }
    }
    Expect(store.Changes(0, 100000).status(), "changes");
    Expect(store.Stats().status(), "stats");
    Expect(store.Verify(never).status(), "verify");
    Expect(store.Touch("m5", 1.0, 2).status(), "touch");
    Expect(Put(store, MemoryOf("m", 3, 2)).status(), "put");
    Expect(Put(store, MemoryOf("m", 100, 2)).status(), "put");
    Expect(Delete(store, "m4").status(), "delete");
    Expect(store.Flush(kLockTimeout, store::FlushScope::kLog), "flush");
    Expect(store.GrowIndex(600), "growth");
    store.MakeSpaceAhead();
    if (compacts_) Expect(store.Compact(kLockTimeout, never).status(), "compact");
    store.FollowList();
    // Damage at rest is found by looking at lengths; nothing but a cut under the mapping comes as a lost page.
    EXPECT_OK(store.CheckFiles());
  }

  void AskSnapshot(store::Store& store) {
    const store::Pin pin;
    Result<store::Snapshot> snapshot = store.TakeSnapshot();
    Expect(snapshot.status(), "snapshot");
    if (!snapshot.ok()) return;
    search::MemoryCursor cursor(store, *snapshot, 0, nullptr);
    constexpr int kStepsMax = 100000;  // an iterator that goes on for ever is a hang
    int steps = 0;
    for (; steps < kStepsMax; ++steps) {
      Result<std::optional<store::MemoryRef>> next = cursor.Next();
      if (!next.ok()) {
        Expect(next.status(), "entries");
        continue;
      }
      if (!next->has_value()) break;
      ExpectRight(store, **next, {}, "entries");
    }
    EXPECT_LT(steps, kStepsMax);
  }

  template <typename Header>
  static void Crc(std::string& bytes, size_t crc_at, size_t from, size_t to) {
    if (bytes.size() < sizeof(Header) || to > bytes.size()) return;
    const uint32_t crc = Crc32c(0, bytes.data() + from, to - from);
    std::memcpy(bytes.data() + crc_at, &crc, sizeof crc);
  }

  static void ResealCache(std::string& bytes) {
    if (bytes.size() < format::kIndexOffset) return;
    Crc<format::CacheHeader>(bytes, 8, 16, sizeof(format::CacheHeader));
    format::CleanMarker marker;
    std::memcpy(&marker, bytes.data() + format::kCleanOffset, sizeof marker);
    const format::BootWords* words =
        reinterpret_cast<const format::BootWords*>(bytes.data() + format::kBootWordsOffset);
    marker.index_word = words->index;
    marker.tail = words->tail;
    marker.words_crc = Crc32c(0, words, sizeof *words);
    marker.crc = Crc32c(0, &marker, offsetof(format::CleanMarker, crc));
    std::memcpy(bytes.data() + format::kCleanOffset, &marker, sizeof marker);
  }

  void ResealLog(const std::string& name, std::string& bytes) const {
    Crc<format::LogHeader>(bytes, 8, 16, sizeof(format::LogHeader));
    const uint32_t number = static_cast<uint32_t>(std::atoi(name.c_str()));
    for (const Position position : records_) {
      const uint64_t at = position.offset();
      format::RecordHeader header;
      if (Raw(position.segment()) != number || at + sizeof header > bytes.size()) continue;
      std::memcpy(&header, bytes.data() + at, sizeof header);
      if (header.length < sizeof header || at + header.length > bytes.size()) continue;
      format::SealRecord(bytes.data() + at, format::FrameSeed(salt_, position));
      // One record a frame here: its header stands before it.
      const uint64_t frame_at = at - sizeof(format::FrameHeader);
      format::FrameHeader frame;
      std::memcpy(&frame, bytes.data() + frame_at, sizeof frame);
      if (frame.body_bytes > bytes.size() - at) continue;
      format::SealFrame(frame, format::FrameSeed(salt_, Position(position.segment(), frame_at)), bytes.data() + at);
      std::memcpy(bytes.data() + frame_at, &frame, sizeof frame);
    }
  }

 public:
  /// Whether checksums were made to hold: then bytes can be wrong without anybody being able to tell.
  bool resealed_ = false;
  /// Whether it is compacted too, when everything is asked.
  bool compacts_ = false;

 private:
  static constexpr int kNumbers = 270;
  const History history_;
  const FastDirectory directory_;
  std::string path_;
  std::string kept_cache_;
  std::vector<std::string> names_;
  StoreFiles original_;
  StoreFiles other_;
  StoreFiles stale_;
  std::map<std::string, Sequence> written_;  // id -> its newest put, 0: deleted
  std::vector<Position> records_;
  Sequence last_sequence_ = 0;
  format::Salt salt_{};
  uint64_t refused_ = 0;
  uint64_t right_ = 0;
  uint64_t missed_ = 0;
};

}  // namespace thermocline::test

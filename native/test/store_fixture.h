// What the tests of the store share: memories as values, a store with its directory, short writes, boot words by hand.
//
// Not here: claims. A value here owns its bytes, so it may outlive the store it was read from.
#pragma once

#include <bit>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/store/log_cursor.h"
#include "core/store/store.h"
#include "test/harness.h"

namespace thermocline::test {

inline constexpr uint64_t kLockTimeout = 20000000;  // generous: a sanitizer on a busy host must not look like a lock

struct Memory {
  std::string id;
  std::vector<float> embedding;
  std::optional<std::string> content;
  std::string metadata;
  double confidence = 1;
  double created_at = 0;
  double activation = 1;
  double last_access = 0;
  uint64_t recall_count = 0;
  Sequence sequence = 0;
  bool operator==(const Memory&) const = default;
};

/// Prints what two different memories differ in, in a failure's one line.
inline std::ostream& operator<<(std::ostream& out, const Memory& memory) {
  return out << "{" << memory.id << " #" << memory.sequence << " embedding " << memory.embedding.size() << ":"
             << (memory.embedding.empty() ? 0.0f : memory.embedding[0]) << " content "
             << (memory.content ? "'" + *memory.content + "'" : "none") << " metadata '" << memory.metadata
             << "' confidence " << memory.confidence << " created " << memory.created_at << " statistics "
             << memory.activation << " " << memory.last_access << " " << memory.recall_count << "}";
}

inline std::vector<float> EmbeddingOf(uint64_t seed, size_t dimensions) {
  std::vector<float> embedding(dimensions);
  Random random(seed);
  for (float& value : embedding) value = random.Unit();
  return embedding;
}

inline store::PutInput PutInputOf(const Memory& memory) {
  store::PutInput input;
  input.id = memory.id;
  input.embedding = memory.embedding;
  input.has_content = memory.content.has_value();
  if (memory.content) input.content = *memory.content;
  input.metadata = memory.metadata;
  input.confidence = memory.confidence;
  input.created_at = memory.created_at;
  input.activation = memory.activation;
  input.last_access = memory.last_access;
  input.recall_count = memory.recall_count;
  return input;
}

/// Copies what a reference leads to. The column's times must be the record's (R2).
inline Memory CopyOf(const store::MemoryRef& ref, size_t dimensions) {
  Memory memory;
  const Slot slot = ref.record.slot();
  memory.id = ref.record.id;
  if (ref.record.has(format::kHasEmbedding)) {
    const float* embedding = ref.segment->embedding(slot);
    memory.embedding.assign(embedding, embedding + dimensions);
  }
  if (ref.record.has(format::kHasContent)) memory.content = ref.record.content;
  memory.metadata = ref.record.metadata;
  memory.confidence = std::bit_cast<double>(ref.segment->confidence(slot));
  memory.created_at = std::bit_cast<double>(ref.segment->created_at(slot));
  EXPECT_EQ(memory.confidence, ref.record.header.confidence);
  EXPECT_EQ(memory.created_at, ref.record.header.created_at);
  const format::Statistics& statistics = ref.segment->statistics(slot);
  memory.activation = LoadRelaxed(statistics.activation);
  memory.last_access = LoadRelaxed(statistics.last_access);
  memory.recall_count = LoadRelaxed(statistics.recall_count);
  memory.sequence = ref.record.header.sequence;
  return memory;
}

/// What the store has under an id; a failed look-up is a failed expectation.
inline std::optional<Memory> Get(store::Store& store, std::string_view id) {
  const store::Pin pin;
  Result<std::optional<store::MemoryRef>> found = store.Find(id);
  EXPECT_OK(found);
  if (!found.ok() || !found->has_value()) return std::nullopt;
  return CopyOf(**found, store.dimensions());
}

inline Result<Sequence> Put(store::Store& store, const Memory& memory) {
  store::Batch batch(store.hash_key());
  batch.Put(PutInputOf(memory), false);
  return store.Commit(batch, kLockTimeout);
}

inline Result<Sequence> PutText(store::Store& store, const std::string& id, const std::string& content) {
  Memory memory;
  memory.id = id;
  memory.content = content;
  return Put(store, memory);
}

inline Result<Sequence> Delete(store::Store& store, const std::string& id) {
  store::Batch batch(store.hash_key());
  batch.Delete(id, false);
  return store.Commit(batch, kLockTimeout);
}

/// Every record of which the log has all, in commit order.
inline std::vector<store::LogRecord> AllRecords(store::Store& store, Sequence since = 0) {
  const Result<Sequence> floor = store.ChangesFloor();
  EXPECT_OK(floor);
  if (floor.ok()) since = std::max(since, *floor);
  Result<std::vector<store::LogRecord>> records = store.Changes(since, SIZE_MAX);
  EXPECT_OK(records);
  return records.ok() ? *records : std::vector<store::LogRecord>();
}

/// A directory with a store in it, opened and closed at will; each open is a participant of its own.
class StoreFixture {
 public:
  explicit StoreFixture(uint32_t dimensions, store::Durability durability = store::Durability::kNone) {
    options.dimensions = dimensions;
    options.durability = durability;
    options.lock_timeout_us = kLockTimeout;
  }
  ~StoreFixture() {
    if (opened_) EXPECT_OK(opened_->Close());
  }
  StoreFixture(const StoreFixture&) = delete;
  StoreFixture& operator=(const StoreFixture&) = delete;

  std::string path() const { return directory_.Join("store"); }
  std::string Join(const std::string& name) const { return path() + "/" + name; }
  const TempDirectory& directory() const { return directory_; }

  Status Open() {
    Result<std::shared_ptr<store::Store>> opened = store::Store::Open(path(), options);
    if (!opened.ok()) return opened.status();
    opened_ = *opened;
    return Status::Ok();
  }
  Status Close() { return std::exchange(opened_, nullptr)->Close(); }
  /// Leaves as a killed process does: the kernel gives its locks back, nothing else happens.
  void Kill() { opened_.reset(); }
  Status Reopen() {
    THERMOCLINE_RETURN_IF_ERROR(Close());
    return Open();
  }
  bool Recovered() {
    const Result<store::StoreStats> stats = opened_->Stats();
    EXPECT_OK(stats);
    return stats.ok() && stats->recovered;
  }
  uint64_t Epoch() {
    const Result<store::StoreStats> stats = opened_->Stats();
    EXPECT_OK(stats);
    return stats.ok() ? stats->epoch : 0;
  }
  store::Store& operator*() { return *opened_; }
  store::Store* operator->() { return opened_.get(); }

  store::OpenOptions options;

 private:
  TempDirectory directory_;
  std::shared_ptr<store::Store> opened_;
};

/// The boot words of a store's cache file, mapped by hand.
class BootWordsByHand {
 public:
  explicit BootWordsByHand(const std::string& directory_path) {
    Result<io::File> directory = io::File::OpenDirectory(directory_path.c_str());
    EXPECT_OK(directory);
    if (!directory.ok()) return;
    Result<io::File> file = io::File::Open(*directory, "cache", io::File::Mode::kReadWrite, FileRole::kCache);
    EXPECT_OK(file);
    if (!file.ok()) return;
    Result<io::Mapping> map = io::Mapping::Map(*file, 0, format::kIndexOffset, io::Mapping::Kind::kShared);
    EXPECT_OK(map);
    if (map.ok()) map_ = std::move(*map);
  }
  bool mapped() const { return map_.mapped(); }
  format::BootWords* operator->() const {
    return reinterpret_cast<format::BootWords*>(map_.data() + format::kBootWordsOffset);
  }
  format::BootWords& operator*() const { return *operator->(); }

 private:
  io::Mapping map_;
};

/// Another boot for as long as it lives.
class OtherBoot {
 public:
  explicit OtherBoot(const char* id) { ::setenv("THERMOCLINE_BOOT_ID", id, 1); }
  ~OtherBoot() { ::unsetenv("THERMOCLINE_BOOT_ID"); }
  OtherBoot(const OtherBoot&) = delete;
  OtherBoot& operator=(const OtherBoot&) = delete;
};

inline std::string ReadFileBytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

inline void WriteFileBytes(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

/// Runs `work(index)` on `count` threads and joins them.
template <typename Work>
void RunThreads(int count, const Work& work) {
  std::vector<std::thread> threads;
  for (int index = 0; index < count; ++index) threads.emplace_back([&work, index] { work(index); });
  for (std::thread& thread : threads) thread.join();
}

/// Expects of a store at rest what R1 and R4 say: verified whole, sequences without a gap, no place shared.
inline void ExpectWhole(store::Store& store) {
  const store::Pin pin;
  const std::atomic<bool> cancel{false};
  Result<store::VerifyReport> report = store.Verify(cancel);
  EXPECT_OK(report);
  if (!report.ok()) return;
  EXPECT_EQ(report->memories, store.size());
  for (const store::Problem& problem : report->problems) {
    ReportFailure(__FILE__, __LINE__,
                  "verify: " + problem.file + " at " + std::to_string(problem.offset) + " of '" + problem.id + "'");
  }
  const Result<Sequence> floor = store.ChangesFloor();
  EXPECT_OK(floor);
  Sequence expected = floor.ok() ? *floor + 1 : 1;
  std::map<std::pair<uint32_t, uint32_t>, Sequence> slots;
  Position end_of_last;
  for (const store::LogRecord& record : AllRecords(store)) {
    EXPECT_EQ(record.sequence, expected);
    expected = record.sequence + 1;
    if (record.position.segment() == end_of_last.segment()) EXPECT_GE(record.position.offset(), end_of_last.offset());
    end_of_last = Position(record.position.segment(), record.position.offset() + record.length);
    if (record.kind == format::RecordKind::kDelete) continue;
    Result<store::MemoryRef> read = store.ReadAt(record.position);
    EXPECT_OK(read);
    if (!read.ok()) continue;
    const auto place = std::make_pair(Raw(record.position.segment()), Raw(read->record.slot()));
    const auto [held, is_new] = slots.emplace(place, record.sequence);
    if (!is_new) {
      ReportFailure(__FILE__, __LINE__,
                    "records " + std::to_string(held->second) + " and " + std::to_string(record.sequence) +
                        " share slot " + std::to_string(place.second) + " of segment " + std::to_string(place.first));
    }
  }
  EXPECT_EQ(expected, store.sequence() + 1);
}

}  // namespace thermocline::test

// Bytes that rot under a store in use: whatever is done meets them with a typed error or does not need them.
//
// Goal: no operation of a live store follows a damaged frame or record anywhere but to kCorrupt, also where the damage
// has a checksum that holds (bytes that no writer of ours made); damage without one is neither copied nor counted, so
// that everything is as it was when the bytes are again. Method: a random field of a random frame header, record or
// image gets another value in the file, under the mappings; then one operation; then the bytes are put back.

#include <atomic>
#include <cstdio>
#include <functional>

#include "core/io/mapping.h"
#include "core/store/log_reader.h"
#include "test/fast_directory.h"
#include "test/store_fixture.h"

namespace thermocline::store {
namespace {

using test::Memory;

constexpr uint32_t kDimensions = 8;
constexpr int kMemories = 40;
const std::atomic<bool> kNever{false};

OpenOptions Options() {
  OpenOptions options;
  options.dimensions = kDimensions;
  options.lock_timeout_us = test::kLockTimeout;
  options.with_helper = false;
  return options;
}

std::shared_ptr<Store> OpenStore(const std::string& path) {
  Result<std::shared_ptr<Store>> opened = Store::Open(path, Options());
  EXPECT_OK(opened);
  return opened.ok() ? *opened : nullptr;
}

Memory MemoryOf(int number, int version) {
  Memory memory;
  memory.id = "m" + std::to_string(number);
  memory.embedding = test::EmbeddingOf(static_cast<uint64_t>(number + 100 * version), kDimensions);
  memory.content = "version " + std::to_string(version);
  memory.created_at = number + 1;
  return memory;
}

/// Three segments, replaced and deleted memories, an image. Left as a killed process does.
class Original {
 public:
  Original() {
    const std::shared_ptr<Store> store = OpenStore(path());
    if (store == nullptr) return;
    for (int i = 0; i < kMemories; ++i) {
      EXPECT_OK(test::Put(*store, MemoryOf(i, 0)));
      if (i % 8 == 7) EXPECT_OK(test::PutText(*store, "big" + std::to_string(i), std::string(700000, 'b')));
      if (i % 5 == 4) EXPECT_OK(test::Put(*store, MemoryOf(i - 3, 1)));
      if (i % 6 == 5) EXPECT_OK(test::Delete(*store, "m" + std::to_string(i - 5)));
    }
    EXPECT_OK(store->Flush(test::kLockTimeout, FlushScope::kBlocks));
    EXPECT_OK(test::Put(*store, MemoryOf(3, 2)));
    EXPECT_OK(test::Put(*store, MemoryOf(4, 2)));
    EXPECT_OK(store->Flush(test::kLockTimeout));
    for (int i = 0; i < kMemories; ++i) ids.push_back("m" + std::to_string(i));
    for (const std::string& id : ids) model[id] = test::Get(*store, id);
    EXPECT_GE(store->TakeSnapshot()->parts.size(), 3u);
  }
  std::string path() const { return root_.Join("original"); }

  std::vector<std::string> ids;
  std::map<std::string, std::optional<Memory>> model;

 private:
  const test::FastDirectory root_;
};

/// A header in a log.
struct Place {
  const Segment* segment;
  uint64_t frame;  // offset of its frame
  uint64_t offset;
  enum Kind { kFrame, kRecord, kImage } kind;
};

std::vector<Place> PlacesOf(Store& store, const Snapshot& snapshot) {
  std::vector<Place> places;
  for (const Snapshot::Part& part : snapshot.parts) {
    for (uint64_t at = format::kHeaderBytes; const auto frame = ReadFrame(*part.segment, store.salt(), at, true);) {
      places.push_back({part.segment, at, at, Place::kFrame});
      uint64_t record_at = at + sizeof *frame;
      for (uint32_t i = 0; i < frame->record_count; ++i) {
        places.push_back({part.segment, at, record_at, Place::kRecord});
        record_at += ReadRecord(*part.segment, record_at)->header.length;
      }
      if (frame->image_count > 0) places.push_back({part.segment, at, record_at, Place::kImage});
      at += FrameBytes(*frame);
    }
  }
  return places;
}

/// From its making to its end some bytes of a log are others.
class Damage {
 public:
  enum class Seal { kNone, kRecord, kFrame };

  Damage(const Store& store, const std::string& directory, const Place& place, Seal seal, Random& random)
      : path_(directory + "/" + std::to_string(Raw(place.segment->number())) + ".log"), offset_(place.frame) {
    const auto frame = ReadFrame(*place.segment, store.salt(), place.frame, false);
    const std::span<const char> bytes = place.segment->LogBytes(place.frame, FrameBytes(*frame));
    before_.assign(bytes.begin(), bytes.end());
    std::string after = before_;
    char* const header = after.data() + (place.offset - place.frame);
    constexpr size_t kHeaderBytes[] = {sizeof(format::FrameHeader), sizeof(format::RecordHeader),
                                       sizeof(format::ImageHeader)};
    Change(header, kHeaderBytes[place.kind], random);
    const Position position(place.segment->number(), place.offset);
    uint32_t length = 0;
    std::memcpy(&length, header, sizeof length);
    if (place.kind == Place::kRecord && seal != Seal::kNone && length >= sizeof(format::RecordHeader) &&
        length <= after.size() - (place.offset - place.frame)) {
      format::SealRecord(header, format::FrameSeed(store.salt(), position));
    }
    if (seal == Seal::kFrame) {
      format::FrameHeader changed;
      std::memcpy(&changed, after.data(), sizeof changed);
      const Position of_frame(place.segment->number(), place.frame);
      // Of the body that is there; a length that is another makes a seal that does not hold.
      const uint64_t body = changed.body_bytes;
      changed.body_bytes = std::min(body, frame->body_bytes);
      if (changed.body_bytes == body) {
        format::SealFrame(changed, format::FrameSeed(store.salt(), of_frame), after.data() + sizeof changed);
        std::memcpy(after.data(), &changed, sizeof changed);
      }
    }
    Write(after);
  }
  ~Damage() { Write(before_); }
  Damage(const Damage&) = delete;
  Damage& operator=(const Damage&) = delete;

 private:
  static void Change(char* header, size_t size, Random& random) {
    const uint64_t values[] = {0, UINT64_MAX, random.Next(), random.Below(300), uint64_t{1} << random.Below(64)};
    uint64_t value = values[random.Below(std::size(values))];
    const size_t bytes = size_t{1} << random.Below(4);
    const size_t at = random.Below(size / bytes) * bytes;
    uint64_t old = 0;
    std::memcpy(&old, header + at, bytes);
    if (random.Below(2) == 0) value ^= old;
    if (random.Below(4) == 0) value = old + 8 - 16 * random.Below(2);
    std::memcpy(header + at, &value, bytes);
  }
  void Write(const std::string& bytes) const {
    // A file that compaction has taken away is not made again.
    if (!std::filesystem::exists(path_)) return;
    std::fstream file(path_, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(offset_));
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }

  const std::string path_;
  const uint64_t offset_;
  std::string before_;
};

template <typename T>
Status StatusOf(const Result<T>& result) {
  return result.ok() ? Status::Ok() : result.status();
}

struct Operation {
  const char* name;
  std::function<Status(Store&, Original&, const std::string& beside, Random&)> run;
  bool changes = false;  // what the store holds, also when it succeeds beside damage
};

Result<Sequence> Update(Store& store, const std::string& id) {
  Batch batch(store.hash_key());
  PatchInput patch;
  patch.id = id;
  patch.set_confidence = true;
  patch.confidence = 0.5;
  batch.Update(patch, false);
  return store.Commit(batch, test::kLockTimeout);
}

std::vector<Operation> Operations() {
  const auto any = [](Original& original, Random& random) { return original.ids[random.Below(original.ids.size())]; };
  return {
      {"compact", [](Store& store, Original&, const std::string&,
                     Random&) { return StatusOf(store.Compact(test::kLockTimeout, kNever)); }},
      {"flush",
       [](Store& store, Original&, const std::string&, Random&) {
         const Status log = store.Flush(test::kLockTimeout);
         return log.ok() ? store.Flush(test::kLockTimeout, FlushScope::kBlocks) : log;
       }},
      {"grow the index", [](Store& store, Original&, const std::string&, Random&) { return store.GrowIndex(5000); }},
      {"back up", [](Store& store, Original&, const std::string& beside,
                     Random&) { return StatusOf(store.Backup(beside, kNever)); }},
      {"verify",
       [](Store& store, Original&, const std::string&, Random&) {
         const Result<VerifyReport> report = store.Verify(kNever);
         if (!report.ok()) return report.status();
         return report->problems.empty() ? Status::Ok() : Status::Error(ErrorCode::kCorrupt);
       }},
      {"changes",
       [](Store& store, Original&, const std::string&, Random& random) {
         return StatusOf(store.Changes(random.Below(store.sequence()), 1 + random.Below(100)));
       }},
      {"find all",
       [](Store& store, Original& original, const std::string&, Random&) -> Status {
         for (const std::string& id : original.ids) {
           const Pin pin;
           const Result<std::optional<MemoryRef>> found = store.Find(id, Store::Fetch::kMemory);
           if (!found.ok()) return found.status();
           if (found->has_value()) THERMOCLINE_RETURN_IF_ERROR(store.CheckRecord(**found));
         }
         return Status::Ok();
       }},
      {"touch",
       [any](Store& store, Original& original, const std::string&, Random& random) {
         return StatusOf(store.Touch(any(original, random), std::nullopt, 5));
       },
       true},
      {"update",
       [any](Store& store, Original& original, const std::string&, Random& random) {
         return StatusOf(Update(store, any(original, random)));
       },
       true},
      {"put",
       [](Store& store, Original&, const std::string&, Random& random) {
         return StatusOf(test::Put(store, MemoryOf(static_cast<int>(random.Below(kMemories)), 7)));
       },
       true},
      {"delete",
       [any](Store& store, Original& original, const std::string&, Random& random) {
         return StatusOf(test::Delete(store, any(original, random)));
       },
       true},
  };
}

void ExpectModel(Store& store, const std::map<std::string, std::optional<Memory>>& model) {
  for (const auto& [id, memory] : model) {
    const std::optional<Memory> found = test::Get(store, id);
    ASSERT_EQ(found.has_value(), memory.has_value());
    if (found) EXPECT_EQ(*found, *memory);
  }
}

TEST(LiveDamage, IsATypedErrorToWhateverMeetsItAndNoneToWhatDoesNot) {
  Original original;
  const std::vector<Operation> operations = Operations();
  Random random(TestSeed());
  const uint64_t rounds = test::RoundsOfOneThread(1100, 20000);
  uint64_t met = 0;
  for (uint64_t round = 0; round < rounds && test::FailureCount() == 0; ++round) {
    const Operation& operation = operations[round % operations.size()];
    const auto seal = static_cast<Damage::Seal>(random.Below(3));
    const test::FastDirectory root;
    std::filesystem::copy(original.path(), root.Join("store"));
    const std::shared_ptr<Store> store = OpenStore(root.Join("store"));
    if (store == nullptr) return;
    // Two commits that no flush has covered.
    std::map<std::string, std::optional<Memory>> model = original.model;
    for (const int number : {1, 2}) {
      Memory memory = MemoryOf(number, 3);
      const Result<Sequence> sequence = test::Put(*store, memory);
      ASSERT_OK(sequence);
      memory.sequence = *sequence;
      model[memory.id] = memory;
    }
    {
      const Result<Snapshot> snapshot = store->TakeSnapshot();
      ASSERT_OK(snapshot);
      const std::vector<Place> places = PlacesOf(*store, *snapshot);
      ASSERT_GT(places.size(), 40u);
      // Often one of the newest.
      const size_t back = random.Below(random.Below(2) == 0 ? places.size() : 5);
      const Place& place = places[places.size() - 1 - back];
      const Damage damage(*store, root.Join("store"), place, seal, random);
      const Status status = operation.run(*store, original, root.Join("copy"), random);
      met += status.ok() ? 0 : 1;
      if (!status.ok()) EXPECT_ERROR(status, ErrorCode::kCorrupt);
    }
    if (seal == Damage::Seal::kNone && !operation.changes) ExpectModel(*store, model);
    if (test::FailureCount() > 0) {
      std::printf("%s, round %llu\n", operation.name, static_cast<unsigned long long>(round));
    }
  }
  EXPECT_GT(met, rounds / 20);
}

// Goal: a half applied commit that rotted is never written past. Method: its owner died with the write lock; a field of
// the frame is another when the next writer takes the lock over.
TEST(LiveDamage, OfADeadWritersCommitPoisonsTheStoreOrIsSeenByVerify) {
  Original original;
  Random random(TestSeed());
  uint64_t poisoned = 0;
  const uint64_t rounds = test::RoundsOfOneThread(150, 3000);
  for (uint64_t round = 0; round < rounds && test::FailureCount() == 0; ++round) {
    const test::FastDirectory root;
    const std::string path = root.Join("store");
    std::filesystem::copy(original.path(), path);
    const std::shared_ptr<Store> store = OpenStore(path);
    std::shared_ptr<Store> other = OpenStore(path);
    if (store == nullptr || other == nullptr) return;
    const test::BootWordsByHand words(path);
    const format::BootWords before = *words;
    ASSERT_OK(test::Put(*other, MemoryOf(static_cast<int>(random.Below(kMemories)), 8)));
    words->applied = before.applied;
    words->last_frame = before.last_frame;
    words->last_frame_crc = before.last_frame_crc;
    words->size = before.size;
    {
      Result<io::File> directory = io::File::OpenDirectory(path.c_str());
      ASSERT_OK(directory);
      Result<io::File> file = io::File::Open(*directory, "lock", io::File::Mode::kReadWrite, FileRole::kLock);
      ASSERT_OK(file);
      Result<io::Mapping> map = io::Mapping::Map(*file, 0, format::kLockFileBytes, io::Mapping::Kind::kShared);
      ASSERT_OK(map);
      const auto* lines = reinterpret_cast<format::ParticipantLine*>(map->data() + format::kParticipantsOffset);
      reinterpret_cast<format::SessionWords*>(map->data())->write_lock = Participant{2, lines[2].incarnation}.word();
    }
    const Position last(before.tail);
    const Result<std::shared_ptr<Segment>> segment = store->ShareSegment(last.segment());
    ASSERT_OK(segment);
    other.reset();
    const uint64_t at = last.offset();
    const Place::Kind kind = random.Below(2) == 0 ? Place::kFrame : Place::kRecord;
    const Place place{segment->get(), at, kind == Place::kFrame ? at : at + sizeof(format::FrameHeader), kind};
    const Damage damage(*store, path, place, static_cast<Damage::Seal>(random.Below(3)), random);
    const Status status = StatusOf(test::Delete(*store, "absent"));
    if (status.ok()) continue;  // what was changed is not what a commit is judged by
    EXPECT_ERROR(status, ErrorCode::kCorrupt);
    EXPECT_ERROR(test::Delete(*store, "absent"), ErrorCode::kPoisoned);
    EXPECT_ERROR(store->Compact(0, kNever), ErrorCode::kPoisoned);
    ++poisoned;
  }
  EXPECT_GT(poisoned, rounds / 10);
}

// Goal: a flush follows no damaged slot to another's block, or out of the mapping. Method: the newest record names
// another slot, and one that is not there; with its own again the same flush passes.
TEST(LiveDamage, OfASlotNumberIsAnErrorOfTheFlushThatWouldRepeatItsBlock) {
  const test::FastDirectory root;
  const std::shared_ptr<Store> store = OpenStore(root.Join("store"));
  ASSERT_TRUE(store != nullptr);
  ASSERT_OK(test::Put(*store, MemoryOf(0, 0)));
  ASSERT_OK(store->Flush(test::kLockTimeout, FlushScope::kBlocks));
  ASSERT_OK(test::Put(*store, MemoryOf(1, 0)));
  const Result<std::optional<MemoryRef>> found = store->Find("m1");
  ASSERT_OK(found);
  char* const slot = (*found)->segment->log_data() + (*found)->log_offset + offsetof(format::RecordHeader, slot);
  const uint32_t before = (*found)->record.header.slot;
  for (const uint32_t damaged : {uint32_t{0}, uint32_t{0x7FFFFFFF}, uint32_t{255}}) {
    std::memcpy(slot, &damaged, sizeof damaged);
    EXPECT_ERROR(store->Flush(test::kLockTimeout), ErrorCode::kCorrupt);
    EXPECT_EQ(store->Stats()->durable_sequence, 1u);
  }
  std::memcpy(slot, &before, sizeof before);
  EXPECT_OK(store->Flush(test::kLockTimeout));
  EXPECT_EQ(store->Stats()->durable_sequence, 2u);
  test::ExpectWhole(*store);
}

// Goal: no word of a half applied commit leads its heir astray, under checksums that hold. Method: the record of a dead
// owner's commit, or what it leads to, says what cannot be; the next writer is refused, and so is everybody after it.
TEST(LiveDamage, OfWhatADeadWritersCommitNamesPoisonsTheStore) {
  const auto run = [](FileRole role, const std::function<void(format::RecordHeader&, Store&, IndexTable)>& change) {
    const test::FastDirectory root;
    const std::string path = root.Join("store");
    const std::shared_ptr<Store> store = OpenStore(path);
    std::shared_ptr<Store> other = OpenStore(path);
    ASSERT_TRUE(store != nullptr && other != nullptr);
    ASSERT_OK(test::Put(*store, MemoryOf(0, 0)));
    const test::BootWordsByHand words(path);
    const format::BootWords before = *words;
    ASSERT_OK(test::Put(*other, MemoryOf(0, 1)));
    const Result<std::optional<MemoryRef>> found = other->Find("m0");
    ASSERT_OK(found);
    const MemoryRef memory = **found;
    words->applied = before.applied;
    words->last_frame = before.last_frame;
    words->last_frame_crc = before.last_frame_crc;
    Result<io::File> directory = io::File::OpenDirectory(path.c_str());
    ASSERT_OK(directory);
    Result<io::File> cache = io::File::Open(*directory, "cache", io::File::Mode::kReadWrite, FileRole::kCache);
    ASSERT_OK(cache);
    const IndexWord word{words->index};
    Result<io::Mapping> index = io::Mapping::Map(*cache, word.offset(), word.bytes(), io::Mapping::Kind::kShared);
    ASSERT_OK(index);
    format::RecordHeader record = memory.record.header;
    change(record, *store, IndexTable(reinterpret_cast<format::IndexCell*>(index->data()), word.cells()));
    char* const body = memory.segment->log_data() + memory.log_offset;
    std::memcpy(body, &record, sizeof record);
    format::SealRecord(body, format::FrameSeed(store->salt(), Position(memory.segment->number(), memory.log_offset)));
    const uint64_t at = memory.log_offset - sizeof(format::FrameHeader);
    format::FrameHeader frame = *ReadFrame(*memory.segment, store->salt(), at, false);
    format::SealFrame(frame, format::FrameSeed(store->salt(), Position(memory.segment->number(), at)), body);
    std::memcpy(memory.segment->log_data() + at, &frame, sizeof frame);
    {
      Result<io::File> lock = io::File::Open(*directory, "lock", io::File::Mode::kReadWrite, FileRole::kLock);
      ASSERT_OK(lock);
      Result<io::Mapping> map = io::Mapping::Map(*lock, 0, format::kLockFileBytes, io::Mapping::Kind::kShared);
      ASSERT_OK(map);
      const auto* lines = reinterpret_cast<format::ParticipantLine*>(map->data() + format::kParticipantsOffset);
      reinterpret_cast<format::SessionWords*>(map->data())->write_lock = Participant{2, lines[2].incarnation}.word();
    }
    other.reset();
    const Status status = test::Delete(*store, "absent").status();
    EXPECT_ERROR(status, ErrorCode::kCorrupt);
    EXPECT_TRUE(status.role() == role);
    EXPECT_ERROR(test::Delete(*store, "absent"), ErrorCode::kPoisoned);
  };
  run(FileRole::kLog, [](format::RecordHeader& record, Store&, IndexTable) { record.slot = 1u << 20; });
  run(FileRole::kMeta, [](format::RecordHeader& record, Store&, IndexTable) {
    record.previous = Position(static_cast<SegmentNumber>(99), format::kHeaderBytes).raw();
  });
  run(FileRole::kLog, [](format::RecordHeader& record, Store& store, IndexTable) {
    const Position previous(record.previous);
    const Result<std::shared_ptr<Segment>> segment = store.ShareSegment(previous.segment());
    ASSERT_OK(segment);
    (*segment)->log_data()[previous.offset() + offsetof(format::RecordHeader, created_at)] ^= 1;
  });
  run(FileRole::kCache, [](format::RecordHeader&, Store&, IndexTable table) {
    for (uint64_t at = 0; at < table.cells(); ++at) {
      if (table.cell(at).position == 0) table.cell(at).position = format::kTombstone;
    }
  });
}

}  // namespace
}  // namespace thermocline::store

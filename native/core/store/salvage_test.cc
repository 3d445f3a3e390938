// Salvage brings back what holds by its checksum, says what it could not read, and leaves the damaged store as it was.

#include <atomic>
#include <functional>
#include <limits>

#include "core/base/crc32c.h"
#include "core/base/limits.h"
#include "core/format/blocks.h"
#include "core/store/log_reader.h"
#include "core/store/salvage.h"
#include "test/store_fixture.h"

namespace thermocline::store {
namespace {

using test::Memory;

constexpr uint32_t kDimensions = 5;

/// A closed store of two segments, with replaced and deleted memories, and what it holds.
struct Original {
  Original() : store(kDimensions, Durability::kFlush) {
    store.options.metric = format::Metric::kL2;
    EXPECT_OK(store.Open());
    for (int i = 0; i < 300; ++i) {
      Memory memory;
      memory.id = "m" + std::to_string(i);
      memory.embedding = test::EmbeddingOf(static_cast<uint64_t>(i), kDimensions);
      memory.content = "content " + std::to_string(i);
      memory.metadata = "{\"i\":" + std::to_string(i) + "}";
      memory.created_at = i + 1;
      memory.last_access = i + 2;
      memory.recall_count = static_cast<uint64_t>(i);
      EXPECT_OK(test::Put(*store, memory));
    }
    EXPECT_OK(test::PutText(*store, "m7", "replaced"));
    EXPECT_OK(test::Delete(*store, "m8"));
    for (int i = 0; i < 300; ++i) {
      const std::string id = "m" + std::to_string(i);
      if (std::optional<Memory> memory = test::Get(*store, id)) memories[id] = *memory;
    }
    sequence = store->sequence();
    const Result<std::optional<MemoryRef>> found = store->Find("m50");
    EXPECT_OK(found);
    record_of_50 = (*found)->log_offset;
    block_of_50 = (*found)->segment->BlocksBytesFor(Raw((*found)->record.slot()));
    EXPECT_OK(store.Close());
  }
  std::string target() const { return store.directory().Join("salvaged"); }

  test::StoreFixture store;
  std::map<std::string, Memory> memories;
  Sequence sequence = 0;
  uint64_t record_of_50 = 0;
  uint64_t block_of_50 = 0;
};

std::map<std::string, std::string> FilesOf(const std::string& directory) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    files[entry.path().filename()] = test::ReadFileBytes(entry.path());
  }
  return files;
}

/// Salvages, compares what came back, and asserts that the damaged store is as it was.
void ExpectSalvaged(Original& original, const std::map<std::string, Memory>& expected, uint64_t lost, Sequence sequence,
                    format::Metric metric = format::Metric::kL2) {
  const std::map<std::string, std::string> before = FilesOf(original.store.path());
  std::filesystem::remove_all(original.target());
  const Result<SalvageResult> result = Salvage(original.store.path(), original.target());
  ASSERT_OK(result);
  EXPECT_EQ(result->lost, lost);
  EXPECT_EQ(result->memories, expected.size());
  EXPECT_TRUE(FilesOf(original.store.path()) == before);
  OpenOptions options;
  options.create = false;
  Result<std::shared_ptr<Store>> opened = Store::Open(original.target(), options);
  ASSERT_OK(opened);
  Store& salvaged = **opened;
  EXPECT_TRUE(salvaged.metric() == metric);
  EXPECT_EQ(salvaged.sequence(), sequence);
  EXPECT_EQ(salvaged.size(), expected.size());
  for (const auto& [id, memory] : expected) {
    const std::optional<Memory> found = test::Get(salvaged, id);
    EXPECT_TRUE(found.has_value());
    if (found) EXPECT_EQ(*found, memory);
  }
  const std::atomic<bool> cancel{false};
  const Result<VerifyReport> report = salvaged.Verify(cancel);
  ASSERT_OK(report);
  EXPECT_EQ(report->problems.size(), 0u);
  ASSERT_OK(salvaged.Close());
}

void FlipByte(const std::string& path, uint64_t offset) {
  std::string bytes = test::ReadFileBytes(path);
  bytes[offset] = static_cast<char>(bytes[offset] ^ 0x20);
  test::WriteFileBytes(path, bytes);
}

TEST(StoreSalvage, BringsBackAWholeStoreAndLosesNothing) {
  Original original;
  ExpectSalvaged(original, original.memories, 0, original.sequence);
}

// The last write there was may be a deletion that a compaction dropped: its number stays taken.
TEST(StoreSalvage, KeepsTheSequenceOfALastDeletionThatACompactionDropped) {
  Original original;
  ASSERT_OK(original.store.Open());
  ASSERT_OK(test::Delete(*original.store, "m9"));
  const std::atomic<bool> never{false};
  ASSERT_OK(original.store->Compact(test::kLockTimeout, never));
  const Sequence sequence = original.store->sequence();
  ASSERT_OK(original.store.Close());
  original.memories.erase("m9");
  ExpectSalvaged(original, original.memories, 0, sequence);
}

TEST(StoreSalvage, ADamagedRecordCostsThatRecordAlone) {
  Original original;
  FlipByte(original.store.Join("1.log"), original.record_of_50 + sizeof(format::RecordHeader) + 6);
  original.memories.erase("m50");
  ExpectSalvaged(original, original.memories, 1, original.sequence);
}

TEST(StoreSalvage, ADamagedFrameHeaderCostsNothing) {
  Original original;
  FlipByte(original.store.Join("1.log"), original.record_of_50 - sizeof(format::FrameHeader) + 20);
  ExpectSalvaged(original, original.memories, 0, original.sequence);
}

TEST(StoreSalvage, ADamagedEmbeddingIsCountedAndItsContentKept) {
  Original original;
  FlipByte(original.store.Join("1.blocks"), original.block_of_50 + 2);
  original.memories["m50"].embedding.clear();
  ExpectSalvaged(original, original.memories, 1, original.sequence);
}

TEST(StoreSalvage, NeedsNeitherHeadersNorCacheNorLock) {
  Original original;
  for (const char* name : {"1.log", "2.log", "1.blocks", "2.blocks"}) FlipByte(original.store.Join(name), 40);
  std::filesystem::remove(original.store.Join("cache"));
  std::filesystem::remove(original.store.Join("lock"));
  ExpectSalvaged(original, original.memories, 0, original.sequence);
}

// Without meta the salt is computed from the frames; only the metric cannot be known.
TEST(StoreSalvage, WithoutMetaOnlyTheMetricIsLost) {
  Original original;
  FlipByte(original.store.Join("meta"), 20);
  ExpectSalvaged(original, original.memories, 0, original.sequence);  // what is plausible of a damaged one is taken
  FlipByte(original.store.Join("meta"), 70);                          // the salt too
  ExpectSalvaged(original, original.memories, 0, original.sequence);
  std::filesystem::remove(original.store.Join("meta"));
  ExpectSalvaged(original, original.memories, 0, original.sequence, format::Metric::kCosine);
}

TEST(StoreSalvage, ALostLogCostsWhatWasInIt) {
  Original original;
  std::map<std::string, Memory> first;
  for (const auto& [id, memory] : original.memories) {
    if (memory.sequence <= 256) first[id] = memory;
  }
  std::filesystem::remove(original.store.Join("2.log"));
  // Their newest writes were there: the put before shows, and the deleted one is back.
  const std::map<std::string, Memory> present = first;
  const Result<SalvageResult> result = Salvage(original.store.path(), original.target());
  ASSERT_OK(result);
  EXPECT_EQ(result->memories, present.size() + 2);
  EXPECT_EQ(result->lost, original.sequence - 256);
}

TEST(StoreSalvage, RefusesWhatIsNoStoreAndAPlaceThatIsTaken) {
  Original original;
  EXPECT_ERROR(Salvage(original.store.directory().Join("absent"), original.target()), ErrorCode::kNotFound);
  const std::string empty = original.store.directory().Join("empty");
  std::filesystem::create_directory(empty);
  EXPECT_ERROR(Salvage(empty, original.target()), ErrorCode::kNotAStore);
  EXPECT_FALSE(std::filesystem::exists(original.target()));
  EXPECT_ERROR(Salvage(original.store.path(), original.store.path()), ErrorCode::kExists);
  EXPECT_ERROR(Salvage(original.store.path(), original.store.Join("inside")), ErrorCode::kArgumentRange);
}

/// Changes a struct of a file in place.
template <typename T, typename Change>
void Rewrite(const std::string& path, uint64_t offset, Change change) {
  std::string bytes = test::ReadFileBytes(path);
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  change(value);
  std::memcpy(bytes.data() + offset, &value, sizeof value);
  test::WriteFileBytes(path, bytes);
}

// Goal: an embedding whose block is lost is taken from its image. Method: the blocks of the last flush are zeros.
TEST(StoreSalvage, TakesEmbeddingsFromImagesWhenTheirBlocksAreLost) {
  test::StoreFixture store(kDimensions, Durability::kFlush);
  store.options.with_helper = false;
  ASSERT_OK(store.Open());
  std::map<std::string, Memory> memories;
  const auto put = [&](int number) {
    Memory memory;
    memory.id = "m" + std::to_string(number);
    memory.embedding = test::EmbeddingOf(static_cast<uint64_t>(number), kDimensions);
    ASSERT_OK(test::Put(*store, memory));
    memories[memory.id] = memory;
  };
  for (int i = 0; i < 5; ++i) put(i);
  ASSERT_OK(store->Flush(test::kLockTimeout, FlushScope::kBlocks));
  for (int i = 5; i < 9; ++i) put(i);
  ASSERT_OK(store->Flush(test::kLockTimeout));
  put(9);  // of this one nothing but its block is anywhere
  const Result<Snapshot> snapshot = store->TakeSnapshot();
  ASSERT_OK(snapshot);
  const Segment& segment = *snapshot->parts[0].segment;
  const uint64_t embeddings = segment.BlocksBytesFor(5);
  const uint64_t end = segment.BlocksBytesFor(10);
  store.Kill();
  std::string blocks = test::ReadFileBytes(store.Join("1.blocks"));
  std::fill(blocks.begin() + static_cast<ptrdiff_t>(embeddings), blocks.begin() + static_cast<ptrdiff_t>(end), '\0');
  test::WriteFileBytes(store.Join("1.blocks"), blocks);
  const std::string target = store.directory().Join("salvaged");
  const Result<SalvageResult> result = Salvage(store.path(), target);
  ASSERT_OK(result);
  EXPECT_EQ(result->memories, 10u);
  EXPECT_EQ(result->lost, 1u);
  auto salvaged = Store::Open(target, store.options);
  ASSERT_OK(salvaged);
  for (int i = 0; i < 9; ++i) {
    const std::string id = "m" + std::to_string(i);
    EXPECT_TRUE(test::Get(**salvaged, id)->embedding == memories[id].embedding);
  }
  EXPECT_TRUE(test::Get(**salvaged, "m9")->embedding.empty());
  EXPECT_OK((*salvaged)->Close());
}

TEST(StoreSalvage, WithoutMetaAndBlocksTheTextsAreLeft) {
  for (const uint32_t dimensions_said : {kDimensions, 0u, kDimensionsMax + 1}) {
    Original original;
    for (const char* name : {"1.blocks", "2.blocks"}) std::filesystem::remove(original.store.Join(name));
    Rewrite<format::MetaHeader>(original.store.Join("meta"), 0, [&](format::MetaHeader& header) {
      header.crc ^= 1;
      header.dimensions = dimensions_said;
      header.metric = 77;
    });
    uint64_t embeddings = 0;
    for (auto& [id, memory] : original.memories) {
      embeddings += memory.embedding.empty() ? 0 : 1;
      memory.embedding.clear();
      memory.activation = 1;
      memory.last_access = memory.created_at;
      memory.recall_count = 0;
    }
    ExpectSalvaged(original, original.memories, embeddings, original.sequence, format::Metric::kCosine);
  }
}

TEST(StoreSalvage, StatisticsThatCannotBeAreNotTaken) {
  const auto change = [](double activation, double last_access, uint64_t recall_count, Memory* memory) {
    Original original;
    const std::optional<format::BlocksHeader> layout =
        format::DecodeBlocksHeader(test::ReadFileBytes(original.store.Join("1.blocks")));
    ASSERT_TRUE(layout.has_value());
    const uint64_t at = layout->statistics_offset + sizeof(format::Statistics) * 50;
    Rewrite<format::Statistics>(original.store.Join("1.blocks"), at, [&](format::Statistics& statistics) {
      statistics = {activation, last_access, recall_count};
    });
    *memory = original.memories["m50"];
    memory->activation = 1;
    memory->last_access = memory->created_at;
    memory->recall_count = 0;
    original.memories["m50"] = *memory;
    ExpectSalvaged(original, original.memories, 0, original.sequence);
  };
  Memory memory;
  change(std::numeric_limits<double>::infinity(), 1, 1, &memory);
  change(-1, 1, 1, &memory);
  change(1, std::numeric_limits<double>::quiet_NaN(), 1, &memory);
  change(1, 1, uint64_t{1} << 60, &memory);
}

// Goal: bytes that no writer of ours made pass no further, though their checksum holds. Method: record m50 gets
// another field and a new seal.
TEST(StoreSalvage, ASealedRecordThatNoWriterMadeIsLeftOut) {
  const auto with = [](const std::function<void(format::RecordHeader&, Original&, const format::Salt&)>& change,
                       uint64_t lost) {
    Original original;
    ASSERT_OK(original.store.Open());
    const format::Salt salt = original.store->salt();
    ASSERT_OK(original.store.Close());
    const std::string log = original.store.Join("1.log");
    Rewrite<format::RecordHeader>(log, original.record_of_50,
                                  [&](format::RecordHeader& header) { change(header, original, salt); });
    std::string bytes = test::ReadFileBytes(log);
    format::SealRecord(bytes.data() + original.record_of_50,
                       format::FrameSeed(salt, Position(SegmentNumber{1}, original.record_of_50)));
    test::WriteFileBytes(log, bytes);
    original.memories.erase("m50");
    ExpectSalvaged(original, original.memories, lost, original.sequence);
  };
  with([](format::RecordHeader& header, Original&, const format::Salt&) { header.sequence = 0; }, 1);
  with([](format::RecordHeader& header, Original&, const format::Salt&) { header.sequence = uint64_t{1} << 60; }, 1);
  with([](format::RecordHeader& header, Original&, const format::Salt&) { header.sequence = 3; }, 1);
  with(
      [](format::RecordHeader& header, Original& original, const format::Salt& salt) {
        float embedding[kDimensions];
        std::fill(std::begin(embedding), std::end(embedding), std::numeric_limits<float>::quiet_NaN());
        std::string blocks = test::ReadFileBytes(original.store.Join("1.blocks"));
        std::memcpy(blocks.data() + original.block_of_50, embedding, sizeof embedding);
        test::WriteFileBytes(original.store.Join("1.blocks"), blocks);
        const auto slot = static_cast<Slot>(header.slot);
        header.embedding_crc = Crc32c(format::BlockSeed(salt, SegmentNumber{1}, slot), embedding, sizeof embedding);
      },
      1);
}

/// Changes everything in the logs that looks like the header of a frame, at its place in the file.
void ChangeFrames(const Original& original, const std::function<void(char* header, uint64_t at)>& change) {
  for (const char* name : {"1.log", "2.log"}) {
    std::string log = test::ReadFileBytes(original.store.Join(name));
    for (uint64_t at = format::kHeaderBytes; at + sizeof(format::FrameHeader) <= log.size(); at += 8) {
      uint32_t magic = 0;
      std::memcpy(&magic, log.data() + at, sizeof magic);
      if (magic == format::kFrameMagic) change(log.data() + at, at);
    }
    test::WriteFileBytes(original.store.Join(name), log);
  }
}

// Goal: what cannot be guessed is refused, in time that does not follow from the bytes. Method: no meta, and logs in
// which everything that looks like a frame is none.
TEST(StoreSalvage, WithoutMetaFramesThatDisagreeAreNoStore) {
  Original original;
  std::filesystem::remove(original.store.Join("meta"));
  ChangeFrames(original, [](char* header, uint64_t) { header[offsetof(format::FrameHeader, body_bytes) + 5] ^= 1; });
  EXPECT_ERROR(Salvage(original.store.path(), original.target()), ErrorCode::kNotAStore);
  EXPECT_FALSE(std::filesystem::exists(original.target()));
}

// A store that was killed has said nowhere what its last log held.
TEST(StoreSalvage, AListedLogThatIsNotThereIsSaidToBeLost) {
  for (const bool is_empty : {false, true}) {
    test::StoreFixture store(1);
    ASSERT_OK(store.Open());
    ASSERT_OK(test::PutText(*store, "a", "1"));
    store.Kill();
    if (is_empty) {
      test::WriteFileBytes(store.Join("1.log"), "");
    } else {
      std::filesystem::remove(store.Join("1.log"));
    }
    const std::string target = store.directory().Join("salvaged");
    const Result<SalvageResult> result = Salvage(store.path(), target);
    ASSERT_OK(result);
    EXPECT_EQ(result->memories, 0u);
    EXPECT_EQ(result->lost, 1u);
  }
}

TEST(StoreSalvage, AFileIsNoStore) {
  Original original;
  const std::string file = original.store.directory().Join("file");
  test::WriteFileBytes(file, "text");
  EXPECT_ERROR(Salvage(file, original.target()), ErrorCode::kNotAStore);
  EXPECT_ERROR(Salvage(file + "/within", original.target()), ErrorCode::kNotAStore);
}

// Goal: without the list the logs are read in the order in which they were written, also where one begins with a frame
// that holds no records. Method: a store that was recovered, once with writes after it and once without.
TEST(StoreSalvage, WithoutMetaTheLogsOfARecoveredStoreKeepTheirOrder) {
  for (const bool written_after : {true, false}) {
    test::StoreFixture store(1);
    ASSERT_OK(store.Open());
    for (int i = 0; i < 300; ++i) ASSERT_OK(test::PutText(*store, std::to_string(i), "before"));
    store.Kill();
    std::filesystem::remove(store.Join("cache"));
    ASSERT_OK(store.Open());
    ASSERT_TRUE(store.Recovered());
    for (int i = 0; i < 40 && written_after; ++i) ASSERT_OK(test::PutText(*store, std::to_string(i), "after"));
    ASSERT_OK(store.Close());
    std::filesystem::remove(store.Join("meta"));
    const std::string target = store.directory().Join("salvaged");
    const Result<SalvageResult> result = Salvage(store.path(), target);
    ASSERT_OK(result);
    EXPECT_EQ(result->memories, 300u);
    Result<std::shared_ptr<Store>> salvaged = Store::Open(target, {});
    ASSERT_OK(salvaged);
    for (int i = 0; i < 300; ++i) {
      const std::string expected = written_after && i < 40 ? "after" : "before";
      EXPECT_EQ(test::Get(**salvaged, std::to_string(i))->content.value_or(""), expected);
    }
    EXPECT_OK((*salvaged)->Close());
  }
}

// Goal: the search for what is lost ends. Method: no meta, and every frame's checksum is another, so that each of them
// asks for a share of the salt of its own.
TEST(StoreSalvage, WithoutMetaNotEveryFrameIsAskedForTheSalt) {
  Original original;
  std::filesystem::remove(original.store.Join("meta"));
  ChangeFrames(original, [](char* header, uint64_t at) {
    const auto other = static_cast<uint32_t>(at * 2654435761u);
    std::memcpy(header + 4, &other, sizeof other);
  });
  EXPECT_ERROR(Salvage(original.store.path(), original.target()), ErrorCode::kNotAStore);
}

}  // namespace
}  // namespace thermocline::store

// Salvage brings back what holds by its checksum, says what it could not read, and leaves the damaged store as it was.

#include <atomic>

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

}  // namespace
}  // namespace thermocline::store

// A clean close: what is left on the disk, who believes it, and that writing goes on after it.

#include "core/format/blocks.h"
#include "core/io/kernel_lock.h"
#include "core/store/file_names.h"
#include "test/store_fixture.h"

namespace thermocline::store {
namespace {

using test::Memory;

void Fill(Store& store, int from, int to) {
  for (int i = from; i < to; ++i) {
    Memory memory;
    memory.id = std::to_string(i);
    memory.embedding = test::EmbeddingOf(static_cast<uint64_t>(i), store.dimensions());
    memory.content = "content of " + memory.id;
    ASSERT_OK(test::Put(store, memory));
  }
}

void ExpectFilled(Store& store, int count) {
  EXPECT_EQ(store.size(), static_cast<uint64_t>(count));
  for (int i = 0; i < count; ++i) {
    const std::optional<Memory> memory = test::Get(store, std::to_string(i));
    ASSERT_TRUE(memory.has_value());
    EXPECT_TRUE(memory->embedding == test::EmbeddingOf(static_cast<uint64_t>(i), store.dimensions()));
    EXPECT_EQ(memory->content.value_or(""), "content of " + memory->id);
  }
  test::ExpectWhole(store);
}

TEST(StoreClose, CutsFilesToWhatIsUsedAndLeavesNoOthers) {
  test::StoreFixture store(16, Durability::kFlush);
  ASSERT_OK(store.Open());
  Fill(*store, 0, 300);  // the second segment is open
  const Position tail = store->LogTail();
  ASSERT_EQ(Raw(tail.segment()), 2u);
  Position last_of_first;
  for (const LogRecord& record : test::AllRecords(*store)) {
    if (Raw(record.position.segment()) != 1) break;
    last_of_first = Position(record.position.segment(), record.position.offset() + record.length);
  }
  ASSERT_OK(store.Close());
  EXPECT_EQ(std::filesystem::file_size(store.Join("2.log")), tail.offset());
  EXPECT_EQ(std::filesystem::file_size(store.Join("1.log")), last_of_first.offset());
  const format::BlocksHeader layout =
      format::MakeBlocksHeader({}, SegmentNumber{2}, 512, 16, format::SketchKind::kRabitq1);
  EXPECT_EQ(std::filesystem::file_size(store.Join("2.blocks")), layout.embedding_offset + (300 - 256) * 64u);
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(store.path())) {
    const std::string name = entry.path().filename();
    EXPECT_TRUE(name == "meta" || name == "lock" || name == "cache" || SegmentOfFileName(name) != 0);
    EXPECT_LE(SegmentOfFileName(name), 3u);
    ++files;
  }
  EXPECT_LE(files, 9u);
  ASSERT_OK(store.Open());
  EXPECT_FALSE(store.Recovered());
  EXPECT_EQ(store.Epoch(), 1u);
  ExpectFilled(*store, 300);
}

// Somebody was stopped in the middle of opening the store and holds the gate.
TEST(StoreClose, FlushesAlsoWhenTheGateIsNotFreeInTime) {
  test::StoreFixture store(3, Durability::kFlush);
  ASSERT_OK(store.Open());
  Fill(*store, 0, 20);
  auto lock = io::File::Open(store->directory(), "lock", io::File::Mode::kReadWrite, FileRole::kLock);
  ASSERT_OK(lock);
  const Result<bool> taken = io::TryLockByte(*lock, format::kGateByte);
  ASSERT_OK(taken);
  ASSERT_TRUE(*taken);
  ASSERT_OK(store.Close());
  lock->Close();
  ASSERT_OK(store.Open());
  EXPECT_FALSE(store.Recovered());  // killed and closed without a marker are the same
  EXPECT_EQ(store->Stats()->durable_sequence, 20u);
  ExpectFilled(*store, 20);
}

TEST(StoreClose, IsBelievedInAnotherBootWhenItWasCleanAndSynced) {
  test::StoreFixture store(3, Durability::kFlush);
  ASSERT_OK(store.Open());
  Fill(*store, 0, 20);
  ASSERT_OK(store.Close());
  {
    const test::OtherBoot boot("clean close, other boot");
    ASSERT_OK(store.Open());
    EXPECT_FALSE(store.Recovered());
    ExpectFilled(*store, 20);
    const std::string clean = test::ReadFileBytes(store.Join("cache"));
    Fill(*store, 20, 40);
    store.Kill();
    // A cut: of the cache only the marker's removal was synced; its words and its index are as at the clean close.
    const std::string now = test::ReadFileBytes(store.Join("cache"));
    test::WriteFileBytes(store.Join("cache"),
                         now.substr(0, format::kBootWordsOffset) + clean.substr(format::kBootWordsOffset));
  }
  const test::OtherBoot boot("cut, third boot");
  ASSERT_OK(store.Open());
  EXPECT_TRUE(store.Recovered());
  EXPECT_EQ(store.Epoch(), 2u);
  ExpectFilled(*store, 40);
}

TEST(StoreClose, WritingGoesOnInCutFilesWithoutDamage) {
  test::StoreFixture store(48);
  for (int turn = 0; turn < 30; ++turn) {
    ASSERT_OK(store.Open());
    EXPECT_FALSE(store.Recovered());
    ExpectFilled(*store, turn * 37);
    Fill(*store, turn * 37, turn * 37 + 37);
    store->MakeSpaceAhead();
    ASSERT_OK(store.Close());
  }
  std::filesystem::remove(store.Join("cache"));
  ASSERT_OK(store.Open());
  ExpectFilled(*store, 30 * 37);
}

TEST(StoreClose, WithoutAWriteLeavesTheStoreAsItIs) {
  test::StoreFixture store(3, Durability::kFlush);
  ASSERT_OK(store.Open());
  Fill(*store, 0, 5);
  ASSERT_OK(store.Close());
  const std::string cache = test::ReadFileBytes(store.Join("cache"));
  const std::string meta = test::ReadFileBytes(store.Join("meta"));
  ASSERT_OK(store.Open());
  ExpectFilled(*store, 5);
  ASSERT_OK(store.Close());
  EXPECT_TRUE(cache == test::ReadFileBytes(store.Join("cache")));
  EXPECT_TRUE(meta == test::ReadFileBytes(store.Join("meta")));
}

// Goal: the last to close knows every segment. Method: a participant that only reads outlives one that wrote through
// several segments, so its list is old when it writes the list.
TEST(StoreClose, ByAParticipantThatOnlyReadKeepsTheSegmentsThatOthersMade) {
  for (const Durability durability : {Durability::kNone, Durability::kFlush}) {
    test::StoreFixture reader(2, durability);
    ASSERT_OK(reader.Open());
    Fill(*reader, 0, 3);
    {
      auto writer = Store::Open(reader.path(), reader.options);
      ASSERT_OK(writer);
      EXPECT_EQ((*writer)->Stats()->participants, 2u);
      Fill(**writer, 3, 1500);
      ASSERT_OK((*writer)->Close());
    }
    ASSERT_OK(reader.Reopen());
    EXPECT_FALSE(reader.Recovered());
    ExpectFilled(*reader, 1500);
  }
}

// The same with a segment that is open and has no frame yet: nothing but the list leads to it.
TEST(StoreClose, KeepsAnOpenSegmentThatHasNoFrameYet) {
  test::StoreFixture reader(2);
  ASSERT_OK(reader.Open());
  Fill(*reader, 0, 3);
  {
    auto writer = Store::Open(reader.path(), reader.options);
    ASSERT_OK(writer);
    Fill(**writer, 3, 256);
    Batch batch((*writer)->hash_key());
    Memory memory;
    memory.id = "conflict";
    batch.Put(test::PutInputOf(memory), false, 1);  // claims a slot of the next segment, commits nothing
    EXPECT_ERROR((*writer)->Commit(batch, test::kLockTimeout), ErrorCode::kConflict);
    ASSERT_OK((*writer)->Close());
  }
  ASSERT_OK(reader.Reopen());
  EXPECT_FALSE(reader.Recovered());
  ExpectFilled(*reader, 256);
  Fill(*reader, 256, 300);
  ExpectFilled(*reader, 300);
}

TEST(StoreClose, FilesThatNoListNamesAreRemovedByTheNextFirstOpener) {
  test::StoreFixture store(2);
  ASSERT_OK(store.Open());
  Fill(*store, 0, 3);
  ASSERT_OK(store.Close());
  for (const char* name : {"77.log", "77.blocks", "meta.new"}) test::WriteFileBytes(store.Join(name), "left over");
  test::WriteFileBytes(store.Join("notes.txt"), "a stranger's");
  ASSERT_OK(store.Open());
  for (const char* name : {"77.log", "77.blocks", "meta.new"}) EXPECT_FALSE(std::filesystem::exists(store.Join(name)));
  EXPECT_TRUE(std::filesystem::exists(store.Join("notes.txt")));
  ExpectFilled(*store, 3);
}

// Goal: who joins a session believes its files no more than others do. Method: each is damaged while somebody has the
// store open, in a copy of the bytes that is put back.
TEST(StoreClose, WhoComesLaterRefusesASessionWhoseFilesAreDamaged) {
  test::StoreFixture store(2);
  ASSERT_OK(store.Open());
  Fill(*store, 0, 5);
  const auto expect_refused = [&](const char* name, uint64_t offset, char bit, FileRole role) {
    const auto flip = [&] {
      std::fstream file(store.Join(name), std::ios::binary | std::ios::in | std::ios::out);
      file.seekg(static_cast<std::streamoff>(offset));
      const char byte = static_cast<char>(file.get() ^ bit);
      file.seekp(static_cast<std::streamoff>(offset));
      file.put(byte);
    };
    flip();
    const Result<std::shared_ptr<Store>> other = Store::Open(store.path(), store.options);
    EXPECT_ERROR(other, ErrorCode::kCorrupt);
    if (!other.ok()) EXPECT_TRUE(other.status().role() == role);
    flip();
  };
  expect_refused("lock", 0, 1, FileRole::kLock);
  expect_refused("cache", 0, 1, FileRole::kCache);
  expect_refused("cache", 20, 4, FileRole::kCache);
  auto other = Store::Open(store.path(), store.options);
  ASSERT_OK(other);
  ExpectFilled(**other, 5);
  EXPECT_OK((*other)->Close());
  EXPECT_OK((*other)->Close());  // again
}

TEST(StoreClose, AReaderMakesNoStoreAndReadsTheOneThatIsThere) {
  test::StoreFixture store(2);
  store.options.read_only = true;
  EXPECT_ERROR(store.Open(), ErrorCode::kNotFound);
  EXPECT_FALSE(std::filesystem::exists(store.path()));
  store.options.read_only = false;
  ASSERT_OK(store.Open());
  Fill(*store, 0, 5);
  ASSERT_OK(store.Close());
  store.options.read_only = true;
  ASSERT_OK(store.Open());
  ExpectFilled(*store, 5);
}

}  // namespace
}  // namespace thermocline::store

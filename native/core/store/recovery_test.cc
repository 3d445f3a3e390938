// The cache is never needed: whatever becomes of it, and whenever the process dies, the log gives everything back.

#include <atomic>
#include <functional>

#include "core/io/file.h"
#include "core/store/log_reader.h"
#include "test/store_fixture.h"

namespace thermocline::store {
namespace {

using test::Memory;

void Fill(Store& store, int from, int to) {
  for (int i = from; i < to; ++i) {
    Memory memory;
    memory.id = std::to_string(i);
    memory.embedding = test::EmbeddingOf(static_cast<uint64_t>(i), store.dimensions());
    ASSERT_OK(test::Put(store, memory));
  }
}

void ExpectFilled(Store& store, int count) {
  EXPECT_EQ(store.size(), static_cast<uint64_t>(count));
  for (int i = 0; i < count; ++i) {
    const std::optional<Memory> memory = test::Get(store, std::to_string(i));
    ASSERT_TRUE(memory.has_value());
    EXPECT_TRUE(memory->embedding == test::EmbeddingOf(static_cast<uint64_t>(i), store.dimensions()));
  }
  test::ExpectWhole(store);
}

/// As a process that is killed in the middle of its writes leaves it: the bytes as they are at some moment each, the
/// list first, so that no file it names was made after it, blocks last, because they are written before their records.
void CopyLiveStore(const std::string& from, const std::string& to) {
  std::filesystem::create_directory(to);
  test::WriteFileBytes(to + "/meta", test::ReadFileBytes(from + "/meta"));
  for (const char* suffix : {".log", ".blocks"}) {
    for (int number = 1; number < 40; ++number) {
      const std::string name = "/" + std::to_string(number) + suffix;
      if (std::filesystem::exists(from + name)) test::WriteFileBytes(to + name, test::ReadFileBytes(from + name));
    }
  }
  test::WriteFileBytes(to + "/cache", test::ReadFileBytes(from + "/cache"));
}

// Goal: R7 without a power cut. Method: the directory is copied byte by byte while threads write; the copy opens as a
// prefix of the history that holds everything visible before the copy began.
TEST(StoreRecovery, ACopyOfALiveDirectoryOpensAsAPrefixOfItsHistory) {
  constexpr int kWriters = 3;
  test::StoreFixture store(8);
  ASSERT_OK(store.Open());
  Fill(*store, 0, 50);
  std::atomic<bool> stop{false};
  std::vector<std::thread> writers;
  for (int thread = 0; thread < kWriters; ++thread) {
    writers.emplace_back([&, thread] {
      Random random(TestSeed() + static_cast<uint64_t>(thread));
      // Paused by volume, so that a fast disk does not fill.
      for (int i = 0; i < 30000 && !stop.load(); ++i) {
        Memory memory;
        memory.id = std::to_string(random.Below(400));
        memory.embedding = test::EmbeddingOf(random.Next(), 8);
        memory.content = std::string(random.Below(100), 'c');
        EXPECT_OK(random.Below(5) == 0 ? test::Delete(*store, memory.id) : test::Put(*store, memory));
      }
    });
  }
  TempDirectory copies;
  std::vector<Sequence> visible;
  for (int i = 0; i < 4; ++i) {
    visible.push_back(store->sequence());
    CopyLiveStore(store.path(), copies.Join(std::to_string(i)));
  }
  stop.store(true);
  for (std::thread& writer : writers) writer.join();
  const std::vector<LogRecord> history = test::AllRecords(*store);
  for (size_t i = 0; i < visible.size(); ++i) {
    const auto copy = Store::Open(copies.Join(std::to_string(i)), store.options);
    ASSERT_OK(copy);
    const Result<StoreStats> stats = (*copy)->Stats();
    ASSERT_OK(stats);
    EXPECT_TRUE(stats->recovered);
    EXPECT_EQ(stats->epoch, 2u);
    EXPECT_GE((*copy)->sequence(), visible[i]);
    const std::vector<LogRecord> records = test::AllRecords(**copy);
    ASSERT_LE(records.size(), history.size());
    for (size_t at = 0; at < records.size(); ++at) {
      EXPECT_TRUE(records[at].id == history[at].id && records[at].kind == history[at].kind &&
                  records[at].position == history[at].position);
    }
    test::ExpectWhole(**copy);
    Fill(**copy, 1000, 1010);  // writing goes on
    test::ExpectWhole(**copy);
    EXPECT_OK((*copy)->Close());
  }
}

TEST(StoreRecovery, AnotherBootWithoutACleanCloseRebuildsTheCache) {
  test::StoreFixture store(3);
  for (int turn = 0; turn < 6; ++turn) {
    const test::OtherBoot boot(turn % 2 == 0 ? "even" : "odd");
    ASSERT_OK(store.Open());
    EXPECT_EQ(store.Recovered(), turn > 0);
    EXPECT_EQ(store.Epoch(), 1u + static_cast<uint64_t>(turn));
    ExpectFilled(*store, turn * 150);
    Fill(*store, turn * 150, turn * 150 + 150);
    store.Kill();
  }
}

TEST(StoreRecovery, ATornCacheIsRebuilt) {
  const auto tear = [](const char* what, const std::string& path, const std::string& bytes) {
    std::string torn = bytes;
    const std::string_view name = what;
    if (name == "short") torn.resize(bytes.size() / 2);
    if (name == "empty") torn.clear();
    if (name == "no index") torn.resize(format::kIndexOffset);
    if (name == "header") torn[20] = static_cast<char>(torn[20] ^ 1);
    if (name == "magic") torn[0] = 'x';
    if (name == "words") std::fill_n(torn.begin() + format::kBootWordsOffset, sizeof(format::BootWords), '\0');
    if (name == "all ones") std::fill_n(torn.begin() + format::kBootWordsOffset, sizeof(format::BootWords), '\xFF');
    if (name == "gone") {
      std::filesystem::remove(path);
    } else {
      test::WriteFileBytes(path, torn);  // the same inode: the boot identity holds
    }
  };
  test::StoreFixture store(3);
  ASSERT_OK(store.Open());
  Fill(*store, 0, 700);
  uint64_t epoch = 1;
  for (const char* what : {"short", "empty", "no index", "header", "magic", "words", "all ones", "gone"}) {
    ASSERT_OK(store.Close());
    tear(what, store.Join("cache"), test::ReadFileBytes(store.Join("cache")));
    ASSERT_OK(store.Open());
    EXPECT_TRUE(store.Recovered());
    EXPECT_EQ(store.Epoch(), ++epoch);
    ExpectFilled(*store, 700);
  }
}

// Found by fuzzing: the image says what the statistics were at the flush, and a touch within the same millisecond has
// the same time of last access.
TEST(StoreRecovery, ATouchInTheMillisecondOfTheFlushBeforeItSurvivesARebuild) {
  test::StoreFixture store(3, Durability::kNone);
  ASSERT_OK(store.Open());
  Fill(*store, 0, 1);
  ASSERT_OK(store->Flush(test::kLockTimeout));  // the first one syncs the blocks themselves
  test::Memory memory;
  memory.id = "touched";
  memory.embedding = test::EmbeddingOf(1, 3);
  memory.created_at = 1000;
  ASSERT_OK(test::Put(*store, memory));
  ASSERT_OK(store->Touch("touched", 0.25, 1000));
  ASSERT_OK(store->Flush(test::kLockTimeout));
  ASSERT_OK(store->Touch("touched", 0.5, 1000));
  ASSERT_OK(store.Close());
  std::filesystem::remove(store.Join("cache"));
  ASSERT_OK(store.Open());
  const std::optional<test::Memory> stored = test::Get(*store, "touched");
  ASSERT_TRUE(stored.has_value());
  EXPECT_EQ(stored->activation, 0.5);
  EXPECT_EQ(stored->recall_count, 2u);
}

/// A frame with one record, valid in every byte, as the next commit at the tail of the open log would write it.
std::string FrameAtTail(Store& store, const format::BootWords& words, const std::string& id, uint64_t memories,
                        const std::function<void(format::RecordHeader&)>& change) {
  format::RecordParts parts;
  parts.id = id;
  parts.has_content = true;
  parts.content = "orphan";
  parts.content_ascii = parts.metadata_ascii = true;
  std::string bytes(sizeof(format::FrameHeader) + format::RecordBytes(parts), '\0');
  char* body = bytes.data() + sizeof(format::FrameHeader);
  format::EncodeRecord(parts, body);
  format::RecordHeader record;
  std::memcpy(&record, body, sizeof record);
  record.sequence = words.applied + 1;
  record.slot = static_cast<uint32_t>(words.claim);
  change(record);
  std::memcpy(body, &record, sizeof record);
  const Position tail(words.tail);
  if (record.length == format::RecordBytes(parts)) {
    format::SealRecord(
        body, format::FrameSeed(store.salt(), Position(tail.segment(), tail.offset() + sizeof(format::FrameHeader))));
  }
  format::FrameHeader header{};
  header.magic = format::kFrameMagic;
  header.kind = static_cast<uint16_t>(format::FrameKind::kRecords);
  header.body_bytes = header.record_bytes = format::RecordBytes(parts);
  header.first_sequence = words.applied + 1;
  header.record_count = 1;
  header.epoch = words.epoch;
  header.memories_after = memories;
  header.previous_frame = words.last_frame;
  header.previous_header_crc = static_cast<uint32_t>(words.last_frame_crc);
  format::SealFrame(header, format::FrameSeed(store.salt(), Position(words.tail)), body);
  std::memcpy(bytes.data(), &header, sizeof header);
  return bytes;
}

/// Leaves such a frame beyond the tail, as an owner who was killed between writing it and its commit.
/// `memories`: how many there are, as it says; 0: as it is. `change`: what no writer would write.
void LeaveOrphan(
    test::StoreFixture& store, const std::string& id, uint64_t memories = 0,
    const std::function<void(format::RecordHeader&)>& change = [](format::RecordHeader&) {}) {
  const test::BootWordsByHand words(store.path());
  ASSERT_TRUE(words.mapped());
  const Position tail(words->tail);
  const std::string frame = FrameAtTail(*store, *words, id, memories == 0 ? words->size + 1 : memories, change);
  const auto directory = io::File::OpenDirectory(store.path().c_str());
  ASSERT_OK(directory);
  const auto log =
      io::File::Open(*directory, LogFileName(tail.segment()).text, io::File::Mode::kReadWrite, FileRole::kLog);
  ASSERT_OK(log);
  EXPECT_OK(log->WriteAt(tail.offset(), frame));
}

// Goal: R7's chain. Method: an orphan at the end of a log, then a commit in the next segment under the same sequence.
TEST(StoreRecovery, AnOrphanAtTheEndOfAClosedLogDoesNotComeBack) {
  test::StoreFixture store(1);
  ASSERT_OK(store.Open());
  Fill(*store, 0, 3);
  LeaveOrphan(store, "orphan");
  const Sequence before = store->sequence();
  const std::string large(3u << 20, 'x');  // does not fit the open log: the next segment
  const Result<Sequence> sequence = test::PutText(*store, "large", large);
  ASSERT_OK(sequence);
  EXPECT_EQ(*sequence, before + 1);
  ASSERT_OK(test::PutText(*store, "after", "2"));
  const auto expect_right = [&] {
    EXPECT_EQ(store->size(), 5u);
    EXPECT_EQ(store->sequence(), before + 2);
    EXPECT_FALSE(test::Get(*store, "orphan").has_value());
    EXPECT_TRUE(test::Get(*store, "large").has_value());
    EXPECT_TRUE(test::Get(*store, "after").has_value());
    test::ExpectWhole(*store);
  };
  expect_right();  // the cursor passes it over too
  for (int turn = 0; turn < 2; ++turn) {
    store.Kill();
    std::filesystem::remove(store.Join("cache"));
    ASSERT_OK(store.Open());
    EXPECT_TRUE(store.Recovered());
    expect_right();
  }
}

// The same frame, with nobody writing after it, is the one write in doubt that R7 lets stand: it is whole.
TEST(StoreRecovery, AWholeFrameAtTheEndOfTheLogMayBeKeptAndThenStays) {
  test::StoreFixture store(1);
  ASSERT_OK(store.Open());
  Fill(*store, 0, 3);
  LeaveOrphan(store, "in doubt");
  store.Kill();
  for (int turn = 0; turn < 2; ++turn) {
    std::filesystem::remove(store.Join("cache"));
    ASSERT_OK(store.Open());
    EXPECT_TRUE(test::Get(*store, "in doubt").has_value());
    EXPECT_EQ(store->size(), 4u);
    test::ExpectWhole(*store);
    store.Kill();
  }
  // Within the same boot the tail decides instead, and the next commit writes over it.
  ASSERT_OK(store.Open());
  LeaveOrphan(store, "overwritten");
  store.Kill();
  ASSERT_OK(store.Open());
  EXPECT_FALSE(test::Get(*store, "overwritten").has_value());
  ASSERT_OK(test::PutText(*store, "x", "y"));
  store.Kill();
  std::filesystem::remove(store.Join("cache"));
  ASSERT_OK(store.Open());
  EXPECT_FALSE(test::Get(*store, "overwritten").has_value());
  EXPECT_TRUE(test::Get(*store, "x").has_value());
  test::ExpectWhole(*store);
}

// The number of memories that a frame states is a hint for the size of the index; from a hostile file it was an index
// of terabytes, or a search for its size without end.
TEST(StoreRecovery, AnIndexIsNotMadeForMoreMemoriesThanTheLogsHaveRoomFor) {
  for (const uint64_t memories : {uint64_t{1} << 40, ~uint64_t{0} / 2, ~uint64_t{0}}) {
    test::StoreFixture store(1);
    ASSERT_OK(store.Open());
    Fill(*store, 0, 3);
    const uint64_t index = store->Stats()->bytes_index;
    LeaveOrphan(store, "in doubt", memories);
    store.Kill();
    std::filesystem::remove(store.Join("cache"));
    ASSERT_OK(store.Open());
    EXPECT_EQ(store->size(), 4u);
    EXPECT_LE(store->Stats()->bytes_index, index);
    test::ExpectWhole(*store);
  }
}

// Goal: a frame is kept whole or not at all, also where a cut took one of its blocks. Method: the first of three blocks
// of one commit has another byte.
TEST(StoreRecovery, AFrameOfWhichOneBlockIsLostGoesWhole) {
  test::StoreFixture store(4);
  ASSERT_OK(store.Open());
  Fill(*store, 0, 5);
  Batch batch(store->hash_key());
  for (const char* id : {"first", "second", "third"}) {
    Memory memory;
    memory.id = id;
    memory.embedding = test::EmbeddingOf(77, 4);
    batch.Put(test::PutInputOf(memory), true);
  }
  ASSERT_OK(store->Commit(batch, test::kLockTimeout));
  const Result<std::optional<MemoryRef>> first = store->Find("first");
  ASSERT_OK(first);
  const uint64_t at = (*first)->segment->BlocksBytesFor(Raw((*first)->record.slot()));
  store.Kill();
  std::filesystem::remove(store.Join("cache"));
  std::string blocks = test::ReadFileBytes(store.Join("1.blocks"));
  blocks[at] = static_cast<char>(blocks[at] ^ 1);
  test::WriteFileBytes(store.Join("1.blocks"), blocks);
  ASSERT_OK(store.Open());
  for (const char* id : {"first", "second", "third"}) EXPECT_FALSE(test::Get(*store, id).has_value());
  ExpectFilled(*store, 5);
}

// Zeros are what a page has that was never written; statistics of a memory that are zero but for one are none.
TEST(StoreRecovery, StatisticsThatAreZeroButForOneSurviveARebuild) {
  const Memory statistics[] = {[] {
                                 Memory memory;
                                 memory.recall_count = 7;
                                 return memory;
                               }(),
                               [] {
                                 Memory memory;
                                 memory.last_access = 3;
                                 return memory;
                               }(),
                               [] {
                                 Memory memory;
                                 memory.activation = 0.5;
                                 return memory;
                               }()};
  test::StoreFixture store(1);
  ASSERT_OK(store.Open());
  for (size_t i = 0; i < std::size(statistics); ++i) {
    Memory memory = statistics[i];
    memory.id = std::to_string(i);
    if (i < 2) memory.activation = 0;
    ASSERT_OK(test::Put(*store, memory));
  }
  store.Kill();
  std::filesystem::remove(store.Join("cache"));
  ASSERT_OK(store.Open());
  for (size_t i = 0; i < std::size(statistics); ++i) {
    const std::optional<Memory> found = test::Get(*store, std::to_string(i));
    ASSERT_TRUE(found.has_value());
    EXPECT_EQ(found->activation, i < 2 ? 0 : 0.5);
    EXPECT_EQ(found->last_access, statistics[i].last_access);
    EXPECT_EQ(found->recall_count, statistics[i].recall_count);
  }
}

// Goal: a last frame that holds, of records that cannot be, is the end of the log like one that does not hold. Method:
// its record names a slot that the segment has not, and has a length that cannot be.
TEST(StoreRecovery, AWholeFrameOfARecordThatCannotBeIsNotKept) {
  const std::function<void(format::RecordHeader&)> changes[] = {
      [](format::RecordHeader& record) { record.slot = 1u << 20; },
      [](format::RecordHeader& record) { record.length = 4; },
      [](format::RecordHeader& record) { record.length += 1u << 20; },
  };
  for (const auto& change : changes) {
    test::StoreFixture store(1);
    ASSERT_OK(store.Open());
    Fill(*store, 0, 3);
    LeaveOrphan(store, "in doubt", 0, change);
    store.Kill();
    std::filesystem::remove(store.Join("cache"));
    ASSERT_OK(store.Open());
    EXPECT_FALSE(test::Get(*store, "in doubt").has_value());
    ExpectFilled(*store, 3);
    Fill(*store, 3, 6);
    ExpectFilled(*store, 6);
  }
}

}  // namespace
}  // namespace thermocline::store

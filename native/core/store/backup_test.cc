// A backup is the snapshot, memory by memory, in a store of its own, whatever goes on meanwhile.

#include <sys/stat.h>

#include <atomic>

#include "test/store_fixture.h"

namespace thermocline::store {
namespace {

using test::Memory;

const std::atomic<bool> kGoOn{false};

std::map<std::string, Memory> ContentsOf(Store& store) {
  std::map<std::string, Memory> memories;
  Result<Snapshot> snapshot = store.TakeSnapshot();
  EXPECT_OK(snapshot);
  if (!snapshot.ok()) return memories;
  LogCursor cursor(store, *snapshot, 0);
  for (;;) {
    Result<std::optional<MemoryRef>> memory = cursor.NextMemory();
    EXPECT_OK(memory);
    if (!memory.ok() || !memory->has_value()) return memories;
    EXPECT_TRUE(memories.emplace((**memory).record.id, test::CopyOf(**memory, store.dimensions())).second);
  }
}

/// Opens the copy, compares it with what is expected, and writes to it.
void ExpectCopy(const std::string& path, const std::map<std::string, Memory>& expected, Sequence sequence) {
  OpenOptions options;
  options.create = false;
  Result<std::shared_ptr<Store>> opened = Store::Open(path, options);
  ASSERT_OK(opened);
  Store& copy = **opened;
  EXPECT_TRUE(ContentsOf(copy) == expected);
  EXPECT_EQ(copy.size(), expected.size());
  EXPECT_EQ(copy.sequence(), sequence);
  for (const auto& [id, memory] : expected) {
    const std::optional<Memory> found = test::Get(copy, id);
    EXPECT_TRUE(found.has_value());
    if (found) EXPECT_EQ(*found, memory);
  }
  const Result<VerifyReport> report = copy.Verify(kGoOn);
  ASSERT_OK(report);
  EXPECT_EQ(report->problems.size(), 0u);
  EXPECT_EQ(report->memories, expected.size());
  const Result<Sequence> written = test::PutText(copy, "written to the copy", "x");
  ASSERT_OK(written);
  EXPECT_EQ(*written, sequence + 1);
  ASSERT_OK(copy.Close());
}

void ChangeAnything(Store& store, Random& random, int rounds) {
  for (int round = 0; round < rounds; ++round) {
    const std::string id = "m" + std::to_string(random.Below(120));
    if (random.Below(6) == 0) {
      const Result<Sequence> deleted = test::Delete(store, id);
      EXPECT_OK(deleted);
      continue;
    }
    Memory memory;
    memory.id = id;
    if (random.Below(5) != 0) memory.embedding = test::EmbeddingOf(random.Next(), store.dimensions());
    if (random.Below(5) != 0) memory.content = std::string(random.Below(400), 'c');
    memory.metadata = random.Below(2) == 0 ? "" : "{\"n\":1}";
    memory.confidence = 0.25;
    memory.created_at = static_cast<double>(random.Below(1000));
    memory.activation = 2;
    memory.last_access = 7;
    memory.recall_count = random.Below(9);
    EXPECT_OK(test::Put(store, memory));
  }
}

TEST(StoreBackup, EqualsTheStoreMemoryByMemoryAndOpensClean) {
  Random random(TestSeed());
  for (const int rounds : {0, 1, 3, 700}) {
    test::StoreFixture store(9);
    store.options.metric = format::Metric::kDot;
    ASSERT_OK(store.Open());
    ChangeAnything(*store, random, rounds);
    const std::map<std::string, Memory> expected = ContentsOf(*store);
    const std::string target = store.directory().Join("copy");
    const Result<CopyResult> result = store->Backup(target, kGoOn);
    ASSERT_OK(result);
    EXPECT_EQ(result->memories, expected.size());
    EXPECT_EQ(result->sequence, store->sequence());
    OpenOptions options;
    Result<std::shared_ptr<Store>> copy = Store::Open(target, options);
    ASSERT_OK(copy);
    EXPECT_FALSE((*copy)->Stats()->recovered);  // nothing to rebuild
    EXPECT_TRUE((*copy)->metric() == format::Metric::kDot);
    if (store->sequence() > 0) EXPECT_ERROR((*copy)->Changes(0, 10), ErrorCode::kChangesGone);
    ASSERT_OK((*copy)->Close());
    ExpectCopy(target, expected, store->sequence());
    // The cache gone: the log alone says the same.
    std::filesystem::remove(target + "/cache");
    Result<std::shared_ptr<Store>> rebuilt = Store::Open(target, options);
    ASSERT_OK(rebuilt);
    EXPECT_EQ((*rebuilt)->sequence(), store->sequence() + 1);
    ASSERT_OK((*rebuilt)->Close());
  }
}

TEST(StoreBackup, EndsWithTheSequenceOfALastDeletion) {
  test::StoreFixture store(1);
  ASSERT_OK(store.Open());
  ASSERT_OK(test::PutText(*store, "a", "1"));
  ASSERT_OK(test::PutText(*store, "b", "2"));
  ASSERT_OK(test::Delete(*store, "a"));
  const std::map<std::string, Memory> expected = ContentsOf(*store);
  const std::string target = store.directory().Join("copy");
  ASSERT_OK(store->Backup(target, kGoOn));
  std::filesystem::remove(target + "/cache");
  ExpectCopy(target, expected, 3);
}

// A compaction drops deletions that head the list, the last write there was among them. Their numbers are taken all the
// same: a copy that gave them out again would let a stale `ifSequence` pass.
TEST(StoreBackup, EndsWithTheSequenceOfALastDeletionThatACompactionDropped) {
  for (const bool leaves_memories : {true, false}) {
    for (const bool rebuilt : {false, true}) {
      test::StoreFixture store(1, Durability::kFlush);
      ASSERT_OK(store.Open());
      ASSERT_OK(test::PutText(*store, "a", "1"));
      if (leaves_memories) ASSERT_OK(test::PutText(*store, "b", "2"));
      ASSERT_OK(test::Delete(*store, "a"));
      ASSERT_OK(store->Compact(test::kLockTimeout, kGoOn));
      const std::map<std::string, Memory> expected = ContentsOf(*store);
      const std::string target = store.directory().Join("copy");
      const Result<CopyResult> result = store->Backup(target, kGoOn);
      ASSERT_OK(result);
      EXPECT_EQ(result->sequence, store->sequence());
      if (rebuilt) std::filesystem::remove(target + "/cache");
      ExpectCopy(target, expected, store->sequence());
    }
  }
}

TEST(StoreBackup, IsAStoreOfItsOwn) {
  test::StoreFixture store(2);
  ASSERT_OK(store.Open());
  ASSERT_OK(test::PutText(*store, "a", "1"));
  const std::string target = store.directory().Join("copy");
  ASSERT_OK(store->Backup(target, kGoOn));
  OpenOptions options;
  const Result<std::shared_ptr<Store>> copy = Store::Open(target, options);
  ASSERT_OK(copy);
  EXPECT_FALSE((*copy)->salt().low == store->salt().low);
  ASSERT_OK((*copy)->Close());
  // What the metadata says of the original.
  const std::string original = test::ReadFileBytes(store.Join("meta"));
  const std::string copied = test::ReadFileBytes(target + "/meta");
  format::MetaHeader was;
  format::MetaHeader is;
  std::memcpy(&was, original.data(), sizeof was);
  std::memcpy(&is, copied.data(), sizeof is);
  EXPECT_FALSE(was.store_id == is.store_id);
  EXPECT_EQ(was.created_at, is.created_at);
  EXPECT_EQ(is.changes_floor, 1u);
  struct stat directory;
  ASSERT_EQ(::stat(target.c_str(), &directory), 0);
  EXPECT_EQ(directory.st_mode & 0777, 0700u);
  for (const char* name : {"/meta", "/1.log", "/1.blocks", "/cache", "/lock"}) {
    struct stat file;
    ASSERT_EQ(::stat((target + name).c_str(), &file), 0);
    EXPECT_EQ(file.st_mode & 0777, 0600u);
  }
}

TEST(StoreBackup, HoldsNothingThatWasReplacedOrDeleted) {
  test::StoreFixture store(2);
  ASSERT_OK(store.Open());
  for (int round = 0; round < 400; ++round) {
    ASSERT_OK(test::PutText(*store, "one", "secret number " + std::to_string(round)));
    ASSERT_OK(test::PutText(*store, "gone", "secret of the deleted"));
    ASSERT_OK(test::Delete(*store, "gone"));
  }
  ASSERT_OK(test::PutText(*store, "one", "kept"));
  const std::string target = store.directory().Join("copy");
  const Result<CopyResult> result = store->Backup(target, kGoOn);
  ASSERT_OK(result);
  EXPECT_EQ(result->memories, 1u);
  std::string all;
  for (const auto& entry : std::filesystem::directory_iterator(target)) all += test::ReadFileBytes(entry.path());
  EXPECT_TRUE(all.find("kept") != std::string::npos);
  EXPECT_TRUE(all.find("secret") == std::string::npos);
  EXPECT_TRUE(all.find("gone") == std::string::npos);
}

TEST(StoreBackup, TakesOnlyAPlaceThatIsAbsentOrEmpty) {
  test::StoreFixture store(1);
  ASSERT_OK(store.Open());
  ASSERT_OK(test::PutText(*store, "a", "1"));
  const std::string target = store.directory().Join("copy");
  std::filesystem::create_directory(target);
  test::WriteFileBytes(target + "/note", "mine");
  EXPECT_ERROR(store->Backup(target, kGoOn), ErrorCode::kExists);
  EXPECT_EQ(test::ReadFileBytes(target + "/note"), "mine");
  std::filesystem::remove(target + "/note");
  ASSERT_OK(store->Backup(target + "/", kGoOn));
  EXPECT_ERROR(store->Backup(target, kGoOn), ErrorCode::kExists);
  EXPECT_ERROR(store->Backup(store.path(), kGoOn), ErrorCode::kExists);
  const std::string file = store.directory().Join("file");
  test::WriteFileBytes(file, "");
  EXPECT_ERROR(store->Backup(file, kGoOn), ErrorCode::kExists);
  EXPECT_ERROR(store->Backup(store.directory().Join("no/such/parent"), kGoOn), ErrorCode::kIo);
}

size_t EntriesIn(const std::string& path) {
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(path)) count += entry.path().empty() ? 0 : 1;
  return count;
}

TEST(StoreBackup, LeavesNothingWhenItIsCancelledOrMeetsDamage) {
  test::StoreFixture store(4);
  ASSERT_OK(store.Open());
  Random random(TestSeed());
  ChangeAnything(*store, random, 300);
  const std::string target = store.directory().Join("copy");
  const size_t before = EntriesIn(store.directory().path());
  const std::atomic<bool> cancelled{true};
  EXPECT_ERROR(store->Backup(target, cancelled), ErrorCode::kAborted);
  EXPECT_EQ(EntriesIn(store.directory().path()), before);
  // One bit of one embedding, one of one content: a copy would give them a fresh checksum.
  Memory memory;
  memory.id = "victim";
  memory.embedding = test::EmbeddingOf(1, 4);
  memory.content = "content";
  ASSERT_OK(test::Put(*store, memory));
  const Result<std::optional<MemoryRef>> victim = store->Find("victim");
  ASSERT_OK(victim);
  MemoryRef ref = **victim;
  for (char* byte :
       {reinterpret_cast<char*>(ref.segment->embedding(ref.record.slot())),
        const_cast<char*>(ref.record.content.data()), reinterpret_cast<char*>(&ref.segment->died(ref.record.slot()))}) {
    *byte = static_cast<char>(*byte ^ 4);
    EXPECT_ERROR(store->Backup(target, kGoOn), ErrorCode::kCorrupt);
    *byte = static_cast<char>(*byte ^ 4);
    EXPECT_EQ(EntriesIn(store.directory().path()), before);
  }
  ASSERT_OK(store->Backup(target, kGoOn));
  EXPECT_EQ(EntriesIn(store.directory().path()), before + 1);
}

TEST(StoreBackup, RemovesWhatAKilledOneLeftButNoFilesOfOthers) {
  test::StoreFixture store(1);
  ASSERT_OK(store.Open());
  ASSERT_OK(test::PutText(*store, "a", "1"));
  const std::string target = store.directory().Join("copy");
  // Found by making one: a copy that is stopped before its end shows its temporary name.
  ASSERT_OK(store->Backup(target, kGoOn));
  std::filesystem::rename(target, store.directory().Join("finished"));
  char beside[48];
  std::snprintf(beside, sizeof beside, ".thermocline-copy-%016llx",
                static_cast<unsigned long long>(SipHash13({0, 0}, "copy", 4)));
  std::filesystem::rename(store.directory().Join("finished"), store.directory().Join(beside));
  ASSERT_OK(store->Backup(target, kGoOn));
  EXPECT_FALSE(std::filesystem::exists(store.directory().Join(beside)));
  std::filesystem::remove_all(target);
  std::filesystem::create_directory(store.directory().Join(beside));
  test::WriteFileBytes(store.directory().Join(beside) + "/note", "mine");
  EXPECT_ERROR(store->Backup(target, kGoOn), ErrorCode::kExists);
  EXPECT_EQ(test::ReadFileBytes(store.directory().Join(beside) + "/note"), "mine");
}

// Goal: the copy is one moment, whatever is written meanwhile. Method: writers move units between accounts, two in a
// frame, so that the sum is the same at every moment and at no other.
TEST(StoreBackup, IsOneMomentWhileOthersWrite) {
  constexpr int kAccounts = 40;
  constexpr int64_t kUnits = 1000;
  test::StoreFixture store(2);
  ASSERT_OK(store.Open());
  const auto account = [](int number) { return "account/" + std::to_string(number); };
  for (int i = 0; i < kAccounts; ++i) ASSERT_OK(test::PutText(*store, account(i), std::to_string(kUnits)));
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> moves{0};
  std::thread writer([&] {
    Random random(TestSeed());
    while (!stop.load()) {
      const int from = static_cast<int>(random.Below(kAccounts));
      const int to = static_cast<int>(random.Below(kAccounts));
      if (from == to) continue;
      const int64_t unit = static_cast<int64_t>(random.Below(10));
      const auto held = [&](int number) { return std::stoll(*test::Get(*store, account(number))->content); };
      Batch batch(store->hash_key());
      for (const auto& [number, units] : {std::pair(from, held(from) - unit), std::pair(to, held(to) + unit)}) {
        Memory memory;
        memory.id = account(number);
        memory.content = std::to_string(units);
        memory.embedding = test::EmbeddingOf(static_cast<uint64_t>(units), 2);
        batch.Put(test::PutInputOf(memory), true);
      }
      EXPECT_OK(store->Commit(batch, test::kLockTimeout));
      moves.fetch_add(1);
    }
  });
  for (uint64_t round = 0; round < TestRounds(5, 100); ++round) {
    const uint64_t seen = moves.load();
    while (moves.load() < seen + 50) std::this_thread::yield();
    const std::string target = store.directory().Join("copy" + std::to_string(round));
    const Result<CopyResult> result = store->Backup(target, kGoOn);
    EXPECT_OK(result);
    if (!result.ok()) break;
    OpenOptions options;
    Result<std::shared_ptr<Store>> copy = Store::Open(target, options);
    EXPECT_OK(copy);
    if (!copy.ok()) break;
    const std::map<std::string, Memory> memories = ContentsOf(**copy);
    EXPECT_EQ(memories.size(), static_cast<size_t>(kAccounts));
    int64_t sum = 0;
    Sequence newest = 0;
    for (const auto& [id, memory] : memories) {
      sum += std::stoll(*memory.content);
      newest = std::max(newest, memory.sequence);
    }
    EXPECT_EQ(sum, kUnits * kAccounts);
    EXPECT_EQ(newest, result->sequence);
    EXPECT_EQ((*copy)->sequence(), result->sequence);
    EXPECT_OK((*copy)->Close());
    std::filesystem::remove_all(target);
  }
  stop = true;
  writer.join();
}

}  // namespace
}  // namespace thermocline::store

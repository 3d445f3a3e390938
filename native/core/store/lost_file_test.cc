// Goal: a file that somebody cuts short while it is mapped costs typed errors, not the process, and no lock stays held.
// Method: every file of a store is cut at page ends under two participants, who then do everything; also while threads
// of both are in the middle of it.

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cmath>

#include "core/base/crc32c.h"
#include "core/io/file_loss.h"
#include "test/fast_directory.h"
#include "test/store_fixture.h"

namespace thermocline::store {
namespace {

using test::Memory;

constexpr uint32_t kDimensions = 96;
constexpr int kMemories = 340;  // a second segment among them
constexpr uint64_t kPage = 4096;

Memory MemoryOf(int number) {
  Memory memory;
  memory.id = "m" + std::to_string(number);
  memory.embedding = test::EmbeddingOf(static_cast<uint64_t>(number), kDimensions);
  memory.content = std::string(static_cast<size_t>(20 + number % 700), static_cast<char>('a' + number % 26));
  memory.created_at = number;
  return memory;
}

/// A store at rest, to be copied.
class Original {
 public:
  Original() : store_(kDimensions) {
    EXPECT_OK(store_.Open());
    for (int i = 0; i < kMemories; ++i) EXPECT_OK(test::Put(*store_, MemoryOf(i)));
    EXPECT_OK(test::Delete(*store_, "m7"));
    EXPECT_OK(store_.Close());
  }
  void CopyTo(const std::string& path) const {
    std::filesystem::remove_all(path);
    std::filesystem::copy(store_.path(), path);
  }

 private:
  test::StoreFixture store_;
};

/// What one participant was told.
struct Told {
  uint64_t errors = 0;
  uint64_t right = 0;
};

void Expect(const Status& status, const char* what, Told* told) {
  if (status.ok()) {
    ++told->right;
    return;
  }
  ++told->errors;
  const ErrorCode code = status.code();
  if (code == ErrorCode::kCorrupt || code == ErrorCode::kIo || code == ErrorCode::kPoisoned) return;
  test::ReportFailure(__FILE__, __LINE__, std::string(what) + ": " + test::DescribeStatus(status));
}

template <typename T>
Status Answer(Store& store, const Result<T>& result) {
  return result.ok() ? store.CheckFiles() : result.status();
}

/// As the binding reads: the bytes first, then the look at the files. `missed`: counts memories that are not there,
/// where that is no failure.
Status ReadOne(Store& store, int number, std::atomic<int>* missed = nullptr) {
  const Pin pin;
  const Memory expected = MemoryOf(number);
  Result<std::optional<MemoryRef>> found = store.Find(expected.id);
  if (!found.ok()) return found.status();
  if (!found->has_value()) {
    THERMOCLINE_RETURN_IF_ERROR(store.CheckFiles());
    const bool deleted = number == 7 || number == 9;  // at first, and by DoEverything
    if (!deleted && missed != nullptr) {
      missed->fetch_add(1);
      return Status::Ok();
    }
    EXPECT_TRUE(deleted);
    return Status::Ok();
  }
  THERMOCLINE_RETURN_IF_ERROR(store.CheckRecord(**found));
  const float* block = (*found)->segment->embedding((*found)->record.slot());
  const std::vector<float> embedding(block, block + kDimensions);
  const std::string content((*found)->record.content);
  THERMOCLINE_RETURN_IF_ERROR(store.CheckFiles());
  const Segment& segment = *(*found)->segment;
  const uint32_t seed = format::BlockSeed(store.salt(), segment.number(), (*found)->record.slot());
  if (Crc32c(seed, embedding.data(), kDimensions * sizeof(float)) != (*found)->record.header.embedding_crc) {
    return Status::Corrupt(FileRole::kBlocks, Raw(segment.number()), 0);
  }
  EXPECT_TRUE(embedding == expected.embedding);
  EXPECT_TRUE(content == *expected.content);
  return Status::Ok();
}

/// As JavaScript reads a view: nobody can stop it, but what it sees of a lost page is no number.
void ReadViews(Store& store) {
  for (const uint32_t number : {1u, 2u}) {
    Result<std::shared_ptr<Segment>> segment = store.ShareSegment(SegmentNumber{number});
    if (!segment.ok()) continue;
    const uint64_t slots = (*segment)->CoveredSlots();
    const float* embeddings = (*segment)->PrivateEmbeddings();
    if (embeddings == nullptr) continue;
    double sum = 0;
    for (uint64_t at = 0; at < slots * kDimensions; ++at) sum += std::fabs(embeddings[at]);
    EXPECT_TRUE(sum >= 0 || store.CheckFiles().code() == ErrorCode::kCorrupt);
  }
}

Told DoEverything(Store& store, const std::string& backup_path, std::atomic<int>* missed = nullptr) {
  Told told;
  const std::atomic<bool> never{false};
  for (int i = 0; i < kMemories; i += 3) Expect(ReadOne(store, i, missed), "get", &told);
  ReadViews(store);
  Expect(Answer(store, store.Changes(0, 10000)), "changes", &told);
  Expect(Answer(store, store.Stats()), "stats", &told);
  Expect(Answer(store, store.Touch("m5", 0.5, 1)), "touch", &told);
  Expect(Answer(store, test::Put(store, MemoryOf(kMemories + 1))), "put", &told);
  Expect(Answer(store, test::Delete(store, "m9")), "delete", &told);
  store.BeginFlush();
  Expect(store.Flush(test::kLockTimeout), "flush", &told);
  Expect(store.Flush(test::kLockTimeout, FlushScope::kBlocks), "flush of blocks", &told);
  Expect(Answer(store, store.Verify(never)), "verify", &told);
  Expect(Answer(store, store.Backup(backup_path, never)), "backup", &told);
  std::filesystem::remove_all(backup_path);
  Expect(store.GrowIndex(4096), "growth", &told);
  store.MakeSpaceAhead();
  store.FollowList();
  return told;
}

Result<std::shared_ptr<Store>> OpenAt(const std::string& path) {
  OpenOptions options;
  options.durability = Durability::kNone;
  options.lock_timeout_us = test::kLockTimeout;
  return Store::Open(path, options);
}

void Cut(const std::string& file, uint64_t length) {
  EXPECT_EQ(::truncate(file.c_str(), static_cast<off_t>(length)), 0);
}

TEST(LostFile, AFileCutUnderTwoParticipantsIsToldToBoth) {
  if (test::kThreadSanitizer) return;
  const Original original;
  Random random(TestSeed());
  const test::FastDirectory directory;
  const std::string path = directory.Join("store");
  original.CopyTo(path);
  uint64_t cuts = 0;
  uint64_t errors = 0;
  for (const char* name : {"1.log", "1.blocks", "2.log", "2.blocks", "cache", "lock"}) {
    original.CopyTo(path);
    ASSERT_OK(OpenAt(path));  // full length again, as in use
    const uint64_t pages = std::filesystem::file_size(path + "/" + name) / kPage + 1;
    const uint64_t wanted = TestRounds(40, pages);
    for (uint64_t round = 0; round < wanted; ++round) {
      const uint64_t page = wanted >= pages ? round : round == 0 ? 0 : random.Below(pages);
      original.CopyTo(path);
      Result<std::shared_ptr<Store>> first = OpenAt(path);
      ASSERT_OK(first);
      Result<std::shared_ptr<Store>> second = OpenAt(path);
      ASSERT_OK(second);
      for (int i = 0; i < kMemories; i += 50) EXPECT_OK(ReadOne(**first, i));
      Cut(path + "/" + name, page * kPage);
      const Told told = DoEverything(**first, directory.Join("backup"));
      const Told told_second = DoEverything(**second, directory.Join("backup"));
      if (page == 0) {
        EXPECT_GT(told.errors, 0u);
        EXPECT_GT(told_second.errors, 0u);
        EXPECT_ERROR((*first)->CheckFiles(), ErrorCode::kCorrupt);
      }
      errors += told.errors + told_second.errors;
      ++cuts;
      static_cast<void>((*first)->Close().ok());
      static_cast<void>((*second)->Close().ok());
      // What is left opens, or says why not.
      first->reset();
      second->reset();
      Told reopened;
      Result<std::shared_ptr<Store>> third = OpenAt(path);
      if (!third.ok()) Expect(third.status(), "open", &reopened);
    }
  }
  std::printf("       %llu cuts, %llu typed errors (seed %llu)\n", static_cast<unsigned long long>(cuts),
              static_cast<unsigned long long>(errors), static_cast<unsigned long long>(TestSeed()));
}

TEST(LostFile, AFileCutInTheMiddleOfCommitsReadsAndFlushesLeavesNoLockBehind) {
  if (test::kThreadSanitizer) return;
  const Original original;
  Random random(TestSeed());
  const test::FastDirectory directory;
  const std::string path = directory.Join("store");
  const uint64_t rounds = TestRounds(120, 4000);
  for (uint64_t round = 0; round < rounds; ++round) {
    original.CopyTo(path);
    Result<std::shared_ptr<Store>> first = OpenAt(path);
    ASSERT_OK(first);
    Result<std::shared_ptr<Store>> second = OpenAt(path);
    ASSERT_OK(second);
    constexpr const char* kNames[] = {"1.log", "1.blocks", "2.log", "2.blocks", "cache", "lock"};
    const std::string name = path + "/" + kNames[round % std::size(kNames)];
    const uint64_t pages = std::filesystem::file_size(name) / kPage + 1;
    const uint64_t page = random.Below(3) == 0 ? 0 : random.Below(pages);
    // A cut of the cache between a growth's look at its length and the growth itself is made good with zeros, which
    // are an index of nothing (docs/durability.md says so).
    const bool is_cache = round % std::size(kNames) == 4;
    std::atomic<int> missed{0};
    std::atomic<int> done{0};
    const uint64_t cut_after = random.Below(400);
    std::atomic<uint64_t> calls{0};
    test::RunThreads(5, [&](int thread) {
      if (thread == 4) {
        while (calls.load() < cut_after) std::this_thread::yield();
        Cut(name, page * kPage);
        done.store(1);
        return;
      }
      Store& store = thread % 2 == 0 ? **first : **second;
      Told told;
      for (int i = 0; i < 2000 && (done.load() == 0 || i % 50 != 0); ++i, calls.fetch_add(1)) {
        if (thread < 2) {
          Expect(Answer(store, test::Put(store, MemoryOf(kMemories + i))), "put", &told);
          if (i % 20 == 0) Expect(store.Flush(test::kLockTimeout), "flush", &told);
        } else {
          Expect(ReadOne(store, i % kMemories, is_cache ? &missed : nullptr), "get", &told);
        }
      }
    });
    // A lock that was left held by a living process would be busy now.
    DoEverything(**first, directory.Join("backup"), is_cache ? &missed : nullptr);
    DoEverything(**second, directory.Join("backup"), is_cache ? &missed : nullptr);
    static_cast<void>((*first)->Close().ok());
    static_cast<void>((*second)->Close().ok());
  }
}

TEST(LostFile, AWriteIntoALogThatWasCutIsNoCommit) {
  if (test::kThreadSanitizer) return;
  test::StoreFixture store(4);
  ASSERT_OK(store.Open());
  for (int i = 0; i < 20; ++i) ASSERT_OK(test::PutText(*store, std::to_string(i), "text"));
  const Position tail = store->LogTail();
  Cut(store.Join("1.log"), kPage);
  ASSERT_GT(tail.offset(), kPage);
  EXPECT_ERROR(test::PutText(*store, "lost", "text"), ErrorCode::kCorrupt);
  EXPECT_EQ(store->LogTail().offset(), tail.offset());
  EXPECT_ERROR(store->Flush(test::kLockTimeout), ErrorCode::kCorrupt);
  // Others must not commit behind the hole.
  const test::BootWordsByHand words(store.path());
  ASSERT_TRUE(words.mapped());
  EXPECT_EQ(words->poison, 1u);
}

TEST(LostFile, WaitersAreCalledWhenTheCommitsTheyWaitForCannotComeAnyMore) {
  if (test::kThreadSanitizer) return;
  test::StoreFixture store(4);
  ASSERT_OK(store.Open());
  std::atomic<bool> called{false};
  ASSERT_OK(store->NotifyAbove(100, [&] { called.store(true); }));
  Cut(store.Join("cache"), 0);
  while (!called.load()) std::this_thread::yield();
  EXPECT_ERROR(store->CheckFiles(), ErrorCode::kCorrupt);
}

// The handler of this process is installed by the first mapping, so what was there before needs a process of its own:
// this program again, with one test.
constexpr const char* kChildVariable = "THERMOCLINE_TEST_BUS_CHILD";

volatile sig_atomic_t earlier_calls = 0;
void* stranger = nullptr;

void EarlierHandler(int, siginfo_t* info, void*) {
  earlier_calls = earlier_calls + 1;
  if (info->si_code <= 0) return;  // sent
  ::mmap(stranger, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

void ChildOfChaining() {
  struct sigaction action = {};
  action.sa_sigaction = EarlierHandler;
  action.sa_flags = SA_SIGINFO;
  ::sigaction(SIGBUS, &action, nullptr);
  test::StoreFixture store(4);
  ASSERT_OK(store.Open());
  ASSERT_OK(test::PutText(*store, "a", "text"));
  // A fault in a stranger's mapping, and a signal that somebody sent, are the earlier handler's.
  const TempDirectory directory;
  test::WriteFileBytes(directory.Join("other"), std::string(kPage, 'x'));
  const auto opened = io::File::OpenDirectory(directory.path().c_str());
  ASSERT_OK(opened);
  const auto file = io::File::Open(*opened, "other", io::File::Mode::kReadWrite, FileRole::kNone);
  ASSERT_OK(file);
  stranger = ::mmap(nullptr, kPage, PROT_READ, MAP_SHARED, file->descriptor(), 0);
  Cut(directory.Join("other"), 0);
  EXPECT_EQ(static_cast<int>(*static_cast<volatile char*>(stranger)), 0);
  EXPECT_EQ(static_cast<int>(earlier_calls), 1);
  ::raise(SIGBUS);
  EXPECT_EQ(static_cast<int>(earlier_calls), 2);
  // One in the store's is not.
  Cut(store.Join("1.log"), 0);
  EXPECT_ERROR(test::PutText(*store, "b", "text"), ErrorCode::kCorrupt);
  EXPECT_EQ(static_cast<int>(earlier_calls), 2);
}

/// The exit status of this program run with one test and the variable set.
int RunChild(const char* test, const char* value) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::setenv(kChildVariable, value, 1);
    ::execl("/proc/self/exe", "thermocline_test", test, static_cast<char*>(nullptr));
    ::_exit(127);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return status;
}

TEST(LostFile, AHandlerThatWasThereBeforeGetsWhatIsNotOurs) {
  if (test::kThreadSanitizer) return;
  if (std::getenv(kChildVariable) != nullptr) return ChildOfChaining();
  EXPECT_EQ(RunChild("LostFile.AHandlerThatWasThereBefore", "chain"), 0);
}

TEST(LostFile, AFaultOutsideOfAStoreStillEndsTheProcess) {
  if (test::kThreadSanitizer) return;
  if (std::getenv(kChildVariable) != nullptr) {
    ::signal(SIGBUS, SIG_DFL);  // a sanitizer's handler would only print
    test::StoreFixture store(4);
    ASSERT_OK(store.Open());
    ::raise(SIGBUS);
    return;
  }
  const int status = RunChild("LostFile.AFaultOutsideOfAStore", "default");
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
}

void PlainHandler(int) { earlier_calls = earlier_calls + 1; }

void ChildOfPlain() {
  ::signal(SIGBUS, PlainHandler);
  test::StoreFixture store(4);
  ASSERT_OK(store.Open());
  ::raise(SIGBUS);
  EXPECT_EQ(static_cast<int>(earlier_calls), 1);
}

TEST(LostFile, APlainHandlerThatWasThereBeforeIsCalledToo) {
  if (test::kThreadSanitizer) return;
  if (std::getenv(kChildVariable) != nullptr) return ChildOfPlain();
  EXPECT_EQ(RunChild("LostFile.APlainHandler", "plain"), 0);
}

/// Touches a page of a stranger's file that is cut.
void FaultElsewhere() {
  const TempDirectory directory;
  test::WriteFileBytes(directory.Join("other"), std::string(kPage, 'x'));
  const auto opened = io::File::OpenDirectory(directory.path().c_str());
  ASSERT_OK(opened);
  const auto file = io::File::Open(*opened, "other", io::File::Mode::kReadWrite, FileRole::kNone);
  ASSERT_OK(file);
  void* const mapped = ::mmap(nullptr, kPage, PROT_READ, MAP_SHARED, file->descriptor(), 0);
  Cut(directory.Join("other"), 0);
  static_cast<void>(*static_cast<volatile char*>(mapped));
}

// A process that ignores the signal is not ended by who sends it; a fault cannot be ignored.
TEST(LostFile, WhoIgnoresTheSignalGoesOnUnlessItIsAFault) {
  if (test::kThreadSanitizer) return;
  if (const char* which = std::getenv(kChildVariable); which != nullptr) {
    ::signal(SIGBUS, std::strcmp(which, "default") == 0 ? SIG_DFL : SIG_IGN);
    test::StoreFixture store(4);
    ASSERT_OK(store.Open());
    if (std::strcmp(which, "sent") == 0) {
      ::raise(SIGBUS);
    } else {
      FaultElsewhere();
    }
    return;
  }
  EXPECT_EQ(RunChild("LostFile.WhoIgnoresTheSignal", "sent"), 0);
  for (const char* which : {"fault", "default"}) {
    const int status = RunChild("LostFile.WhoIgnoresTheSignal", which);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
  }
}

// Goal: a mapping that nobody watches is still no end of the process. Method: a file without a store is cut, shared and
// as a private mapping, where the page that takes its place is all ones.
TEST(LostFile, OfAMappingThatNobodyWatchesIsReplacedInSilence) {
  if (test::kThreadSanitizer) return;
  for (const bool is_private : {false, true}) {
    const TempDirectory directory;
    test::WriteFileBytes(directory.Join("other"), std::string(2 * kPage, 'x'));
    const auto opened = io::File::OpenDirectory(directory.path().c_str());
    ASSERT_OK(opened);
    const auto file = io::File::Open(*opened, "other", io::File::Mode::kReadWrite, FileRole::kNone);
    ASSERT_OK(file);
    const auto kind = is_private ? io::Mapping::Kind::kPrivate : io::Mapping::Kind::kShared;
    const Result<io::Mapping> map = io::Mapping::Map(*file, 0, 2 * kPage, kind);
    ASSERT_OK(map);
    Cut(directory.Join("other"), kPage);
    const volatile char* const bytes = map->data();
    EXPECT_EQ(static_cast<int>(bytes[0]), static_cast<int>('x'));
    EXPECT_EQ(static_cast<int>(bytes[kPage]), is_private ? -1 : 0);
  }
}

}  // namespace
}  // namespace thermocline::store

// Each kind of damage is found by verify, with the file and offset where it lies and the id that it concerns.
//
// The damage is planted from outside, by writing into the files of a store that is open, and taken back afterwards:
// then verify finds nothing any more.

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <thread>

#include "core/base/crc32c.h"
#include "core/store/log_reader.h"
#include "test/store_fixture.h"

namespace thermocline::store {
namespace {

using test::Memory;

constexpr uint32_t kDimensions = 4;
constexpr int kMemories = 300;  // a second segment

class VerifyFixture {
 public:
  VerifyFixture() : store(kDimensions) {
    EXPECT_OK(store.Open());
    for (int i = 0; i < kMemories; ++i) {
      Memory memory;
      memory.id = "m" + std::to_string(i);
      memory.embedding = test::EmbeddingOf(static_cast<uint64_t>(i), kDimensions);
      memory.content = "content " + std::to_string(i);
      memory.created_at = i + 1;
      EXPECT_OK(test::Put(*store, memory));
    }
    EXPECT_OK(test::PutText(*store, "m7", "replaced"));
    EXPECT_OK(test::Delete(*store, "m8"));
  }

  MemoryRef At(const std::string& id) {
    const Result<std::optional<MemoryRef>> found = store->Find(id);
    EXPECT_OK(found);
    return **found;
  }
  /// The record before the newest one of an id.
  MemoryRef Before(const std::string& id) {
    const Result<MemoryRef> before = store->ReadAt(Position(At(id).record.header.previous));
    EXPECT_OK(before);
    return *before;
  }
  std::string FileOf(const MemoryRef& memory, const char* suffix) {
    return std::to_string(Raw(memory.segment->number())) + suffix;
  }
  std::vector<Problem> Verify() {
    const std::atomic<bool> cancel{false};
    Result<VerifyReport> report = store->Verify(cancel);
    EXPECT_OK(report);
    return report.ok() ? report->problems : std::vector<Problem>();
  }

  /// Writes `bytes` over the file, verifies, puts back what was there, verifies again. The problems of the first.
  std::vector<Problem> Plant(const std::string& file, uint64_t offset, const std::string& bytes) {
    const int descriptor = ::open(store.Join(file).c_str(), O_RDWR | O_CLOEXEC);
    std::string before(bytes.size(), '\0');
    EXPECT_EQ(::pread(descriptor, before.data(), before.size(), static_cast<off_t>(offset)),
              static_cast<ssize_t>(before.size()));
    EXPECT_EQ(::pwrite(descriptor, bytes.data(), bytes.size(), static_cast<off_t>(offset)),
              static_cast<ssize_t>(bytes.size()));
    std::vector<Problem> problems = Verify();
    EXPECT_EQ(::pwrite(descriptor, before.data(), before.size(), static_cast<off_t>(offset)),
              static_cast<ssize_t>(before.size()));
    ::close(descriptor);
    EXPECT_EQ(Verify().size(), 0u);
    return problems;
  }
  std::vector<Problem> Flip(const std::string& file, uint64_t offset) {
    const std::string bytes = test::ReadFileBytes(store.Join(file));
    return Plant(file, offset, std::string(1, static_cast<char>(bytes[offset] ^ 0x10)));
  }
  std::vector<Problem> PlantWord(const std::string& file, uint64_t offset, uint64_t word) {
    return Plant(file, offset, std::string(reinterpret_cast<const char*>(&word), sizeof word));
  }

  test::StoreFixture store;
};

/// Expects one problem, this one.
void ExpectProblem(const std::vector<Problem>& problems, const std::string& file, uint64_t offset,
                   const std::string& id) {
  EXPECT_EQ(problems.size(), 1u);
  if (problems.empty()) return;
  EXPECT_TRUE(problems[0].code == ErrorCode::kCorrupt);
  EXPECT_EQ(problems[0].file, file);
  EXPECT_EQ(problems[0].offset, offset);
  EXPECT_EQ(problems[0].id, id);
}

TEST(StoreVerify, AWholeStoreHasNoProblem) {
  VerifyFixture fixture;
  EXPECT_EQ(fixture.Verify().size(), 0u);
  fixture.store.Kill();
  ASSERT_OK(fixture.store.Open());
  EXPECT_EQ(fixture.Verify().size(), 0u);
  ASSERT_OK(fixture.store.Close());
  std::filesystem::remove(fixture.store.Join("cache"));
  ASSERT_OK(fixture.store.Open());
  EXPECT_EQ(fixture.Verify().size(), 0u);
}

TEST(StoreVerify, FindsDamagedHeadersAndMeta) {
  VerifyFixture fixture;
  ExpectProblem(fixture.Flip("meta", 100), "meta", 0, "");
  ExpectProblem(fixture.Flip("1.log", 20), "1.log", 0, "");
  ExpectProblem(fixture.Flip("2.log", 40), "2.log", 0, "");
  ExpectProblem(fixture.Flip("1.blocks", 36), "1.blocks", 0, "");
  ExpectProblem(fixture.Flip("2.blocks", 150), "2.blocks", 0, "");  // reserved, and not zero any more
  ExpectProblem(fixture.Flip("cache", 32), "cache", 0, "");
  ExpectProblem(fixture.Flip("lock", 1), "lock", 0, "");
}

TEST(StoreVerify, FindsADamagedFrameAndGoesOnBehindIt) {
  VerifyFixture fixture;
  const MemoryRef memory = fixture.At("m50");
  const uint64_t frame = memory.log_offset - sizeof(format::FrameHeader);
  for (const uint64_t at : {uint64_t{0}, uint64_t{16}, uint64_t{64}, uint64_t{127}}) {
    ExpectProblem(fixture.Flip("1.log", frame + at), "1.log", frame, "m50");
  }
}

TEST(StoreVerify, FindsADamagedRecordWithItsIdIfThatIsNotWhatIsDamaged) {
  VerifyFixture fixture;
  const MemoryRef memory = fixture.At("m50");
  const uint64_t at = memory.log_offset;
  ExpectProblem(fixture.Flip("1.log", at + 5), "1.log", at, "m50");                                 // flags
  ExpectProblem(fixture.Flip("1.log", at + 32), "1.log", at, "m50");                                // created_at
  ExpectProblem(fixture.Flip("1.log", at + sizeof(format::RecordHeader) + 8), "1.log", at, "m50");  // content
  ExpectProblem(fixture.Flip("1.log", at + sizeof(format::RecordHeader) + 1), "1.log", at, "");     // the id itself
  const MemoryRef replaced = fixture.Before("m7");
  ExpectProblem(fixture.Flip("1.log", replaced.log_offset + 40), "1.log", replaced.log_offset, "");
}

TEST(StoreVerify, FindsAFrameThatIsWholeButNotTheOneThatBelongsThere) {
  VerifyFixture fixture;
  const MemoryRef memory = fixture.At("m50");
  const uint64_t at = memory.log_offset - sizeof(format::FrameHeader);
  const auto sealed = [&](const std::function<void(format::FrameHeader&)>& change) {
    format::FrameHeader header = *ReadFrame(*memory.segment, fixture.store->salt(), at, true);
    change(header);
    const uint32_t seed = format::FrameSeed(fixture.store->salt(), Position(SegmentNumber{1}, at));
    header.header_crc = Crc32c(seed, reinterpret_cast<const char*>(&header) + 8, sizeof header - 8);
    return fixture.Plant("1.log", at, std::string(reinterpret_cast<const char*>(&header), sizeof header));
  };
  const auto has = [&](const std::vector<Problem>& problems, uint64_t offset) {
    return std::any_of(problems.begin(), problems.end(),
                       [&](const Problem& problem) { return problem.file == "1.log" && problem.offset == offset; });
  };
  EXPECT_TRUE(has(sealed([](format::FrameHeader& header) { header.previous_frame -= 16; }),
                  at + offsetof(format::FrameHeader, previous_frame)));
  EXPECT_TRUE(has(sealed([](format::FrameHeader& header) { header.first_sequence -= 1; }),
                  at + offsetof(format::FrameHeader, first_sequence)));
  EXPECT_TRUE(has(sealed([](format::FrameHeader& header) { header.first_sequence += 1; }),
                  at + offsetof(format::FrameHeader, first_sequence)));
  // Whole, but not the one that the next frame names.
  const uint64_t next = at + FrameBytes(*ReadFrame(*memory.segment, fixture.store->salt(), at, true));
  EXPECT_TRUE(has(sealed([](format::FrameHeader& header) { header.epoch += 1; }),
                  next + offsetof(format::FrameHeader, previous_frame)));
}

TEST(StoreVerify, FindsADamagedEmbeddingAndEachDamagedColumn) {
  VerifyFixture fixture;
  const MemoryRef memory = fixture.At("m290");
  const format::BlocksHeader& layout = memory.segment->layout();
  const uint32_t slot = Raw(memory.record.slot());
  const std::string file = fixture.FileOf(memory, ".blocks");
  EXPECT_EQ(file, "2.blocks");
  const uint64_t block = memory.segment->BlocksBytesFor(slot);
  ExpectProblem(fixture.Flip(file, block + 3), file, block, "m290");
  for (const uint64_t column :
       {layout.born_offset, layout.record_offset, layout.created_at_offset, layout.confidence_offset}) {
    ExpectProblem(fixture.Flip(file, column + 8 * slot + 1), file, column + 8 * slot, "m290");
  }
}

TEST(StoreVerify, FindsWhoLivesAndShouldNotAndWhoShouldAndDoesNot) {
  VerifyFixture fixture;
  const MemoryRef memory = fixture.At("m60");
  const uint64_t died_of_living = memory.segment->layout().died_offset + 8 * Raw(memory.record.slot());
  ExpectProblem(fixture.PlantWord("1.blocks", died_of_living, 200), "1.blocks", died_of_living, "m60");
  const MemoryRef replaced = fixture.Before("m7");
  const uint64_t died_of_dead = replaced.segment->layout().died_offset + 8 * Raw(replaced.record.slot());
  ExpectProblem(fixture.PlantWord("1.blocks", died_of_dead, 0), "1.blocks", died_of_dead, "m7");
  // A slot that was claimed by nobody who finished.
  const MemoryRef last = fixture.At("m299");
  const uint64_t unnamed = last.segment->layout().born_offset + 8 * 200;
  ExpectProblem(fixture.PlantWord("2.blocks", unnamed, 5), "2.blocks", unnamed, "");
}

TEST(StoreVerify, FindsWhatTheIndexLostOrLeadsAstray) {
  VerifyFixture fixture;
  const test::BootWordsByHand words(fixture.store.path());
  const IndexWord word{words->index};
  const auto cell_of = [&](const std::string& id) {
    const MemoryRef memory = fixture.At(id);
    const uint64_t position = Position(memory.segment->number(), memory.log_offset).raw();
    const std::string cache = test::ReadFileBytes(fixture.store.Join("cache"));
    for (uint64_t at = 0; at < word.cells(); ++at) {
      format::IndexCell cell;
      std::memcpy(&cell, cache.data() + word.offset() + at * sizeof cell, sizeof cell);
      if (cell.position == position) return word.offset() + at * sizeof cell;
    }
    return uint64_t{0};
  };
  const auto has = [&](const std::vector<Problem>& problems, uint64_t offset, const std::string& id) {
    return std::any_of(problems.begin(), problems.end(), [&](const Problem& problem) {
      return problem.file == "cache" && problem.offset == offset && problem.id == id;
    });
  };
  const uint64_t cell = cell_of("m70");
  const uint64_t hash = SipHash13(fixture.store->hash_key(), "m70", 3);
  const uint64_t home = word.offset() + (hash & (word.cells() - 1)) * sizeof(format::IndexCell);
  EXPECT_TRUE(has(fixture.PlantWord("cache", cell + 8, 0), home, "m70"));                      // lost
  EXPECT_TRUE(has(fixture.Flip("cache", cell), cell, "m70"));                                  // another hash
  EXPECT_TRUE(has(fixture.PlantWord("cache", cell + 8, 0x100000203u), cell, ""));              // no record begins there
  EXPECT_TRUE(has(fixture.PlantWord("cache", cell + 8, uint64_t{77} << 32 | 600), cell, ""));  // no such segment
  const MemoryRef old = fixture.Before("m7");
  const uint64_t old_position = Position(old.segment->number(), old.log_offset).raw();
  const uint64_t home_of_7 =
      word.offset() + (SipHash13(fixture.store->hash_key(), "m7", 2) & (word.cells() - 1)) * sizeof(format::IndexCell);
  EXPECT_TRUE(has(fixture.PlantWord("cache", cell_of("m7") + 8, old_position), home_of_7, "m7"));  // an older version
}

TEST(StoreVerify, FindsWrongCounts) {
  VerifyFixture fixture;
  const uint64_t words = format::kBootWordsOffset;
  for (const uint64_t word : {offsetof(format::BootWords, size), offsetof(format::BootWords, index_used)}) {
    ExpectProblem(fixture.PlantWord("cache", words + word, 3), "cache", words + word, "");
  }
}

// Goal: a store that is whole is told to be, also while its index is replaced under the walk. Method: some generations
// for each walk; without an end a slow walk would have none either.
TEST(StoreVerify, AnIndexThatGrowsMeanwhileIsNoDamage) {
  constexpr uint64_t kGenerationsEach = 4;
  VerifyFixture fixture;
  const uint64_t rounds = 200 * TestScale();
  std::atomic<uint64_t> begun{0};
  test::RunThreads(2, [&](int thread) {
    if (thread == 0) {
      for (uint64_t made = 0; made < rounds * kGenerationsEach; ++made) {
        while (made >= begun.load() * kGenerationsEach) std::this_thread::yield();
        EXPECT_OK(fixture.store->GrowIndex(0));
      }
      return;
    }
    for (uint64_t round = 1; round <= rounds; ++round) {
      begun.store(round);
      EXPECT_EQ(fixture.Verify().size(), size_t{0});
    }
  });
}

// Goal: ids that come and go under the walk are no damage: a cell may be another's between two looks at it, and counts
// are those of one moment. Method: so many writes for each walk, and a compaction now and then, or the walk grows.
TEST(StoreVerify, IdsThatComeAndGoMeanwhileAreNoDamage) {
  constexpr uint64_t kWritesEach = 60;
  constexpr uint64_t kIds = 20;
  VerifyFixture fixture;
  const uint64_t rounds = 300 * TestScale();
  const std::atomic<bool> never{false};
  std::atomic<uint64_t> begun{0};
  test::RunThreads(3, [&](int thread) {
    if (thread == 0) {
      for (uint64_t round = 1; round <= rounds; ++round) {
        begun.store(round);
        if (test::FailureCount() == 0) EXPECT_EQ(fixture.Verify().size(), size_t{0});
      }
      return;
    }
    for (uint64_t made = 0; made < rounds * kWritesEach; ++made) {
      while (made >= begun.load() * kWritesEach) std::this_thread::yield();
      const std::string id = std::to_string(thread) + "/" + std::to_string(made / 2 % kIds);
      if (made % 2 == 0) {
        EXPECT_OK(test::PutText(*fixture.store, id, id));
      } else {
        EXPECT_OK(test::Delete(*fixture.store, id));
      }
      if (thread == 1 && made % 150 == 149) EXPECT_OK(fixture.store->Compact(test::kLockTimeout, never));
    }
  });
}

/// A struct of a file as it would be written with another value.
template <typename T, typename Change>
std::string Sealed(const std::string& path, Change change) {
  const std::string bytes = test::ReadFileBytes(path);
  T value;
  std::memcpy(&value, bytes.data(), sizeof value);
  change(value);
  // Headers of files have their checksum over what follows the first 16 bytes.
  value.crc = Crc32c(0, reinterpret_cast<const char*>(&value) + 16, sizeof value - 16);
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

// Goal: a file of another store, or of another segment, is no file of this one, whole as it may be.
TEST(StoreVerify, FindsWholeHeadersThatBelongToOtherFiles) {
  VerifyFixture fixture;
  const auto log = [&](auto change) {
    return fixture.Plant("1.log", 0, Sealed<format::LogHeader>(fixture.store.Join("1.log"), change));
  };
  ExpectProblem(log([](format::LogHeader& header) { header.store_id.low ^= 1; }), "1.log", 0, "");
  ExpectProblem(log([](format::LogHeader& header) { header.segment += 1; }), "1.log", 0, "");
  ExpectProblem(log([](format::LogHeader& header) { header.log_capacity += 4096; }), "1.log", 0, "");
  const auto cache = [&](auto change) {
    return fixture.Plant("cache", 0, Sealed<format::CacheHeader>(fixture.store.Join("cache"), change));
  };
  ExpectProblem(cache([](format::CacheHeader& header) { header.layout += 1; }), "cache", 0, "");
  ExpectProblem(cache([](format::CacheHeader& header) { header.store_id.high ^= 1; }), "cache", 0, "");
  const auto meta = [&](auto change) {
    const std::string bytes = test::ReadFileBytes(fixture.store.Join("meta"));
    Result<format::Meta> decoded = format::DecodeMeta(bytes);
    EXPECT_OK(decoded);
    change(*decoded);
    return fixture.Plant("meta", 0, format::EncodeMeta(*decoded));
  };
  ExpectProblem(meta([](format::Meta& list) { list.store_id.low ^= 1; }), "meta",
                offsetof(format::MetaHeader, store_id), "");
  EXPECT_GE(meta([](format::Meta& list) { list.salt = {}; }).size(), 1u);
}

TEST(StoreVerify, EndsSoonAfterItIsCancelled) {
  VerifyFixture fixture;
  const std::atomic<bool> cancel{true};
  EXPECT_ERROR(fixture.store->Verify(cancel), ErrorCode::kClosed);
}

// Goal: damage of one memory is told of that one. Method: of a frame with three, the first is damaged; and the last
// frame of a log of which only the next one's first frame says where it begins: then nothing says where its record
// ends.
TEST(StoreVerify, FindsADamagedRecordAmongItsNeighboursAndTheLastFrameOfALog) {
  VerifyFixture fixture;
  Batch batch(fixture.store->hash_key());
  for (const char* id : {"one", "two", "three"}) {
    Memory memory;
    memory.id = id;
    memory.content = "of three";
    batch.Put(test::PutInputOf(memory), true);
  }
  ASSERT_OK(fixture.store->Commit(batch, test::kLockTimeout));
  const MemoryRef first = fixture.At("one");
  const std::string file = fixture.FileOf(first, ".log");
  ExpectProblem(fixture.Flip(file, first.log_offset + 40), file, first.log_offset, "one");
  const MemoryRef last = fixture.At("m255");
  EXPECT_EQ(Raw(last.segment->number()), 1u);
  const uint64_t frame = last.log_offset - sizeof(format::FrameHeader);
  ExpectProblem(fixture.Flip("1.log", frame + 20), "1.log", frame, "");
}

}  // namespace
}  // namespace thermocline::store

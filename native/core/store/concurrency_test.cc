// Many threads on one store: no place is shared, no read is torn or stale, nothing is lost or counted twice.
//
// Each value is written so that a reader can tell whether all parts of what it got belong together: the embedding, the
// content and the metadata are made from one number.

#include <atomic>
#include <cinttypes>
#include <cstdio>

#include "test/store_fixture.h"

namespace thermocline::store {
namespace {

using test::Memory;

constexpr int kThreads = 8;
constexpr uint64_t kHotIds = 24;
constexpr uint32_t kDimensions = 96;

std::string IdOf(uint64_t number) { return "hot-" + std::to_string(number); }

/// Content of a length that depends on the value, so that two versions rarely have the same bounds.
std::string ContentOf(uint64_t value, uint64_t revision) {
  std::string text = std::to_string(value) + ":" + std::to_string(revision) + ":";
  Random random(value * 31 + revision);
  text.resize(text.size() + random.Below(700), static_cast<char>('a' + random.Below(26)));
  return text;
}

Memory MemoryOf(const std::string& id, uint64_t value) {
  Memory memory;
  memory.id = id;
  memory.embedding = test::EmbeddingOf(value, kDimensions);
  memory.content = ContentOf(value, 0);
  memory.created_at = static_cast<double>(value);
  return memory;
}

/// The value of a memory, after checking that every part of it is of that value.
uint64_t ExpectConsistent(const Memory& memory, const std::string& id) {
  EXPECT_EQ(memory.id, id);
  uint64_t value = 0;
  uint64_t revision = 0;
  const std::string content = memory.content.value_or("");
  EXPECT_EQ(std::sscanf(content.c_str(), "%" SCNu64 ":%" SCNu64 ":", &value, &revision), 2);
  EXPECT_EQ(content, ContentOf(value, revision));
  EXPECT_TRUE(memory.embedding == test::EmbeddingOf(value, kDimensions));
  EXPECT_EQ(memory.created_at, static_cast<double>(value));
  return value;
}

/// One thread's view: what it read of each id, which may only become newer.
class Reader {
 public:
  std::optional<Memory> Read(Store& store, uint64_t number) {
    const std::string id = IdOf(number);
    const std::optional<Memory> memory = test::Get(store, id);
    if (!memory) return memory;
    ExpectConsistent(*memory, id);
    EXPECT_GE(memory->sequence, newest_[number]);
    newest_[number] = memory->sequence;
    return memory;
  }

 private:
  Sequence newest_[kHotIds] = {};
};

struct Effects {
  std::atomic<uint64_t> records{0};
  std::atomic<uint64_t> created{0};
};

void WriteAndRead(Store& store, int thread, uint64_t rounds, Effects& effects) {
  Random random(TestSeed() + static_cast<uint64_t>(thread));
  Reader reader;
  Batch batch(store.hash_key());
  for (uint64_t round = 0; round < rounds; ++round) {
    const uint64_t number = random.Below(kHotIds);
    const uint64_t value = (static_cast<uint64_t>(thread + 1) << 32) | round;
    const uint64_t choice = random.Below(16);
    batch.Clear();
    Memory memory = MemoryOf(IdOf(number), value);
    std::string content;
    if (choice < 6) {
      batch.Put(test::PutInputOf(memory), false);
    } else if (choice < 8) {  // an id that nobody else writes
      memory.id = "own-" + std::to_string(value);
      batch.Put(test::PutInputOf(memory), false);
    } else if (choice < 9) {
      batch.Delete(memory.id, false);
    } else if (choice < 10) {  // carries on, unconditionally, whatever is newest when the lock is held
      PatchInput patch;
      patch.id = memory.id;
      patch.set_metadata = true;
      patch.metadata = "{}";
      batch.Update(patch, false);
    } else if (choice < 12) {
      const std::optional<Memory> present = reader.Read(store, number);
      if (!present) continue;
      content = ContentOf(ExpectConsistent(*present, memory.id), round + 1);
      PatchInput patch;
      patch.id = memory.id;
      patch.set_content = patch.has_content = true;
      patch.content = content;
      batch.Update(patch, false, static_cast<int64_t>(present->sequence));
    } else {
      reader.Read(store, number);
      continue;
    }
    const Result<Sequence> sequence = store.Commit(batch, test::kLockTimeout);
    if (choice >= 10 && !sequence.ok()) {
      EXPECT_ERROR(sequence, ErrorCode::kConflict);
      continue;
    }
    EXPECT_OK(sequence);
    effects.records.fetch_add(batch.applied);
    if (choice >= 6 && choice < 8) effects.created.fetch_add(1);
    if (sequence.ok()) EXPECT_GE(store.sequence(), *sequence);  // its own write is visible to the writer
  }
}

TEST(StoreConcurrency, ThreadsThatPutReplaceUpdateDeleteAndGetShareNoPlaceAndTearNothing) {
  test::StoreFixture store(kDimensions);
  ASSERT_OK(store.Open());
  Effects effects;
  test::RunThreads(kThreads, [&](int thread) { WriteAndRead(*store, thread, 5000 * TestScale(), effects); });
  EXPECT_EQ(store->sequence(), effects.records.load());
  uint64_t hot = 0;
  for (uint64_t number = 0; number < kHotIds; ++number) {
    const std::optional<Memory> memory = test::Get(*store, IdOf(number));
    if (!memory) continue;
    ExpectConsistent(*memory, IdOf(number));
    ++hot;
  }
  EXPECT_EQ(store->size(), hot + effects.created.load());
  test::ExpectWhole(*store);
  // And the cache said what the log says.
  const uint64_t size = store->size();
  ASSERT_OK(store.Close());
  std::filesystem::remove(store.Join("cache"));
  ASSERT_OK(store.Open());
  EXPECT_EQ(store->size(), size);
  test::ExpectWhole(*store);
}

// Goal: a conditional update is a compare-and-set. Method: threads count up in one memory; none of the steps is lost.
TEST(StoreConcurrency, ConditionalUpdatesLoseNoStep) {
  constexpr uint64_t kSteps = 200;
  test::StoreFixture store(2);
  ASSERT_OK(store.Open());
  ASSERT_OK(test::PutText(*store, "counter", "0"));
  test::RunThreads(4, [&](int) {
    Batch batch(store->hash_key());
    for (uint64_t done = 0; done < kSteps;) {
      const std::optional<Memory> present = test::Get(*store, "counter");
      if (!present) return;
      const std::string next = std::to_string(std::stoull(present->content.value_or("0")) + 1);
      PatchInput patch;
      patch.id = "counter";
      patch.set_content = patch.has_content = true;
      patch.content = next;
      batch.Clear();
      batch.Update(patch, false, static_cast<int64_t>(present->sequence));
      if (store->Commit(batch, test::kLockTimeout).ok()) ++done;
    }
  });
  EXPECT_EQ(test::Get(*store, "counter")->content.value_or(""), std::to_string(4 * kSteps));
}

// Goal: R16, a look-up never misses what is there. Method: the index starts at its smallest; writers insert and
// generations are made one after another, on request and by the helper, while readers ask for what was inserted.
TEST(StoreConcurrency, NoLookUpMissesWhileTheIndexGrows) {
  constexpr int kWriters = 3;
  const uint64_t inserts = 4000 * TestScale();
  test::StoreFixture store(1);
  ASSERT_OK(store.Open());
  std::atomic<uint64_t> inserted[kWriters] = {};
  std::atomic<int> writing{kWriters};
  const uint64_t cells_at_first = store->Index().cells;
  test::RunThreads(kWriters + 4, [&](int thread) {
    Random random(TestSeed() + static_cast<uint64_t>(thread));
    const auto id_of = [](int writer, uint64_t number) {
      return std::to_string(writer) + "/" + std::to_string(number);
    };
    if (thread < kWriters) {
      for (uint64_t number = 0; number < inserts; ++number) {
        EXPECT_OK(test::PutText(*store, id_of(thread, number), id_of(thread, number)));
        // Replaced as well, so that the new generation must follow changes of cells that were copied already.
        const uint64_t older = random.Below(number + 1);
        EXPECT_OK(test::PutText(*store, id_of(thread, older), id_of(thread, older)));
        inserted[thread].store(number + 1, std::memory_order_release);
      }
      writing.fetch_sub(1);
    } else if (thread == kWriters) {
      for (int generation = 0; generation < 6 && writing.load() > 0; ++generation) {
        const uint64_t begun = inserted[0].load();
        EXPECT_OK(store->GrowIndex(0));
        while (writing.load() > 0 && inserted[0].load() < begun + inserts / 8) std::this_thread::yield();
      }
    } else {
      while (writing.load() > 0) {
        const int writer = static_cast<int>(random.Below(kWriters));
        const uint64_t count = inserted[writer].load(std::memory_order_acquire);
        if (count == 0) continue;
        const std::string id = id_of(writer, random.Below(count));
        const std::optional<Memory> memory = test::Get(*store, id);
        EXPECT_TRUE(memory.has_value() && memory->content == id);
        EXPECT_FALSE(test::Get(*store, id + "-absent").has_value());
      }
    }
  });
  EXPECT_GT(store->Index().cells, cells_at_first * 4);
  EXPECT_EQ(store->Index().used, kWriters * inserts);
  EXPECT_EQ(store->size(), kWriters * inserts);
  test::ExpectWhole(*store);
}

// Goal: a generation that is made for the few memories that live, and that writers use up before it is published, is
// given up: nothing is lost, nobody waits for ever. Method: whole frames of new ids come and go in a table of
// deletions while generations are made without a pause.
TEST(StoreConcurrency, AGenerationThatBecomesTooSmallIsGivenUp) {
  constexpr int kWriters = 2;
  constexpr uint64_t kFrame = 15000;
  const uint64_t frames = 5 * TestScale();
  test::StoreFixture store(1);
  ASSERT_OK(store.Open());
  std::atomic<int> writing{kWriters};
  test::RunThreads(kWriters + 1, [&](int thread) {
    if (thread == kWriters) {
      while (writing.load() > 0) EXPECT_OK(store->GrowIndex(0));
      return;
    }
    for (uint64_t frame = 0; frame < frames && test::FailureCount() == 0; ++frame) {
      const auto id_of = [&](uint64_t i) {
        return std::to_string(thread) + "/" + std::to_string(frame) + "/" + std::to_string(i);
      };
      Batch puts(store->hash_key());
      Batch deletions(store->hash_key());
      std::vector<Memory> memories(kFrame);
      for (uint64_t i = 0; i < kFrame; ++i) {
        memories[i].id = id_of(i);
        puts.Put(test::PutInputOf(memories[i]), false);
        if (i > 0) deletions.Delete(memories[i].id, false);  // the first of each stays
      }
      EXPECT_OK(store->Commit(puts, test::kLockTimeout));
      for (uint64_t i = 0; i < kFrame; ++i) EXPECT_TRUE(test::Get(*store, memories[i].id).has_value());
      EXPECT_OK(store->Commit(deletions, test::kLockTimeout));
    }
    writing.fetch_sub(1);
  });
  EXPECT_EQ(store->size(), kWriters * frames);
  test::ExpectWhole(*store);
}

}  // namespace
}  // namespace thermocline::store

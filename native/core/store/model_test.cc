// Any sequence of writes equals the same on a map, whatever is closed, reopened or rebuilt in between.

#include <algorithm>

#include "test/store_fixture.h"

namespace thermocline::store {
namespace {

using test::Memory;

struct Step {
  format::RecordKind kind;
  Memory put;
  PatchInput patch;  // its views point into the strings below
  std::string patch_content;
  std::string patch_metadata;
  int64_t if_sequence = kAnySequence;
};

/// What `Commit` should do, in a map.
class Model {
 public:
  /// False: conflict, and nothing changed.
  bool Commit(const std::vector<Step>& steps) {
    std::map<std::string, Memory> next = memories_;
    Sequence sequence = sequence_;
    for (const Step& step : steps) {
      const auto found = next.find(step.put.id);
      const Sequence present = found == next.end() ? 0 : found->second.sequence;
      if (step.if_sequence != kAnySequence && static_cast<Sequence>(step.if_sequence) != present) return false;
      if (step.kind == format::RecordKind::kPut) {
        Memory& memory = next[step.put.id] = step.put;
        memory.sequence = ++sequence;
      } else if (present == 0) {
        continue;
      } else if (step.kind == format::RecordKind::kDelete) {
        next.erase(found);
        ++sequence;
      } else {
        Memory& memory = found->second;
        if (step.patch.set_content) {
          memory.content = step.patch.has_content ? std::optional<std::string>(step.patch_content) : std::nullopt;
        }
        if (step.patch.set_metadata) memory.metadata = step.patch_metadata;
        if (step.patch.set_confidence) memory.confidence = step.patch.confidence;
        memory.sequence = ++sequence;
      }
    }
    memories_ = std::move(next);
    sequence_ = sequence;
    return true;
  }
  std::map<std::string, Memory>& memories() { return memories_; }
  Sequence sequence() const { return sequence_; }

 private:
  std::map<std::string, Memory> memories_;
  Sequence sequence_ = 0;
};

constexpr uint64_t kIds = 30;

std::string IdOf(uint64_t number) { return "memory/" + std::to_string(number); }

std::string RandomText(Random& random, uint64_t bytes_max) {
  std::string text(random.Below(bytes_max + 1), ' ');
  for (char& letter : text) letter = static_cast<char>('a' + random.Below(26));
  if (random.Below(4) == 0) text += "\xC3\xA9";  // not ASCII
  return text;
}

Step RandomStep(Random& random, uint32_t dimensions, Model& model) {
  Step step;
  step.put.id = IdOf(random.Below(kIds));
  const uint64_t choice = random.Below(10);
  if (choice < 5) {
    step.kind = format::RecordKind::kPut;
    if (random.Below(4) != 0) step.put.embedding = test::EmbeddingOf(random.Next(), dimensions);
    if (random.Below(4) != 0) step.put.content = random.Below(4) == 0 ? "" : RandomText(random, 300);
    if (random.Below(2) == 0) step.put.metadata = "{\"a\":" + std::to_string(random.Below(100)) + "}";
    step.put.confidence = static_cast<double>(random.Below(101)) / 100;
    step.put.created_at = static_cast<double>(random.Below(1u << 30));
    step.put.activation = static_cast<double>(random.Below(50));
    step.put.last_access = static_cast<double>(random.Below(1u << 30));
    step.put.recall_count = random.Below(100);
  } else if (choice < 8) {
    step.kind = format::RecordKind::kUpdate;
    step.patch.set_content = random.Below(2) == 0;
    step.patch.has_content = random.Below(3) != 0;
    if (step.patch.has_content) step.patch_content = random.Below(4) == 0 ? "" : RandomText(random, 100);
    step.patch.set_metadata = random.Below(2) == 0;
    step.patch_metadata = random.Below(3) == 0 ? "" : "{\"b\":" + std::to_string(random.Below(100)) + "}";
    step.patch.set_confidence = random.Below(2) == 0;
    step.patch.confidence = static_cast<double>(random.Below(101)) / 100;
  } else {
    step.kind = format::RecordKind::kDelete;
  }
  if (random.Below(6) == 0) {
    const auto found = model.memories().find(step.put.id);
    const Sequence present = found == model.memories().end() ? 0 : found->second.sequence;
    step.if_sequence = static_cast<int64_t>(random.Below(8) == 0 ? random.Below(model.sequence() + 2) : present);
  }
  return step;
}

void Stage(Batch& batch, Step& step, bool copy) {
  if (step.kind == format::RecordKind::kPut) {
    batch.Put(test::PutInputOf(step.put), copy, step.if_sequence);
  } else if (step.kind == format::RecordKind::kDelete) {
    batch.Delete(step.put.id, copy, step.if_sequence);
  } else {
    step.patch.id = step.put.id;
    step.patch.content = step.patch_content;
    step.patch.metadata = step.patch_metadata;
    batch.Update(step.patch, copy, step.if_sequence);
  }
}

void ExpectEqualsModel(Store& store, Model& model) {
  EXPECT_EQ(store.size(), model.memories().size());
  EXPECT_EQ(store.sequence(), model.sequence());
  for (uint64_t number = 0; number < kIds; ++number) {
    const std::optional<Memory> stored = test::Get(store, IdOf(number));
    const auto expected = model.memories().find(IdOf(number));
    EXPECT_EQ(stored.has_value(), expected != model.memories().end());
    if (stored && expected != model.memories().end()) EXPECT_EQ(*stored, expected->second);
  }
}

/// One batch on both; a long one now and then, which meets every id several times.
void CommitOnBoth(Store& store, Model& model, Random& random) {
  std::vector<Step> steps(random.Below(30) == 0 ? 100 + random.Below(200) : 1 + random.Below(6));
  for (Step& step : steps) step = RandomStep(random, store.dimensions(), model);
  Batch batch(store.hash_key());
  for (Step& step : steps) Stage(batch, step, random.Below(2) == 0);
  const Sequence before = model.sequence();
  const bool accepted = model.Commit(steps);
  const Result<Sequence> result = store.Commit(batch, test::kLockTimeout);
  EXPECT_EQ(result.ok(), accepted);
  if (!accepted) {
    EXPECT_ERROR(result, ErrorCode::kConflict);
    return;
  }
  if (!result.ok()) return;
  EXPECT_EQ(*result, model.sequence());
  EXPECT_EQ(batch.applied, model.sequence() - before);
}

void TouchOnBoth(Store& store, Model& model, Random& random) {
  const std::string id = IdOf(random.Below(kIds));
  const auto now = static_cast<double>(random.Below(1000));
  const auto found = model.memories().find(id);
  const Result<bool> touched = store.Touch(id, 7.5, now);
  EXPECT_OK(touched);
  EXPECT_EQ(touched.ok() && *touched, found != model.memories().end());
  if (found == model.memories().end()) return;
  found->second.activation = 7.5;
  found->second.last_access = now;
  found->second.recall_count += 1;
}

void RunAgainstModel(uint32_t dimensions, uint64_t seed, uint64_t rounds) {
  Random random(seed);
  test::StoreFixture store(dimensions);
  ASSERT_OK(store.Open());
  Model model;
  uint64_t epoch = store.Epoch();
  for (uint64_t round = 0; round < rounds; ++round) {
    const uint64_t choice = random.Below(40);
    if (choice == 0) {
      ASSERT_OK(store.Reopen());
      EXPECT_FALSE(store.Recovered());
    } else if (choice == 1) {
      ASSERT_OK(store.Close());
      std::filesystem::remove(store.Join("cache"));
      ASSERT_OK(store.Open());
      EXPECT_TRUE(store.Recovered());
      epoch += 1;
    } else if (choice == 2) {
      store.Kill();
      ASSERT_OK(store.Open());
      EXPECT_FALSE(store.Recovered());
    } else if (choice < 6) {
      TouchOnBoth(*store, model, random);
    } else {
      CommitOnBoth(*store, model, random);
    }
    EXPECT_EQ(store.Epoch(), epoch);
    if (choice < 3 || round % 16 == 0) ExpectEqualsModel(*store, model);
  }
  ExpectEqualsModel(*store, model);
  test::ExpectWhole(*store);
}

TEST(StoreModel, AnySequenceOfWritesEqualsAMap) {
  Random random(TestSeed());
  for (uint64_t run = 0; run < 6 * TestScale(); ++run) {
    const uint32_t dimensions = static_cast<uint32_t>(run == 0 ? 1 : 1 + random.Below(70));
    RunAgainstModel(dimensions, random.Next(), 150);
  }
}

TEST(StoreModel, OneFrameMayHoldOneIdManyTimesAndTheLastWins) {
  test::StoreFixture store(3);
  ASSERT_OK(store.Open());
  Batch batch(store->hash_key());
  Memory first;
  first.id = "a";
  first.embedding = {1, 2, 3};
  first.content = "first";
  batch.Put(test::PutInputOf(first), false);
  batch.Delete("a", false);
  first.content = "second";
  batch.Put(test::PutInputOf(first), false, 0);  // absent by then
  PatchInput patch;
  patch.id = "a";
  patch.set_content = patch.has_content = true;
  patch.content = "third";
  batch.Update(patch, false);
  const Result<Sequence> sequence = store->Commit(batch, test::kLockTimeout);
  ASSERT_OK(sequence);
  EXPECT_EQ(*sequence, 4u);
  EXPECT_EQ(store->size(), 1u);
  const std::optional<Memory> memory = test::Get(*store, "a");
  ASSERT_TRUE(memory.has_value());
  EXPECT_EQ(memory->content.value_or(""), "third");
  EXPECT_EQ(memory->embedding[2], 3.0f);
  test::ExpectWhole(*store);
}

TEST(StoreModel, AConflictAnywhereInAFrameLeavesNothingAndSaysWhatIsThere) {
  test::StoreFixture store(1);
  ASSERT_OK(store.Open());
  ASSERT_OK(test::PutText(*store, "a", "1"));
  Batch batch(store->hash_key());
  batch.Delete("a", false);
  Memory other;
  other.id = "b";
  batch.Put(test::PutInputOf(other), false, 5);
  const Result<Sequence> result = store->Commit(batch, test::kLockTimeout);
  EXPECT_ERROR(result, ErrorCode::kConflict);
  EXPECT_EQ(result.status().value(), 0);
  EXPECT_EQ(store->sequence(), 1u);
  EXPECT_TRUE(test::Get(*store, "a").has_value());
  EXPECT_FALSE(test::Get(*store, "b").has_value());
}

}  // namespace
}  // namespace thermocline::store

// Whole stores: one whose files are changed and then opened and asked everything, and one that is worked with beside a
// map. No fork, no disk where the host has memory for files.

#include <algorithm>

#include "fuzz/fuzz.h"
#include "test/hostile_fixture.h"

namespace thermocline::fuzz {
namespace {

// Changed files -------------------------------------------------------------------------------------------------------

constexpr size_t kMutationsMax = 6;

void OpenChanged(std::span<const char> input) {
  static test::HostileStore* const store = new test::HostileStore();  // made once; each run writes its files anew
  Reader reader(input);
  const auto flags = reader.Next<uint8_t>();
  test::StoreFiles files = store->original();
  // Without the marker of a clean close the cache is believed for its boot, and repaired first.
  if ((flags & 1) != 0) files["cache"].replace(format::kCleanOffset, sizeof(format::CleanMarker), 64, '\0');
  bool cache_is_right = true;
  for (size_t count = 0; count < kMutationsMax && !reader.done(); ++count) {
    test::Mutation mutation;
    mutation.kind = reader.Next<uint8_t>();
    mutation.file = reader.Next<uint8_t>();
    mutation.other_file = reader.Next<uint8_t>();
    mutation.value = reader.Next<uint8_t>();
    mutation.offset = reader.Next<uint32_t>();
    mutation.other_offset = reader.Next<uint32_t>();
    mutation.word = reader.Next<uint64_t>();
    store->Apply(mutation, &files);
    const auto is_cache = [&](uint8_t file) { return store->names()[file % store->names().size()] == "cache"; };
    cache_is_right = cache_is_right && !is_cache(mutation.file) && !is_cache(mutation.other_file);
  }
  store->resealed_ = (flags & 2) != 0;
  if (store->resealed_) store->Reseal(&files);
  const bool without_cache = (flags & 4) != 0;
  if (without_cache) files.erase("cache");
  std::string outcome;
  store->Examine(files, cache_is_right || without_cache, &outcome);
}

std::vector<std::string> ChangedSeeds() {
  std::vector<std::string> seeds;
  Random random(TestSeed());
  for (uint8_t kind = 0; kind < test::Mutation::kKinds; ++kind) {
    for (uint8_t file = 0; file < 8; ++file) {
      std::string seed(1, static_cast<char>(random.Below(8)));
      seed += static_cast<char>(kind);
      seed += static_cast<char>(file);
      seed += static_cast<char>(random.Next());
      seed += static_cast<char>(random.Next());
      seed += BytesOf(static_cast<uint32_t>(random.Below(8192)));
      seed += BytesOf(static_cast<uint32_t>(random.Next()));
      seed += BytesOf(random.Next() >> random.Below(64));
      seeds.push_back(seed);
    }
  }
  return seeds;
}

FUZZ_TARGET(store, OpenChanged, ChangedSeeds);

// Operations beside a map ---------------------------------------------------------------------------------------------

constexpr uint32_t kDimensions = 4;
constexpr uint8_t kIds = 24;
constexpr int kOperationsMax = 400;

class Program {
 public:
  explicit Program(std::span<const char> input) : reader_(input) {
    options_.dimensions = kDimensions;
    options_.durability = store::Durability::kNone;
    options_.lock_timeout_us = test::kLockTimeout;
    options_.with_helper = false;
  }

  void Run() {
    Open();
    for (int i = 0; i < kOperationsMax && !reader_.done() && store_ != nullptr; ++i) Step();
    if (store_ == nullptr) return;
    Compare();
    test::ExpectWhole(*store_);
    EXPECT_OK(std::exchange(store_, nullptr)->Close());
  }

 private:
  enum Operation : uint8_t {
    kPut,
    kPutAgain,
    kUpdate,
    kDelete,
    kTouch,
    kFlush,
    kCompact,
    kReopen,
    kKill,
    kRebuild,
    kSpace,
    kGrow,
    kOperations
  };

  void Open() {
    Result<std::shared_ptr<store::Store>> opened = store::Store::Open(directory_.Join("store"), options_);
    EXPECT_OK(opened);
    if (opened.ok()) store_ = *opened;
  }

  void Step() {
    const auto operation = reader_.Next<uint8_t>();
    const std::string id = "memory/" + std::to_string(reader_.Next<uint8_t>() % kIds);
    const auto value = reader_.Next<uint8_t>();
    const std::atomic<bool> never{false};
    switch (operation % kOperations) {
      case kPut:
      case kPutAgain:
        return Put(id, value);
      case kUpdate:
        return Update(id, value);
      case kDelete: {
        const bool present = model_.erase(id) > 0;
        const Result<Sequence> sequence = test::Delete(*store_, id);
        EXPECT_OK(sequence);
        if (present) EXPECT_EQ(*sequence, ++sequence_);
        return;
      }
      case kTouch: {
        const auto found = model_.find(id);
        // A clock that is set back is left out: whose statistics are the newer ones, a rebuild tells by the time.
        const double now = found == model_.end() ? value : std::max<double>(value, found->second.last_access);
        const Result<bool> touched = store_->Touch(id, value, now);
        EXPECT_OK(touched);
        EXPECT_EQ(touched.ok() && *touched, found != model_.end());
        if (found == model_.end()) return;
        found->second.activation = value;
        found->second.last_access = now;
        ++found->second.recall_count;
        return;
      }
      case kFlush:
        EXPECT_OK(store_->Flush(test::kLockTimeout));
        return;
      case kCompact:
        EXPECT_OK(store_->Compact(test::kLockTimeout, never));
        return Compare();
      case kReopen:
        EXPECT_OK(std::exchange(store_, nullptr)->Close());
        Open();
        return Compare();
      case kKill:
        store_.reset();
        Open();
        return Compare();
      case kRebuild:
        EXPECT_OK(std::exchange(store_, nullptr)->Close());
        std::filesystem::remove(directory_.Join("store/cache"));
        Open();
        return Compare();
      case kSpace:
        store_->MakeSpaceAhead();
        return;
      default:
        EXPECT_OK(store_->GrowIndex(uint64_t{value} * 8));
    }
  }

  void Put(const std::string& id, uint8_t value) {
    test::Memory memory;
    memory.id = id;
    if ((value & 1) != 0) memory.embedding = test::EmbeddingOf(value, kDimensions);
    // Now and then one that needs a segment of its own.
    if ((value & 2) != 0) memory.content = std::string(value == 255 ? 3u << 20 : value * 40u, 'c');
    if ((value & 4) != 0) memory.metadata = "{\"value\":" + std::to_string(value) + "}";
    memory.created_at = value;
    const Result<Sequence> sequence = test::Put(*store_, memory);
    EXPECT_OK(sequence);
    if (!sequence.ok()) return;
    EXPECT_EQ(*sequence, ++sequence_);
    memory.sequence = sequence_;
    model_[id] = memory;
  }

  void Update(const std::string& id, uint8_t value) {
    store::PatchInput patch;
    patch.id = id;
    const std::string content(value, 'u');
    patch.set_content = patch.has_content = true;
    patch.content = content;
    patch.set_confidence = true;
    patch.confidence = value / 255.0;
    store::Batch batch(store_->hash_key());
    batch.Update(patch, false);
    const Result<Sequence> sequence = store_->Commit(batch, test::kLockTimeout);
    EXPECT_OK(sequence);
    const auto found = model_.find(id);
    EXPECT_EQ(batch.applied, found == model_.end() ? 0u : 1u);
    if (found == model_.end() || !sequence.ok()) return;
    EXPECT_EQ(*sequence, ++sequence_);
    found->second.content = content;
    found->second.confidence = patch.confidence;
    found->second.sequence = sequence_;
  }

  void Compare() {
    if (store_ == nullptr) return;
    EXPECT_EQ(store_->size(), uint64_t{model_.size()});
    EXPECT_EQ(store_->sequence(), sequence_);
    for (uint8_t number = 0; number < kIds; ++number) {
      const std::string id = "memory/" + std::to_string(number);
      const std::optional<test::Memory> stored = test::Get(*store_, id);
      const auto expected = model_.find(id);
      EXPECT_EQ(stored.has_value(), expected != model_.end());
      if (stored && expected != model_.end()) EXPECT_EQ(*stored, expected->second);
    }
  }

  const test::FastDirectory directory_;
  Reader reader_;
  store::OpenOptions options_;
  std::shared_ptr<store::Store> store_;
  std::map<std::string, test::Memory> model_;
  Sequence sequence_ = 0;
};

void RunProgram(std::span<const char> input) { Program(input).Run(); }

std::vector<std::string> ProgramSeeds() {
  std::vector<std::string> seeds;
  Random random(TestSeed());
  for (const size_t length : {1u, 3u, 10u, 30u, 100u, 300u}) {
    std::string seed;
    for (size_t i = 0; i < length * 3; ++i) seed += static_cast<char>(random.Next());
    seeds.push_back(seed);
  }
  return seeds;
}

FUZZ_TARGET(operations, RunProgram, ProgramSeeds);

}  // namespace
}  // namespace thermocline::fuzz

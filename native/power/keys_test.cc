// Files of keys beside each other's writers: what one process believed no other one writes into.

#include <algorithm>

#include "core/search/field_index.h"
#include "core/search/search.h"
#include "core/store/file_names.h"
#include "power/system_calls.h"
#include "test/store_fixture.h"

namespace thermocline::power {
namespace {

using search::FieldIndex;

constexpr uint32_t kDimensions = 3;
const std::atomic<bool> kGo{false};

/// Before a file of keys is written to for the first time: somebody else's turn.
class Interruption final : public CallWatcher {
 public:
  explicit Interruption(std::function<void()> other) : other_(std::move(other)) { WatchCalls(this); }
  ~Interruption() override { UnwatchCalls(this); }
  Interruption(const Interruption&) = delete;
  Interruption& operator=(const Interruption&) = delete;

  Answer Before(const CallInfo& call) override {
    if (call.call == Call::kWrite && call.descriptor == keys_ && other_) std::exchange(other_, nullptr)();
    return {};
  }
  void After(const CallInfo& call, int result) override {
    const bool writes = call.call == Call::kOpen && (call.flags & 3) != 0;
    if (writes && std::string(call.name).find(".keys.") != std::string::npos) keys_ = result;
  }
  bool happened() const { return other_ == nullptr; }

 private:
  std::function<void()> other_;
  int keys_ = -1;
};

/// Two participants without helpers, and memories with the keys a and b.
struct Two {
  Two() : store(kDimensions) {
    store.options.with_helper = false;
    EXPECT_OK(store.Open());
    auto opened = store::Store::Open(store.path(), store.options);
    EXPECT_OK(opened);
    if (opened.ok()) other = *opened;
  }
  ~Two() { EXPECT_OK(other->Close()); }

  void Write(int from, int to) {
    for (int i = from; i < to; ++i) {
      test::Memory memory;
      memory.id = std::to_string(i);
      memory.metadata = R"({"a":1,"b":2})";
      memory.embedding = test::EmbeddingOf(static_cast<uint64_t>(i), kDimensions);
      ASSERT_OK(test::Put(*store, memory));
    }
  }
  /// By a filter that all of them match.
  static void ExpectFound(store::Store& reader, const char* text, size_t count) {
    const Result<filter::Filter> filter = filter::Filter::Compile(text);
    ASSERT_OK(filter);
    const std::vector<float> query = test::EmbeddingOf(7, kDimensions);
    const auto hits = search::Search(reader, {.query = query, .limit = count, .filter = &*filter}, kGo);
    ASSERT_OK(hits);
    EXPECT_EQ(hits->size(), count);
  }
  /// Numbers of the segments that have a file of keys.
  std::vector<uint32_t> KeysFiles() {
    std::vector<uint32_t> numbers;
    Result<std::vector<std::string>> names = io::ListDirectory(store->directory());
    EXPECT_OK(names);
    for (const std::string& name : *names) {
      if (name.ends_with(".keys")) numbers.push_back(store::SegmentOfFileName(name));
    }
    std::sort(numbers.begin(), numbers.end());
    return numbers;
  }

  test::StoreFixture store;
  std::shared_ptr<store::Store> other;
};

constexpr const char* kOnA = R"({"metadata":{"a":{"eq":1}}})";
constexpr const char* kOnB = R"({"metadata":{"b":{"eq":2}}})";

// Processes of two containers share a directory and have one process id, in name spaces of their own.
TEST(Keys, NobodyWritesIntoAFileThatAnotherOneBelieved) {
  Two two;
  FieldIndex::Of(*two.store).Declare({"a"}, true);
  FieldIndex::Of(*two.other).Declare({"b"}, true);
  two.Write(0, 300);
  {
    const Interruption interruption([&] { FieldIndex::Of(*two.other).Tend(*two.other, kGo); });
    FieldIndex::Of(*two.store).Tend(*two.store, kGo);
    EXPECT_TRUE(interruption.happened());
  }
  Two::ExpectFound(*two.store, kOnA, 300);
  Two::ExpectFound(*two.other, kOnB, 300);
}

// Goal: keys of what a compaction dropped are in no file for longer than a helper's turn, though nobody writes any
// more. Method: the segment is rewritten by another one while its keys are being written.
TEST(Keys, AFileThatIsWrittenWhenItsSegmentIsGoneGoesAgain) {
  Two two;
  FieldIndex::Of(*two.store).Declare({"a"}, true);
  two.Write(0, 300);
  two.Write(0, 5);
  {
    const Interruption interruption([&] { ASSERT_OK(two.other->Compact(test::kLockTimeout, kGo)); });
    FieldIndex::Of(*two.store).Tend(*two.store, kGo);
    EXPECT_TRUE(interruption.happened());
  }
  FieldIndex::Of(*two.store).Tend(*two.store, kGo);
  const Result<store::Snapshot> snapshot = two.store->TakeSnapshot();
  ASSERT_OK(snapshot);
  for (const uint32_t number : two.KeysFiles()) {
    EXPECT_TRUE(std::any_of(snapshot->parts.begin(), snapshot->parts.end(),
                            [&](const auto& part) { return Raw(part.segment->number()) == number; }));
  }
  Two::ExpectFound(*two.store, kOnA, 300);
}

// Goal: who forgets the keys of rewritten segments leaves those alone of segments that came after its look at the list.
// Method: others write and make keys, and a search meets them, in the middle of the helper's turn.
TEST(Keys, FilesOfSegmentsThatCameMeanwhileStay) {
  Two two;
  FieldIndex::Of(*two.store).Declare({"a"}, true);
  FieldIndex::Of(*two.other).Declare({"a"}, true);
  two.Write(0, 300);
  std::vector<uint32_t> made;
  {
    const Interruption interruption([&] {
      two.Write(300, 3000);
      FieldIndex::Of(*two.other).Tend(*two.other, kGo);
      Two::ExpectFound(*two.store, kOnA, 3000);
      made = two.KeysFiles();
    });
    FieldIndex::Of(*two.store).Tend(*two.store, kGo);
    EXPECT_TRUE(interruption.happened());
  }
  EXPECT_GE(made.size(), 3u);
  EXPECT_TRUE(two.KeysFiles() == made);
}

}  // namespace
}  // namespace thermocline::power

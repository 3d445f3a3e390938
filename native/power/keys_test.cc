// Files of keys beside each other's writers: what one process believed no other one writes into.

#include "core/search/field_index.h"
#include "core/search/search.h"
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

// Processes of two containers share a directory and have one process id, in name spaces of their own.
TEST(Keys, NobodyWritesIntoAFileThatAnotherOneBelieved) {
  test::StoreFixture store(kDimensions);
  store.options.with_helper = false;
  ASSERT_OK(store.Open());
  auto other = store::Store::Open(store.path(), store.options);
  ASSERT_OK(other);
  FieldIndex::Of(*store).Declare({"a"}, true);
  FieldIndex::Of(**other).Declare({"b"}, true);
  for (int i = 0; i < 300; ++i) {
    test::Memory memory;
    memory.id = std::to_string(i);
    memory.metadata = R"({"a":1,"b":2})";
    memory.embedding = test::EmbeddingOf(static_cast<uint64_t>(i), kDimensions);
    ASSERT_OK(test::Put(*store, memory));
  }
  {
    const Interruption interruption([&] { FieldIndex::Of(**other).Tend(**other, kGo); });
    FieldIndex::Of(*store).Tend(*store, kGo);
    EXPECT_TRUE(interruption.happened());
  }
  for (const auto& [reader, text] : {std::pair{&*store, R"({"metadata":{"a":{"eq":1}}})"},
                                     std::pair{other->get(), R"({"metadata":{"b":{"eq":2}}})"}}) {
    const Result<filter::Filter> filter = filter::Filter::Compile(text);
    ASSERT_OK(filter);
    const std::vector<float> query = test::EmbeddingOf(7, kDimensions);
    const auto hits = search::Search(*reader, {.query = query, .limit = 300, .filter = &*filter}, kGo);
    ASSERT_OK(hits);
    EXPECT_EQ(hits->size(), 300u);
  }
  EXPECT_OK((*other)->Close());
}

}  // namespace
}  // namespace thermocline::power

// What a compaction left that died between its list and the index: its heirs finish it, or say what of it is damaged.
//
// Death is played by putting back what the last compaction changed after its rename: cells and the list's generation.

#include <atomic>
#include <filesystem>

#include "core/format/meta.h"
#include "core/store/log_reader.h"
#include "test/session_fixture.h"

namespace thermocline::store {
namespace {

using test::Memory;

const std::atomic<bool> kNever{false};
constexpr int kMemories = 40;

std::string TextOf(int number) { return "text " + std::to_string(number); }

/// A store whose last compaction, by another participant, was renamed in and not published, nothing of the index led to
/// its copy. The other still lives and keeps the write lock.
class HalfSwung {
 public:
  explicit HalfSwung(Durability durability = Durability::kNone) : store(2, durability) {
    store.options.with_helper = false;
    EXPECT_OK(store.Open());
    Result<std::shared_ptr<Store>> opened = Store::Open(store.path(), store.options);
    EXPECT_OK(opened);
    if (!opened.ok()) return;
    other = *opened;
    for (int i = 0; i < kMemories; ++i) EXPECT_OK(test::PutText(*store, "m" + std::to_string(i), TextOf(i)));
    EXPECT_OK(test::PutText(*store, "replaced", "old"));
    EXPECT_OK(test::PutText(*store, "replaced", "new"));
    const std::string before = test::ReadFileBytes(store.Join("cache"));
    const uint64_t generation = MetaNow().list_generation;
    EXPECT_OK(other->Compact(test::kLockTimeout, kNever));
    list = MetaNow();
    EXPECT_GT(list.list_generation, generation);
    EXPECT_EQ(list.replaced.size(), size_t{1});
    const test::BootWordsByHand words(store.path());
    format::BootWords old;
    std::memcpy(&old, before.data() + format::kBootWordsOffset, sizeof old);
    EXPECT_EQ(words->index, old.index);
    if (words->index != old.index) return;
    words->list_generation = generation;
    std::fstream cache(store.Join("cache"), std::ios::binary | std::ios::in | std::ios::out);
    cache.seekp(format::kIndexOffset);
    cache << before.substr(format::kIndexOffset);
    const test::SessionByHand session(store.path());
    session->write_lock = session.WordOf(2);
  }

  format::Meta MetaNow() const {
    const Result<format::Meta> meta = format::DecodeMeta(test::ReadFileBytes(store.Join("meta")));
    EXPECT_OK(meta);
    return meta.ok() ? *meta : format::Meta();
  }
  SegmentNumber copy() const { return static_cast<SegmentNumber>(list.replaced.front().by); }
  std::string CopyLog() const { return store.Join(LogFileName(copy()).text); }
  /// Where the copy's second frame begins: the first has no records.
  static constexpr uint64_t kFrame = format::kHeaderBytes + sizeof(format::FrameHeader);

  void ExpectAll() {
    EXPECT_EQ(store->size(), uint64_t{kMemories + 1});
    for (int i = 0; i < kMemories; ++i) {
      const std::optional<Memory> found = test::Get(*store, "m" + std::to_string(i));
      ASSERT_TRUE(found.has_value());
      EXPECT_EQ(found->content.value_or(""), TextOf(i));
    }
    EXPECT_EQ(test::Get(*store, "replaced")->content.value_or(""), "new");
    test::ExpectWhole(*store);
  }

  test::StoreFixture store;
  std::shared_ptr<Store> other;
  format::Meta list;
};

void FlipByte(const std::string& path, uint64_t offset) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekg(static_cast<std::streamoff>(offset));
  const char byte = static_cast<char>(file.get() ^ 0x20);
  file.seekp(static_cast<std::streamoff>(offset));
  file.put(byte);
}

TEST(FinishRewriting, TheNextWriterLeadsTheIndexToTheCopies) {
  HalfSwung half;
  half.other.reset();
  ASSERT_OK(test::Delete(*half.store, "absent"));
  half.ExpectAll();
}

TEST(FinishRewriting, TheNextOpenerLeadsTheIndexToTheCopies) {
  HalfSwung half;
  half.other.reset();
  half.store.Kill();
  ASSERT_OK(half.store.Open());
  EXPECT_FALSE(half.store.Recovered());
  half.ExpectAll();
}

/// Frames and records of the copy that are not as they were written, and what the list says that cannot be.
enum class Damage { kFrame, kRecord, kList };

void Plant(const HalfSwung& half, Damage damage) {
  if (damage == Damage::kFrame) return FlipByte(half.CopyLog(), HalfSwung::kFrame + 40);
  if (damage == Damage::kList) {
    format::Meta list = half.list;
    list.replaced.front().by = list.next_segment + 5;
    return test::WriteFileBytes(half.store.Join("meta"), format::EncodeMeta(list));
  }
  // A record of a length that cannot be, under checksums that hold.
  std::string log = test::ReadFileBytes(half.CopyLog());
  const Result<std::shared_ptr<Segment>> segment = half.other->ShareSegment(half.copy());
  ASSERT_OK(segment);
  std::optional<format::FrameHeader> frame = ReadFrame(**segment, half.other->salt(), HalfSwung::kFrame, true);
  ASSERT_TRUE(frame.has_value());
  char* const body = log.data() + HalfSwung::kFrame + sizeof *frame;
  const uint32_t length = 3;
  std::memcpy(body, &length, sizeof length);
  format::SealFrame(*frame, format::FrameSeed(half.other->salt(), Position(half.copy(), HalfSwung::kFrame)), body);
  std::memcpy(log.data() + HalfSwung::kFrame, &*frame, sizeof *frame);
  std::fstream(half.CopyLog(), std::ios::binary | std::ios::in | std::ios::out) << log;
}

// Goal: who takes over from a dead compaction never leads the index into damage. Method: the copy, or the list, is
// damaged before the next writer takes the lock over; it is refused, and so is everybody from then on.
TEST(FinishRewriting, DamageOfTheCopyPoisonsTheStoreOfTheNextWriter) {
  for (const Damage damage : {Damage::kFrame, Damage::kRecord, Damage::kList}) {
    HalfSwung half;
    Plant(half, damage);
    half.other.reset();
    EXPECT_ERROR(test::Delete(*half.store, "absent"), ErrorCode::kCorrupt);
    EXPECT_ERROR(test::Delete(*half.store, "absent"), ErrorCode::kPoisoned);
  }
}

// Goal: nor does the next first opener, who makes a new index: it says that what was flushed cannot be read. Method: as
// above, and nobody is left who could be asked.
TEST(FinishRewriting, DamageOfTheCopyIsToldToTheNextOpener) {
  for (const Damage damage : {Damage::kFrame, Damage::kRecord, Damage::kList}) {
    HalfSwung half(Durability::kFlush);
    Plant(half, damage);
    half.other.reset();
    half.store.Kill();
    EXPECT_ERROR(half.store.Open(), ErrorCode::kCorrupt);
  }
}

}  // namespace
}  // namespace thermocline::store

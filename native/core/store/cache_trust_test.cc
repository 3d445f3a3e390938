// The first opener believes no word of a cache that cannot be right: it makes the cache anew, and nothing is lost.

#include <functional>

#include "core/base/crc32c.h"
#include "core/io/file.h"
#include "test/store_fixture.h"

namespace thermocline::store {
namespace {

using test::Memory;

constexpr uint64_t kFar = 0x0FFFFFF0;  // an offset that no file of a test has

Memory MemoryOf(int number) {
  Memory memory;
  memory.id = "m" + std::to_string(number);
  memory.embedding = {static_cast<float>(number), 1};
  return memory;
}

void ExpectFilled(Store& store) {
  EXPECT_EQ(store.size(), 300u);
  for (int i = 0; i < 300; ++i) {
    Memory memory = MemoryOf(i);
    memory.sequence = static_cast<Sequence>(i) + 1;
    const std::optional<Memory> found = test::Get(store, memory.id);
    ASSERT_TRUE(found.has_value());
    EXPECT_EQ(*found, memory);
  }
  test::ExpectWhole(store);
}

/// Two segments.
void Fill(Store& store) {
  for (int i = 0; i < 300; ++i) ASSERT_OK(test::Put(store, MemoryOf(i)));
}

TEST(CacheTrust, AWordThatCannotBeRightIsNotBelieved) {
  using Words = format::BootWords;
  const auto unlisted = [](uint64_t offset) { return Position(static_cast<SegmentNumber>(99), offset).raw(); };
  const std::vector<std::pair<const char*, std::function<void(Words&)>>> changes = {
      {"a claim in a segment that is not listed", [](Words& words) { words.claim = uint64_t{99} << 32; }},
      {"a claim below the last record's slot", [](Words& words) { words.claim &= ~uint64_t{0xFFFFFFFF}; }},
      {"a tail that is none", [](Words& words) { words.tail = 0; }},
      {"a tail in a segment that is not listed", [&](Words& words) { words.tail = unlisted(4096); }},
      {"a tail behind the file",
       [](Words& words) { words.tail = Position(Position(words.tail).segment(), kFar).raw(); }},
      {"a tail before the last frame's end",
       [](Words& words) {
         words.tail = Position(Position(words.tail).segment(), Position(words.tail).offset() - 8).raw();
       }},
      {"a last frame that is none, of a closed segment",
       [](Words& words) {
         words.last_frame = 0;
         words.tail = Position(static_cast<SegmentNumber>(1), 4096).raw();
       }},
      {"a last frame in a segment that is not listed", [&](Words& words) { words.last_frame = unlisted(4096); }},
      {"a last frame where none is", [](Words& words) { words.last_frame += 8; }},
      {"a last frame behind the file",
       [](Words& words) { words.last_frame = Position(Position(words.last_frame).segment(), kFar).raw(); }},
      {"another last frame's checksum", [](Words& words) { words.last_frame_crc ^= 1; }},
      {"an index that is none", [](Words& words) { words.index = 0; }},
      {"an index that is too large", [](Words& words) { words.index = UINT64_MAX; }},
      {"a fuller index than can be", [](Words& words) { words.index_used = UINT64_MAX; }},
      {"a log backed less far than it is written",
       [](Words& words) { words.log_ready[2 % format::kSpaceWords] = uint64_t{2} << 32 | 1; }},
      {"a log backed behind its end",
       [](Words& words) { words.log_ready[2 % format::kSpaceWords] = uint64_t{2} << 32 | kFar; }},
      {"a log that nobody backed", [](Words& words) { words.log_ready[2 % format::kSpaceWords] = 0; }},
      {"slots backed behind the end",
       [](Words& words) { words.slots_ready[2 % format::kSpaceWords] = uint64_t{2} << 32 | kFar; }},
      {"slots that are used and not backed",
       [](Words& words) { words.slots_ready[2 % format::kSpaceWords] = uint64_t{2} << 32; }},
  };
  for (const auto& [name, change] : changes) {
    test::StoreFixture store(2);
    ASSERT_OK(store.Open());
    Fill(*store);
    store.Kill();
    {
      const test::BootWordsByHand words(store.path());
      ASSERT_TRUE(words.mapped());
      change(*words);
    }
    ASSERT_OK(store.Open());
    EXPECT_TRUE(store.Recovered());
    ExpectFilled(*store);
    if (test::FailureCount() > 0) {
      test::ReportFailure(__FILE__, __LINE__, name);
      return;
    }
  }
}

// Goal: a clean close is believed of these very files and words alone. Method: each field of the marker, and of the
// cache's header, says something else, sealed as if it had been written so.
TEST(CacheTrust, AMarkerOrHeaderOfOtherFilesIsNotBelieved) {
  const auto expect_recovered = [](const std::function<void(std::string&)>& change, bool recovered = true) {
    test::StoreFixture store(2, Durability::kFlush);
    ASSERT_OK(store.Open());
    Fill(*store);
    ASSERT_OK(store.Close());
    const test::OtherBoot boot("another");
    // In place: the marker names the file's inode.
    std::string bytes = test::ReadFileBytes(store.Join("cache"));
    change(bytes);
    std::fstream(store.Join("cache"), std::ios::binary | std::ios::in | std::ios::out) << bytes;
    ASSERT_OK(store.Open());
    EXPECT_EQ(store.Recovered(), recovered);
    ExpectFilled(*store);
  };
  expect_recovered([](std::string&) {}, false);
  const auto marker = [&](const std::function<void(format::CleanMarker&)>& change) {
    expect_recovered([&](std::string& bytes) {
      format::CleanMarker changed;
      std::memcpy(&changed, bytes.data() + format::kCleanOffset, sizeof changed);
      change(changed);
      changed.crc = Crc32c(0, &changed, offsetof(format::CleanMarker, crc));
      std::memcpy(bytes.data() + format::kCleanOffset, &changed, sizeof changed);
    });
  };
  marker([](format::CleanMarker& changed) { changed.magic ^= 1; });
  marker([](format::CleanMarker& changed) { changed.directory_inode ^= 1; });
  marker([](format::CleanMarker& changed) { changed.cache_inode ^= 1; });
  marker([](format::CleanMarker& changed) { changed.list_generation ^= 1; });
  marker([](format::CleanMarker& changed) { changed.tail ^= 8; });
  marker([](format::CleanMarker& changed) { changed.index_word ^= 1; });
  marker([](format::CleanMarker& changed) { changed.words_crc ^= 1; });
  expect_recovered([](std::string& bytes) { bytes[format::kCleanOffset + offsetof(format::CleanMarker, crc)] ^= 1; });
  const auto header = [&](const std::function<void(format::CacheHeader&)>& change) {
    expect_recovered([&](std::string& bytes) {
      format::CacheHeader changed;
      std::memcpy(&changed, bytes.data(), sizeof changed);
      change(changed);
      changed.crc = Crc32c(0, reinterpret_cast<const char*>(&changed) + 16, sizeof changed - 16);
      std::memcpy(bytes.data(), &changed, sizeof changed);
    });
  };
  header([](format::CacheHeader& changed) { changed.magic ^= 1; });
  header([](format::CacheHeader& changed) { changed.layout += 1; });
  header([](format::CacheHeader& changed) { changed.store_id.low ^= 1; });
}

// Goal: words that a clean marker vouches for are looked at all the same. Method: one says what cannot be, under
// checksums that hold.
TEST(CacheTrust, AMarkerDoesNotVouchForWordsThatCannotBe) {
  const std::vector<std::function<void(format::BootWords&)>> changes = {
      [](format::BootWords& words) { words.applied += 1; },
      [](format::BootWords& words) { words.tail = Position(static_cast<SegmentNumber>(99), 4096).raw(); },
      [](format::BootWords& words) { words.tail -= 8; },
  };
  for (const auto& change : changes) {
    test::StoreFixture store(2, Durability::kFlush);
    ASSERT_OK(store.Open());
    Fill(*store);
    ASSERT_OK(store.Close());
    const test::OtherBoot boot("another");
    std::string bytes = test::ReadFileBytes(store.Join("cache"));
    format::BootWords words;
    std::memcpy(&words, bytes.data() + format::kBootWordsOffset, sizeof words);
    change(words);
    std::memcpy(bytes.data() + format::kBootWordsOffset, &words, sizeof words);
    format::CleanMarker marker;
    std::memcpy(&marker, bytes.data() + format::kCleanOffset, sizeof marker);
    marker.tail = words.tail;
    marker.words_crc = Crc32c(0, &words, sizeof words);
    marker.crc = Crc32c(0, &marker, offsetof(format::CleanMarker, crc));
    std::memcpy(bytes.data() + format::kCleanOffset, &marker, sizeof marker);
    std::fstream(store.Join("cache"), std::ios::binary | std::ios::in | std::ios::out) << bytes;
    ASSERT_OK(store.Open());
    EXPECT_TRUE(store.Recovered());
    ExpectFilled(*store);
  }
}

// A store without a frame has no tail: what would be its first frame must not be there.
TEST(CacheTrust, AnEmptyStoreThatWasClosedCleanIsBelievedUntilSomethingFollows) {
  for (const bool follows : {false, true}) {
    test::StoreFixture store(2, Durability::kFlush);
    ASSERT_OK(store.Open());
    ASSERT_OK(store.Close());
    const test::OtherBoot boot("another");
    if (follows) {
      std::string log = test::ReadFileBytes(store.Join("1.log"));
      log.resize(std::max<size_t>(log.size(), format::kHeaderBytes + sizeof(format::FrameHeader)));
      log[format::kHeaderBytes + 20] = 1;
      test::WriteFileBytes(store.Join("1.log"), log);
    }
    ASSERT_OK(store.Open());
    EXPECT_EQ(store.Recovered(), follows);
    Fill(*store);
    ExpectFilled(*store);
  }
}

// Goal: damage of one memory costs that one: a rebuild would end before the last frame, or refuse the store. Method: a
// byte of the newest record is another when the next opener of the same boot comes.
TEST(CacheTrust, ADamagedNewestRecordIsToldWhenItIsReadAndCostsNothingElse) {
  test::StoreFixture store(2);
  ASSERT_OK(store.Open());
  Fill(*store);
  const Result<std::optional<MemoryRef>> last = store->Find("m299");
  ASSERT_OK(last);
  const uint64_t at = (*last)->log_offset + sizeof(format::RecordHeader) + 1;  // in its id
  store.Kill();
  std::string log = test::ReadFileBytes(store.Join("2.log"));
  log[at] = static_cast<char>(log[at] ^ 1);
  test::WriteFileBytes(store.Join("2.log"), log);
  ASSERT_OK(store.Open());
  EXPECT_FALSE(store.Recovered());
  EXPECT_EQ(store->size(), 300u);
  const Pin pin;
  EXPECT_ERROR(store->Find("m299", Store::Fetch::kMemory), ErrorCode::kCorrupt);
  for (int i = 0; i < 299; ++i) EXPECT_TRUE(test::Get(*store, "m" + std::to_string(i)).has_value());
}

}  // namespace
}  // namespace thermocline::store

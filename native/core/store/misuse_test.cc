// Wrong use is refused by code and leaves everything as it was.

#include <limits>

#include "core/base/limits.h"
#include "core/io/file.h"
#include "test/store_fixture.h"

namespace thermocline::store {
namespace {

using test::Memory;

TEST(StoreMisuse, AnotherDimensionOrMetricThanTheStoresIsRefused) {
  test::StoreFixture store(5);
  store.options.metric = format::Metric::kDot;
  ASSERT_OK(store.Open());
  ASSERT_OK(test::PutText(*store, "a", "1"));
  for (int turn = 0; turn < 2; ++turn) {  // while it is open, and afterwards
    OpenOptions options;
    options.dimensions = 6;
    const auto other = Store::Open(store.path(), options);
    EXPECT_ERROR(other, ErrorCode::kDimension);
    EXPECT_EQ(other.status().value(), 5);
    EXPECT_ERROR(store->CheckOpenOptions(options), ErrorCode::kDimension);
    options.dimensions = 0;
    options.metric = format::Metric::kL2;
    EXPECT_ERROR(Store::Open(store.path(), options), ErrorCode::kMismatch);
    options.metric = std::nullopt;
    EXPECT_OK(store->CheckOpenOptions(options));
    ASSERT_OK(store.Reopen());
    EXPECT_TRUE(test::Get(*store, "a").has_value());
  }
  EXPECT_TRUE(store->metric() == format::Metric::kDot);
}

TEST(StoreMisuse, ADirectoryThatIsNoStoreIsLeftAlone) {
  OpenOptions options;
  options.dimensions = 4;
  TempDirectory directory;
  const auto names = [&] {
    std::string all;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(directory.path())) {
      all += entry.path().string() + (entry.is_regular_file() ? test::ReadFileBytes(entry.path()) : "") + "\n";
    }
    return all;
  };
  std::filesystem::create_directory(directory.Join("foreign"));
  test::WriteFileBytes(directory.Join("foreign/letter.txt"), "dear");
  std::filesystem::create_directory(directory.Join("foreign meta"));
  test::WriteFileBytes(directory.Join("foreign meta/meta"), "something else of the same name, long enough to be read");
  std::filesystem::create_directory(directory.Join("empty"));
  test::WriteFileBytes(directory.Join("file"), "not a directory");
  const std::string before = names();
  EXPECT_ERROR(Store::Open(directory.Join("foreign"), options), ErrorCode::kNotAStore);
  EXPECT_ERROR(Store::Open(directory.Join("foreign meta"), options), ErrorCode::kNotAStore);
  EXPECT_ERROR(Store::Open(directory.Join("file"), options), ErrorCode::kNotAStore);
  options.create = false;
  EXPECT_ERROR(Store::Open(directory.Join("absent"), options), ErrorCode::kNotFound);
  EXPECT_ERROR(Store::Open(directory.Join("empty"), options), ErrorCode::kNotFound);
  EXPECT_ERROR(Store::Open(directory.Join("foreign"), options), ErrorCode::kNotAStore);
  options.create = true;
  options.dimensions = 0;
  EXPECT_ERROR(Store::Open(directory.Join("absent"), options), ErrorCode::kArgument);
  EXPECT_TRUE(before == names());
}

TEST(StoreMisuse, AListLargerThanAnyIsRefusedWithoutBeingRead) {
  test::StoreFixture store(4);
  ASSERT_OK(store.Open());
  ASSERT_OK(store.Close());
  std::filesystem::resize_file(store.Join("meta"), uint64_t{1} << 40);  // a hole
  EXPECT_ERROR(store.Open(), ErrorCode::kCorrupt);
}

TEST(StoreMisuse, AnIndexLargerThanItsFileMayBeIsRefusedAndTheStoreGoesOn) {
  test::StoreFixture store(4);
  ASSERT_OK(store.Open());
  ASSERT_OK(test::PutText(*store, "a", "x"));
  EXPECT_ERROR(store->GrowIndex(uint64_t{1} << 40), ErrorCode::kTooLarge);
  ASSERT_OK(test::PutText(*store, "b", "y"));
  EXPECT_EQ(store->size(), 2u);
  test::ExpectWhole(*store);
}

TEST(StoreMisuse, WrongSizesAndValuesAreRefusedBeforeAnythingIsWritten) {
  test::StoreFixture store(4);
  ASSERT_OK(store.Open());
  Memory good;
  good.id = "good";
  good.embedding = {1, 2, 3, 4};
  ASSERT_OK(test::Put(*store, good));
  const auto expect_refused = [&](const Memory& bad, ErrorCode code) {
    Batch batch(store->hash_key());
    Memory other;
    other.id = "beside";
    batch.Put(test::PutInputOf(other), false);
    batch.Put(test::PutInputOf(bad), false);
    EXPECT_ERROR(store->Commit(batch, test::kLockTimeout), code);
    EXPECT_EQ(store->sequence(), 1u);
    EXPECT_EQ(store->size(), 1u);
  };
  Memory bad = good;
  bad.id = "";
  expect_refused(bad, ErrorCode::kKeySize);
  bad.id = std::string(kIdBytesMax + 1, 'i');
  expect_refused(bad, ErrorCode::kKeySize);
  bad = good;
  for (const size_t size : {size_t{1}, size_t{3}, size_t{5}, size_t{4096}}) {
    bad.embedding.assign(size, 1.0f);
    expect_refused(bad, ErrorCode::kDimension);
  }
  for (const float value : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                            -std::numeric_limits<float>::infinity()}) {
    for (size_t at = 0; at < 4; ++at) {
      bad = good;
      bad.embedding[at] = value;
      expect_refused(bad, ErrorCode::kNotFinite);
    }
  }
  bad = good;
  bad.content = std::string(kContentBytesMax + 1, 'c');
  expect_refused(bad, ErrorCode::kTooLarge);
  bad.content = "small";
  bad.metadata = std::string(kMetadataBytesMax + 1, 'm');
  expect_refused(bad, ErrorCode::kTooLarge);
  test::ExpectWhole(*store);
}

TEST(StoreMisuse, TheLargestThatIsAllowedIsStored) {
  test::StoreFixture store(kDimensionsMax);
  ASSERT_OK(store.Open());
  Memory memory;
  memory.id = std::string(kIdBytesMax, 'i');
  memory.embedding = test::EmbeddingOf(TestSeed(), kDimensionsMax);
  memory.embedding[0] = std::numeric_limits<float>::max();
  memory.embedding[1] = std::numeric_limits<float>::denorm_min();
  memory.content = std::string(kContentBytesMax, 'c');
  memory.metadata = "{\"m\":\"" + std::string(kMetadataBytesMax - 8, 'm') + "\"}";
  ASSERT_OK(test::Put(*store, memory));
  memory.sequence = 1;
  for (int turn = 0; turn < 2; ++turn) {
    const std::optional<Memory> stored = test::Get(*store, memory.id);
    EXPECT_TRUE(stored.has_value() && *stored == memory);
    ASSERT_OK(store.Reopen());
  }
  test::ExpectWhole(*store);
}

TEST(StoreMisuse, ABatchOfConditionsAloneChecksAndWritesNothing) {
  test::StoreFixture store(1);
  ASSERT_OK(store.Open());
  ASSERT_OK(test::PutText(*store, "a", "1"));
  Batch batch(store->hash_key());
  EXPECT_EQ(*store->Commit(batch, test::kLockTimeout), 1u);
  batch.Check("a", false, 1);
  batch.Check("b", false, 0);
  EXPECT_EQ(*store->Commit(batch, test::kLockTimeout), 1u);
  batch.Check("a", false, 7);
  EXPECT_ERROR(store->Commit(batch, test::kLockTimeout), ErrorCode::kConflict);
  EXPECT_EQ(store->sequence(), 1u);
}

TEST(StoreMisuse, APatchThatIsTooLargeIsRefused) {
  test::StoreFixture store(1);
  ASSERT_OK(store.Open());
  ASSERT_OK(test::PutText(*store, "a", "1"));
  const std::string large(kContentBytesMax + 1, 'x');
  for (const bool is_content : {true, false}) {
    PatchInput patch;
    patch.id = "a";
    patch.set_content = patch.has_content = is_content;
    patch.set_metadata = !is_content;
    (is_content ? patch.content : patch.metadata) = large;
    Batch batch(store->hash_key());
    batch.Update(patch, false);
    EXPECT_ERROR(store->Commit(batch, test::kLockTimeout), ErrorCode::kTooLarge);
  }
  EXPECT_EQ(test::Get(*store, "a")->content.value_or(""), "1");
}

TEST(StoreMisuse, ACopysSequencesNeverGoBack) {
  test::StoreFixture store(1);
  ASSERT_OK(store.Open());
  Batch batch(store->hash_key());
  batch.first_sequence = 10;
  batch.Delete("absent", false);
  EXPECT_EQ(*store->Commit(batch, test::kLockTimeout), 10u);
  batch.first_sequence = 10;
  EXPECT_ERROR(store->Commit(batch, test::kLockTimeout), ErrorCode::kArgumentRange);
  EXPECT_EQ(store->sequence(), 10u);
}

TEST(StoreMisuse, TextThatIsKnownToBeAsciiIsNotLookedAtAgain) {
  test::StoreFixture store(1);
  ASSERT_OK(store.Open());
  Batch batch(store->hash_key());
  PutInput put;
  put.id = "a";
  put.has_content = true;
  put.content = "text";
  put.content_ascii = put.metadata_ascii = true;
  batch.Put(put, false);
  ASSERT_OK(store->Commit(batch, test::kLockTimeout));
  PatchInput patch;
  patch.id = "a";
  patch.set_metadata = true;
  patch.metadata = R"({"b":1})";
  patch.metadata_ascii = true;
  batch.Clear();
  batch.Update(patch, false);
  ASSERT_OK(store->Commit(batch, test::kLockTimeout));
  const Result<std::optional<MemoryRef>> found = store->Find("a");
  ASSERT_OK(found);
  EXPECT_TRUE((*found)->record.has(format::kContentAscii) && (*found)->record.has(format::kMetadataAscii));
}

TEST(StoreMisuse, TextBeyondAsciiIsMarkedSoWhoeverWritesIt) {
  test::StoreFixture store(1);
  ASSERT_OK(store.Open());
  const auto flags_of = [&](const char* id) {
    const Result<std::optional<MemoryRef>> found = store->Find(id);
    EXPECT_OK(found);
    return (*found)->record.header.flags & (format::kContentAscii | format::kMetadataAscii);
  };
  Memory memory;
  memory.id = "a";
  memory.content = "Gr\u00fc\u00dfe";
  memory.metadata = "{\"b\":\"\u00e4\"}";
  ASSERT_OK(test::Put(*store, memory));
  EXPECT_EQ(flags_of("a"), 0);
  memory.content = memory.metadata = "{}";
  ASSERT_OK(test::Put(*store, memory));
  EXPECT_EQ(flags_of("a"), format::kContentAscii | format::kMetadataAscii);
  PatchInput patch;
  patch.id = "a";
  patch.set_metadata = true;
  patch.metadata = "{\"b\":\"\u00f6\"}";
  Batch batch(store->hash_key());
  batch.Update(patch, false);
  ASSERT_OK(store->Commit(batch, test::kLockTimeout));
  EXPECT_EQ(flags_of("a"), int{format::kContentAscii});
  EXPECT_EQ(test::Get(*store, "a")->metadata, std::string(patch.metadata));
}

TEST(StoreMisuse, AnIdHasOneTo511Bytes) {
  test::StoreFixture store(1);
  ASSERT_OK(store.Open());
  for (const size_t bytes : {size_t{0}, kIdBytesMax + 1}) {
    const Status put = test::PutText(*store, std::string(bytes, 'i'), "text").status();
    EXPECT_ERROR(put, ErrorCode::kKeySize);
    EXPECT_EQ(put.value(), static_cast<int64_t>(bytes));
  }
  for (const size_t bytes : {size_t{1}, kIdBytesMax}) {
    ASSERT_OK(test::PutText(*store, std::string(bytes, 'i'), "text"));
    EXPECT_TRUE(test::Get(*store, std::string(bytes, 'i')).has_value());
  }
}

}  // namespace
}  // namespace thermocline::store

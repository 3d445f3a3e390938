// The index over metadata paths answers as the records do: for any condition and value, whatever was written,
// rewritten, deleted or damaged, by memory and by files; and what is not as it was written is not believed.
// All in one file, since the tests share their store and the naive answer.

#include "core/search/field_index.h"

#include <algorithm>
#include <atomic>
#include <functional>

#include "core/base/crc32c.h"
#include "core/base/limits.h"
#include "core/search/caches.h"
#include "core/search/memory_filter.h"
#include "core/search/search.h"
#include "core/store/file_names.h"
#include "test/filter_fixture.h"
#include "test/store_fixture.h"

namespace thermocline::search {
namespace {

constexpr uint32_t kDimensions = 3;
const std::atomic<bool> kGo{false};

const char* const kScalars[] = {"null", "true",   "false", "0",     "-0",     "1",     "-1",          "2.5",
                                "1e30", "-1e-30", "\"\"",  "\"a\"", "\"ab\"", "\"b\"", "\"\\ud800\"", "12345678901"};
const char* const kOthers[] = {"[]",           "[[]]", "[1]",       "[1,2]",
                               "[\"a\",null]", "{}",   "{\"b\":1}", "[{\"b\":\"a\"},{\"b\":2}]"};
const char* const kOperators[] = {"eq", "ne", "gt", "gte", "lt", "lte"};

std::string AnyScalar(Random& random) { return kScalars[random.Below(std::size(kScalars))]; }

std::string AnyValue(Random& random) {
  return random.Below(3) == 0 ? kOthers[random.Below(std::size(kOthers))] : AnyScalar(random);
}

/// Metadata with the keys a, a.b and n, or without.
std::string AnyMetadata(Random& random) {
  std::string text = "{\"first\":\"x\"";
  if (random.Below(5) > 0) text += ",\"a\":" + AnyValue(random);
  if (random.Below(4) == 0) text += ",\"a.b\":" + AnyValue(random);
  if (random.Below(5) > 0) text += ",\"n\":" + std::to_string(random.Below(50));
  return text + "}";
}

std::string AnyCondition(Random& random) {
  std::string text = "{";
  const auto add = [&](const std::string& part) { text += (text.size() > 1 ? "," : "") + part; };
  if (random.Below(3) == 0) {
    std::string list;
    for (uint64_t i = random.Below(12); i > 0; --i) list += (list.empty() ? "" : ",") + AnyScalar(random);
    add("\"in\":[" + list + "]");
  }
  for (const char* operation : kOperators) {
    if (random.Below(5) == 0) add("\"" + std::string(operation) + "\":" + AnyScalar(random));
  }
  if (random.Below(8) == 0) add(R"("prefix":"a")");
  if (random.Below(6) == 0) add(random.Below(2) == 0 ? "\"exists\":true" : "\"exists\":false");
  return text + "}";
}

TEST(ValueKey, AnswersAsTheValueDoesOrNotAtAll) {
  Random random(TestSeed());
  const HashKey hash{1, 2};
  const filter::PathTable paths({"a", "a.b"});
  uint64_t sure = 0;
  uint64_t asked = 0;
  for (uint64_t round = 0; round < 400 * TestScale(); ++round) {
    std::vector<std::string> records;
    std::vector<filter::ValueKey> columns[2];
    for (size_t i = 0; i < filter::kKeysAtOnce; ++i) {
      records.push_back(AnyMetadata(random));
      filter::ValueKey keys[2];
      filter::ReadKeys(paths, records.back(), hash, keys);
      for (size_t path = 0; path < 2; ++path) columns[path].push_back(keys[path]);
    }
    columns[0][5] = filter::kKeyUnknown;
    for (int turn = 0; turn < 10; ++turn) {
      const size_t path = random.Below(2);
      const std::string text =
          R"({"metadata":{")" + paths.text(static_cast<uint32_t>(path)) + "\":" + AnyCondition(random) + "}}";
      const filter::Filter filter = test::Compiled(text);
      const filter::Lanes lanes = filter::KeyCondition(filter.leaves()[0].condition, hash).Ask(columns[path].data());
      EXPECT_EQ(lanes.yes & lanes.no, 0u);
      for (size_t i = 0; i < records.size(); ++i) {
        bool answer = false;
        ASSERT_TRUE(filter.AskRecord("id", records[i], &answer));
        const bool yes = (lanes.yes >> i & 1) != 0;
        const bool no = (lanes.no >> i & 1) != 0;
        if ((yes && !answer) || (no && answer)) {
          test::ReportFailure(__FILE__, __LINE__, text + " of " + records[i]);
        }
        ++asked;
        sure += yes || no ? 1 : 0;
      }
    }
    EXPECT_FALSE(filter::KeyCondition(filter::Condition(), hash).Ask(columns[0].data()).yes >> 5 & 1);
  }
  // An index that never knows would be right too.
  EXPECT_GT(sure, asked / 2);
}

TEST(ValueKey, EqualityOfSingleScalarsIsSureButForStringsThatAreThere) {
  const HashKey hash{1, 2};
  const filter::PathTable paths({"a"});
  const auto ask = [&](const std::string& metadata, const std::string& condition) {
    std::vector<filter::ValueKey> keys(filter::kKeysAtOnce);
    filter::ReadKeys(paths, metadata, hash, keys.data());
    const filter::Filter filter = test::Compiled(R"({"metadata":{"a":)" + condition + "}}");
    const filter::Lanes lanes = filter::KeyCondition(filter.leaves()[0].condition, hash).Ask(keys.data());
    return (lanes.yes & 1) != 0 ? 'y' : (lanes.no & 1) != 0 ? 'n' : '?';
  };
  EXPECT_EQ(ask(R"({"a":"x"})", R"({"eq":"x"})"), '?');
  EXPECT_EQ(ask(R"({"a":"x"})", R"({"eq":"y"})"), 'n');
  EXPECT_EQ(ask(R"({"a":"x"})", R"({"in":["y",7,null]})"), 'n');
  EXPECT_EQ(ask(R"({"a":-0})", R"({"eq":0})"), 'y');
  EXPECT_EQ(ask(R"({"a":3})", R"({"gt":2,"lt":4})"), 'y');
  EXPECT_EQ(ask(R"({"a":4})", R"({"gt":2,"lt":4})"), 'n');
  EXPECT_EQ(ask(R"({"a":null})", R"({"in":[1,null]})"), 'y');
  EXPECT_EQ(ask("{}", R"({"ne":1})"), 'y');
  EXPECT_EQ(ask("{}", R"({"exists":true})"), 'n');
  EXPECT_EQ(ask(R"({"a":[]})", R"({"exists":true})"), '?');
  EXPECT_EQ(ask(R"({"a":["x","y"]})", R"({"eq":"z"})"), '?');
  EXPECT_EQ(ask(R"({"a":{"b":1}})", R"({"ne":"z"})"), '?');
  EXPECT_EQ(ask(R"({"a":)", R"({"eq":1})"), '?');
}

void ExpectAnswers(store::Store& store, Random& random, int filters) {
  for (int i = 0; i < filters; ++i) {
    const filter::Filter filter =
        test::Compiled(R"({"metadata":{"a":)" + AnyCondition(random) + R"(,"a.b":)" + AnyCondition(random) +
                       R"(},"not":{"metadata":{"n":{"lt":)" + std::to_string(random.Below(50)) + "}}}}");
    test::ExpectMarks(store, filter, 1 + random.Below(1000));
  }
}

void WriteAtRandom(store::Store& store, Random& random, int count) {
  for (int i = 0; i < count; ++i) {
    const std::string id = std::to_string(random.Below(900));
    if (random.Below(8) == 0) {
      ASSERT_OK(test::Delete(store, id));
      continue;
    }
    test::Memory memory;
    memory.id = id;
    memory.metadata = AnyMetadata(random);
    memory.embedding = test::EmbeddingOf(random.Next(), kDimensions);
    ASSERT_OK(test::Put(store, memory));
  }
}

std::vector<std::string> KeysFiles(store::Store& store) {
  Result<std::vector<std::string>> names = io::ListDirectory(store.directory());
  EXPECT_OK(names);
  std::erase_if(*names, [](const std::string& name) { return name.find(".keys") == std::string::npos; });
  std::sort(names->begin(), names->end());
  return *names;
}

TEST(FieldIndex, AnswersAsRecordsDoInMemoryAndFromFiles) {
  Random random(TestSeed());
  test::StoreFixture store(kDimensions);
  store.options.with_helper = false;
  ASSERT_OK(store.Open());
  for (int round = 0; round < 6; ++round) {
    // The store is opened now and then without the index, and with fewer paths.
    const bool indexed = round != 3;
    if (indexed) FieldIndex::Of(*store).Declare({"n", "a.b", "a"}, true);
    WriteAtRandom(*store, random, 500);
    ExpectAnswers(*store, random, 15);
    FieldIndex::Of(*store).Tend(*store, kGo);
    ExpectAnswers(*store, random, 15);
    if (round >= 1) EXPECT_FALSE(KeysFiles(*store).empty());
    if (round % 2 == 1) ASSERT_OK(store.Reopen());
  }
}

TEST(FieldIndex, FilesThatAreNotAsTheyWereWrittenAreMadeAgain) {
  Random random(TestSeed());
  test::StoreFixture store(kDimensions);
  store.options.with_helper = false;
  ASSERT_OK(store.Open());
  FieldIndex::Of(*store).Declare({"a", "a.b", "n"}, true);
  WriteAtRandom(*store, random, 1500);
  FieldIndex::Of(*store).Tend(*store, kGo);
  const std::vector<std::string> files = KeysFiles(*store);
  ASSERT_FALSE(files.empty());
  const auto bytes_of = [&](const std::string& name) {
    Result<io::File> file = io::File::Open(store->directory(), name.c_str(), io::File::Mode::kRead, FileRole::kCache);
    EXPECT_OK(file);
    std::vector<char> bytes(*file->Size());
    EXPECT_OK(file->ReadAt(0, bytes));
    return bytes;
  };
  const std::vector<char> good = bytes_of(files[0]);
  for (int turn = 0; turn < 40; ++turn) {
    {
      Result<io::File> file =
          io::File::Open(store->directory(), files[0].c_str(), io::File::Mode::kCreateNew, FileRole::kCache);
      ASSERT_OK(file);
      std::vector<char> bad = good;
      if (turn % 4 == 0) {
        bad.resize(random.Below(bad.size()));
      } else if (turn % 4 == 1) {
        std::fill(bad.begin() + static_cast<ptrdiff_t>(bad.size() / 2), bad.end(), '\0');
      } else {
        // Within the header as well, its reserved bytes included.
        bad[turn % 4 == 2 ? random.Below(sizeof(format::KeysHeader)) : random.Below(bad.size())] ^= 0x10;
      }
      ASSERT_OK(file->WriteAt(0, bad));
    }
    ASSERT_OK(store.Reopen());
    FieldIndex::Of(*store).Declare({"a", "a.b", "n"}, true);
    ExpectAnswers(*store, random, 2);
    FieldIndex::Of(*store).Tend(*store, kGo);
    EXPECT_TRUE(bytes_of(files[0]) == good);
  }
  // Of other paths: the same number of them and as many bytes.
  ASSERT_OK(store.Reopen());
  FieldIndex::Of(*store).Declare({"a", "a.b", "other"}, true);
  ExpectAnswers(*store, random, 10);
}

TEST(FieldIndex, FilesGoWithTheirSegmentsAndWithTheirNumbers) {
  Random random(TestSeed());
  test::StoreFixture store(kDimensions);
  store.options.with_helper = false;
  ASSERT_OK(store.Open());
  FieldIndex::Of(*store).Declare({"a"}, true);
  WriteAtRandom(*store, random, 1200);
  FieldIndex::Of(*store).Tend(*store, kGo);
  const std::vector<std::string> files = KeysFiles(*store);
  ASSERT_FALSE(files.empty());
  const auto leave = [&](const char* name) {
    ASSERT_OK(io::File::Open(store->directory(), name, io::File::Mode::kCreateNew, FileRole::kCache));
  };
  leave("77.keys");
  leave("1.keys.4711.new");
  ASSERT_OK(store.Reopen());
  EXPECT_TRUE(KeysFiles(*store) == files);
  // A number that a power cut let be given out again: what was made of other records must not meet these.
  const Result<store::Snapshot> snapshot = store->TakeSnapshot();
  ASSERT_OK(snapshot);
  const std::string next = std::to_string(Raw(snapshot->parts.back().segment->number()) + 1) + ".keys";
  leave(next.c_str());
  WriteAtRandom(*store, random, 4000);
  const std::vector<std::string> after = KeysFiles(*store);
  EXPECT_TRUE(std::find(after.begin(), after.end(), next) == after.end());
}

// Copies of one store have its id, its salt and its numbers, and go their own ways: a file of keys of the one that
// comes to lie in the other is of other records.
TEST(FieldIndex, FilesOfACopyThatWentAnotherWayAreNotBelieved) {
  Random random(TestSeed());
  test::StoreFixture store(kDimensions);
  store.options.with_helper = false;
  ASSERT_OK(store.Open());
  WriteAtRandom(*store, random, 50);
  store.Kill();
  const std::string original = store.directory().Join("original");
  std::filesystem::rename(store.path(), original);
  std::map<std::string, std::string> keys;
  for (int way = 0; way < 2; ++way) {
    std::filesystem::remove_all(store.path());
    std::filesystem::copy(original, store.path());
    ASSERT_OK(store.Open());
    EXPECT_TRUE(store.Recovered());
    FieldIndex::Of(*store).Declare({"a", "a.b", "n"}, way == 0);
    WriteAtRandom(*store, random, 900);
    FieldIndex::Of(*store).Tend(*store, kGo);
    for (const std::string& name : KeysFiles(*store)) keys[name] = test::ReadFileBytes(store.Join(name));
    if (way == 0) ASSERT_OK(store.Close());
  }
  ASSERT_GE(keys.size(), 2u);
  for (const auto& [name, bytes] : keys) test::WriteFileBytes(store.Join(name), bytes);
  store.Kill();
  ASSERT_OK(store.Open());
  EXPECT_FALSE(store.Recovered());
  EXPECT_EQ(KeysFiles(*store).size(), keys.size());
  FieldIndex::Of(*store).Declare({"a", "a.b", "n"}, true);
  ExpectAnswers(*store, random, 30);
  FieldIndex::Of(*store).Tend(*store, kGo);
  const std::string second = keys.rbegin()->first;
  EXPECT_FALSE(test::ReadFileBytes(store.Join(second)) == keys[second]);
  ExpectAnswers(*store, random, 10);
}

// Goal: what was deleted is in no file after a compaction, the numbers and strings that a field's keys are included.
TEST(FieldIndex, FilesOfRewrittenSegmentsGoWithThem) {
  Random random(TestSeed());
  test::StoreFixture store(kDimensions);
  store.options.with_helper = false;
  ASSERT_OK(store.Open());
  FieldIndex::Of(*store).Declare({"a"}, true);
  WriteAtRandom(*store, random, 3000);
  FieldIndex::Of(*store).Tend(*store, kGo);
  const std::vector<std::string> before = KeysFiles(*store);
  ASSERT_FALSE(before.empty());
  const std::atomic<bool> never{false};
  ASSERT_OK(store->Compact(test::kLockTimeout, never));
  const std::vector<std::string> after = KeysFiles(*store);
  for (const std::string& name : before) EXPECT_TRUE(std::find(after.begin(), after.end(), name) == after.end());
  // Their mappings go too, and the new segments have files, though nobody writes any more (R15).
  FieldIndex::Of(*store).Tend(*store, kGo);
  const std::string maps = test::ReadFileBytes("/proc/self/maps");
  for (const std::string& name : before) EXPECT_EQ(maps.find(store.Join(name)), std::string::npos);
  EXPECT_FALSE(KeysFiles(*store).empty());
  ExpectAnswers(*store, random, 15);
}

TEST(FieldIndex, FilesAreWrittenOnceAHandleComesThatMayWrite) {
  Random random(TestSeed());
  test::StoreFixture store(kDimensions);
  store.options.with_helper = false;
  ASSERT_OK(store.Open());
  FieldIndex::Of(*store).Declare({"a"}, false);
  WriteAtRandom(*store, random, 1200);
  FieldIndex::Of(*store).Tend(*store, kGo);
  EXPECT_TRUE(KeysFiles(*store).empty());
  FieldIndex::Of(*store).Declare({"a"}, true);
  FieldIndex::Of(*store).Tend(*store, kGo);
  EXPECT_FALSE(KeysFiles(*store).empty());
  ExpectAnswers(*store, random, 15);
}

TEST(FieldIndex, SearchesBesideWritersFindOnlyWhatMatchesAndAllOfIt) {
  test::StoreFixture store(kDimensions);
  ASSERT_OK(store.Open());
  FieldIndex::Of(*store).Declare({"n"}, true);
  std::atomic<int> writing{2};
  test::RunThreads(4, [&](int thread) {
    Random random(TestSeed() + static_cast<uint64_t>(thread));
    if (thread < 2) {
      WriteAtRandom(*store, random, static_cast<int>(2500 * TestScale()));
      writing.fetch_sub(1);
      return;
    }
    while (writing.load() > 0) {
      const filter::Filter filter =
          test::Compiled(R"({"metadata":{"n":{"eq":)" + std::to_string(random.Below(50)) + "}}}");
      const std::vector<float> query = test::EmbeddingOf(random.Next(), kDimensions);
      const auto hits = Search(*store, {.query = query, .limit = 20, .filter = &filter}, kGo);
      ASSERT_OK(hits);
      for (const SearchHit& hit : *hits) {
        const Result<store::MemoryRef> memory = store->ReadAt(hit.position);
        ASSERT_OK(memory);
        bool answer = false;
        ASSERT_TRUE(filter.AskRecord("", memory->record.metadata, &answer));
        EXPECT_TRUE(answer);
      }
    }
  });
  Random random(TestSeed());
  ExpectAnswers(*store, random, 10);
  test::ExpectWhole(*store);
}

TEST(FieldIndex, PathsAreReadFromAJsonArrayOfStrings) {
  const auto none = ReadPaths("");
  ASSERT_OK(none);
  EXPECT_TRUE(none->empty());
  const auto two = ReadPaths(R"(["a.b","\u00e9\n"])");
  ASSERT_OK(two);
  ASSERT_EQ(two->size(), 2u);
  EXPECT_EQ((*two)[1], "é\n");
  for (const char* text : {"{}", "[1]", "[\"a\"", "[\"a\"] x", "\"a\"", "[[\"a\"]]"}) {
    EXPECT_ERROR(ReadPaths(text), ErrorCode::kArgument);
  }
  std::string many = "[\"x\"";
  for (uint32_t i = 0; i < kIndexedPathsMax; ++i) many += ",\"x\"";
  EXPECT_ERROR(ReadPaths(many + "]"), ErrorCode::kArgumentRange);
}

// Goal: a file of keys is believed of this segment, this store and these paths alone. Method: each field of its header
// says something else, sealed as if it had been written so; the keys say that there is nothing, so that believing
// shows.
TEST(FieldIndex, FilesThatSayTheyAreOfSomethingElseAreNotBelieved) {
  constexpr int kMemories = 900;
  Random random(TestSeed());
  const std::vector<std::function<void(format::KeysHeader&)>> changes = {
      [](format::KeysHeader& header) { header.magic ^= 1; },
      [](format::KeysHeader& header) { header.layout += 1; },
      [](format::KeysHeader& header) { header.store_id.low ^= 1; },
      [](format::KeysHeader& header) { header.segment += 1; },
      [](format::KeysHeader& header) { header.slots += 1; },
      [](format::KeysHeader& header) { header.paths += 1; },
      [](format::KeysHeader& header) { header.paths_hash ^= 1; },
      [](format::KeysHeader& header) { header.columns_crc ^= 1; },
      [](format::KeysHeader& header) { header.records_crc ^= 1; },
  };
  for (const auto& change : changes) {
    test::StoreFixture store(kDimensions);
    store.options.with_helper = false;
    ASSERT_OK(store.Open());
    FieldIndex::Of(*store).Declare({"a", "a.b", "n"}, true);
    WriteAtRandom(*store, random, kMemories);
    FieldIndex::Of(*store).Tend(*store, kGo);
    const std::vector<std::string> files = KeysFiles(*store);
    ASSERT_FALSE(files.empty());
    const std::string path = store.Join(files[0]);
    std::string bytes = test::ReadFileBytes(path);
    const std::vector<filter::ValueKey> wrong((bytes.size() - sizeof(format::KeysHeader)) / sizeof(filter::ValueKey),
                                              filter::kKeyAbsent);
    std::memcpy(bytes.data() + sizeof(format::KeysHeader), wrong.data(), wrong.size() * sizeof(filter::ValueKey));
    format::KeysHeader header;
    std::memcpy(&header, bytes.data(), sizeof header);
    header.columns_crc = Crc32c(0, bytes.data() + sizeof header, bytes.size() - sizeof header);
    change(header);
    header.crc = Crc32c(0, reinterpret_cast<const char*>(&header) + 16, sizeof header - 16);
    std::memcpy(bytes.data(), &header, sizeof header);
    ASSERT_OK(store.Close());
    test::WriteFileBytes(path, bytes);
    ASSERT_OK(store.Open());
    FieldIndex::Of(*store).Declare({"a", "a.b", "n"}, true);
    test::ExpectMarks(*store, test::Compiled(R"({"metadata":{"n":{"exists":true}}})"), kMemories);
  }
}

TEST(FieldIndex, WhoMayNotWriteMakesNoFilesAndAnswersAllTheSame) {
  Random random(TestSeed());
  test::StoreFixture store(kDimensions);
  store.options.with_helper = false;
  ASSERT_OK(store.Open());
  FieldIndex::Of(*store).Declare({"a", "n"}, false);
  WriteAtRandom(*store, random, 900);
  const std::atomic<bool> stopped{true};
  FieldIndex::Of(*store).Tend(*store, stopped);
  FieldIndex::Of(*store).Tend(*store, kGo);
  EXPECT_TRUE(KeysFiles(*store).empty());
  ExpectAnswers(*store, random, 4);
  const std::atomic<bool> never{false};
  ASSERT_OK(store->Compact(test::kLockTimeout, never));
  FieldIndex::Of(*store).Tend(*store, kGo);
  EXPECT_TRUE(KeysFiles(*store).empty());
  ExpectAnswers(*store, random, 4);
}

}  // namespace
}  // namespace thermocline::search

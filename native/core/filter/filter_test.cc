// What a filter says of a memory, part by part as docs/filters.md has it; and what is no filter.

#include "core/filter/filter.h"

#include <bit>
#include <limits>
#include <string>

#include "core/base/limits.h"
#include "test/exact_copy.h"
#include "test/harness.h"

namespace thermocline::filter {
namespace {

struct Memory {
  double created_at = 1000;
  double confidence = 0.5;
  double last_access = 2000;
  std::string id = "id-1";
  std::string metadata;
};

Result<Filter> CompileCopy(const std::string& text) {
  const test::ExactCopy copy(text);
  return Filter::Compile({copy.span().data(), copy.span().size()});
}

Verdict Ask(const Filter& filter, const Memory& memory) {
  const auto created_at = std::bit_cast<uint64_t>(memory.created_at);
  const auto confidence = std::bit_cast<uint64_t>(memory.confidence);
  const Columns columns{&created_at, &confidence, &memory.last_access};
  const test::ExactCopy metadata(memory.metadata);
  const Verdict verdict = filter.Test(columns, memory.id, {metadata.span().data(), metadata.span().size()});
  const Truth truth = filter.TestColumns(columns);
  if (truth != Truth::kUnknown) EXPECT_EQ(verdict, truth == Truth::kTrue ? Verdict::kYes : Verdict::kNo);
  return verdict;
}

void ExpectVerdict(const std::string& filter_text, const Memory& memory, Verdict expected) {
  const Result<Filter> filter = CompileCopy(filter_text);
  if (!test::CheckOk(filter.ok() ? Status::Ok() : filter.status(), filter_text.c_str(), __FILE__, __LINE__)) return;
  const Verdict verdict = Ask(*filter, memory);
  if (verdict == expected) return;
  test::ReportFailure(
      __FILE__, __LINE__,
      filter_text + " of " + memory.metadata + ": " + test::Describe(verdict) + " against " + test::Describe(expected));
}

/// A Condition on the path 'a'.
std::string OnA(const std::string& condition) { return R"({"metadata":{"a":)" + condition + "}}"; }

void ExpectOfMetadata(const std::string& filter, const std::string& metadata, bool matches) {
  Memory memory;
  memory.metadata = metadata;
  ExpectVerdict(filter, memory, matches ? Verdict::kYes : Verdict::kNo);
  // The answer to `not` is the other one, always.
  ExpectVerdict("{\"not\":" + filter + "}", memory, matches ? Verdict::kNo : Verdict::kYes);
}

void Matches(const std::string& condition, const std::string& metadata) {
  ExpectOfMetadata(OnA(condition), metadata, true);
}
void MatchesNot(const std::string& condition, const std::string& metadata) {
  ExpectOfMetadata(OnA(condition), metadata, false);
}

TEST(Filter, EqualsAreOfOneKind) {
  Matches(R"({"eq":1})", R"({"a":1})");
  Matches(R"({"eq":1})", R"({"a":1.0e0})");
  Matches(R"({"eq":0})", R"({"a":-0})");
  Matches(R"({"eq":"x"})", R"({"a":"\u0078"})");
  Matches(R"({"eq":"\ud83d\ude00"})", "{\"a\":\"\xF0\x9F\x98\x80\"}");
  Matches(R"({"eq":null})", R"({"a":null})");
  Matches(R"({"eq":true})", R"({"a":true})");
  for (const char* other : {R"("1")", "true", "null", "{}", "[]", "2", "[2,\"1\"]", "{\"a\":1}"}) {
    MatchesNot(R"({"eq":1})", std::string(R"({"a":)") + other + "}");
    Matches(R"({"ne":1})", std::string(R"({"a":)") + other + "}");
  }
  MatchesNot(R"({"eq":false})", R"({"a":0})");
  MatchesNot(R"({"eq":null})", R"({"a":false})");
  MatchesNot(R"({"eq":""})", R"({"a":null})");
}

TEST(Filter, WhereThereIsNoValueOnlyNeHolds) {
  for (const char* metadata : {"", "{}", R"({"b":1})", R"({"a":[]})", R"({"a":[[],[[]]]})"}) {
    for (const char* condition : {R"({"eq":null})", R"({"in":[null,0,""]})", R"({"gt":0})", R"({"lte":null})",
                                  R"({"prefix":""})", R"({"ne":1,"gt":0})"}) {
      MatchesNot(condition, metadata);
    }
    Matches(R"({"ne":1})", metadata);
    Matches(R"({"ne":null})", metadata);
    Matches("{}", metadata);
  }
}

TEST(Filter, ExistsAsksForTheKeyWhateverItHolds) {
  for (const char* metadata : {R"({"a":null})", R"({"a":[]})", R"({"a":{}})", R"({"a":0})"}) {
    Matches(R"({"exists":true})", metadata);
    MatchesNot(R"({"exists":false})", metadata);
    Matches("{}", metadata);
  }
  for (const char* metadata : {"", R"({"b":{"a":1}})", R"({"b":"a"})", R"({"A":1})"}) {
    MatchesNot(R"({"exists":true})", metadata);
    Matches(R"({"exists":false})", metadata);
    Matches(R"({"exists":false,"ne":1})", metadata);
    MatchesNot(R"({"exists":false,"eq":1})", metadata);
    MatchesNot(R"({"exists":true,"ne":1})", metadata);
  }
  MatchesNot(R"({"exists":false,"ne":1})", R"({"a":2})");
  Matches(R"({"exists":true,"ne":1})", R"({"a":[]})");
}

TEST(Filter, OrderIsAmongValuesOfOneKind) {
  Matches(R"({"gt":1,"lt":2})", R"({"a":1.5})");
  Matches(R"({"gte":1,"lte":1})", R"({"a":1})");
  MatchesNot(R"({"gt":1})", R"({"a":1})");
  MatchesNot(R"({"lt":1})", R"({"a":1})");
  Matches(R"({"gt":"a"})", R"({"a":"b"})");
  MatchesNot(R"({"gt":"a"})", R"({"a":1})");
  MatchesNot(R"({"gte":0})", R"({"a":"1"})");
  MatchesNot(R"({"gte":0})", R"({"a":null})");
  MatchesNot(R"({"gte":0})", R"({"a":false})");
  Matches(R"({"gt":false})", R"({"a":true})");
  Matches(R"({"gte":null,"lte":null})", R"({"a":null})");
  MatchesNot(R"({"gt":null})", R"({"a":null})");
  MatchesNot(R"({"lt":5})", R"({"a":{}})");
  Matches(R"({"gt":1e308})", R"({"a":1e999})");
  Matches(R"({"lt":"\uff5e"})", R"({"a":"\ud83d\ude00"})");
}

TEST(Filter, PrefixesAreOfStrings) {
  Matches(R"({"prefix":"ab"})", R"({"a":"abc"})");
  Matches(R"({"prefix":""})", R"({"a":""})");
  MatchesNot(R"({"prefix":"ab"})", R"({"a":"a"})");
  MatchesNot(R"({"prefix":"1"})", R"({"a":12})");
  Matches(R"({"prefix":"\ud83d"})", R"({"a":"\ud83d\ude00"})");
}

TEST(Filter, InIsAnyOfAListAndNoneOfAnEmptyOne) {
  const std::string list = R"({"in":[3,"3",null,true,3,-1.5,"\u00e9",0]})";
  for (const char* value : {"3", R"("3")", "null", "true", "-1.5", R"("\u00e9")", "\"\xC3\xA9\"", "-0", "[7,3]"}) {
    Matches(list, std::string(R"({"a":)") + value + "}");
  }
  for (const char* value : {"4", R"("4")", "false", "{}", "[]", R"("")"}) {
    MatchesNot(list, std::string(R"({"a":)") + value + "}");
  }
  MatchesNot(R"({"in":[]})", R"({"a":1})");
  MatchesNot(R"({"in":[]})", "{}");
}

TEST(Filter, AnArrayMatchesIfOneOfItsElementsDoesAllThatIsAsked) {
  Matches(R"({"eq":"x"})", R"({"a":["y","x"]})");
  Matches(R"({"eq":"x"})", R"({"a":["y",["z",["x"]]]})");
  Matches(R"({"gt":3,"lt":5})", R"({"a":[1,4,10]})");
  MatchesNot(R"({"gt":3,"lt":5})", R"({"a":[1,10]})");
  ExpectOfMetadata(R"({"and":[{"metadata":{"a":{"gt":3}}},{"metadata":{"a":{"lt":5}}}]})", R"({"a":[1,10]})", true);
  Matches(R"({"ne":"x"})", R"({"a":["x","y"]})");
  MatchesNot(R"({"ne":"x"})", R"({"a":["x","x"]})");
  Matches(R"({"ne":"x"})", R"({"a":["x",{}]})");
}

TEST(Filter, APathGoesThroughObjectsAndArrays) {
  const auto on = [](const std::string& path, const std::string& condition) {
    return R"({"metadata":{")" + path + "\":" + condition + "}}";
  };
  ExpectOfMetadata(on("a.b", R"({"eq":1})"), R"({"a":{"b":1}})", true);
  ExpectOfMetadata(on("a.b", R"({"eq":1})"), R"({"b":1,"a":{"c":{"b":1}}})", false);
  ExpectOfMetadata(on("a.b.c", R"({"eq":1})"), R"({"a":{"b":{"d":0,"c":1}}})", true);
  ExpectOfMetadata(on("tags.name", R"({"eq":"x"})"), R"({"tags":[{"name":"y"},5,{"name":["x"]}]})", true);
  ExpectOfMetadata(on("tags.name", R"({"eq":"x"})"), R"({"tags":[[{"name":"x"}]]})", true);
  ExpectOfMetadata(on("tags.name", R"({"ne":"x"})"), R"({"tags":[{"name":"x"},{"other":1}]})", false);
  ExpectOfMetadata(on("tags.name", R"({"exists":false})"), R"({"tags":[{"name":[]},{"other":1}]})", false);
  ExpectOfMetadata(on("tags.name", R"({"exists":false})"), R"({"tags":[]})", true);
  ExpectOfMetadata(on("tags.0", R"({"exists":true})"), R"({"tags":["x"]})", false);
  ExpectOfMetadata(on("tags.0", R"({"eq":1})"), R"({"tags":[{"0":1}]})", true);
  ExpectOfMetadata(on("", R"({"eq":1})"), R"({"":1})", true);
  ExpectOfMetadata(on("a.", R"({"eq":1})"), R"({"a":{"":1}})", true);
  ExpectOfMetadata(on(".a", R"({"eq":1})"), R"({"":{"a":1}})", true);
  ExpectOfMetadata(on("..", R"({"eq":1})"), R"({"":{"":{"":1}}})", true);
  ExpectOfMetadata(on("__proto__.constructor", R"({"exists":true})"), R"({"a":{}})", false);
  ExpectOfMetadata(on("__proto__.b", R"({"eq":1})"), R"({"__proto__":{"b":1}})", true);
}

TEST(Filter, AKeyWithDotsIsFoundByItsOwnNameToo) {
  const std::string filter = R"({"metadata":{"a.b.c":{"eq":1}}})";
  for (const char* metadata :
       {R"({"a.b.c":1})", R"({"a.b":{"c":1}})", R"({"a":{"b.c":1}})", R"({"a":{"b":{"c":1}}})",
        R"({"a":0,"a.b":{"c":2},"a.b.c":1})", R"({"a.b.c":2,"a":{"b":{"c":[3,1]}}})", R"({"\u0061.b":{"c":1}})"}) {
    ExpectOfMetadata(filter, metadata, true);
  }
  for (const char* metadata : {R"({"a.b.c.":1})", R"({"a..b.c":1})", R"({"a.b.c":{"":1}})", R"({"a":{"b":1},"c":1})"}) {
    ExpectOfMetadata(filter, metadata, false);
  }
}

TEST(Filter, ManyPathsAreFoundInOneWalk) {
  const std::string metadata =
      R"({"a":1,"a!":2,"a.b":3,"a/":4,"ab":5,"b":{"a":6,"b":{"a":7,"c":8},"c":9},"b.b":{"a":10},"c":[{"d":11},{"d":12}]})";
  const std::pair<const char*, int> facts[] = {{"a", 1},   {"a!", 2},     {"a.b", 3},   {"a/", 4},
                                               {"ab", 5},  {"b.a", 6},    {"b.b.a", 7}, {"b.b.c", 8},
                                               {"b.c", 9}, {"b.b.a", 10}, {"c.d", 11},  {"c.d", 12}};
  std::string all;
  std::string none;
  for (const auto& [path, number] : facts) {
    const std::string part = R"({"metadata":{")" + std::string(path) + "\":{\"eq\":" + std::to_string(number) + "}}}";
    all += (all.empty() ? "" : ",") + part;
    const std::string wrong = R"({"metadata":{")" + std::string(path) + "\":{\"eq\":99}}}";
    none += (none.empty() ? "" : ",") + wrong;
    ExpectOfMetadata(R"({"or":[)" + none + "," + part + "]}", metadata, true);
  }
  ExpectOfMetadata(R"({"and":[)" + all + "]}", metadata, true);
  ExpectOfMetadata(R"({"or":[)" + none + "]}", metadata, false);
  ExpectOfMetadata(R"({"and":[)" + all + "," + R"({"metadata":{"b.b.d":{"exists":true}}})" + "]}", metadata, false);
}

TEST(Filter, PartsCombineAsLogicHasIt) {
  Memory memory;
  memory.metadata = R"({"a":1})";
  const auto expect = [&](const std::string& filter, bool matches) {
    ExpectVerdict(filter, memory, matches ? Verdict::kYes : Verdict::kNo);
    ExpectVerdict("{\"not\":" + filter + "}", memory, matches ? Verdict::kNo : Verdict::kYes);
  };
  const std::string yes = OnA(R"({"eq":1})");
  const std::string no = OnA(R"({"eq":2})");
  expect("{}", true);
  expect(R"({"and":[]})", true);
  expect(R"({"or":[]})", false);
  expect(R"({"metadata":{}})", true);
  expect(R"({"and":[)" + yes + "," + yes + "]}", true);
  expect(R"({"and":[)" + yes + "," + no + "]}", false);
  expect(R"({"or":[)" + no + "," + yes + "]}", true);
  expect(R"({"or":[)" + no + "," + no + "]}", false);
  expect(R"({"or":[)" + no + "],\"and\":[" + yes + "]}", false);
  expect(R"({"or":[)" + yes + "],\"not\":" + no + "}", true);
  expect(R"({"metadata":{"a":{"eq":1},"b":{"exists":false}},"id":{"prefix":"id"},"confidence":{"gte":0.5}})", true);
  expect(R"({"metadata":{"a":{"eq":1},"b":{"exists":true}},"id":{"prefix":"id"}})", false);
}

TEST(Filter, ColumnsAndIdAreValuesThatEveryMemoryHas) {
  const Memory memory;
  const auto expect = [&](const std::string& filter, bool matches) {
    ExpectVerdict(filter, memory, matches ? Verdict::kYes : Verdict::kNo);
  };
  expect(R"({"createdAt":{"gte":1000,"lte":1000}})", true);
  expect(R"({"createdAt":{"gt":1000}})", false);
  expect(R"({"createdAt":{"gt":"1"}})", false);
  expect(R"({"createdAt":{"in":[1,1000]}})", true);
  expect(R"({"lastAccess":{"eq":2000}})", true);
  expect(R"({"confidence":{"ne":0.5}})", false);
  expect(R"({"confidence":{"exists":true}})", true);
  expect(R"({"id":{"exists":false}})", false);
  expect(R"({"id":{"in":["id-0","id-1"]}})", true);
  expect(R"({"id":{"eq":"ID-1"}})", false);
  expect(R"({"id":{"lt":"id-2","prefix":"id-"}})", true);
}

TEST(Filter, DamagedColumnsHaveNoOrderAndEqualNothing) {
  Memory memory;
  memory.created_at = std::numeric_limits<double>::quiet_NaN();
  for (const char* condition : {R"({"lt":1})", R"({"gte":1})", R"({"eq":1})", R"({"in":[1,2,3]})"}) {
    ExpectVerdict(std::string(R"({"createdAt":)") + condition + "}", memory, Verdict::kNo);
  }
  ExpectVerdict(R"({"createdAt":{"ne":1}})", memory, Verdict::kYes);
}

TEST(Filter, MetadataIsLookedAtOnlyWhenTheRestDoesNotDecide) {
  Memory memory;
  memory.metadata = "damaged";
  ExpectVerdict(OnA("{}"), memory, Verdict::kCorrupt);
  ExpectVerdict(R"({"createdAt":{"lt":0},"metadata":{"a":{"eq":1}}})", memory, Verdict::kNo);
  ExpectVerdict(R"({"or":[{"metadata":{"a":{"eq":1}}},{"confidence":{"gt":0}}]})", memory, Verdict::kYes);
  ExpectVerdict(R"({"metadata":{"a":{"eq":1}},"id":{"eq":"other"}})", memory, Verdict::kNo);
  ExpectVerdict(R"({"metadata":{"a":{"eq":1}},"id":{"eq":"id-1"}})", memory, Verdict::kCorrupt);
}

TEST(Filter, RefusesWhatIsNoFilter) {
  for (const char* text : {"",
                           "null",
                           "[]",
                           "1",
                           "\"x\"",
                           "{",
                           "{}x",
                           "{}{}",
                           R"({"unknown":{}})",
                           R"({"Metadata":{}})",
                           R"({"and":{}})",
                           R"({"and":[1]})",
                           R"({"or":null})",
                           R"({"not":[]})",
                           R"({"metadata":[]})",
                           R"({"metadata":{"a":1}})",
                           R"({"metadata":{"a":null}})",
                           R"({"metadata":{"a":{"eq":{}}}})",
                           R"({"metadata":{"a":{"eq":[1]}}})",
                           R"({"metadata":{"a":{"in":1}}})",
                           R"({"metadata":{"a":{"in":[[1]]}}})",
                           R"({"metadata":{"a":{"exists":1}}})",
                           R"({"metadata":{"a":{"exists":null}}})",
                           R"({"metadata":{"a":{"prefix":1}}})",
                           R"({"metadata":{"a":{"like":1}}})",
                           R"({"createdAt":5})",
                           R"({"id":"x"})",
                           R"({"id":{"eq":"x"})",
                           R"({"id":{"eq":"x",}})",
                           R"({"id":{"eq":tru}})"}) {
    if (CompileCopy(text).ok()) test::ReportFailure(__FILE__, __LINE__, std::string("accepted: ") + text);
    EXPECT_ERROR(CompileCopy(text), ErrorCode::kArgument);
  }
  EXPECT_ERROR(CompileCopy(R"({"confidence":{"lt":1e999}})"), ErrorCode::kArgumentRange);
}

TEST(Filter, BoundsWhatOneFilterMayAskFor) {
  const auto repeat = [](std::string_view part, uint32_t times) {
    std::string text;
    while (times-- > 0) text += part;
    return text;
  };
  const auto nested = [&](uint32_t depth) { return repeat(R"({"and":[)", depth - 1) + "{}" + repeat("]}", depth - 1); };
  const auto many = [](uint32_t conditions) {
    std::string text = R"({"metadata":{"p0":{})";
    for (uint32_t i = 1; i < conditions; ++i) text += ",\"p" + std::to_string(i) + "\":{}";
    return text + "}}";
  };
  EXPECT_OK(CompileCopy(nested(kFilterDepthMax)));
  EXPECT_ERROR(CompileCopy(nested(kFilterDepthMax + 1)), ErrorCode::kArgumentRange);
  EXPECT_ERROR(CompileCopy(nested(100000)), ErrorCode::kArgumentRange);
  EXPECT_OK(CompileCopy(many(kFilterConditionsMax - 1)));
  EXPECT_ERROR(CompileCopy(many(kFilterConditionsMax)), ErrorCode::kArgumentRange);
  const auto empty = [&](uint32_t filters) { return R"({"or":[{})" + repeat(",{}", filters - 1) + "]}"; };
  EXPECT_OK(CompileCopy(empty(kFilterConditionsMax - 2)));
  EXPECT_ERROR(CompileCopy(empty(kFilterConditionsMax)), ErrorCode::kArgumentRange);
  std::string wide = R"({"id":{"in":["x")";
  while (wide.size() < kFilterBytesMax) wide += ",\"0123456789012345678901234567890123456789\"";
  EXPECT_ERROR(CompileCopy(wide + "]}}"), ErrorCode::kArgumentRange);
  // As deep as it may be, and a list of values at the bottom.
  std::string deepest = R"({"id":{"in":[1]}})";
  for (uint32_t level = 1; level < kFilterDepthMax; ++level) deepest = R"({"or":[)" + deepest + "]}";
  EXPECT_OK(CompileCopy(deepest));
}

TEST(Filter, ManyConditionsAndManyOperandsStayQuick) {
  std::string text = R"({"metadata":{)";
  std::string metadata = "{";
  for (int i = 0; i < 900; ++i) {
    text += (i > 0 ? ",\"" : "\"") + std::to_string(i) + "\":{\"eq\":" + std::to_string(i) + "}";
    metadata += (i > 0 ? ",\"" : "\"") + std::to_string(i) + "\":" + std::to_string(i);
  }
  text += R"(},"id":{"in":[)";
  for (int i = 0; i < 100000; ++i) text += "\"id" + std::to_string(i) + "\",";
  text += R"("id-1"]}})";
  Memory memory;
  memory.metadata = metadata + "}";
  const Result<Filter> filter = CompileCopy(text);
  ASSERT_OK(filter);
  for (int round = 0; round < 20; ++round) EXPECT_EQ(Ask(*filter, memory), Verdict::kYes);
}

}  // namespace
}  // namespace thermocline::filter

// Only names that a store gives its files are a store's; a number is read as it was written or not at all.

#include "core/store/file_names.h"

#include "core/base/status.h"
#include "test/harness.h"

namespace thermocline::store {
namespace {

TEST(FileNames, OfSegmentsAreReadBackAndNothingElseIs) {
  EXPECT_EQ(SegmentOfFileName("1.log"), 1u);
  EXPECT_EQ(SegmentOfFileName("4294967295.blocks"), UINT32_MAX);
  EXPECT_EQ(SegmentOfFileName("7.keys"), 7u);
  EXPECT_EQ(SegmentOfFileName("7.keys.4711.new"), 7u);
  for (const char* name : {"", "log", ".log", "01.log", "0.log", "4294967296.log", "99999999999.log", "1", "12345",
                           "1.txt", "1.log.old", "x1.log", "1x.log", "/1.log", ":1.log"}) {
    EXPECT_EQ(SegmentOfFileName(name), 0u);
    EXPECT_FALSE(IsStoreFileName(name));
  }
  for (const char* name : {"meta", "meta.new", "meta.rewritten", "lock", "cache", "3.log"}) {
    EXPECT_TRUE(IsStoreFileName(name));
  }
}

TEST(FileNames, APathIsItsParentAndItsName) {
  const auto expect = [](const char* path, const char* parent, const char* name) {
    const PathParts parts = SplitPath(path);
    EXPECT_EQ(parts.parent, parent);
    EXPECT_EQ(parts.name, name);
  };
  expect("name", ".", "name");
  expect("name//", ".", "name");
  expect("a/b", "a/", "b");
  expect("/a/b/", "/a/", "b");
}

TEST(FileNames, ErrorsNameEveryRoleOfAFile) {
  EXPECT_EQ(std::string(FileRoleName(FileRole::kNone)), "");
  EXPECT_EQ(std::string(FileRoleName(FileRole::kDirectory)), "directory");
  EXPECT_EQ(std::string(FileRoleName(FileRole::kMeta)), "meta");
  EXPECT_EQ(std::string(FileRoleName(FileRole::kLog)), "log");
  EXPECT_EQ(std::string(FileRoleName(FileRole::kBlocks)), "blocks");
  EXPECT_EQ(std::string(FileRoleName(FileRole::kCache)), "cache");
  EXPECT_EQ(std::string(FileRoleName(FileRole::kLock)), "lock");
}

}  // namespace
}  // namespace thermocline::store

// Directories of hard links to a store's files (cp -al, rsync --link-dest): no two of them write the same file.

#include <filesystem>

#include "test/store_fixture.h"

namespace thermocline::store {
namespace {

using test::Memory;

Memory MemoryOf(int number) {
  Memory memory;
  memory.id = std::to_string(number);
  memory.embedding = {static_cast<float>(number), 1};
  return memory;
}

/// A closed store of a few segments and a directory beside it with the same files under second names.
class Linked {
 public:
  Linked() : store_(2), path_(store_.directory().Join("linked")) {
    EXPECT_OK(store_.Open());
    for (int i = 0; i < 600; ++i) EXPECT_OK(test::Put(*store_, MemoryOf(i)));
    EXPECT_OK(store_.Close());
  }

  test::StoreFixture& store() { return store_; }
  std::filesystem::path PathOf(const std::string& name) const { return path_ / name; }
  Result<std::shared_ptr<Store>> OpenLinked() const { return Store::Open(path_, store_.options); }

  /// All files but those that `is_copied` names.
  template <typename Predicate>
  void Link(Predicate is_copied) {
    std::filesystem::create_directory(path_);
    std::filesystem::permissions(path_, std::filesystem::perms::owner_all);
    for (const auto& entry : std::filesystem::directory_iterator(store_.path())) {
      const std::filesystem::path name = entry.path().filename();
      if (is_copied(name.string())) {
        std::filesystem::copy_file(entry.path(), path_ / name);
      } else {
        std::filesystem::create_hard_link(entry.path(), path_ / name);
      }
    }
  }
  void LinkAll() {
    Link([](const std::string&) { return false; });
  }

 private:
  test::StoreFixture store_;
  std::filesystem::path path_;
};

/// By Status, because a test says which file it was.
FileRole RefusedFor(const Result<std::shared_ptr<Store>>& opened) {
  EXPECT_ERROR(opened, ErrorCode::kNotAStore);
  return opened.ok() ? FileRole::kNone : opened.status().role();
}

TEST(HardLinks, ADirectoryOfThemIsRefusedAndTheStoreGoesOn) {
  Linked linked;
  linked.LinkAll();
  for (const bool is_open : {false, true}) {
    if (is_open) ASSERT_OK(linked.store().Open());
    EXPECT_EQ(RefusedFor(linked.OpenLinked()), FileRole::kLock);
    if (!is_open) continue;
    EXPECT_EQ(linked.store()->size(), 600u);
    EXPECT_FALSE(linked.store().Recovered());
    ASSERT_OK(test::Put(*linked.store(), MemoryOf(1000)));
    // A second participant of the right directory.
    const Result<std::shared_ptr<Store>> other = Store::Open(linked.store().path(), linked.store().options);
    ASSERT_OK(other);
    EXPECT_EQ((*other)->size(), 601u);
    EXPECT_OK((*other)->Close());
    test::ExpectWhole(*linked.store());
  }
}

TEST(HardLinks, WhatIsLeftWhenTheStoreIsRemovedIsAStore) {
  Linked linked;
  linked.LinkAll();
  std::filesystem::remove_all(linked.store().path());
  const Result<std::shared_ptr<Store>> opened = linked.OpenLinked();
  ASSERT_OK(opened);
  EXPECT_EQ((*opened)->size(), 600u);
  ASSERT_OK(test::Put(**opened, MemoryOf(1000)));
  test::ExpectWhole(**opened);
  EXPECT_OK((*opened)->Close());
}

TEST(HardLinks, ACopyWithSomeOfThemIsRefused) {
  using Case = std::pair<const char*, FileRole>;
  for (const auto& [suffix, role] :
       {Case{".log", FileRole::kLog}, Case{".blocks", FileRole::kBlocks}, Case{"cache", FileRole::kCache}}) {
    Linked linked;
    linked.Link([&suffix = suffix](const std::string& name) { return !name.ends_with(suffix); });
    EXPECT_EQ(RefusedFor(linked.OpenLinked()), role);
    // Nor without a lock file that says whose they are: a package manager's links.
    std::filesystem::remove(linked.PathOf("lock"));
    EXPECT_EQ(RefusedFor(linked.OpenLinked()), role);
    ASSERT_OK(linked.store().Open());
    EXPECT_FALSE(linked.store().Recovered());
  }
}

TEST(HardLinks, ACopyIsAStoreOfItsOwn) {
  Linked linked;
  linked.Link([](const std::string&) { return true; });
  ASSERT_OK(linked.store().Open());
  const Result<std::shared_ptr<Store>> opened = linked.OpenLinked();
  ASSERT_OK(opened);
  ASSERT_OK(test::Put(**opened, MemoryOf(1000)));
  EXPECT_EQ(linked.store()->size(), 600u);
  EXPECT_EQ((*opened)->size(), 601u);
  EXPECT_OK((*opened)->Close());
}

}  // namespace
}  // namespace thermocline::store

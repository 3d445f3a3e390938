// A store full of history, made once and copied for every run of a sweep: several segments with replaced and deleted
// memories, images in its logs, an index that is too large; left as a killed process leaves it.
//
// Not here: what is done to it, and what goes wrong meanwhile (operations_sweep_test.cc, disturbance_sweep_test.cc).
#pragma once

#include <algorithm>
#include <filesystem>

#include "test/fast_directory.h"
#include "test/store_fixture.h"

namespace thermocline::power {

using store::Durability;
using store::Store;
using test::FastDirectory;
using test::Memory;

inline constexpr uint32_t kDimensions = 8;
inline constexpr int kMemories = 800;  // more than the first two segments hold
inline const std::atomic<bool> kNever{false};

using Model = std::map<std::string, Memory>;

inline store::OpenOptions Options(Durability durability = Durability::kFlush) {
  store::OpenOptions options;
  options.dimensions = kDimensions;
  options.durability = durability;
  options.lock_timeout_us = test::kLockTimeout;
  options.with_helper = false;
  return options;
}

inline Memory MemoryOf(int number, int version) {
  Memory memory;
  memory.id = "m" + std::to_string(number);
  memory.embedding = test::EmbeddingOf(static_cast<uint64_t>(number * 7 + version), kDimensions);
  memory.content = "version " + std::to_string(version);
  memory.metadata = "{\"group\":" + std::to_string(number % 5) + "}";
  memory.created_at = memory.last_access = version + 1;
  return memory;
}

inline void PutSome(Store& store, int from, int to, int version) {
  for (int begin = from; begin < to; begin += 50) {
    std::vector<Memory> memories;
    for (int i = begin; i < std::min(begin + 50, to); ++i) memories.push_back(MemoryOf(i, version));
    store::Batch batch(store.hash_key());
    for (const Memory& memory : memories) batch.Put(test::PutInputOf(memory), false);
    EXPECT_OK(store.Commit(batch, test::kLockTimeout));
  }
}

inline Model ModelOf(Store& store) {
  Model model;
  for (int i = 0; i < kMemories; ++i) {
    const std::string id = "m" + std::to_string(i);
    if (const std::optional<Memory> memory = test::Get(store, id)) model[id] = *memory;
  }
  return model;
}

/// Made once, copied for every run.
class Template {
 public:
  explicit Template(Durability durability) {
    Result<std::shared_ptr<Store>> opened = Store::Open(path(), Options(durability));
    EXPECT_OK(opened);
    if (!opened.ok()) return;
    Store& store = **opened;
    PutSome(store, 0, kMemories, 0);
    EXPECT_OK(store.GrowIndex(20000));
    for (int i = 0; i < 400; ++i) {
      if (i % 3 != 0) EXPECT_OK(test::Delete(store, "m" + std::to_string(i)));
    }
    PutSome(store, 500, 520, 1);
    if (durability != Durability::kNone) EXPECT_OK(store.Flush(test::kLockTimeout, store::FlushScope::kBlocks));
    PutSome(store, 520, 540, 2);
    if (durability != Durability::kNone) EXPECT_OK(store.Flush(test::kLockTimeout));
    model = ModelOf(store);
    EXPECT_GT(store.TakeSnapshot()->parts.size(), 2u);
    // Left as a killed process does.
  }
  std::string path() const { return root_.Join("template"); }

  Model model;

 private:
  const FastDirectory root_;
};

/// A copy of the template, and who has it open.
class Scene {
 public:
  Scene(const Template& made, Durability durability) : model_(made.model), durability_(durability) {
    std::filesystem::copy(made.path(), path());
  }

  std::string path() const { return root_.Join("store"); }
  std::string Beside(const char* name) const { return root_.Join(name); }
  Status Open() {
    if (store != nullptr) return Status::Ok();
    Result<std::shared_ptr<Store>> opened = Store::Open(path(), Options(durability_));
    if (!opened.ok()) return opened.status();
    store = *opened;
    return Status::Ok();
  }
  Status Close() {
    if (other != nullptr) THERMOCLINE_RETURN_IF_ERROR(std::exchange(other, nullptr)->Close());
    return store == nullptr ? Status::Ok() : std::exchange(store, nullptr)->Close();
  }
  /// The next boot, of which the kernel has forgotten what failed.
  void Cut() {
    store.reset();
    other.reset();
    boot_ = std::make_unique<test::OtherBoot>("after a failed sync");
  }
  void ExpectModel(Store& of) const {
    EXPECT_EQ(of.size(), uint64_t{model_.size()});
    for (const auto& [id, memory] : model_) {
      const std::optional<Memory> found = test::Get(of, id);
      ASSERT_TRUE(found.has_value());
      EXPECT_EQ(*found, memory);
    }
  }
  Model& model() { return model_; }
  /// Nothing but the store and `allowed` lies in the directory around it.
  bool IsTidy(const std::string& allowed) const {
    for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path(path()).parent_path())) {
      const std::string name = entry.path().filename();
      if (name != "store" && name != allowed) return false;
    }
    return true;
  }

  std::shared_ptr<Store> store;
  std::shared_ptr<Store> other;  // another participant

 private:
  const FastDirectory root_;
  Model model_;
  const Durability durability_;
  std::unique_ptr<test::OtherBoot> boot_;
};

}  // namespace thermocline::power

// Stands in for native/core/store/store.h: what the functions that the models cut out of the sources need of a Store.
// One object is one process with one thread; all share a World.
#pragma once

#include "core/base/crc32c.h"
#include "core/base/hash.h"
#include "core/base/limits.h"
#include "core/base/planted.h"
#include "core/format/image.h"
#include "core/format/meta.h"
#include "core/io/file.h"
#include "core/store/batch.h"
#include "core/store/claim.h"
#include "core/store/memory_index.h"
#include "core/store/participant.h"
#include "core/store/segment.h"
#include "kernel.h"

namespace thermocline::store {

/// What is mapped, and the list's file.
struct World {
  static constexpr uint64_t kCells = 4;

  World() {
    boot.index = IndexWord::Make(format::kIndexOffset, 2, 1).raw;
    boot.list_generation = 1;
    boot.claim = MakeClaim(1, 0);
    for (uint64_t segment = 1; segment <= 2; ++segment) {
      boot.log_ready[segment % format::kSpaceWords] = segment << 32 | Segment::kLogBytes / 8;
      boot.slots_ready[segment % format::kSpaceWords] = segment << 32 | Segment::kSlots;
    }
  }

  format::BootWords boot{};
  format::SessionWords session{};
  format::ParticipantLine lines[5] = {};
  format::IndexCell cells[2][kCells] = {};
  std::shared_ptr<Segment> segments[2] = {std::make_shared<Segment>(1), std::make_shared<Segment>(2)};
  uint64_t listed = 1;  // segments that the list's file names
};

struct MemoryRef {
  Segment* segment = nullptr;
  uint64_t log_offset = 0;
  format::RecordView record{};
};

struct Snapshot;
enum class Fetch { kNothing, kRecord, kMemory };
enum class FlushScope { kLog, kBlocks };

class Store : public IdMatcher {
 public:
  Store(World& world, uint32_t number) : world_(world), self_{number, 1} {
    world.lines[number].incarnation = 1;
    write_lock_.emplace(world.session.write_lock, lock_file_, world.lines, self_);
    growth_lock_.emplace(world.session.growth_lock, lock_file_, world.lines, self_);
    flush_lock_.emplace(world.session.flush_lock, lock_file_, world.lines, self_);
    space_lock_.emplace(world.session.space_lock, lock_file_, world.lines, self_);
  }

  struct ClaimedSlots {
    Segment* segment;
    uint32_t first;
  };
  struct Plan;
  class WriteGuard;
  class LookUp;
  enum class Filling { kByMapping, kByFile };
  class Turn {
   public:
    explicit Turn(Store&) {}
    Status Take(uint64_t) { return Status::Ok(); }
    bool taken() const { return false; }
  };
  class CacheFile {
   public:
    Result<uint64_t> Size() const { return format::kIndexOffset * 3; }
    Status Allocate(uint64_t, uint64_t) const { return Status::Ok(); }
    Status PunchHole(uint64_t offset, uint64_t) const {
      for (format::IndexCell& cell : world->cells[(offset / format::kIndexOffset) % 2 == 1 ? 0 : 1]) {
        Kernel::Empties(cell.hash);
        Kernel::Empties(cell.position);
      }
      return Status::Ok();
    }
    World* world;
  };
  struct CacheMap {
    uint64_t length() const { return format::kIndexOffset * 4; }
    void Populate(uint64_t, uint64_t) const {}
  };

  /// Of a follower whose waiters have all been called: it stops.
  struct WaiterWake {
    template <typename Guard, typename Predicate>
    void wait(Guard&, Predicate) const {
      if (store->waiters_.empty()) store->waiter_stop_.store(true);
    }
    Store* store;
  };

#pragma cut core/store/store.h static bool HasBlock(const MemoryRef& memory)
#pragma cut core/store/store.h static bool OwnsBlock(const MemoryRef& memory) {
#pragma cut core/store/store.h static Status Gone(SegmentNumber segment)
#pragma cut core/store/store.h static bool IsGone(const Status& status) {
#pragma cut core/store/store.h Sequence sequence() const
#pragma cut core/store/store.h IndexTable Table() const
  /// A generation of four cells at one of two places.
  IndexTable TableOf(IndexWord word) const {
    return IndexTable(world_.cells[word.offset() / format::kIndexOffset - 1], World::kCells);
  }
  IndexWord NextGeneration(IndexWord old, uint64_t) const {
    const bool is_first = old.offset() == format::kIndexOffset;
    return IndexWord::Make(format::kIndexOffset * (is_first ? 2 : 1), 2, old.generation() + 1);
  }
  Result<Segment*> GetSegment(SegmentNumber number) {
    if (Raw(number) - 1 >= 2) return ErrorCode::kCorrupt;
    return world_.segments[Raw(number) - 1].get();
  }

  bool Matches(Position position, std::string_view id) const override;
  Result<MemoryRef> ReadAt(Position position);
  Status CheckRecord(const MemoryRef& memory) const;
  Position PositionInIndex(uint64_t hash, std::string_view id, const IdMatcher& matcher) const;
  Result<std::optional<MemoryRef>> Find(std::string_view id, Fetch fetch = Fetch::kMemory);
  Result<std::optional<MemoryRef>> FindOnce(uint64_t hash, std::string_view id, const LookUp& look_up);
  Result<Snapshot> TakeSnapshot();

  Result<Sequence> Commit(Batch& batch, uint64_t timeout_us);
  Status PrepareOperations(Batch& batch, const ClaimedSlots& claimed, bool by_file);
  void FillBlock(Segment& segment, const Operation& operation, bool with_embedding) const;
  Status PlanFrame(Batch& batch, Plan& plan);
  Status PlanOperation(Batch& batch, Operation& operation, Plan& plan);
  format::FrameHeader NextFrameHeader(format::FrameKind kind) const;
  Status CommitFrame(Segment& segment, uint64_t offset, format::FrameHeader& header);
  static uint64_t WriteImage(const Segment& segment, Slot slot, bool has_embedding, char* out);
  Status WriteFrame(Batch& batch, Plan& plan);
  void ApplyPlanned(Batch& batch, const Plan& plan);
  Status ApplyFrame(Segment& segment, Position position, const format::FrameHeader& header);
  Status LockWrite(uint64_t timeout_us);
  Status Repair();
  Status RepairUpTo(Position at, uint64_t end);
  void WakeFollowers();
  Result<ClaimedSlots> Claim(uint32_t count, uint64_t log_bytes_min, Filling filling, uint64_t timeout_us);
  Status Rotate(uint32_t from_segment, uint32_t slots_min, uint64_t log_bytes_min, uint64_t timeout_us,
                ClaimedSlots* claimed = nullptr);
  Status GrowIndexLocked(uint64_t entries_min, uint64_t timeout_us);
  Result<size_t> CatchUpIndex(const IndexTable& to, Position* caught_up, uint64_t* used);
  bool IsDurable(Sequence wanted) const;
  Status FlushUpTo(Sequence wanted, uint64_t timeout_us, FlushScope scope);
  Status LeadFlush(FlushScope scope, uint64_t timeout_us);
  uint64_t ReadyLogBytes(SegmentNumber segment) const;
  std::shared_ptr<const format::Meta> List();
  Result<std::shared_ptr<const format::Meta>> CurrentList();
  Result<std::shared_ptr<const format::Meta>> ReloadList();
  Result<std::shared_ptr<const format::Meta>> NewestList() { return ReadMeta(); }
  void PublishList(format::Meta meta);
  /// The list's file: whoever reads what was renamed in sees what came before the rename.
  Result<std::shared_ptr<const format::Meta>> ReadMeta() const {
    return ListOf(modelled::Cell<uint64_t>(world_.listed).Load(std::memory_order_acquire, modelled::Place::Here()));
  }
  Result<uint32_t> CreateNextSegment(uint32_t, uint64_t) {
    modelled::Cell<uint64_t>(world_.listed).Store(2, std::memory_order_release, modelled::Place::Here());
    PublishList(*ListOf(2));
    return 2u;
  }
  static std::shared_ptr<const format::Meta> ListOf(uint64_t segments) {
    auto list = std::make_shared<format::Meta>();
    list->list_generation = segments;
    for (uint64_t number = 1; number <= segments; ++number) {
      list->segments.push_back({static_cast<uint32_t>(number), Segment::kSlots});
    }
    return list;
  }
  Status LockGrowth(uint64_t timeout_us);
  Status LockSpace(uint64_t timeout_us);

  // What no model has: room is there, files are whole, nobody waits.
  Status CheckPoison() const { return Status::Ok(); }
  Status CheckFiles() const { return Status::Ok(); }
  Status SessionWritable(uint64_t) const { return Status::Ok(); }
  Status CheckOperation(const Operation&) const { return Status::Ok(); }
  Status FinishDeadRewriting() { return Status::Ok(); }
  Status ReleaseIfLost(SharedLock&) const { return Status::Ok(); }
  Result<bool> BackClaimed(const ClaimedSlots&, uint32_t, Filling, uint64_t) { return true; }
  Status BackSlotsUpTo(Segment&, uint32_t, bool) { return Status::Ok(); }
  Status BackLogUpTo(Segment&, uint64_t, bool) { return Status::Ok(); }
  Status EnsureLog(Segment&, uint64_t, uint64_t) { return Status::Error(ErrorCode::kFull); }
  Status EnsureIndex(uint64_t, uint64_t) { return Status::Error(ErrorCode::kFull); }
  Status CopyEmbedding(Operation&, Segment&, const MemoryRef&, bool) { return Status::Error(ErrorCode::kNotSupported); }
  void WriteSketch(Segment&, Slot, const float*) const {}
  uint64_t LogBytesReserved(uint32_t) const { return 0; }
  bool LogIsDue(const Segment&, uint64_t) const { return false; }
  bool HasTurn() const { return false; }
  bool StructureIsDue() const { return false; }
  void WakeHelper() {}
  uint64_t HashOf(std::string_view id) const { return SipHash13(hash_key_, id.data(), id.size()); }

  World& world_;
  Participant self_;
  io::File lock_file_;
  CacheFile cache_file_{&world_};
  CacheMap cache_map_;
  struct Table_ {
    Segment* Get(SegmentNumber number) const { return world->segments[Raw(number) - 1].get(); }
    World* world;
  } table_{&world_};
  format::BootWords* boot_ = &world_.boot;
  format::SessionWords* session_ = &world_.session;
  const format::ParticipantLine* lines_ = world_.lines;
  std::optional<SharedLock> write_lock_, growth_lock_, flush_lock_, space_lock_;
  uint32_t dimensions_ = 16;
  format::Salt salt_{};
  HashKey hash_key_{};
  std::atomic<uint64_t> frame_bytes_{0};
  std::mutex list_mutex_;
  std::shared_ptr<const format::Meta> list_ = ListOf(1);
  std::atomic<uint32_t> newest_listed_{1};

  struct Waiter {
    Sequence sequence;
    std::function<void()> callback;
  };
  void RunWaiter();
  std::mutex waiter_mutex_;
  WaiterWake waiter_wake_{this};
  std::vector<Waiter> waiters_;
  std::atomic<bool> waiter_stop_{false};
};

}  // namespace thermocline::store

// A store: one directory, mapped once per process and shared by all its threads.
//
// The protocol is argued in docs/architecture.md and design rules R1-R17. In one paragraph: a writer claims slots by
// fetch_add, fills their blocks without a lock, then under the write lock appends one frame to the log, moves `tail`
// (the commit), applies the frame to index and columns, and moves `applied` (which makes it visible). A reader takes
// no lock: it reads what the index names and steps back along `previous` while a record is above `applied`.
//
// The class is declared in one file, because all of it works on the same words; it is split over several, one per
// subject: open.cc (life), meta_file.cc (the segment list), space.cc (claims, segments, helper thread),
// index_growth.cc, turn.cc (who may close the open segment), commit.cc (writing), read.cc (reading), recovery.cc
// (rebuilding the cache), mapped_segments.cc (which segments are mapped here), flush_group.cc (who syncs),
// durability.cc (what is synced, clean close), compact.cc and rewriting.cc (giving space back), verify.cc.
//
// Thread rule: every public member may be called from any thread unless it says otherwise.
// Lock order (R17): gate, compact, flush, turn, growth, space, write; the mutexes of this process are leaves.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/ids.h"
#include "core/base/status.h"
#include "core/format/frame.h"
#include "core/format/meta.h"
#include "core/io/file.h"
#include "core/io/mapping.h"
#include "core/io/system.h"
#include "core/io/thread.h"
#include "core/store/batch.h"
#include "core/store/memory_index.h"
#include "core/store/participant.h"
#include "core/store/pins.h"
#include "core/store/segment_table.h"
#include "core/store/snapshot.h"

namespace thermocline::store {

enum class Durability : uint8_t { kNone = 0, kFlush = 1, kCommit = 2 };

/// kLog: a sync of the log, with images of the blocks when they are few. kBlocks: the blocks files are synced as well,
/// which moves the checkpoint to the end of the log.
enum class FlushScope : uint8_t { kLog, kBlocks };

/// When the helper compacts by itself.
struct AutoCompact {
  double dead_share = 0.5;                  // of the bytes that hold something: what does not live
  uint64_t dead_bytes = 256 * 1024 * 1024;  // and at least so many
};

struct OpenOptions {
  uint32_t dimensions = 0;  // 0: not given
  std::optional<format::Metric> metric;
  Durability durability = Durability::kFlush;
  bool create = true;
  bool read_only = false;
  uint64_t expected_records = 0;
  uint64_t lock_timeout_us = 5000000;
  bool allow_network_file_system = false;
  std::optional<AutoCompact> auto_compact = AutoCompact{};  // nullopt: never
  bool with_helper = true;  // false, for tests that must run the same twice: nobody makes space ahead but the caller
};

/// Where a memory's newest visible record is.
struct MemoryRef {
  Segment* segment = nullptr;
  uint64_t log_offset = 0;
  format::RecordView record{};
};

/// Between two moments that are equal nothing was committed and no segment replaced.
struct Moment {
  Sequence applied = 0;
  uint64_t list_generation = 0;
  bool operator==(const Moment& other) const {
    return applied == other.applied && list_generation == other.list_generation;
  }
};

struct StoreStats {
  uint64_t memories = 0, sequence = 0, durable_sequence = 0, epoch = 0, participants = 0, segments = 0;
  uint64_t bytes_total = 0, bytes_blocks = 0, bytes_log = 0, bytes_index = 0, bytes_dead = 0, bytes_reserved = 0;
  uint64_t batches = 0;
  double open_ms = 0;
  bool recovered = false;
};

struct CopyResult {
  uint64_t memories = 0;
  Sequence sequence = 0;
};

struct CompactResult {
  uint64_t bytes_before = 0, bytes_after = 0;
  uint64_t moved = 0;            // memories and deletions copied
  uint64_t segments = 0;         // rewritten
  uint64_t longest_hold_us = 0;  // the write lock, for it, at one time
};

/// What a compaction is for. As it stands: all that is dead goes, also from the open segment.
struct CompactPolicy {
  bool seals_open_segment = true;
  double dead_share = 0;          // a segment is rewritten when more of it than this is dead
  std::function<void()> between;  // called between two frames of a copy, when not empty
};

struct Problem {
  ErrorCode code = ErrorCode::kCorrupt;
  std::string file;
  uint64_t offset = 0;
  std::string id;
};

struct VerifyReport {
  uint64_t memories = 0;
  std::vector<Problem> problems;
};

struct LogRecord {
  Sequence sequence = 0;
  format::RecordKind kind{};
  std::string id;
  Position position;
  uint32_t length = 0;
};

/// Numbers that a reader of the memory index may want.
struct IndexInfo {
  uint64_t cells, used;
  uint32_t generation;
};

/// What a layer above keeps for a store, for as long as that is open in this process.
class Companion {
 public:
  virtual ~Companion() = default;
  /// Work that nobody waits for: the helper calls it now and then, without a pin, and wants it back when `stop` is
  /// true.
  virtual void Tend(class Store& store, const std::atomic<bool>& stop) = 0;
};

class Store final : private IdMatcher {
 public:
  /// Opens or creates; within one process one directory is one Store (registry.h decides that).
  static Result<std::shared_ptr<Store>> Open(const std::string& path, const OpenOptions& options);
  /// The last handle of this process goes: flushes and leaves. Nobody else may be inside. Idempotent.
  Status Close();
  ~Store() override;
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  /// True in a child that was forked after the store was opened: mappings and locks are the parent's (R14).
  bool forked() const { return fork_generation_ != io::ForkGeneration(); }

  /// kDimension or kMismatch when the options ask for another store than this one.
  Status CheckOpenOptions(const OpenOptions& options) const;
  /// A handle that asks for more durability than those before it.
  void RaiseDurability(Durability durability);
  /// A handle that may write: without one nothing is compacted in this process.
  void AllowWriting() { has_writer_.store(true); }

  /// kCorrupt or kIo once a file of the store turned out to be cut short, or unreadable, under its mapping: what was
  /// read of it is not what was written, and what is written to it reaches nobody. For good: only closing the store
  /// and opening it again helps. Whoever hands out what it read asks this last. Cost: one load.
  Status CheckFiles() const { return loss_->any() ? FilesAreLost() : Status::Ok(); }

  Result<io::FileIdentity> DirectoryIdentity() const { return directory_.Identity(); }

  uint32_t dimensions() const { return dimensions_; }
  format::Metric metric() const { return metric_; }
  HashKey hash_key() const { return hash_key_; }
  const format::Salt& salt() const { return salt_; }
  const format::StoreId& store_id() const { return store_id_; }
  /// For files that the layers above keep beside the segments (file_names.h).
  const io::File& directory() const { return directory_; }
  const kernels::SketchCoder& sketch_coder() const { return *sketch_coder_; }
  /// This process's number among those that have the store open: nobody else has it at the same time.
  uint32_t participant() const { return self_.number; }

  // Reading (read.cc). No locks. A MemoryRef is good for as long as the Pin stands that the caller held before it
  // asked.
  /// What the caller of a look-up goes on to read: its lines are asked for while the look-up still waits for others.
  enum class Fetch { kNothing, kNumbers, kMemory };
  /// nullopt: absent. kCorrupt when what the index names is no record.
  Result<std::optional<MemoryRef>> Find(std::string_view id, Fetch fetch = Fetch::kNothing);
  /// The record at a place that a snapshot or a look-up gave. kCorrupt otherwise.
  Result<MemoryRef> ReadAt(Position position);
  /// kCorrupt unless the record's checksum holds. A look-up reads no more than ids and headers, so whoever uses the
  /// rest of a record asks this first. Cost: one pass over the record.
  Status CheckRecord(const MemoryRef& memory) const;
  /// What the index names for an id: its newest record, a deletion perhaps, or one that is not visible yet. Or none.
  Position PositionInIndex(std::string_view id) const { return PositionInIndex(HashOf(id), id, *this); }
  /// Block numbers of a record are trusted by nobody before one of these: whether its slot is there,
  static bool HasBlock(const MemoryRef& memory) { return memory.segment->Covers(memory.record.slot()); }
  /// and whether the slot says that it is this record's, so that a damaged number leads to no other memory's block.
  static bool OwnsBlock(const MemoryRef& memory) {
    return HasBlock(memory) && LoadRelaxed(memory.segment->record(memory.record.slot())) == memory.log_offset;
  }
  /// What a look-up says when the segment left the list, or where it led was rewritten meanwhile: look again (R15).
  static Status Gone(SegmentNumber segment) { return Status::Corrupt(FileRole::kMeta, Raw(segment), 0); }
  static bool IsGone(const Status& status) {
    return status.code() == ErrorCode::kCorrupt && status.role() == FileRole::kMeta && status.segment() != 0;
  }
  /// The mapped segment, kept by the caller beyond the store's life: its private mapping serves views.
  Result<std::shared_ptr<Segment>> ShareSegment(SegmentNumber number);
  Result<bool> Touch(std::string_view id, std::optional<double> activation, double now);
  /// What look-ups depend on, as it is now. Loaded before a look-up and equal after it, whatever it found is the newest
  /// still, and lies where it lay: nothing was committed, and no list published. Cost: two loads.
  Moment Now() const { return {LoadAcquire(boot_->applied), LoadAcquire(boot_->list_generation)}; }
  /// The statistics of a slot that a look-up of this very moment found; nullptr when another moment is now.
  const format::Statistics* StatisticsAt(const Moment& moment, SegmentNumber segment, Slot slot);
  Result<Snapshot> TakeSnapshot();
  Sequence sequence() const { return LoadAcquire(boot_->applied); }
  uint64_t size() const { return LoadAcquire(boot_->size); }
  Result<StoreStats> Stats();
  /// Records with sequence > since, at most `max`.
  Result<std::vector<LogRecord>> Changes(Sequence since, size_t max);
  IndexInfo Index() const;
  Position LogTail() const { return Position(LoadAcquire(boot_->tail)); }

  // Writing (commit.cc). The batch keeps its operations; the caller clears it.
  /// Commits all operations as one frame, or nothing. Returns the last sequence, the store's when nothing took effect.
  Result<Sequence> Commit(Batch& batch, uint64_t lock_timeout_us);

  // Durability (flush_group.cc).
  /// Durable when it returns: everything committed before the call. kBusy when others' flushes or the lock last longer
  /// than the time-out; kPoisoned and kIo, kFull: after a failed sync (R8). kBlocks leaves nothing to images.
  Status Flush(uint64_t lock_timeout_us, FlushScope scope = FlushScope::kLog) {
    return FlushUpTo(sequence(), lock_timeout_us, scope);
  }
  /// For a call that waited for its thread: everything up to the sequence that there was when it was asked for. What
  /// was committed since needs no sync of its own.
  Status FlushUpTo(Sequence wanted, uint64_t lock_timeout_us, FlushScope scope = FlushScope::kLog);
  /// Does what a flush begins with, as far as that takes microseconds, and lets the disk begin: for a thread that is
  /// about to have another one flush. Proves nothing and reports nothing. Waits for no lock.
  void BeginFlush();

  Result<VerifyReport> Verify(const std::atomic<bool>& cancel);

  /// Gives back the space of replaced and deleted memories (compact.cc) while everybody goes on. kBusy when another
  /// compaction, in any process, lasts longer than the time-out; kAborted when `cancel` turns true: what was not
  /// rewritten by then is as it was. kCorrupt: what is damaged was left as it is, the rest was compacted.
  Result<CompactResult> Compact(uint64_t lock_timeout_us, const std::atomic<bool>& cancel,
                                const CompactPolicy& policy = {});
  /// What a later handle asks for, or nullopt for never; a store has one policy in a process.
  void SetAutoCompact(const std::optional<AutoCompact>& policy);
  /// Compacts sealed segments when the policy says so and nobody else compacts; the helper's work, public for tests.
  /// True when it did.
  bool CompactWhenDue();
  /// Records up to this sequence may be missing from the log.
  Result<Sequence> ChangesFloor();

  /// A snapshot as a store of its own in a directory that is absent or empty (backup.cc). kExists, kCorrupt (something
  /// of the snapshot cannot be read), kAborted when `cancel` turns true; then nothing is left there.
  Result<CopyResult> Backup(const std::string& directory, const std::atomic<bool>& cancel);

  // Waiting for commits (wait.cc).
  /// Calls back once, on a thread of the store, when applied > sequence. Returns a token. kIo: that thread is not to be
  /// had; nobody is called back.
  Result<uint64_t> NotifyAbove(Sequence sequence, std::function<void()> callback);
  /// After it returns the callback is neither running nor called any more.
  void CancelNotify(uint64_t token);

  /// The store's one companion; `make` makes it at first use.
  Companion& GetCompanion(std::unique_ptr<Companion> (*make)()) {
    const std::lock_guard<std::mutex> guard(companion_mutex_);
    if (companion_ == nullptr) companion_ = make();
    return *companion_;
  }

  /// Creates what the next writes will need; the helper's work, public for tests.
  void MakeSpaceAhead();
  /// Unmaps segments that left the list and that nobody pins or holds (R15); the helper's work, every kFollowEvery.
  /// Never waits for a pin: what is pinned goes at a later call.
  void FollowList();
  /// Test hook: makes a larger index generation beside the present one and publishes it.
  Status GrowIndex(uint64_t entries_min);

 private:
  friend class StoreCopy;

  // How long a close waits for the gate and the locks before it leaves without a clean marker.
  static constexpr uint64_t kCloseGateMicroseconds = 10000000;

  struct ClaimedSlots {
    Segment* segment;
    uint32_t first;
  };
  struct Plan;
  struct FlushPlan;
  struct ImagePlan;
  class WriteGuard;
  class Verifier;

  Store() = default;

  // read.cc
  class LookUp;
  Result<std::optional<MemoryRef>> FindOnce(uint64_t hash, std::string_view id, const LookUp& look_up);
  Position PositionInIndex(uint64_t hash, std::string_view id, const IdMatcher& matcher) const;
  uint64_t HashOf(std::string_view id) const { return SipHash13(hash_key_, id.data(), id.size()); }

  // open.cc
  Status OpenAt(const std::string& path, const OpenOptions& options);
  Status FilesAreLost() const;
  Status OpenDirectory(const std::string& path, const OpenOptions& options);
  Status CreateStore(const OpenOptions& options);
  static Status CheckAgainst(const format::Meta& meta, const OpenOptions& options);
  Status StartSession(bool* first_opener);
  Status CheckLinks(uint64_t owner, uint64_t directory, bool first_opener) const;
  Status OpenCache(bool first_opener, bool created);
  Status MapCache();
  bool ClosedClean() const;
  bool EndsAtTail() const;
  bool WordsAreSane();
  Status WriteCacheHeader(const io::BootIdentity& boot);
  void StopHelper();
  Status RemoveUnlisted();

  // meta_file.cc
  Status WriteMeta(format::Meta meta, bool sync);
  Status WriteMetaBeside(const char* name, const format::Meta& meta, bool sync) const;
  bool MustSyncList();
  void PublishList(format::Meta meta);
  Result<std::shared_ptr<const format::Meta>> ReadMeta() const;
  std::shared_ptr<const format::Meta> List();
  Result<std::shared_ptr<const format::Meta>> CurrentList();
  Result<std::shared_ptr<const format::Meta>> ReloadList();
  Result<std::shared_ptr<const format::Meta>> NewestList();
  /// Fills log_end of the entries before `tail`'s segment. Growth lock held, or alone.
  void FillLogEnds(format::Meta& meta, Position tail);

  // turn.cc
  class Turn;
  Status LockTurn(uint64_t timeout_us);
  bool HasTurn() const;
  uint64_t LogBytesReserved(uint32_t segment) const;

  // mapped_segments.cc
  Result<Segment*> GetSegment(SegmentNumber number) {
    Segment* segment = table_.Get(number);
    return segment != nullptr ? Result<Segment*>(segment) : MapSegment(number);
  }
  Result<Segment*> MapSegment(SegmentNumber number);
  Result<Segment*> MapSegmentListed(SegmentNumber number, const format::Meta& list);
  void DropLeaving();
  void TakeUnlisted();

  // space.cc
  /// How a writer fills the embeddings it claims slots for.
  enum class Filling { kByMapping, kByFile };
  Result<ClaimedSlots> Claim(uint32_t count, uint64_t log_bytes_min, Filling filling, uint64_t timeout_us);
  Result<bool> BackClaimed(const ClaimedSlots& claimed, uint32_t count, Filling filling, uint64_t timeout_us);
  Status Rotate(uint32_t from_segment, uint32_t slots_min, uint64_t log_bytes_min, uint64_t timeout_us,
                ClaimedSlots* claimed = nullptr);
  Result<uint32_t> CreateNextSegment(uint32_t slots_min, uint64_t log_bytes_min);
  Status AppendSegment(format::Meta meta, uint32_t slots, uint64_t log_bytes_min);
  uint32_t NextNumber(const format::Meta& meta) const;
  Status BackSlotsUpTo(Segment& segment, uint32_t slots, bool ahead);
  Status BackLogUpTo(Segment& segment, uint64_t bytes, bool ahead);
  Status EnsureSlots(Segment& segment, uint32_t slots, uint64_t timeout_us);
  Status ReserveRows(Segment& segment, uint32_t first, uint32_t end, uint64_t timeout_us);
  Status EnsureLog(Segment& segment, uint64_t bytes, uint64_t timeout_us);
  Status LeaveIfOvertaken(const Segment& segment, const uint64_t* words, uint32_t slots, uint64_t log_bytes,
                          uint64_t timeout_us);
  Status EnsureIndex(uint64_t more, uint64_t timeout_us);
  IndexWord NextGeneration(IndexWord old, uint64_t entries_min) const;
  Status GrowIndexLocked(uint64_t entries_min, uint64_t timeout_us);
  Result<size_t> CatchUpIndex(const IndexTable& to, Position* caught_up, uint64_t* used);
  Status LockGrowth(uint64_t timeout_us);
  Status LockSpace(uint64_t timeout_us);
  template <typename Ready>
  Result<bool> LockSpaceUnless(uint64_t timeout_us, Ready ready);
  Status ReleaseIfLost(SharedLock& lock) const;
  Status BackAhead(Segment& segment);
  uint64_t LogAhead() const;
  uint64_t LogAhead(uint64_t used) const;
  bool NextSegmentIsDue(const Segment& segment) const;
  Status MakeNextSegment(SegmentNumber number);
  uint64_t ReadyLogBytes(SegmentNumber segment) const;
  bool LogIsDue(const Segment& segment, uint64_t end) const;
  uint64_t EstimateLiveBytes();
  void RunHelper();
  void TendCompanion();
  void WakeHelper();

  // sketches.cc
  void WriteSketch(Segment& segment, Slot slot, const float* embedding) const;
  std::vector<float> LearnCentre(const format::Meta& list);

  // commit.cc
  Status CheckOperation(const Operation& operation) const;
  Status PrepareOperations(Batch& batch, const ClaimedSlots& claimed, bool by_file);
  void FillBlock(Segment& segment, const Operation& operation, bool with_embedding) const;
  Status CopyEmbedding(Operation& operation, Segment& segment, const MemoryRef& from, bool check);
  Status PlanFrame(Batch& batch, Plan& plan);
  Status PlanOperation(Batch& batch, Operation& operation, Plan& plan);
  format::FrameHeader NextFrameHeader(format::FrameKind kind) const;
  Status CommitFrame(Segment& segment, uint64_t offset, format::FrameHeader& header);
  static uint64_t WriteImage(const Segment& segment, Slot slot, bool has_embedding, char* out);
  Status WriteFrame(Batch& batch, Plan& plan);
  void ApplyPlanned(Batch& batch, const Plan& plan);
  Status LockWrite(uint64_t timeout_us);
  Status Repair();
  Status RepairUpTo(Position at, uint64_t end);
  /// R4: stores what the frame names, nothing else, so twice is as once.
  Status ApplyFrame(Segment& segment, Position position, const format::FrameHeader& header);
  void WakeFollowers();
  Status SessionWritable(uint64_t timeout_us);

  // recovery.cc
  struct FoundFrame;
  class Rebuilder;
  Status Rebuild(const io::BootIdentity& boot, bool created, bool poisoned);
  // durability.cc
  Status Poison(const Status& cause);
  Status CheckPoison() const;
  bool IsDurable(Sequence wanted) const;
  bool StructureIsDue() const;
  Status SyncStructure(uint64_t timeout_us);
  Status LeadFlush(FlushScope scope, uint64_t timeout_us);
  Result<FlushPlan> PlanFlush(FlushScope scope, uint64_t timeout_us);
  template <typename Visit>
  Status VisitBlocks(const Segment& segment, uint64_t from, uint64_t to, Visit visit) const;
  Result<FlushPlan> PlanFlushLocked(Segment& segment, bool blocks);
  Result<ImagePlan> PlanImages(const Segment& segment, uint64_t from, uint64_t to) const;
  Status AppendImages(Segment& segment, const ImagePlan& images, uint64_t from, FlushPlan* plan);
  Status SyncSegments(const format::Meta& list, SegmentNumber from, SegmentNumber to, bool blocks);
  Status SyncColumns(const format::Meta& list);
  Status CloseClean(bool sync);
  void TrimFiles(const format::Meta& meta);
  Status WriteCleanMarker();

  // compact.cc, rewriting.cc
  class Compaction;
  class Rewriting;
  /// Whether lists and what they name are synced: also by a handle that never syncs, when somebody's flush has promised
  /// something, which hangs on the only list there is.
  bool SyncsLists() const { return Syncs() || LoadAcquire(boot_->watermark) != 0; }
  Status FinishRewriting(const format::Meta& list);
  Status FinishDeadRewriting();
  Status SwingToCopy(const format::Meta& list, SegmentNumber copy, uint64_t end);
  Result<std::vector<std::string>> LeftBehind();
  void RemoveLeftBehind(uint64_t timeout_us);
  Status SealOpenSegment(uint64_t timeout_us);
  Status ListSmallerNext(uint32_t open, uint64_t timeout_us);

  // wait.cc
  void RunWaiter();
  void StopWaiter();

  // IdMatcher. An unreadable record matches: its hash of 64 bits did, and whoever reads it next reports it.
  bool Matches(Position position, std::string_view id) const override;
  IndexTable Table() const { return TableOf(IndexWord{LoadAcquire(boot_->index)}); }
  IndexTable TableOf(IndexWord word) const {
    return IndexTable(reinterpret_cast<format::IndexCell*>(cache_map_.data() + word.offset()), word.cells());
  }
  bool Syncs() const { return durability_.load(std::memory_order_relaxed) != Durability::kNone; }

  std::shared_ptr<io::FileLoss> loss_ = std::make_shared<io::FileLoss>();
  io::File directory_;
  io::File lock_file_;
  io::File cache_file_;
  io::Mapping lock_map_;
  io::Mapping cache_map_;
  format::SessionWords* session_ = nullptr;
  format::ParticipantLine* lines_ = nullptr;
  format::BootWords* boot_ = nullptr;
  Participant self_;
  bool joined_ = false;
  std::optional<SharedLock> write_lock_;
  std::optional<SharedLock> growth_lock_;
  std::optional<SharedLock> space_lock_;
  std::optional<SharedLock> flush_lock_;
  std::optional<SharedLock> turn_lock_;
  std::optional<SharedLock> compact_lock_;

  uint32_t dimensions_ = 0;
  format::Metric metric_{};
  format::Salt salt_{};
  format::StoreId store_id_{};
  HashKey hash_key_{};
  std::optional<kernels::SketchCoder> sketch_coder_;
  std::atomic<Durability> durability_{Durability::kFlush};
  std::atomic<int> poison_errno_{0};  // of the sync of this participant that failed
  bool created_unsynced_ = false;     // the creation made no sync; kept until the boot words exist
  uint64_t expected_records_ = 0;
  double open_ms_ = 0;
  bool recovered_ = false;
  uint32_t fork_generation_ = io::ForkGeneration();
  bool closed_ = false;

  std::mutex list_mutex_;
  std::shared_ptr<const format::Meta> list_;
  std::atomic<uint32_t> newest_listed_{0};  // number of the last segment of list_
  std::mutex map_mutex_;                    // of the table's changes and of leaving_
  SegmentTable table_;
  struct Leaving {
    std::shared_ptr<Segment> segment;
    Grace grace;
  };
  std::vector<Leaving> leaving_;      // out of the table; unmapped when no call can be in them any more
  uint64_t followed_generation_ = 0;  // the helper's: of the list that it compared the table with
  bool unlisted_are_mapped_ = false;  // the helper's: somebody held some then

  // What the helper makes depends on how this process writes; hints.
  std::atomic<Filling> filling_{Filling::kByMapping};
  std::atomic<uint64_t> frame_bytes_{0};

  std::mutex companion_mutex_;
  std::unique_ptr<Companion> companion_;

  io::Thread helper_;
  std::mutex helper_mutex_;
  std::condition_variable helper_wake_;
  std::atomic<bool> helper_stop_{false};  // written under the mutex
  bool helper_asked_ = false;
  std::atomic<bool> helper_pending_{false};

  std::mutex auto_compact_mutex_;
  std::optional<AutoCompact> auto_compact_;
  std::atomic<bool> has_writer_{false};
  uint64_t dead_bytes_tried_ = 0;  // the helper's: dead when it last compacted
  std::atomic<bool> helper_leaves_{false};

  struct Waiter {
    uint64_t token;
    Sequence sequence;
    std::function<void()> callback;
  };
  io::Thread waiter_;
  std::mutex waiter_mutex_;
  std::condition_variable waiter_wake_;
  std::vector<Waiter> waiters_;
  uint64_t next_token_ = 1;
  std::atomic<bool> waiter_stop_{false};
};

}  // namespace thermocline::store

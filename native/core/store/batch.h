// Operations to be committed as one frame, staged outside every lock.
//
// Not here: what an operation does to the store (commit.cc).
// Thread rule: a Batch belongs to one thread. Cleared, it keeps its memory, so that steady writing allocates nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "core/base/hash.h"
#include "core/base/ids.h"
#include "core/base/status.h"
#include "core/format/frame.h"
#include "core/format/layout.h"

namespace thermocline::store {

class Segment;

/// Bytes that stay where they are until Clear.
class Arena {
 public:
  char* Allocate(uint64_t size);
  std::string_view Copy(std::string_view text);
  void Clear();
  uint64_t used() const { return used_; }

 private:
  struct Chunk {
    std::unique_ptr<char[]> bytes;
    uint64_t size;
  };
  static constexpr uint64_t kChunkBytes = 256 * 1024;
  // More than this is not kept for the next batch: one huge memory must not stay in every worker for ever.
  static constexpr uint64_t kKeptBytesMax = 4 * 1024 * 1024;
  std::vector<Chunk> chunks_;
  size_t current_ = 0;
  uint64_t at_ = 0;
  uint64_t used_ = 0;
};

inline constexpr int64_t kAnySequence = -1;

/// Memory fields of a put; strings live until the commit.
struct PutInput {
  std::string_view id;
  std::span<const float> embedding;  // empty: none
  bool has_content = false;
  std::string_view content;
  std::string_view metadata;   // JSON text, empty: {}
  std::string_view tlv;        // extensions that a copy carries on
  bool content_ascii = false;  // true: known to be; false: Batch::Put looks
  bool metadata_ascii = false;
  double confidence = 1;
  double created_at = 0;
  double activation = 1;
  double last_access = 0;
  uint64_t recall_count = 0;
};

/// kKeySize, kDimension, kTooLarge, kNotFinite: what a commit would refuse. Staging asks too, to name the item.
Status CheckPut(const PutInput& put, uint32_t dimensions);

/// What an update changes; everything else is carried over.
struct PatchInput {
  std::string_view id;
  bool set_content = false;
  bool has_content = false;  // with set_content: false clears it
  std::string_view content;
  bool set_metadata = false;
  std::string_view metadata;
  bool content_ascii = false;  // as in PutInput
  bool metadata_ascii = false;
  bool set_confidence = false;
  double confidence = 0;
};

struct Operation {
  format::RecordKind kind = format::RecordKind::kPut;
  uint64_t hash = 0;
  PutInput put;      // kPut; of kUpdate and kDelete only the id
  PatchInput patch;  // kUpdate
  int64_t if_sequence = kAnySequence;
  bool is_check = false;  // kDelete: a condition alone, which writes nothing
  int32_t earlier = -1;   // operation of the same id before this one in the batch, or -1

  // Filled by the commit.
  int32_t standing = -1;  // the last one of the same id before this one that takes effect, or -1
  Slot slot = Slot::kNone;
  uint32_t embedding_crc = 0;
  Position copied_from;  // update: whose embedding the slot holds now
  bool effective = false;
  bool inserts = false;       // the id was absent before
  format::RecordParts parts;  // of the record to write
  Position previous;
  Slot previous_slot = Slot::kNone;
  Segment* previous_segment = nullptr;
  uint64_t dead_bytes = 0;  // of the record that this one replaces
  Position position;
  Sequence sequence = 0;
  format::IndexCell* cell = nullptr;  // of the id, nullptr: new
};

class Batch {
 public:
  explicit Batch(const HashKey& key) : key_(key) {}

  /// Stages; strings and embeddings are copied when `copy`, else they must live until the commit.
  void Put(const PutInput& input, bool copy, int64_t if_sequence = kAnySequence);
  void Update(const PatchInput& input, bool copy, int64_t if_sequence = kAnySequence);
  void Delete(std::string_view id, bool copy, int64_t if_sequence = kAnySequence);
  /// A condition on a memory that the frame does not write: the id has this sequence (0: absent), else kConflict.
  void Check(std::string_view id, bool copy, int64_t if_sequence);
  /// Says that the embeddings of all operations staged so far lie in one array, in order, a row for each, zeros where
  /// there is none: the commit may write them at once. Any operation staged afterwards withdraws it. Until the commit
  /// the rows stay where they are.
  void SetRows(const float* rows) { rows_ = {rows, operations_.size()}; }
  /// The rows of all operations, or nullptr.
  const float* rows() const { return rows_.count == operations_.size() ? rows_.first : nullptr; }
  /// Room for text that lives as long as the staged operations.
  char* AllocateText(uint64_t bytes) { return arena_.Allocate(bytes); }

  void Clear();
  bool empty() const { return operations_.empty(); }
  size_t size() const { return operations_.size(); }
  std::vector<Operation>& operations() { return operations_; }
  /// Bytes that the batch will take, about: records and embeddings.
  uint64_t bytes() const { return bytes_; }
  /// Operations that need a slot.
  uint32_t slots() const { return slots_; }

  /// Sequence of the first operation, for copies of other stores; above the store's. 0: the next one. Deletions of
  /// absent ids then take effect too.
  Sequence first_sequence = 0;

  /// Set by the commit: operations that took effect.
  uint32_t applied = 0;
  /// The frame is to repeat its blocks, so that a sync of the log alone makes it durable (R13).
  bool with_images = false;

 private:
  Operation& Add(format::RecordKind kind, std::string_view id, bool copy, int64_t if_sequence);
  void LinkEarlier();
  int32_t LinkById(size_t index);

  struct Rows {
    const float* first = nullptr;
    size_t count = 0;
  };

  HashKey key_;
  Arena arena_;
  Rows rows_;
  std::vector<Operation> operations_;
  std::vector<int32_t> by_hash_;  // open addressing: operation + 1, so that equal ids are found in O(1)
  uint64_t bytes_ = 0;
  uint32_t slots_ = 0;
};

}  // namespace thermocline::store

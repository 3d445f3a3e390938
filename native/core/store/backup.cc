// A snapshot as a store of its own, while writers go on.
//
// The memories are read in commit order and written by the store's own writer into fresh segments, rather than files
// being copied: what was replaced or deleted stays behind, nothing of a frame under way comes along, and whatever a
// segment holds (columns, sketches) is made as in any other store. It costs one more pass over the memories. Every
// checksum is looked at on the way, because the copy gets fresh ones: a backup that was made has no damage hidden in
// it.

#include "core/base/crc32c.h"
#include "core/store/copy.h"
#include "core/store/log_cursor.h"
#include "core/store/store.h"

namespace thermocline::store {
namespace {

PutInput PutInputOf(const MemoryRef& memory, uint32_t dimensions) {
  const format::RecordView& record = memory.record;
  const Slot slot = record.slot();
  const format::Statistics& statistics = memory.segment->statistics(slot);
  PutInput put;
  put.id = record.id;
  if (record.has(format::kHasEmbedding)) put.embedding = {memory.segment->embedding(slot), dimensions};
  put.has_content = record.has(format::kHasContent);
  put.content = record.content;
  put.metadata = record.metadata;
  put.tlv = record.tlv;
  put.created_at = record.header.created_at;
  put.confidence = record.header.confidence;
  put.activation = LoadRelaxed(statistics.activation);
  put.last_access = LoadRelaxed(statistics.last_access);
  put.recall_count = LoadRelaxed(statistics.recall_count);
  return put;
}

}  // namespace

Result<CopyResult> Store::Backup(const std::string& directory, const std::atomic<bool>& cancel) {
  Result<Snapshot> snapshot = TakeSnapshot();
  if (!snapshot.ok()) return snapshot.status();
  Result<std::shared_ptr<const format::Meta>> meta = CurrentList();
  if (!meta.ok()) return meta.status();
  CopyDescription description;
  description.dimensions = dimensions_;
  description.metric = metric_;
  description.created_at = (*meta)->created_at;
  description.features_compatible = (*meta)->features_compatible;
  description.tlv = (*meta)->tlv;
  description.expected_memories = size();
  Result<std::unique_ptr<StoreCopy>> copy = StoreCopy::Begin(directory, description);
  if (!copy.ok()) return copy.status();

  LogCursor cursor(*this, *snapshot, 0);
  for (;;) {
    if (cancel.load(std::memory_order_relaxed)) return ErrorCode::kAborted;
    Result<std::optional<MemoryRef>> memory = cursor.NextMemory(true);
    if (!memory.ok()) return memory.status();
    if (!memory->has_value()) break;
    const MemoryRef& found = **memory;
    const Slot slot = found.record.slot();
    if (found.record.has(format::kHasEmbedding) &&
        Crc32c(format::BlockSeed(salt_, found.segment->number(), slot), found.segment->embedding(slot),
               found.segment->layout().embedding_stride) != found.record.header.embedding_crc) {
      return Status::Corrupt(FileRole::kBlocks, Raw(found.segment->number()), found.segment->BlocksBytesFor(Raw(slot)));
    }
    THERMOCLINE_RETURN_IF_ERROR((*copy)->Put(PutInputOf(found, dimensions_), found.record.header.sequence));
  }
  THERMOCLINE_RETURN_IF_ERROR((*copy)->Commit());
  const std::optional<MemoryRef>& last = cursor.last_deletion();
  if (last && last->record.header.sequence == snapshot->sequence) {
    THERMOCLINE_RETURN_IF_ERROR((*copy)->EndWithDeletion(last->record.id, snapshot->sequence));
  }
  THERMOCLINE_RETURN_IF_ERROR((*copy)->EndAt(snapshot->sequence));
  if (cancel.load(std::memory_order_relaxed)) return ErrorCode::kAborted;
  THERMOCLINE_RETURN_IF_ERROR((*copy)->Finish());
  return CopyResult{(*copy)->memories(), snapshot->sequence};
}

}  // namespace thermocline::store

// Walks everything: every frame's CRC, every live record, every embedding's CRC, and that the index leads to each.

#include "core/base/crc32c.h"
#include "core/store/log_cursor.h"
#include "core/store/log_reader.h"
#include "core/store/store.h"

namespace thermocline::store {
namespace {

void Report(VerifyReport& report, const char* file, uint64_t offset, std::string_view id) {
  report.problems.push_back({ErrorCode::kCorrupt, file, offset, std::string(id)});
}

}  // namespace

Result<VerifyReport> Store::Verify(const std::atomic<bool>& cancel) {
  VerifyReport report;
  Result<Snapshot> snapshot = TakeSnapshot();
  if (!snapshot.ok()) return snapshot.status();
  // Below `applied` of one moment nothing changes any more, so writers may go on.
  LogCursor cursor(*this, *snapshot, 0);
  Segment* walked = nullptr;
  for (;;) {
    if (cancel.load(std::memory_order_relaxed)) return ErrorCode::kClosed;
    const Pin pin;  // for one memory; the snapshot holds what the walk needs
    Result<std::optional<LogCursor::Item>> item = cursor.Next();
    if (!item.ok()) {
      Report(report, LogFileName(static_cast<SegmentNumber>(item.status().segment())).text, item.status().offset(), "");
      break;
    }
    if (!item->has_value()) break;
    const MemoryRef& memory = (*item)->memory;
    const format::RecordView& record = memory.record;
    if (cursor.frame_offset() + sizeof(format::FrameHeader) == memory.log_offset || walked != memory.segment) {
      walked = memory.segment;
      if (!ReadFrame(*memory.segment, salt_, cursor.frame_offset(), true)) {
        Report(report, LogFileName(memory.segment->number()).text, cursor.frame_offset(), record.id);
      }
    }
    if (record.kind() == format::RecordKind::kDelete) continue;
    if (!HasBlock(memory)) {
      Report(report, BlocksFileName(memory.segment->number()).text, memory.segment->BlocksBytesFor(Raw(record.slot())),
             record.id);
      continue;
    }
    if (!snapshot->Holds(*memory.segment, record.slot())) continue;
    ++report.memories;
    if (record.has(format::kHasEmbedding)) {
      const uint32_t seed = format::BlockSeed(salt_, memory.segment->number(), record.slot());
      if (Crc32c(seed, memory.segment->embedding(record.slot()), memory.segment->layout().embedding_stride) !=
          record.header.embedding_crc) {
        Report(report, BlocksFileName(memory.segment->number()).text,
               memory.segment->BlocksBytesFor(Raw(record.slot())), record.id);
      }
    }
    if (memory.segment->record(record.slot()) != memory.log_offset ||
        memory.segment->born(record.slot()) != record.header.sequence) {
      Report(report, BlocksFileName(memory.segment->number()).text, memory.segment->layout().record_offset, record.id);
    }
    // Absent or older than what was live at the snapshot: the index lost it. Deleted since: also absent, so look at
    // the deletion's mark.
    Result<std::optional<MemoryRef>> found = Find(record.id);
    if (!found.ok()) {
      Report(report, "cache", 0, record.id);
    } else if (!found->has_value() ? LoadAcquire(memory.segment->died(record.slot())) == 0
                                   : (*found)->record.header.sequence < record.header.sequence) {
      Report(report, "cache", 0, record.id);
    }
  }
  return report;
}

}  // namespace thermocline::store

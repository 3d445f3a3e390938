#include "core/search/memory_cursor.h"

#include "core/search/memory_filter.h"

namespace thermocline::search {

/// Whether the record is what its id was at the snapshot, and its block is there.
bool MemoryCursor::IsHeld(const store::MemoryRef& memory) const {
  const Slot slot = memory.record.slot();
  return memory.record.kind() != format::RecordKind::kDelete && store::Store::HasBlock(memory) &&
         cursor_.snapshot().Holds(*memory.segment, slot) &&
         LoadRelaxed(memory.segment->record(slot)) == memory.log_offset;
}

Result<std::optional<store::MemoryRef>> MemoryCursor::Next() {
  for (;;) {
    Result<std::optional<store::LogCursor::Item>> item = cursor_.Next();
    if (!item.ok()) return item.status();
    if (!item->has_value()) return std::optional<store::MemoryRef>();
    const store::MemoryRef& memory = (*item)->memory;
    if (!IsHeld(memory)) continue;
    if (filter_ == nullptr) return std::optional<store::MemoryRef>(memory);
    const filter::Columns columns = ColumnsOf(*memory.segment, memory.record.slot());
    switch (filter_->Test(columns, memory.record.id, memory.record.metadata)) {
      case filter::Verdict::kYes:
        return std::optional<store::MemoryRef>(memory);
      case filter::Verdict::kCorrupt:
        return Status::Corrupt(FileRole::kLog, Raw(memory.segment->number()), memory.log_offset);
      case filter::Verdict::kNo:
        break;
    }
  }
}

}  // namespace thermocline::search

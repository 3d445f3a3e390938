#include "core/search/memory_cursor.h"

#include "core/search/memory_filter.h"

namespace thermocline::search {

Result<std::optional<store::MemoryRef>> MemoryCursor::Next() {
  for (;;) {
    Result<std::optional<store::MemoryRef>> next = cursor_.NextMemory();
    if (!next.ok() || !next->has_value() || filter_ == nullptr) return next;
    const store::MemoryRef& memory = **next;
    const filter::Columns columns = ColumnsOf(*memory.segment, memory.record.slot());
    switch (filter_->Test(columns, memory.record.id, memory.record.metadata)) {
      case filter::Verdict::kYes:
        return next;
      case filter::Verdict::kCorrupt:
        return Status::Corrupt(FileRole::kLog, Raw(memory.segment->number()), memory.log_offset);
      case filter::Verdict::kNo:
        break;
    }
  }
}

}  // namespace thermocline::search

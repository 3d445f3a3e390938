#include "kill/oracle.h"

#include <algorithm>
#include <map>

#include "core/base/atomic.h"

namespace thermocline::kill {
namespace {

using test::ReportFailure;

constexpr uint64_t kLargeContentMin = 4096;
constexpr uint64_t kLargeContentSpread = 36 * 1024;
constexpr uint64_t kSmallContentMax = 220;

uint64_t SeedOf(uint32_t writer, uint32_t id, uint32_t version) {
  return (uint64_t{writer} << 56) ^ (uint64_t{id} << 36) ^ version;
}

std::string TextOf(Value value) {
  if (value.word == 0) return "nothing";
  if (!value.present()) return "deleted";
  return "content " + std::to_string(value.content()) + " embedding " + std::to_string(value.embedding());
}

void ReportId(int line, store::Store& store, uint32_t writer, uint32_t id, const std::string& wanted) {
  const auto found = test::Get(store, IdOf(writer, id));
  std::ostringstream text;
  text << IdOf(writer, id) << ": wanted " << wanted << ", found ";
  if (found) {
    text << "#" << found->sequence << " metadata " << found->metadata << " created " << found->created_at;
  } else {
    text << "nothing";
  }
  ReportFailure(__FILE__, line, text.str());
}

}  // namespace

std::string IdOf(uint32_t writer, uint32_t id) { return "w" + std::to_string(writer) + "-" + std::to_string(id); }

test::Memory MemoryOf(uint32_t writer, uint32_t id, Value value) {
  test::Memory memory;
  memory.id = IdOf(writer, id);
  Random content(SeedOf(writer, id, value.content()));
  const uint64_t choice = content.Below(64);
  if (choice > 6) {
    const uint64_t length =
        choice == 7 ? kLargeContentMin + content.Below(kLargeContentSpread) : content.Below(kSmallContentMax);
    memory.content.emplace(length, ' ');
    uint64_t letters = 0;
    for (size_t at = 0; at < length; ++at, letters >>= 5) {
      if (at % 12 == 0) letters = content.Next();
      (*memory.content)[at] = static_cast<char>('A' + (letters & 31));
    }
  }
  memory.metadata = "{\"version\":" + std::to_string(value.content()) + "}";
  memory.confidence = 1.0 / (1.0 + value.content());
  Random embedding(SeedOf(writer, id, value.embedding()) + 1);
  if (embedding.Below(8) != 0) memory.embedding = test::EmbeddingOf(embedding.Next(), kDimensions);
  memory.created_at = value.embedding();
  return memory;
}

bool Holds(store::Store& store, uint32_t writer, uint32_t id, Value value) {
  const std::optional<test::Memory> found = test::Get(store, IdOf(writer, id));
  if (!found || !value.present()) return found.has_value() == value.present();
  const test::Memory wanted = MemoryOf(writer, id, value);
  return found->id == wanted.id && found->embedding == wanted.embedding && found->content == wanted.content &&
         found->metadata == wanted.metadata && found->confidence == wanted.confidence &&
         found->created_at == wanted.created_at;
}

void CheckRegion(store::Store& store, Region& region, uint32_t writer, Pending pending) {
  if (region.error != 0) {
    ReportFailure(__FILE__, static_cast<int>(region.error_line),
                  "a call of writer " + std::to_string(writer) + " failed: " +
                      DescribeError(static_cast<ErrorCode>(region.error - 1)).code + " (the line is writer.cc's)");
    region.error = 0;
  }
  if (store.sequence() < region.sequence_last) {
    ReportFailure(__FILE__, __LINE__, "the store is behind what writer " + std::to_string(writer) + " was told");
  }
  const uint64_t count = std::min<uint64_t>(LoadAcquire(region.pending_count), kPendingMax);
  bool returned = pending == Pending::kCommitted;
  bool all_old = true;
  bool all_new = true;
  for (uint64_t i = 0; i < count; ++i) {
    const Change& change = region.pending[i];
    if (change.before == change.after) continue;
    returned = returned || region.acknowledged[change.id] == change.after;
    const bool is_new = Holds(store, writer, change.id, Value{change.after});
    const bool is_old = Holds(store, writer, change.id, Value{change.before});
    all_new = all_new && is_new;
    all_old = all_old && is_old;
    if (!is_new && !is_old) {
      ReportId(__LINE__, store, writer, change.id,
               TextOf(Value{change.before}) + " or pending " + TextOf(Value{change.after}));
    }
  }
  if (!all_old && !all_new) {
    ReportFailure(__FILE__, __LINE__, "a call of writer " + std::to_string(writer) + " took effect in part");
  }
  if (returned && count > 0 && !all_new) {
    ReportFailure(__FILE__, __LINE__, "a committed call of writer " + std::to_string(writer) + " is lost");
  }
  for (uint64_t i = 0; i < count; ++i) {
    const Change& change = region.pending[i];
    region.acknowledged[change.id] = all_new ? change.after : change.before;
  }
  StoreRelease(region.pending_count, uint64_t{0});
  for (uint32_t id = 0; id < kIdsPerWriter; ++id) {
    const Value value{region.acknowledged[id]};
    if (!Holds(store, writer, id, value)) ReportId(__LINE__, store, writer, id, TextOf(value));
  }
}

void CheckVisibility(store::Store& store, const Region& region, uint32_t writer) {
  const bool visible = store.sequence() > region.sequence_before;
  for (uint64_t i = 0; i < LoadAcquire(region.pending_count); ++i) {
    const Change& change = region.pending[i];
    const Value value{visible ? change.after : change.before};
    if (!Holds(store, writer, change.id, value)) {
      ReportId(__LINE__, store, writer, change.id,
               TextOf(value) + (visible ? " because `applied` covers it" : " because `applied` does not cover it"));
    }
  }
}

void CheckWhole(store::Store& store) {
  test::ExpectWhole(store);
  struct Newest {
    Sequence sequence;
    bool deleted;
  };
  std::map<std::string, Newest> newest;
  const Result<store::Snapshot> snapshot = store.TakeSnapshot();
  EXPECT_OK(snapshot);
  if (!snapshot.ok()) return;
  for (store::LogCursor cursor(store, *snapshot, 0);;) {
    const auto item = cursor.Next();
    EXPECT_OK(item);
    if (!item.ok() || !item->has_value()) break;
    const format::RecordView& record = (*item)->memory.record;
    newest[std::string(record.id)] = {record.header.sequence, record.kind() == format::RecordKind::kDelete};
  }
  uint64_t memories = 0;
  for (const auto& [id, wanted] : newest) {
    Result<std::optional<store::MemoryRef>> found = store.Find(id);
    EXPECT_OK(found);
    if (!found.ok()) return;
    memories += wanted.deleted ? 0 : 1;
    EXPECT_EQ(found->has_value(), !wanted.deleted);
    if (found->has_value()) EXPECT_EQ((*found)->record.header.sequence, wanted.sequence);
  }
  EXPECT_EQ(store.size(), memories);
  // Compaction leaves tombstones where it dropped deletions.
  const Result<Sequence> floor = store.ChangesFloor();
  EXPECT_OK(floor);
  if (floor.ok() && *floor == 0) EXPECT_EQ(store.Index().used, newest.size());
  EXPECT_GE(store.Index().used, newest.size());
}

}  // namespace thermocline::kill

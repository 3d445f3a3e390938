#include "power/workload.h"

#include <cstring>

#include "core/base/crc32c.h"
#include "core/format/image.h"
#include "core/store/claim.h"

namespace thermocline::power {
namespace {

constexpr uint64_t kIds = 40;
constexpr uint64_t kFrameOperationsMax = 40;

}  // namespace

Sequence LeaveFrameInDoubt(store::Store& store, const std::string& directory, const test::Memory& memory) {
  const test::BootWordsByHand words(directory);
  if (!words.mapped()) return 0;
  const Position tail(words->tail);
  const uint64_t claim = FetchAdd(words->claim, uint64_t{1});
  const Result<store::Snapshot> snapshot = store.TakeSnapshot();
  EXPECT_OK(snapshot);
  if (!snapshot.ok() || tail.none() || Raw(tail.segment()) != store::ClaimSegment(claim)) return 0;
  store::Segment* segment = nullptr;
  for (const store::Snapshot::Part& part : snapshot->parts) {
    if (part.segment->number() == tail.segment()) segment = part.segment;
  }
  const auto slot = static_cast<Slot>(store::ClaimSlot(claim));
  const uint64_t log_ready = words->log_ready[Raw(tail.segment()) % format::kSpaceWords];
  const uint64_t slots_ready = words->slots_ready[Raw(tail.segment()) % format::kSpaceWords];
  const uint64_t log_end = log_ready >> 32 == Raw(tail.segment()) ? (log_ready & 0xFFFFFFFFu) * 8 : 0;
  const uint64_t slots_end = slots_ready >> 32 == Raw(tail.segment()) ? slots_ready & 0xFFFFFFFFu : 0;

  format::RecordParts parts;
  parts.id = memory.id;
  parts.has_content = memory.content.has_value();
  if (memory.content) parts.content = *memory.content;
  parts.metadata = memory.metadata;
  parts.has_embedding = !memory.embedding.empty();
  parts.created_at = memory.created_at;
  parts.confidence = memory.confidence;
  const uint64_t record_bytes = format::RecordBytes(parts);
  if (segment == nullptr || Raw(slot) >= slots_end ||
      tail.offset() + sizeof(format::FrameHeader) + record_bytes > log_end) {
    return 0;
  }
  segment->created_at(slot) = std::bit_cast<uint64_t>(memory.created_at);
  segment->confidence(slot) = std::bit_cast<uint64_t>(memory.confidence);
  segment->statistics(slot) = {memory.activation, memory.last_access, memory.recall_count};
  std::memcpy(segment->embedding(slot), memory.embedding.data(), memory.embedding.size() * sizeof(float));

  char* frame = segment->log_data() + tail.offset();
  char* body = frame + sizeof(format::FrameHeader);
  format::EncodeRecord(parts, body);
  format::RecordHeader record;
  std::memcpy(&record, body, sizeof record);
  record.sequence = words->applied + 1;
  record.slot = Raw(slot);
  if (parts.has_embedding) {
    record.embedding_crc = Crc32c(format::BlockSeed(store.salt(), segment->number(), slot), memory.embedding.data(),
                                  memory.embedding.size() * sizeof(float));
  }
  std::memcpy(body, &record, sizeof record);
  const Position place(segment->number(), tail.offset() + sizeof(format::FrameHeader));
  format::SealRecord(body, format::FrameSeed(store.salt(), place));
  format::FrameHeader header{};
  header.magic = format::kFrameMagic;
  header.kind = static_cast<uint16_t>(format::FrameKind::kRecords);
  header.body_bytes = header.record_bytes = record_bytes;
  header.first_sequence = record.sequence;
  header.record_count = 1;
  header.epoch = words->epoch;
  header.durable = words->watermark_sequence;
  header.watermark = words->watermark;
  header.checkpoint = words->checkpoint;
  header.memories_after = words->size + (test::Get(store, memory.id) ? 0 : 1);
  header.previous_frame = words->last_frame;
  header.previous_header_crc = static_cast<uint32_t>(words->last_frame_crc);
  format::SealFrame(header, format::FrameSeed(store.salt(), tail), body);
  std::memcpy(frame, &header, sizeof header);
  return record.sequence;
}

Workload::Workload(std::string directory, uint32_t dimensions, store::Durability durability, Random& random)
    : directory_(std::move(directory)), random_(random) {
  options_.dimensions = dimensions;
  options_.durability = durability;
  options_.lock_timeout_us = test::kLockTimeout;
  options_.with_helper = false;
}

Workload::~Workload() = default;

Status Workload::Open() {
  Result<std::shared_ptr<store::Store>> opened = store::Store::Open(directory_, options_);
  if (!opened.ok()) return opened.status();
  store_ = *opened;
  has_written_ = false;
  return Status::Ok();
}

Status Workload::Close() { return std::exchange(store_, nullptr)->Close(); }

std::string Workload::RandomId() { return "m" + std::to_string(random_.Below(kIds)); }

test::Memory Workload::RandomMemory() {
  test::Memory memory;
  memory.id = RandomId();
  ++made_;
  if (random_.Below(5) > 0) memory.embedding = test::EmbeddingOf(random_.Next(), options_.dimensions);
  const uint64_t size = random_.Below(50) == 0 ? 300000 : random_.Below(8) == 0 ? 9000 : 200;
  if (random_.Below(4) > 0) memory.content = std::string(random_.Below(size), static_cast<char>('a' + made_ % 26));
  if (random_.Below(2) == 0) memory.metadata = "{\"made\":" + std::to_string(made_) + "}";
  memory.confidence = static_cast<double>(random_.Below(100)) / 100;
  memory.created_at = static_cast<double>(1 + random_.Below(1u << 30));
  memory.last_access = memory.created_at;
  if (random_.Below(2) == 0) memory.activation = static_cast<double>(made_);
  return memory;
}

void Workload::AddOperation(store::Batch& batch, TimelineFrame* frame, State* state) {
  const uint64_t kind = random_.Below(10);
  Change change;
  if (kind < 6) {
    test::Memory memory = RandomMemory();
    batch.Put(test::PutInputOf(memory), true);
    change.id = memory.id;
    change.memory = std::make_shared<const test::Memory>(std::move(memory));
  } else {
    change.id = RandomId();
    const auto present = state->find(change.id);
    // An update or a delete of an absent memory takes no part (decision 0004).
    if (kind < 8) {
      batch.Delete(change.id, true);
      if (present == state->end()) return;
    } else {
      store::PatchInput patch;
      patch.id = change.id;
      const std::string content = "patched " + std::to_string(++made_);
      patch.set_content = patch.has_content = true;
      patch.content = content;
      patch.set_confidence = true;
      patch.confidence = 0.5;
      batch.Update(patch, true);
      if (present == state->end()) return;
      test::Memory memory = present->second.memory;
      memory.content = content;
      memory.confidence = 0.5;
      change.memory = std::make_shared<const test::Memory>(std::move(memory));
      change.keeps_statistics = true;
    }
  }
  if (change.memory == nullptr) {
    state->erase(change.id);
  } else {
    (*state)[change.id].memory = *change.memory;
  }
  frame->changes.push_back(std::move(change));
}

void Workload::CommitFrame(Recorder& recorder) {
  store::Batch batch(store_->hash_key());
  State state = timeline.StateAfter(timeline.size());
  TimelineFrame frame;
  const uint64_t operations = random_.Below(4) == 0 ? 1 + random_.Below(kFrameOperationsMax) : 1;
  for (uint64_t i = 0; i < operations; ++i) AddOperation(batch, &frame, &state);
  Commit(recorder, batch, std::move(frame));
}

void Workload::Commit(Recorder& recorder, store::Batch& batch, TimelineFrame frame) {
  frame.begun = recorder.now();
  const bool durable = random_.Below(4) == 0;  // as a handle of durability 'commit'
  batch.with_images = durable;
  const Result<Sequence> sequence = store_->Commit(batch, test::kLockTimeout);
  EXPECT_OK(sequence);
  has_written_ = true;
  EXPECT_EQ(size_t{batch.applied}, frame.changes.size());
  if (!sequence.ok() || frame.changes.empty()) return;
  frame.last = *sequence;
  timeline.Commit(std::move(frame));
  if (durable) Flush(recorder, store::FlushScope::kLog);
}

void Workload::Flush(Recorder& recorder, store::FlushScope scope) {
  EXPECT_OK(store_->Flush(test::kLockTimeout, scope));
  timeline.Flushed(recorder.now(), timeline.last());
}

void Workload::Compact() {
  const std::atomic<bool> never{false};
  const Result<store::CompactResult> compacted = store_->Compact(test::kLockTimeout, never);
  EXPECT_OK(compacted);
  has_written_ = true;
}

void Workload::Touch() {
  const std::string id = RandomId();
  const auto activation = static_cast<double>(1000000 + ++made_);
  const Result<bool> touched = store_->Touch(id, activation, 1e12);
  EXPECT_OK(touched);
  if (touched.ok() && *touched) timeline.Touch(id, test::Get(*store_, id)->sequence, activation);
}

void Workload::Doubt(Recorder& recorder) {
  if (!has_written_) return;
  TimelineFrame frame;
  frame.begun = recorder.now();
  auto memory = std::make_shared<test::Memory>(RandomMemory());
  if (memory->content && memory->content->size() > 2000) memory->content->resize(2000);
  frame.last = LeaveFrameInDoubt(*store_, directory_, *memory);
  frame.changes.push_back({memory->id, memory, false});
  if (frame.last != 0) timeline.LeaveInDoubt(std::move(frame));
}

/// Closed, or killed, and opened again in the same boot.
void Workload::Reopen(Recorder& recorder) {
  if (random_.Below(2) == 0) {
    Kill();
  } else {
    EXPECT_OK(Close());
    timeline.Flushed(recorder.now(), timeline.last());
  }
  ASSERT_OK(Open());
}

void Workload::Step(Recorder& recorder) {
  const uint64_t kind = random_.Below(100);
  if (kind < 62) {
    CommitFrame(recorder);
  } else if (kind < 76) {
    Flush(recorder, store::FlushScope::kLog);
  } else if (kind < 79) {
    Flush(recorder, store::FlushScope::kBlocks);
  } else if (kind < 86) {
    Touch();
  } else if (kind < 89) {
    store_->MakeSpaceAhead();
  } else if (kind < 93) {
    Compact();
  } else if (kind < 96) {
    Doubt(recorder);
  } else {
    Reopen(recorder);
  }
  recorder.Look();
}

}  // namespace thermocline::power

// Blocks after a loss of power (R7, R13): which reached the disk, and those that did not from their images in the log.
//
// An image is believed when the CRC that the record has of its embedding says so, wherever it was found.
// Thread rule: the first opener, under the gate, alone.

#include "core/base/crc32c.h"
#include "core/base/planted.h"
#include "core/store/log_reader.h"
#include "core/store/rebuilder.h"

namespace thermocline::store {

/// The newest image of each block, from the checkpoint on: what lies before is on the disk in its own place.
void Store::Rebuilder::CollectImages() {
  if (IsPlanted(Fault::kImagesIgnored)) return;
  for (const FoundFrame& frame : frames_) {
    const Position position(NumberOf(frame.part), frame.offset);
    if (frame.header.image_count == 0 || meta_.Before(position, meta_.checkpoint)) continue;
    std::span<const char> bytes = segments_[frame.part]
                                      ->LogBytes(frame.offset, FrameBytes(frame.header))
                                      .first(FrameBytes(frame.header))
                                      .subspan(sizeof frame.header + frame.header.record_bytes);
    for (uint32_t i = 0; i < frame.header.image_count; ++i) {
      const auto image = format::DecodeImage(bytes);
      if (!image) break;
      images_.insert_or_assign(BlockKey(image->header.segment, image->header.slot), *image);
      bytes = bytes.subspan(image->bytes);
    }
  }
}

/// Whether every block that the frame's records name is whole, on the disk or from its image.
Result<bool> Store::Rebuilder::RestoreBlocks(const FoundFrame& frame) {
  Segment& segment = *segments_[frame.part];
  uint64_t offset = frame.offset + sizeof frame.header;
  bool whole = true;
  for (uint32_t i = 0; i < frame.header.record_count; ++i) {
    const auto record = ReadRecord(segment, offset);
    if (!record) return false;
    offset += record->header.length;
    if (record->kind() == format::RecordKind::kDelete) continue;
    const Result<bool> restored = RestoreBlock(segment, *record);
    if (!restored.ok()) return restored.status();
    whole = whole && *restored;
  }
  return whole;
}

/// Written by a call, not through the mapping: the place may be a hole, or beyond an end that the disk has forgotten.
Result<bool> Store::Rebuilder::RestoreBlock(Segment& segment, const format::RecordView& record) {
  const Slot slot = record.slot();
  if (Raw(slot) >= segment.slots()) return false;
  const auto found = images_.find(BlockKey(Raw(segment.number()), Raw(slot)));
  const format::ImageView* image = found == images_.end() ? nullptr : &found->second;
  const uint64_t stride = segment.layout().embedding_stride;
  const uint32_t seed = format::BlockSeed(store_.salt_, segment.number(), slot);
  const auto is_right = [&](const void* embedding) {
    return IsPlanted(Fault::kBlockCheckLeftOut) || Crc32c(seed, embedding, stride) == record.header.embedding_crc;
  };
  if (record.has(format::kHasEmbedding) && !(segment.Covers(slot) && is_right(segment.embedding(slot)))) {
    if (image == nullptr || image->embedding.size() != stride || !is_right(image->embedding.data())) return false;
    THERMOCLINE_RETURN_IF_ERROR(segment.blocks_file().WriteAt(segment.BlocksBytesFor(Raw(slot)), image->embedding));
  }
  if (!segment.Covers(slot)) {
    THERMOCLINE_RETURN_IF_ERROR(segment.blocks_file().SetSize(segment.BlocksBytesFor(Raw(slot) + 1)));
  }
  // No checksum covers a sketch: of a block that no sync covered the embedding may have arrived and the sketch not.
  store_.WriteSketch(segment, slot, record.has(format::kHasEmbedding) ? segment.embedding(slot) : nullptr);
  RestoreStatistics(segment, record, image);
  return true;
}

/// Statistics have no CRC, and the three words may be of different moments. The image's are of one: they hold unless a
/// touch came later, perhaps in the same millisecond. Without an image, zeros are what a page that was never written
/// has.
void Store::Rebuilder::RestoreStatistics(Segment& segment, const format::RecordView& record,
                                         const format::ImageView* image) {
  format::Statistics& statistics = segment.statistics(record.slot());
  if (image == nullptr) {
    const bool empty = statistics.activation == 0 && statistics.last_access == 0 && statistics.recall_count == 0;
    if (empty) statistics = {1, record.header.created_at, 0};
    return;
  }
  const format::ImageHeader& header = image->header;
  const bool touched = statistics.last_access >= header.last_access && statistics.recall_count > header.recall_count;
  if (!touched) statistics = {header.activation, header.last_access, header.recall_count};
}

}  // namespace thermocline::store

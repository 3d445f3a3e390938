// Every struct that is on disk or in a file shared between processes. docs/format.md describes the same bytes in
// prose; a test compares the two.
//
// Not here: reading or writing (meta.h, frame.h, blocks.h). Numbers are little-endian; reserved bytes are zero.
// Offsets of sections in files are multiples of kSectionBytes, never of the run-time page size.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace thermocline::format {

static_assert(std::endian::native == std::endian::little, "files are little-endian and are mapped, not converted");

inline constexpr uint64_t kSectionBytes = 65536;
inline constexpr uint64_t kHeaderBytes = 4096;
inline constexpr uint32_t kFormatVersion = 1;

inline constexpr uint64_t Magic(const char (&text)[9]) {
  uint64_t value = 0;
  for (int i = 7; i >= 0; --i) value = (value << 8) | static_cast<unsigned char>(text[i]);
  return value;
}
inline constexpr uint64_t kMetaMagic = Magic("TCLNMETA");
inline constexpr uint64_t kLogMagic = Magic("TCLNLOG1");
inline constexpr uint64_t kBlocksMagic = Magic("TCLNBLK1");
inline constexpr uint64_t kCacheMagic = Magic("TCLNCACH");
inline constexpr uint64_t kKeysMagic = Magic("TCLNKEYS");
inline constexpr uint64_t kLockMagic = Magic("TCLNLOCK");
inline constexpr uint64_t kCleanMagic = Magic("TCLNDONE");
inline constexpr uint32_t kFrameMagic = 0x4D524654u;  // "TFRM"

struct StoreId {
  uint64_t low;
  uint64_t high;
  friend bool operator==(const StoreId&, const StoreId&) = default;
};

struct Salt {
  uint64_t low;
  uint64_t high;
};

enum class Metric : uint32_t { kCosine = 0, kDot = 1, kL2 = 2 };

// meta ---------------------------------------------------------------------------------------------------------------

struct MetaHeader {
  uint64_t magic;
  uint32_t crc;     // of all bytes from `length` to the end of the file
  uint32_t length;  // of the file
  uint32_t version;
  uint32_t header_bytes;  // of this struct; list entries follow
  uint64_t features_compatible;
  uint64_t features_read_only;
  uint64_t features_incompatible;
  StoreId store_id;
  Salt salt;
  uint32_t dimensions;
  uint32_t metric;
  uint64_t epoch;
  uint64_t list_generation;
  uint64_t watermark;           // position: frames before it are durable
  uint64_t watermark_sequence;  // last sequence before the watermark
  uint64_t checkpoint;          // position: blocks of frames before it are durable
  uint64_t changes_floor;       // sequences up to here may be missing from the log
  double created_at;            // ms since the Unix epoch
  uint32_t next_segment;
  uint32_t segment_count;
  uint32_t replaced_count;
  uint32_t tlv_bytes;
  uint8_t reserved[32];
};
static_assert(sizeof(MetaHeader) == 192 && offsetof(MetaHeader, salt) == 64 && offsetof(MetaHeader, created_at) == 136);

struct SegmentEntry {
  uint32_t number;
  uint32_t slots;
  uint64_t log_capacity;
  uint64_t log_end;  // 0: open, or not begun
  uint64_t reserved[3];
};
static_assert(sizeof(SegmentEntry) == 48);

struct ReplacedEntry {
  uint32_t first;  // segments first..last were rewritten into `by`
  uint32_t last;
  uint32_t by;
  uint32_t reserved;
};
static_assert(sizeof(ReplacedEntry) == 16);

struct TlvHeader {
  uint16_t type;
  uint16_t flags;   // bit 0: a reader that does not know the type must refuse
  uint32_t length;  // of the value; the next header begins at the next multiple of 8
};
static_assert(sizeof(TlvHeader) == 8);
inline constexpr uint16_t kTlvCritical = 1;

// <n>.log ------------------------------------------------------------------------------------------------------------

struct LogHeader {
  uint64_t magic;
  uint32_t crc;  // of bytes 16..sizeof(LogHeader)
  uint32_t version;
  StoreId store_id;
  uint32_t segment;
  uint32_t reserved_word;
  uint64_t log_capacity;
  uint8_t reserved[16];
};
static_assert(sizeof(LogHeader) == 64);

enum class FrameKind : uint16_t { kRecords = 1, kImage = 2, kEpoch = 3 };

struct FrameHeader {
  uint32_t magic;
  uint32_t header_crc;  // of bytes 8..sizeof(FrameHeader), seeded with salt, segment, offset
  uint32_t body_crc;    // of the body, seeded likewise
  uint16_t kind;
  uint16_t flags;
  uint64_t body_bytes;  // multiple of 8
  uint64_t first_sequence;
  uint32_t record_count;
  uint32_t image_count;
  uint64_t record_bytes;  // of the body's first part, the records; images follow
  uint64_t epoch;
  uint64_t durable;     // sequence covered by a flush when this was written
  uint64_t watermark;   // position
  uint64_t checkpoint;  // position
  uint64_t memories_after;
  uint64_t previous_frame;  // position, 0: none
  uint32_t previous_header_crc;
  uint32_t reserved_word;
  uint8_t reserved[24];
};
static_assert(sizeof(FrameHeader) == 128 && offsetof(FrameHeader, previous_frame) == 88);

/// Flag of a frame that compaction wrote: sequences of its records ascend with gaps, each record's own is right.
inline constexpr uint16_t kFrameRewritten = 1;

enum class RecordKind : uint8_t { kPut = 1, kUpdate = 2, kDelete = 3 };

// Record flags.
inline constexpr uint8_t kHasEmbedding = 1;
inline constexpr uint8_t kHasContent = 2;
inline constexpr uint8_t kContentAscii = 4;
inline constexpr uint8_t kMetadataAscii = 8;
inline constexpr uint8_t kKnownRecordFlags = 15;

struct RecordHeader {
  uint32_t length;  // of the whole record, multiple of 8
  uint8_t kind;
  uint8_t flags;
  uint16_t id_bytes;
  uint64_t sequence;
  uint64_t previous;       // position of the record this one replaces, 0: none
  uint32_t slot;           // 0xFFFFFFFF: none (deletions)
  uint32_t embedding_crc;  // of the embedding, seeded with salt, segment, slot; 0 without one
  double created_at;
  double confidence;
  uint32_t content_bytes;
  uint32_t metadata_bytes;  // JSON text; 0: {}
  uint32_t tlv_bytes;
  uint32_t crc;  // of the whole record with this field as 0, seeded with salt, segment, offset
};
static_assert(sizeof(RecordHeader) == 64);
inline constexpr uint32_t kNoSlot = 0xFFFFFFFFu;

struct ImageHeader {
  uint32_t segment;
  uint32_t slot;
  uint32_t flags;  // record flags that matter: kHasEmbedding
  uint32_t reserved_word;
  double created_at;
  double confidence;
  double activation;
  double last_access;
  uint64_t recall_count;
  uint32_t sketch_bytes;
  uint32_t embedding_bytes;  // both follow, the whole padded to 8
};
static_assert(sizeof(ImageHeader) == 64);

// <n>.blocks ---------------------------------------------------------------------------------------------------------

enum class SketchKind : uint32_t { kNone = 0, kRabitq1 = 1 };

struct BlocksHeader {
  uint64_t magic;
  uint32_t crc;  // of bytes 16..sizeof(BlocksHeader)
  uint32_t version;
  StoreId store_id;
  uint32_t segment;
  uint32_t slots;
  uint32_t dimensions;
  uint32_t sketch_kind;
  uint64_t born_offset;        // u64 per slot: sequence of the record that owns the slot, 0: none
  uint64_t died_offset;        // u64 per slot: sequence that replaced it, 0: alive
  uint64_t record_offset;      // u64 per slot: log offset of the record
  uint64_t created_at_offset;  // f64 per slot
  uint64_t confidence_offset;  // f64 per slot
  uint64_t statistics_offset;  // Statistics per slot
  uint64_t centre_offset;      // f32 per code bit, rotated; 0: none
  uint64_t sketch_offset;      // groups of kSketchGroupSlots prefixes; 0: none
  uint64_t sketch_stride;      // of a group, per slot
  uint64_t embedding_offset;   // f32 per dimension and slot
  uint64_t embedding_stride;
  uint64_t file_bytes;          // when every slot is backed
  uint64_t sketch_rows_offset;  // the rest of each sketch; 0: none
  uint64_t sketch_rows_stride;
  uint8_t reserved[32];
};
static_assert(sizeof(BlocksHeader) == 192 && offsetof(BlocksHeader, sketch_rows_offset) == 144);

/// Slots whose sketch prefixes lie interleaved.
inline constexpr uint32_t kSketchGroupSlots = 16;
/// Bits of a code: at least 64, so that a confidence bound means something in few dimensions too.
constexpr uint32_t SketchBits(uint32_t dimensions) { return dimensions <= 64 ? 64 : (dimensions + 63) / 64 * 64; }
/// Bits of its prefix, which every search reads; the rest is read of what may be a hit by its prefix.
constexpr uint32_t SketchPrefixBits(uint32_t dimensions) {
  const uint32_t bits = SketchBits(dimensions);
  const uint32_t wanted = bits <= 384 ? 128 : bits <= 1024 ? 192 : 256;
  return bits < wanted ? bits : wanted;
}

/// What follows the rest of the code in a sketch's row.
struct SketchRowTerms {
  float scale;
  float spread;
};
static_assert(sizeof(SketchRowTerms) == 8);

struct Statistics {
  double activation;
  double last_access;
  uint64_t recall_count;
};
static_assert(sizeof(Statistics) == 24);

// cache --------------------------------------------------------------------------------------------------------------

inline constexpr uint32_t kCacheLayout = 1;

struct CacheHeader {
  uint64_t magic;
  uint32_t crc;  // of bytes 16..sizeof(CacheHeader)
  uint32_t layout;
  StoreId store_id;
  uint64_t boot_low;  // boot identity: hash of boot id, device, inode and mount id
  uint64_t boot_high;
  uint8_t reserved[16];
};
static_assert(sizeof(CacheHeader) == 64);

/// At kCleanOffset of the cache; all zero while a session may have written.
struct CleanMarker {
  uint64_t magic;
  uint64_t directory_inode;
  uint64_t cache_inode;
  uint64_t list_generation;
  uint64_t index_word;
  uint64_t tail;
  uint32_t words_crc;  // of the boot words
  uint32_t crc;        // of the bytes before it
  uint64_t reserved;
};
static_assert(sizeof(CleanMarker) == 64);
inline constexpr uint64_t kCleanOffset = 1024;

inline constexpr uint32_t kSpaceWords = 4;

/// Lifetime: boot. Words that different parties write lie on different cache lines.
struct BootWords {
  uint64_t applied;
  uint64_t pad0[7];
  uint64_t claim;  // segment << 32 | next slot
  uint64_t pad1[7];
  // Written under the write lock only.
  uint64_t tail;            // position: end of the last committed frame
  uint64_t last_frame;      // position of the last applied frame
  uint64_t size;            // memories
  uint64_t batches;         // frames with records
  uint64_t index_used;      // cells of the index that are not empty
  uint64_t dead_bytes;      // log and block bytes of records that were replaced; a hint
  uint64_t last_frame_crc;  // header CRC of last_frame
  uint64_t pad2[1];
  uint64_t index;  // offset, cells and generation of the memory index (index_word.h)
  uint64_t list_generation;
  uint64_t epoch;
  uint64_t poison;              // not 0: a sync failed in this boot
  uint64_t structure_unsynced;  // not 0: segments or their list were made without a sync
  uint64_t pad3[3];
  uint64_t watermark;
  uint64_t watermark_sequence;
  uint64_t checkpoint;
  uint64_t imaged;  // position: blocks of frames before it are in the log too, or behind the checkpoint
  uint64_t pad4[4];
  uint64_t slots_ready[kSpaceWords];  // segment << 32 | slots backed by the disk, at segment % kSpaceWords
  uint64_t log_ready[kSpaceWords];    // segment << 32 | log bytes backed by the disk, in units of 8
};
static_assert(sizeof(BootWords) == 6 * 64);
inline constexpr uint64_t kBootWordsOffset = 4096;

/// One cell of the memory index. position 0: empty, ends a probe; 1: tombstone.
struct IndexCell {
  uint64_t hash;
  uint64_t position;
};
static_assert(sizeof(IndexCell) == 16);
inline constexpr uint64_t kIndexOffset = kSectionBytes;
inline constexpr uint64_t kTombstone = 1;

// <n>.keys -----------------------------------------------------------------------------------------------------------

inline constexpr uint32_t kKeysLayout = 2;

/// Before one column of u64 per path, with a key for each slot. Written once, when the segment is sealed.
struct KeysHeader {
  uint64_t magic;
  uint32_t crc;  // of bytes 16..sizeof(KeysHeader)
  uint32_t layout;
  StoreId store_id;
  uint32_t segment;
  uint32_t slots;
  uint32_t paths;
  uint32_t columns_crc;  // of all that follows
  uint64_t paths_hash;   // SipHash-1-3 of the paths, each with its length before it
  uint32_t records_crc;  // of what tells these records from others of the same number in a copy of the store
  uint32_t reserved;
};
static_assert(sizeof(KeysHeader) == 64);

// lock ---------------------------------------------------------------------------------------------------------------

/// Lifetime: session; the first opener zeroes all but the magic.
struct SessionWords {
  uint64_t magic;
  uint64_t session_id;
  uint64_t directory;  // inode number of the directory of whoever opened last
  uint64_t pad0[5];
  uint32_t write_lock;
  uint32_t pad1[15];
  uint32_t growth_lock;  // segments, their list, index generations
  uint32_t pad2[15];
  uint32_t wake;       // bumped at each commit while somebody follows
  uint32_t followers;  // not 0: somebody may wait on `wake`
  uint32_t pad3[14];
  uint32_t marker_removed;  // 1: the clean marker is gone from the disk, 2: removed without a sync
  uint32_t pad4[15];
  uint32_t space_lock;  // what is backed by the disk of the segments that exist
  uint32_t pad5[15];
  uint32_t flush_lock;
  uint32_t flushes;  // bumped at each end of a flush
  uint32_t pad6[14];
  uint32_t turn_lock;
  uint32_t pad7;
  uint64_t turn_reserved;  // segment << 32 | bytes / 8 of its log that only the turn's owner may use
  uint32_t compact_lock;   // one compaction at a time
  uint32_t pad8;
  uint64_t pad9[5];
};
static_assert(sizeof(SessionWords) == 8 * 64);
inline constexpr uint32_t kMarkerSynced = 1;
inline constexpr uint32_t kMarkerUnsynced = 2;

struct ParticipantLine {
  uint32_t incarnation;
  uint32_t process;  // for people; never used to decide
  uint32_t reserved[14];
};
static_assert(sizeof(ParticipantLine) == 64);

inline constexpr uint64_t kParticipantsOffset = 4096;
inline constexpr uint32_t kParticipantsMax = 1023;  // number 0 is no participant
inline constexpr uint64_t kLockFileBytes = kParticipantsOffset + (kParticipantsMax + 1) * sizeof(ParticipantLine);
/// Bytes locked by the kernel lie beyond the file, so that locking and content never meet.
inline constexpr uint64_t kGateByte = 1u << 20;
inline constexpr uint64_t kParticipantByte = kGateByte + 16;  // + participant number

static_assert(std::is_trivially_copyable_v<BootWords> && std::is_trivially_copyable_v<SessionWords>);

constexpr uint64_t RoundUp(uint64_t value, uint64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

}  // namespace thermocline::format

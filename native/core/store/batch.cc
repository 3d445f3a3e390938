#include "core/store/batch.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/base/limits.h"

namespace thermocline::store {
namespace {

// An exponent of all ones is what no finite number has: adding one to it carries into the sign's place. In vectors of
// the size that every machine has, and by nothing but and, add and or: a comparison of longer ones is taken apart into
// single elements by g++.
bool AllFinite(std::span<const float> values) {
  using Lanes = uint32_t __attribute__((vector_size(16)));
  constexpr size_t kLanes = 16;
  constexpr uint32_t kExponent = 0x7F800000;
  constexpr uint32_t kOne = 0x00800000;
  Lanes carried[4] = {};
  size_t at = 0;
  for (; at + kLanes <= values.size(); at += kLanes) {
    Lanes bits[4];
    std::memcpy(bits, values.data() + at, sizeof bits);
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; ++i) carried[i] |= (bits[i] & kExponent) + kOne;
  }
  const Lanes all = (carried[0] | carried[1]) | (carried[2] | carried[3]);
  uint32_t any = (all[0] | all[1]) | (all[2] | all[3]);
  for (; at < values.size(); ++at) any |= (std::bit_cast<uint32_t>(values[at]) & kExponent) + kOne;
  return any >> 31 == 0;
}

}  // namespace

Status CheckPut(const PutInput& put, uint32_t dimensions) {
  if (put.id.empty() || put.id.size() > kIdBytesMax) {
    return Status::Error(ErrorCode::kKeySize).set_value(static_cast<int64_t>(put.id.size()));
  }
  if (!put.embedding.empty() && put.embedding.size() != dimensions) {
    return Status::Error(ErrorCode::kDimension).set_value(dimensions);
  }
  if (put.content.size() > kContentBytesMax) {
    return Status::Error(ErrorCode::kTooLarge).set_value(static_cast<int64_t>(kContentBytesMax));
  }
  if (put.metadata.size() > kMetadataBytesMax) {
    return Status::Error(ErrorCode::kTooLarge).set_value(static_cast<int64_t>(kMetadataBytesMax));
  }
  return AllFinite(put.embedding) ? Status::Ok() : Status::Error(ErrorCode::kNotFinite);
}

char* Arena::Allocate(uint64_t size) {
  size = format::RoundUp(size, 16);
  used_ += size;
  while (current_ < chunks_.size() && chunks_[current_].size - at_ < size) {
    ++current_;
    at_ = 0;
  }
  if (current_ == chunks_.size()) {
    const uint64_t bytes = std::max(size, kChunkBytes);
    chunks_.push_back({std::make_unique_for_overwrite<char[]>(bytes), bytes});
    at_ = 0;
  }
  char* place = chunks_[current_].bytes.get() + at_;
  at_ += size;
  return place;
}

std::string_view Arena::Copy(std::string_view text) {
  if (text.empty()) return {};
  char* place = Allocate(text.size());
  std::memcpy(place, text.data(), text.size());
  return {place, text.size()};
}

void Arena::Clear() {
  uint64_t kept = 0;
  size_t keep = 0;
  while (keep < chunks_.size() && kept + chunks_[keep].size <= kKeptBytesMax) kept += chunks_[keep++].size;
  chunks_.erase(chunks_.begin() + static_cast<ptrdiff_t>(keep), chunks_.end());
  current_ = 0;
  at_ = 0;
  used_ = 0;
}

void Batch::Clear() {
  operations_.clear();
  by_hash_.clear();
  arena_.Clear();
  rows_ = {};
  bytes_ = 0;
  slots_ = 0;
  first_sequence = 0;
  applied = 0;
}

Operation& Batch::Add(format::RecordKind kind, std::string_view id, bool copy, int64_t if_sequence) {
  Operation& operation = operations_.emplace_back();
  operation.kind = kind;
  operation.put.id = copy ? arena_.Copy(id) : id;
  operation.hash = SipHash13(key_, id.data(), id.size());
  operation.if_sequence = if_sequence;
  if (kind != format::RecordKind::kDelete) ++slots_;
  LinkEarlier();
  return operation;
}

int32_t Batch::LinkById(size_t index) {
  const Operation& operation = operations_[index];
  const size_t mask = by_hash_.size() - 1;
  size_t at = operation.hash & mask;
  for (; by_hash_[at] != 0; at = (at + 1) & mask) {
    const Operation& other = operations_[static_cast<size_t>(by_hash_[at] - 1)];
    if (other.hash == operation.hash && other.put.id == operation.put.id) break;
  }
  // One entry an id, naming its latest operation: a batch of one id only stays linear.
  const int32_t earlier = by_hash_[at] - 1;
  by_hash_[at] = static_cast<int32_t>(index + 1);
  return earlier;
}

void Batch::LinkEarlier() {
  const size_t count = operations_.size();
  if (count == 1) return;  // the common case, a single put, needs no table
  if (by_hash_.size() < count * 2) {
    by_hash_.assign(std::bit_ceil(std::max<size_t>(64, count * 4)), 0);
    for (size_t i = 0; i + 1 < count; ++i) LinkById(i);
  }
  operations_.back().earlier = LinkById(count - 1);
}

void Batch::Put(const PutInput& input, bool copy, int64_t if_sequence) {
  Operation& operation = Add(format::RecordKind::kPut, input.id, copy, if_sequence);
  const std::string_view id = operation.put.id;
  operation.put = input;
  operation.put.id = id;
  operation.put.content_ascii = input.content_ascii || format::IsAscii(input.content);
  operation.put.metadata_ascii = input.metadata_ascii || format::IsAscii(input.metadata);
  if (copy) {
    operation.put.content = arena_.Copy(input.content);
    operation.put.metadata = arena_.Copy(input.metadata);
    operation.put.tlv = arena_.Copy(input.tlv);
    if (!input.embedding.empty()) {
      auto* place = reinterpret_cast<float*>(arena_.Allocate(input.embedding.size_bytes()));
      std::memcpy(place, input.embedding.data(), input.embedding.size_bytes());
      operation.put.embedding = {place, input.embedding.size()};
    }
  }
  bytes_ += sizeof(format::RecordHeader) + id.size() + input.content.size() + input.metadata.size() +
            input.embedding.size_bytes();
}

void Batch::Update(const PatchInput& input, bool copy, int64_t if_sequence) {
  Operation& operation = Add(format::RecordKind::kUpdate, input.id, copy, if_sequence);
  operation.patch = input;
  operation.patch.id = operation.put.id;
  operation.patch.content_ascii = input.content_ascii || format::IsAscii(input.content);
  operation.patch.metadata_ascii = input.metadata_ascii || format::IsAscii(input.metadata);
  if (copy) {
    operation.patch.content = arena_.Copy(input.content);
    operation.patch.metadata = arena_.Copy(input.metadata);
  }
  bytes_ += sizeof(format::RecordHeader) + input.id.size() + input.content.size() + input.metadata.size();
}

void Batch::Delete(std::string_view id, bool copy, int64_t if_sequence) {
  Add(format::RecordKind::kDelete, id, copy, if_sequence);
  bytes_ += sizeof(format::RecordHeader) + id.size();
}

void Batch::Check(std::string_view id, bool copy, int64_t if_sequence) {
  Add(format::RecordKind::kDelete, id, copy, if_sequence).is_check = true;
}

}  // namespace thermocline::store

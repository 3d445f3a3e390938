#include "core/store/turn.h"

namespace thermocline::store {
namespace {

thread_local const void* store_whose_turn_is_mine = nullptr;

}  // namespace

bool Store::HasTurn() const { return store_whose_turn_is_mine == this; }

Status Store::LockTurn(uint64_t timeout_us) {
  const SharedLock::Outcome outcome = turn_lock_->Acquire(timeout_us);
  if (outcome == SharedLock::Outcome::kBusy) return Status::Error(ErrorCode::kBusy);
  // A dead owner's: nothing to repair, it only kept others out.
  if (outcome == SharedLock::Outcome::kAcquiredFromDead) StoreRelaxed(session_->turn_reserved, uint64_t{0});
  return ReleaseIfLost(*turn_lock_);
}

Status Store::Turn::Take(uint64_t timeout_us) {
  if (taken_ || store_.HasTurn()) return Status::Ok();
  THERMOCLINE_RETURN_IF_ERROR(store_.LockTurn(timeout_us));
  taken_ = true;
  store_whose_turn_is_mine = &store_;
  return Status::Ok();
}

Store::Turn::~Turn() {
  if (!taken_) return;
  store_whose_turn_is_mine = nullptr;
  StoreRelaxed(store_.session_->turn_reserved, uint64_t{0});
  store_.turn_lock_->Release();
}

/// Of the segment's log, what the calling thread must leave to whoever has the turn.
uint64_t Store::LogBytesReserved(uint32_t segment) const {
  const uint64_t reserved = LoadRelaxed(session_->turn_reserved);
  return reserved >> 32 != segment || HasTurn() ? 0 : (reserved & 0xFFFFFFFFu) * 8;
}

}  // namespace thermocline::store

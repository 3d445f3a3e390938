// What searching keeps for a store while it is open in this process.
#pragma once

#include <atomic>

#include "core/search/answers.h"
#include "core/search/field_index.h"
#include "core/search/learnt_keys.h"
#include "core/store/store.h"

namespace thermocline::search {

struct SearchCaches final : store::Companion {
  AnswerCache answers;
  FieldIndex fields;
  LearntKeys learnt;

  static SearchCaches& Of(store::Store& store);
  void Tend(store::Store& store, const std::atomic<bool>& stop) override { fields.Tend(store, stop); }
};

}  // namespace thermocline::search

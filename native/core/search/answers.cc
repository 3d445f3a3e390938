#include "core/search/answers.h"

#include <algorithm>

namespace thermocline::search {

std::vector<std::shared_ptr<SegmentAnswers>> ConditionAnswers::Of(const store::Snapshot& snapshot) {
  const std::lock_guard<std::mutex> guard(mutex_);
  std::map<uint32_t, std::shared_ptr<SegmentAnswers>> kept;
  std::vector<std::shared_ptr<SegmentAnswers>> answers;
  size_t bytes = text_.size();
  for (const store::Snapshot::Part& part : snapshot.parts) {
    const uint32_t number = Raw(part.segment->number());
    std::shared_ptr<SegmentAnswers>& of_segment = of_segment_[number];
    if (of_segment == nullptr) of_segment = std::make_shared<SegmentAnswers>(part.segment->slots());
    answers.push_back(of_segment);
    bytes += of_segment->bytes();
    kept.emplace(number, of_segment);
  }
  of_segment_.swap(kept);
  bytes_.store(bytes, std::memory_order_relaxed);
  return answers;
}

std::shared_ptr<ConditionAnswers> AnswerCache::Get(const std::string& text) {
  const std::lock_guard<std::mutex> guard(mutex_);
  const auto found = std::find_if(conditions_.begin(), conditions_.end(),
                                  [&](const auto& condition) { return condition->text() == text; });
  if (found != conditions_.end()) {
    conditions_.splice(conditions_.begin(), conditions_, found);
  } else {
    Forget();
    conditions_.push_front(std::make_shared<ConditionAnswers>(text));
  }
  return conditions_.front();
}

/// Makes room: searches that still use what is forgotten keep it alive.
void AnswerCache::Forget() {
  size_t bytes = 0;
  size_t count = 1;
  for (auto condition = conditions_.begin(); condition != conditions_.end();) {
    bytes += (*condition)->bytes();
    const bool fits = bytes <= kBytesMax && ++count <= kConditionsMax;
    condition = fits ? std::next(condition) : conditions_.erase(condition);
  }
}

}  // namespace thermocline::search

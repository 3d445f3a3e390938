// From the text of a filter to a Filter. What arrives here was checked in TypeScript, where mistakes get their words;
// this side believes nothing of it all the same.

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/base/limits.h"
#include "core/filter/filter.h"
#include "core/filter/json_reader.h"

namespace thermocline::filter {
namespace {

using Kind = JsonReader::Kind;

// A level of nesting is an object and an array around it; a condition and its list of values come on top.
constexpr uint32_t kTextDepthMax = 2 * kFilterDepthMax + 4;

template <typename Enum, size_t n>
const Enum* FindWord(const std::pair<std::string_view, Enum> (&words)[n], std::string_view word) {
  for (const auto& [text, meaning] : words) {
    if (text == word) return &meaning;
  }
  return nullptr;
}

constexpr std::pair<std::string_view, Field> kFields[] = {{"createdAt", Field::kCreatedAt},
                                                          {"lastAccess", Field::kLastAccess},
                                                          {"confidence", Field::kConfidence},
                                                          {"id", Field::kId}};
constexpr std::pair<std::string_view, Operator> kOperators[] = {
    {"eq", Operator::kEq},   {"ne", Operator::kNe}, {"in", Operator::kIn},   {"gt", Operator::kGt},
    {"gte", Operator::kGte}, {"lt", Operator::kLt}, {"lte", Operator::kLte}, {"prefix", Operator::kPrefix}};

}  // namespace

class Compiler {
 public:
  explicit Compiler(std::string_view text) : reader_(text, kTextDepthMax) {}

  Result<Filter> Run() {
    if (!ParseFilter(1) || !reader_.AtEnd()) return error_;
    SortPaths();
    return std::move(filter_);
  }

 private:
  // Each Parse function reads one value; false: error_ says why.
  bool ParseFilter(uint32_t depth);
  bool ParsePart(std::string_view word, uint32_t depth);
  bool ParseList(Filter::NodeKind kind, uint32_t depth);
  bool ParseMetadata();
  bool ParseCondition(Field field, std::string path);
  bool ParseCheck(std::string_view word, Condition& condition);
  bool ParseExistence(Condition& condition);
  bool ParseScalar(Operand& operand);
  bool ParseScalars(std::vector<Operand>& operands);

  bool OpenObject() { return Open(Kind::kObject); }
  bool Open(Kind kind) {
    if (reader_.Peek() != kind) return false;
    reader_.Open();
    return true;
  }
  /// More parts than a filter may have are no filter.
  bool Count() {
    if (++parts_ > kFilterConditionsMax) return RefuseRange();
    return true;
  }
  bool RefuseRange() {
    error_ = ErrorCode::kArgumentRange;
    return false;
  }
  uint32_t Begin(Filter::NodeKind kind) {
    filter_.nodes_.push_back({kind, 0, 0});
    return static_cast<uint32_t>(filter_.nodes_.size() - 1);
  }
  void End(uint32_t node) { filter_.nodes_[node].end = static_cast<uint32_t>(filter_.nodes_.size()); }
  void SortPaths();

  JsonReader reader_;
  Filter filter_;
  std::vector<std::string> path_of_leaf_;
  uint32_t parts_ = 0;
  ErrorCode error_ = ErrorCode::kArgument;
};

bool Compiler::ParseFilter(uint32_t depth) {
  if (depth > kFilterDepthMax) return RefuseRange();
  if (!Count() || !OpenObject()) return false;
  const uint32_t node = Begin(Filter::NodeKind::kAnd);
  JsonReader::Text key;
  std::string scratch;
  while (reader_.NextMember(&key)) {
    if (!ParsePart(JsonReader::Decode(key, scratch), depth)) return false;
  }
  End(node);
  return !reader_.failed();
}

bool Compiler::ParsePart(std::string_view word, uint32_t depth) {
  if (word == "metadata") return ParseMetadata();
  if (word == "and") return ParseList(Filter::NodeKind::kAnd, depth);
  if (word == "or") return ParseList(Filter::NodeKind::kOr, depth);
  if (word == "not") {
    const uint32_t node = Begin(Filter::NodeKind::kNot);
    if (!ParseFilter(depth + 1)) return false;
    End(node);
    return true;
  }
  const Field* const field = FindWord(kFields, word);
  return field != nullptr && ParseCondition(*field, std::string());
}

bool Compiler::ParseList(Filter::NodeKind kind, uint32_t depth) {
  if (!Open(Kind::kArray)) return false;
  const uint32_t node = Begin(kind);
  while (reader_.NextElement()) {
    if (!ParseFilter(depth + 1)) return false;
  }
  End(node);
  return !reader_.failed();
}

bool Compiler::ParseMetadata() {
  if (!OpenObject()) return false;
  JsonReader::Text key;
  std::string scratch;
  while (reader_.NextMember(&key)) {
    if (!ParseCondition(Field::kMetadata, std::string(JsonReader::Decode(key, scratch)))) return false;
  }
  return !reader_.failed();
}

bool Compiler::ParseCondition(Field field, std::string path) {
  if (!Count()) return false;
  const char* const begin = reader_.at();
  if (!OpenObject()) return false;
  Condition condition;
  JsonReader::Text key;
  std::string scratch;
  while (reader_.NextMember(&key)) {
    if (!ParseCheck(JsonReader::Decode(key, scratch), condition)) return false;
  }
  if (reader_.failed()) return false;
  const uint32_t node = Begin(Filter::NodeKind::kLeaf);
  filter_.nodes_[node].leaf = static_cast<uint32_t>(filter_.leaves_.size());
  End(node);
  // The length of the path keeps path and condition apart, whatever they hold.
  std::string text = std::to_string(static_cast<int>(field)) + ' ' + std::to_string(path.size()) + ' ' + path;
  text.append(begin, reader_.at());
  filter_.leaves_.push_back({field, 0, std::move(condition), std::move(text)});
  path_of_leaf_.push_back(std::move(path));
  return true;
}

bool Compiler::ParseCheck(std::string_view word, Condition& condition) {
  if (word == "exists") return ParseExistence(condition);
  const Operator* const operation = FindWord(kOperators, word);
  if (operation == nullptr) return false;
  std::vector<Operand> operands;
  if (*operation == Operator::kIn) {
    if (!ParseScalars(operands)) return false;
  } else {
    if (!ParseScalar(operands.emplace_back())) return false;
    if (*operation == Operator::kPrefix && operands.front().kind != ValueKind::kString) return false;
  }
  condition.Add(*operation, std::move(operands));
  return true;
}

bool Compiler::ParseExistence(Condition& condition) {
  const Kind kind = reader_.Peek();
  if (kind != Kind::kTrue && kind != Kind::kFalse) return false;
  reader_.Skip();
  condition.set_existence(kind == Kind::kTrue ? Existence::kMust : Existence::kMustNot);
  return !reader_.failed();
}

bool Compiler::ParseScalar(Operand& operand) {
  const Kind kind = reader_.Peek();
  switch (kind) {
    case Kind::kString: {
      std::string scratch;
      operand = {ValueKind::kString, 0, std::string(JsonReader::Decode(reader_.ReadString(), scratch))};
      break;
    }
    case Kind::kNumber:
      operand = {ValueKind::kNumber, reader_.ReadNumber(), {}};
      if (std::isinf(operand.number)) return RefuseRange();
      break;
    case Kind::kTrue:
    case Kind::kFalse:
      operand = {ValueKind::kBoolean, kind == Kind::kTrue ? 1.0 : 0.0, {}};
      reader_.Skip();
      break;
    case Kind::kNull:
      reader_.Skip();
      break;
    default:
      return false;
  }
  return !reader_.failed();
}

bool Compiler::ParseScalars(std::vector<Operand>& operands) {
  if (!Open(Kind::kArray)) return false;
  while (reader_.NextElement()) {
    if (!ParseScalar(operands.emplace_back())) return false;
  }
  return !reader_.failed();
}

/// Numbers the paths by their order, each once.
void Compiler::SortPaths() {
  std::vector<std::string> sorted;
  for (size_t i = 0; i < filter_.leaves_.size(); ++i) {
    if (filter_.leaves_[i].field == Field::kMetadata) sorted.push_back(path_of_leaf_[i]);
  }
  std::sort(sorted.begin(), sorted.end());
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  filter_.leaves_of_path_.resize(sorted.size());
  for (uint32_t i = 0; i < filter_.leaves_.size(); ++i) {
    Leaf& leaf = filter_.leaves_[i];
    if (leaf.field != Field::kMetadata) continue;
    const auto found = std::lower_bound(sorted.begin(), sorted.end(), path_of_leaf_[i]);
    leaf.path = static_cast<uint32_t>(found - sorted.begin());
    filter_.leaves_of_path_[leaf.path].push_back(i);
  }
  filter_.paths_ = PathTable(std::move(sorted));
}

Result<Filter> Filter::Compile(std::string_view text) {
  if (text.size() > kFilterBytesMax) return ErrorCode::kArgumentRange;
  return Compiler(text).Run();
}

}  // namespace thermocline::filter

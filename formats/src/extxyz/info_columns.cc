#include "extxyz/info_columns.h"

#include <algorithm>

namespace zn::formats {
namespace {

// Integers up to this are doubles without loss.
constexpr int64_t kExactInDouble = int64_t{1} << 53;

bool HasInexact(const std::vector<Value>& values) {
  for (const Value& value : values)
    if (value.type == Value::Type::kInt)
      for (int64_t i : value.ints)
        if (i > kExactInDouble || i < -kExactInDouble) return true;
  return false;
}

// Equal but for the first extent of lists.
bool SameBut(const Shape& a, const Shape& b) {
  if (a.rank() != b.rank() || a.rank() == 0) return false;
  for (size_t axis = 1; axis < a.rank(); ++axis)
    if (a[axis] != b[axis]) return false;
  return true;
}

}  // namespace

std::vector<uint8_t> PresentFlags(const std::vector<int64_t>& present, int64_t frames) {
  if (static_cast<int64_t>(present.size()) == frames) return {};
  std::vector<uint8_t> flags(static_cast<size_t>(frames), 0);
  for (int64_t frame : present) flags[static_cast<size_t>(frame)] = 1;
  return flags;
}

void InfoColumns::Set(std::string_view field, int64_t frame, Value value) {
  auto it = entries_.find(field);
  if (it == entries_.end()) it = entries_.emplace(field, Entry{}).first;
  Entry& entry = it->second;
  if (!entry.frames.empty() && entry.frames.back() == frame) {
    entry.values.back() = std::move(value);
    return;
  }
  entry.frames.push_back(frame);
  entry.values.push_back(std::move(value));
}

bool InfoColumns::Has(std::string_view field, int64_t frame) const {
  auto it = entries_.find(field);
  return it != entries_.end() && !it->second.frames.empty() && it->second.frames.back() == frame;
}

void InfoColumns::Revert(int64_t frame) {
  for (auto it = entries_.begin(); it != entries_.end();) {
    Entry& entry = it->second;
    if (!entry.frames.empty() && entry.frames.back() == frame) {
      entry.frames.pop_back();
      entry.values.pop_back();
    }
    it = entry.frames.empty() ? entries_.erase(it) : std::next(it);
  }
}

Column InfoColumns::Unify(Entry& entry) {
  Column column;
  column.kind = FieldKind::kFrame;
  const std::vector<Value>& values = entry.values;
  const Value& first = values.front();
  bool array = true, flag = true, integer = true, same_shape = true, lists = true;
  for (const Value& value : values) {
    array &= value.is_array();
    flag &= value.type == Value::Type::kBool;
    integer &= value.type == Value::Type::kInt;
    same_shape &= value.shape == first.shape;
    lists &= SameBut(value.shape, first.shape);
    // A boolean among numbers is neither.
    array &= (value.type == Value::Type::kBool) == (first.type == Value::Type::kBool);
  }
  array &= same_shape || lists;
  if (array && !flag && !integer && HasInexact(values)) array = false;
  if (!array) {
    column.dtype = DType::kJson;
    column.text.reserve(values.size());
    for (const Value& value : values) column.text.push_back(ValueToJson(value));
    return column;
  }
  column.inner = first.shape;
  if (!same_shape) {
    column.kind = FieldKind::kRagged;
    column.inner = Shape();
    for (size_t axis = 1; axis < first.shape.rank(); ++axis) column.inner.Append(first.shape[axis]);
    for (const Value& value : values) column.lengths.push_back(value.shape[0]);
  }
  size_t elements = 0;
  for (const Value& value : values) elements += value.elements();
  if (flag) {
    column.dtype = DType::kBool;
    std::vector<uint8_t> data;
    data.reserve(elements);
    for (const Value& value : values)
      for (int64_t b : value.ints) data.push_back(b != 0 ? 1 : 0);
    column.data = Buffer::Own(std::move(data));
  } else if (integer) {
    column.dtype = DType::kInt64;
    std::vector<int64_t> data;
    data.reserve(elements);
    for (const Value& value : values) data.insert(data.end(), value.ints.begin(), value.ints.end());
    column.data = Buffer::Own(std::move(data));
  } else {
    column.dtype = DType::kFloat64;
    std::vector<double> data;
    data.reserve(elements);
    for (const Value& value : values)
      for (size_t i = 0; i < value.elements(); ++i) data.push_back(value.AsDouble(i));
    column.data = Buffer::Own(std::move(data));
  }
  return column;
}

std::vector<Column> InfoColumns::Take(int64_t frames) {
  std::vector<Column> columns;
  columns.reserve(entries_.size());
  for (auto& [field, entry] : entries_) {
    Column column = Unify(entry);
    column.name = field;
    column.present = PresentFlags(entry.frames, frames);
    columns.push_back(std::move(column));
  }
  entries_.clear();
  return columns;
}

}  // namespace zn::formats

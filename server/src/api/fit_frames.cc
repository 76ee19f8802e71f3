// Values of frames as columns: which kind a field is, which dtype, and the conversions to it.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "api/decode_frames.h"
#include "zn/engine/dtype_convert.h"
#include "zn/formats/fields.h"
#include "zn/formats/text_writer.h"

namespace zn::server {
namespace {

using Kind = BodyValue::Kind;

Error Invalid(std::string message) { return {ErrorCode::kInvalidArgument, std::move(message)}; }
Error Mismatch(std::string message) { return {ErrorCode::kTypeMismatch, std::move(message)}; }

bool IsNumbers(const BodyValue& value) { return value.kind == Kind::kArray || value.kind == Kind::kNumbers; }
bool IsEmptyList(const BodyValue& value) {
  return value.kind == Kind::kNumbers && value.shape.rank() == 1 && value.shape[0] == 0;
}

// Does a number of a body fit the floating dtype: is it the value, or the shortest decimal that reads as it?
// 0.1 fits float32, as float32's 0.1 is written "0.1" again.
template <class T>
bool ReadsBack(double given, T stored) {
  if (static_cast<double>(stored) == given || (std::isnan(given) && std::isnan(stored))) return true;
  char text[64];
  const char* end = std::to_chars(text, text + sizeof text, stored).ptr;
  double read = 0;
  std::from_chars(text, end, read);
  return read == given;
}

Result<> CheckDecimals(const BodyValue& value, DType to, std::span<const std::byte> stored) {
  const size_t count = value.data.size() / sizeof(double);
  for (size_t i = 0; i < count; ++i) {
    double given;
    std::memcpy(&given, value.data.data() + i * sizeof given, sizeof given);
    bool good = true;
    if (to == DType::kFloat32) {
      float f;
      std::memcpy(&f, stored.data() + i * sizeof f, sizeof f);
      good = ReadsBack(given, f);
    } else if (to == DType::kFloat16) {
      uint16_t half;
      std::memcpy(&half, stored.data() + i * sizeof half, sizeof half);
      good = ReadsBack(given, static_cast<float>(HalfToDouble(half)));
    }
    if (!good) {
      char text[32];
      const char* end = std::to_chars(text, text + sizeof text, given).ptr;
      return Mismatch("the number " + std::string(text, static_cast<size_t>(end - text)) + " is not one of " + std::string(ZarrName(to)) +
                      "; cast=true rounds");
    }
  }
  return {};
}

// The elements as `to`; `shape` loses its last axis where that was [re, im].
Result<Buffer> ConvertValue(const BodyValue& value, DType to, bool cast, Shape* shape) {
  *shape = value.shape;
  if (value.dtype == to) return value.data;
  const bool to_complex = to == DType::kComplex64 || to == DType::kComplex128;
  BodyValue source = value;
  DType target = to;
  if (value.kind == Kind::kNumbers && to_complex && value.shape.rank() > 0 && value.shape[value.shape.rank() - 1] == 2) {
    *shape = Shape(std::span(value.shape.begin(), value.shape.rank() - 1));
    target = to == DType::kComplex64 ? DType::kFloat32 : DType::kFloat64;
    if (source.dtype == target) return value.data;
  }
  std::vector<std::byte> out(source.data.size() / ItemSize(source.dtype) * ItemSize(target));
  const bool decimals = value.kind == Kind::kNumbers && source.dtype == DType::kFloat64 &&
                        (target == DType::kFloat32 || target == DType::kFloat16);
  ZN_RETURN_IF_ERROR(ConvertElements(source.dtype, source.data.bytes(), target, out, !cast && !decimals));
  if (decimals && !cast) ZN_RETURN_IF_ERROR(CheckDecimals(source, target, out));
  return Buffer::Own(std::move(out));
}

// Chemical symbols as atomic numbers, for a value that is a list of them.
std::optional<BodyValue> AtomicNumbers(const BodyValue& value) {
  const nlohmann::json list = nlohmann::json::parse(value.text, nullptr, false);
  if (!list.is_array()) return std::nullopt;
  std::vector<int64_t> numbers;
  for (const auto& symbol : list) {
    if (!symbol.is_string()) return std::nullopt;
    const auto number = formats::AtomicNumber(symbol.get_ref<const std::string&>());
    if (!number) return std::nullopt;
    numbers.push_back(*number);
  }
  BodyValue result;
  result.kind = Kind::kNumbers;
  result.dtype = DType::kInt64;
  result.shape = Shape{static_cast<int64_t>(numbers.size())};
  result.data = Buffer::Own(std::move(numbers));
  return result;
}

// One field over the frames that have it.
struct FieldValues {
  std::string name;
  const FieldDescriptor* known = nullptr;
  const formats::CanonicalField* canonical = nullptr;
  std::vector<std::pair<size_t, BodyValue>> values;  // frame and value, ascending

  bool MayBeAtom() const {
    if (known != nullptr) return known->kind == FieldKind::kAtom && known->dtype != DType::kJson;
    if (canonical != nullptr) return canonical->kind == FieldKind::kAtom;
    return name.starts_with("arrays.");
  }
  bool all_numbers() const {
    return std::all_of(values.begin(), values.end(), [](const auto& v) { return IsNumbers(v.second); });
  }
};

class Fitter {
 public:
  explicit Fitter(const FitOptions& options) : options_(options) {}

  Result<FrameBatch> Fit(std::vector<BodyFrame> frames) {
    ZN_RETURN_IF_ERROR(Group(std::move(frames)));
    ZN_RETURN_IF_ERROR(CountAtoms());
    for (FieldValues& field : fields_) {
      auto column = MakeColumn(field);
      if (!column) return std::move(column).error().Context("field '" + field.name + "'");
      batch_.columns.push_back(std::move(*column));
    }
    return std::move(batch_);
  }

 private:
  Result<> Group(std::vector<BodyFrame> frames) {
    frames_ = frames.size();
    explicit_.resize(frames_);
    std::unordered_map<std::string, std::string> canonical;
    std::unordered_map<std::string, size_t> index;
    for (size_t i = 0; i < frames_; ++i) {
      for (auto& [given, value] : frames[i]) {
        auto name = canonical.find(given);
        if (name == canonical.end()) {
          ZN_ASSIGN_OR_RETURN(std::string resolved, CanonicalName(given, options_.fields));
          name = canonical.emplace(given, std::move(resolved)).first;
        }
        if (value.kind == Kind::kNull) continue;  // as if it were not there
        if (name->second == "n_atoms") {
          if (!IsNumbers(value) || value.shape.rank() != 0 || !IsInteger(value.dtype)) return Invalid("n_atoms is not an integer");
          int64_t n = 0;
          ZN_RETURN_IF_ERROR(ConvertElements(value.dtype, value.data.bytes(), DType::kInt64,
                                             std::as_writable_bytes(std::span(&n, 1)), true));
          if (n < 0 || n > INT32_MAX) return Invalid("n_atoms is " + std::to_string(n));
          explicit_[i] = static_cast<int32_t>(n);
          continue;
        }
        const auto [at, is_new] = index.emplace(name->second, fields_.size());
        if (is_new) {
          FieldValues field;
          field.name = name->second;
          field.canonical = formats::FindCanonical(field.name);
          for (const FieldDescriptor& known : options_.fields)
            if (known.name == field.name) field.known = &known;
          fields_.push_back(std::move(field));
        }
        FieldValues& field = fields_[at->second];
        if (!field.values.empty() && field.values.back().first == i)
          return Invalid("field '" + field.name + "' is given twice, as '" + given + "' too");
        if (value.kind == Kind::kText && field.name == "arrays.numbers" &&
            (field.known == nullptr || field.known->dtype != DType::kJson)) {
          if (auto numbers = AtomicNumbers(value)) value = std::move(*numbers);
        }
        field.values.emplace_back(i, std::move(value));
      }
    }
    return {};
  }

  Result<> CountAtoms() {
    if (!options_.n_atoms.empty() && options_.n_atoms.size() != frames_) return Invalid("another number of frames is given than named");
    std::vector<std::optional<int32_t>> counts(frames_);
    std::vector<const std::string*> counted_by(frames_);
    for (size_t i = 0; i < frames_; ++i) {
      if (!options_.n_atoms.empty()) {
        counts[i] = options_.n_atoms[i];
        if (explicit_[i] && *explicit_[i] != *counts[i])
          return Invalid("n_atoms is " + std::to_string(*explicit_[i]) + ", and the frame has " + std::to_string(*counts[i]) + " atoms");
      } else {
        counts[i] = explicit_[i];
      }
    }
    for (const FieldValues& field : fields_) {
      if (!field.MayBeAtom()) continue;
      for (const auto& [frame, value] : field.values) {
        if (!IsNumbers(value)) {
          if (field.known == nullptr) continue;  // becomes JSON
          return Mismatch("field '" + field.name + "' is numbers, and what is given is not").Context(Place(frame));
        }
        if (value.shape.rank() == 0) {
          if (field.known == nullptr && field.canonical == nullptr)
            return Invalid("field '" + field.name + "' is per atom by its name, and one value is given").Context(Place(frame));
          return Mismatch("field '" + field.name + "' is per atom, and one value is given").Context(Place(frame));
        }
        const int64_t n = value.shape[0];
        if (n > INT32_MAX) return Invalid("field '" + field.name + "' has more than 2147483647 atoms").Context(Place(frame));
        if (!counts[frame]) {
          counts[frame] = static_cast<int32_t>(n);
          counted_by[frame] = &field.name;
        } else if (*counts[frame] != n) {
          return Invalid("field '" + field.name + "' has " + std::to_string(n) + " atoms, and " +
                         (counted_by[frame] ? "field '" + *counted_by[frame] + "'" : std::string("the frame")) + " has " +
                         std::to_string(*counts[frame]))
              .Context(Place(frame));
        }
      }
    }
    for (const auto& count : counts) batch_.n_atoms.push_back(count.value_or(0));
    return {};
  }

  std::string Place(size_t frame) const { return "frame " + std::to_string(frame) + " of the body"; }

  // Kind, dtype and inner axes of a field that the room does not have yet.
  Result<> Choose(const FieldValues& field, Column& column) const {
    const bool json_if_it_must = std::none_of(field.values.begin(), field.values.end(),
                                              [](const auto& v) { return v.second.kind == Kind::kArray; });
    const auto as_json = [&] {
      column.kind = FieldKind::kFrame;
      column.dtype = DType::kJson;
    };
    const bool texts = !field.all_numbers() ||
                       (field.canonical == nullptr &&
                        std::all_of(field.values.begin(), field.values.end(), [](const auto& v) { return !v.second.text.empty(); }));
    if (texts) {
      if (!json_if_it_must) return Mismatch("is an array in some frames and none in others");
      as_json();
      return {};
    }
    column.kind = field.canonical != nullptr ? field.canonical->kind
                  : field.MayBeAtom()        ? FieldKind::kAtom
                                             : FieldKind::kFrame;
    // The shape of those that have one: an empty list has none.
    const Shape* shape = nullptr;
    bool same = true, same_inner = true;
    for (const auto& [frame, value] : field.values) {
      if (IsEmptyList(value)) continue;
      if (shape == nullptr) shape = &value.shape;
      same &= value.shape == *shape;
      same_inner &= value.shape.rank() > 0 && value.shape.rank() == shape->rank() &&
                    std::equal(shape->begin() + 1, shape->end(), value.shape.begin() + 1);
    }
    const bool any_empty = std::any_of(field.values.begin(), field.values.end(), [](const auto& v) { return IsEmptyList(v.second); });
    if (column.kind == FieldKind::kFrame && (!same || (any_empty && shape != nullptr))) column.kind = FieldKind::kRagged;
    if (column.kind != FieldKind::kFrame && !same_inner) {
      if (!json_if_it_must) return Mismatch("has arrays of different shapes");
      as_json();
      return {};
    }
    if (shape != nullptr)
      column.inner = column.kind == FieldKind::kFrame ? *shape : Shape(std::span(shape->begin() + 1, shape->rank() - 1));
    if (column.kind == FieldKind::kRagged && shape != nullptr && shape->rank() == 0) return Mismatch("is a list, and one value is given");
    std::optional<DType> arrays, numbers;
    for (const auto& [frame, value] : field.values) {
      std::optional<DType>& dtype = value.kind == Kind::kArray ? arrays : numbers;
      dtype = dtype ? WidenDType(*dtype, value.dtype) : value.dtype;
    }
    if (arrays) {
      column.dtype = *arrays;
    } else if (field.name == "pbc") {
      column.dtype = DType::kBool;
    } else if (field.canonical != nullptr && !field.canonical->unit.empty() && field.canonical->unit != "1") {
      column.dtype = DType::kFloat64;  // a length of 10 is a length
    } else {
      column.dtype = *numbers;
    }
    return {};
  }

  Result<Column> MakeColumn(FieldValues& field) const {
    Column column;
    column.name = field.name;
    column.attributes = formats::UnitAttributes(field.name);
    if (field.values.size() != frames_) {
      column.present.assign(frames_, 0);
      for (const auto& [frame, value] : field.values) column.present[frame] = 1;
    }
    if (field.known != nullptr) {
      column.kind = field.known->kind;
      column.dtype = field.known->dtype;
      column.inner = field.known->inner;
    } else {
      ZN_RETURN_IF_ERROR(Choose(field, column));
    }
    if (column.dtype == DType::kJson) {
      for (const auto& [frame, value] : field.values) column.text.push_back(JsonOf(value));
      return column;
    }
    std::vector<Buffer> parts;
    size_t bytes = 0;
    for (const auto& [frame, value] : field.values) {
      auto part = Elements(column, frame, value);
      if (!part) return std::move(part).error().Context(Place(frame));
      bytes += part->size();
      parts.push_back(std::move(*part));
    }
    if (parts.size() == 1) {
      column.data = std::move(parts[0]);
      return column;
    }
    std::vector<std::byte> joined;
    joined.reserve(bytes);
    for (const Buffer& part : parts) joined.insert(joined.end(), part.bytes().begin(), part.bytes().end());
    column.data = Buffer::Own(std::move(joined));
    return column;
  }

  // A value's elements in the column's dtype; its shape must be the column's.
  Result<Buffer> Elements(Column& column, size_t frame, const BodyValue& value) const {
    if (!IsNumbers(value))
      return Mismatch("the field is " + std::string(ZarrName(column.dtype)) + " " + column.inner.ToString() +
                      ", and what is given is not numbers of that shape");
    Shape shape;
    ZN_ASSIGN_OR_RETURN(Buffer data, ConvertValue(value, column.dtype, options_.cast, &shape));
    if (column.kind == FieldKind::kFrame) {
      if (shape == column.inner) return data;
    } else if (IsEmptyList(value) && (column.kind == FieldKind::kRagged || batch_.n_atoms[frame] == 0)) {
      if (column.kind == FieldKind::kRagged) column.lengths.push_back(0);
      return data;
    } else if (shape.rank() == column.inner.rank() + 1 &&
               std::equal(shape.begin() + 1, shape.end(), column.inner.begin(), column.inner.end())) {
      if (column.kind == FieldKind::kRagged) column.lengths.push_back(shape[0]);
      return data;
    }
    return Mismatch("the field has the shape " + column.inner.ToString() +
                    (column.kind == FieldKind::kFrame  ? ""
                     : column.kind == FieldKind::kAtom ? " an atom"
                                                       : " a row") +
                    ", and " + shape.ToString() + " is given");
  }

  const FitOptions& options_;
  size_t frames_ = 0;
  std::vector<FieldValues> fields_;
  std::vector<std::optional<int32_t>> explicit_;
  FrameBatch batch_;
};

}  // namespace

Result<FrameBatch> FitFrames(std::vector<BodyFrame> frames, const FitOptions& options) {
  return Fitter(options).Fit(std::move(frames));
}

}  // namespace zn::server

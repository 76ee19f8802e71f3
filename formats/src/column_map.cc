#include "column_map.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "zn/formats/fields.h"
#include "zn/formats/text_writer.h"

namespace zn::formats {
namespace {

std::string Join(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "\"" : ", \"") + name + "\"";
  return text;
}

float HalfToFloat(uint16_t half) {
  uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  uint32_t exponent = (half >> 10) & 0x1F, mantissa = half & 0x3FF;
  if (exponent == 0) {
    float value = std::ldexp(static_cast<float>(mantissa), -24);
    return sign != 0 ? -value : value;
  }
  uint32_t bits =
      exponent == 31 ? 0x7F800000 | (mantissa << 13) : ((exponent + 112) << 23) | (mantissa << 13);
  return std::bit_cast<float>(sign | bits);
}

// Round to nearest, ties to even, straight from double (through float would round twice).
uint16_t DoubleToHalf(double value) {
  uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  double magnitude = std::fabs(value);
  if (std::isnan(value)) return static_cast<uint16_t>(sign | 0x7E00);
  if (magnitude == 0) return sign;
  if (magnitude >= 65520) return static_cast<uint16_t>(sign | 0x7C00);
  int exponent = 0;
  std::frexp(magnitude, &exponent);
  exponent =
      std::max(exponent - 1, -14);  // magnitude = m * 2^exponent with m in [1, 2), or subnormal
  double scaled = std::nearbyint(std::ldexp(magnitude, 10 - exponent));  // up to 2048
  int32_t bits =
      static_cast<int32_t>(scaled) + ((exponent + 14) << 10);  // a carry moves into the exponent
  return static_cast<uint16_t>(sign | bits);
}

template <class From, class Load>
Result<Buffer> ConvertTo(std::span<const std::byte> bytes, DType to, Load load) {
  size_t count = bytes.size() / sizeof(From);
  auto get = [&](size_t i) {
    From value;
    std::memcpy(&value, bytes.data() + i * sizeof(From), sizeof value);
    return load(value);
  };
  if (to == DType::kFloat64) {
    std::vector<double> out(count);
    for (size_t i = 0; i < count; ++i) out[i] = static_cast<double>(get(i));
    return Buffer::Own(std::move(out));
  }
  if (to == DType::kFloat32) {
    std::vector<float> out(count);
    for (size_t i = 0; i < count; ++i) out[i] = static_cast<float>(get(i));
    return Buffer::Own(std::move(out));
  }
  std::vector<uint16_t> out(count);
  for (size_t i = 0; i < count; ++i) out[i] = DoubleToHalf(static_cast<double>(get(i)));
  return Buffer::Own(std::move(out));
}

}  // namespace

int64_t CountWanted(const ReadOptions& options, int64_t total) {
  int64_t stop = std::min(options.stop, total);
  if (stop <= options.start) return 0;
  return (stop - options.start - 1) / options.step + 1;
}

Result<> ConvertFloats(Column& column, DType to) {
  if (column.dtype == DType::kComplex128 && to != DType::kFloat64) {
    ZN_ASSIGN_OR_RETURN(column.data, ConvertTo<double>(column.data.bytes(), DType::kFloat32,
                                                       [](double v) { return v; }));
    column.dtype = DType::kComplex64;
    return {};
  }
  if (column.dtype == to) return {};
  switch (column.dtype) {
    case DType::kFloat16: {
      ZN_ASSIGN_OR_RETURN(column.data, ConvertTo<uint16_t>(column.data.bytes(), to, HalfToFloat));
      break;
    }
    case DType::kFloat32: {
      ZN_ASSIGN_OR_RETURN(column.data,
                          ConvertTo<float>(column.data.bytes(), to, [](float v) { return v; }));
      break;
    }
    case DType::kFloat64: {
      ZN_ASSIGN_OR_RETURN(column.data,
                          ConvertTo<double>(column.data.bytes(), to, [](double v) { return v; }));
      break;
    }
    default:
      return {};
  }
  column.dtype = to;
  return {};
}

Result<ColumnMapper> ColumnMapper::Create(const ReadOptions& options) {
  ColumnMapper mapper;
  if (options.float_dtype) {
    if (*options.float_dtype != DType::kFloat16 && *options.float_dtype != DType::kFloat32 &&
        *options.float_dtype != DType::kFloat64) {
      return Error{ErrorCode::kInvalidArgument, "--dtype takes float16, float32 or float64"};
    }
    mapper.float_dtype_ = options.float_dtype;
  }
  for (const auto& [source, target] : options.map) {
    if (source.empty()) {
      return Error{ErrorCode::kInvalidArgument,
                   "--map =" + target + ": write SOURCE=FIELD, e.g. dft_energy=calc.energy"};
    }
    Entry entry{source, target};
    bool known = target.empty() || FindCanonical(target) != nullptr ||
                 target.starts_with("arrays.") || target.starts_with("calc.") ||
                 target.starts_with("info.");
    if (!known) {
      std::vector<std::string> names;
      for (const CanonicalField& field : CanonicalFields()) {
        names.emplace_back(field.name);
        for (std::string_view alias : field.aliases) {
          if (alias == target) {
            entry.target = field.name;
            known = true;
            break;
          }
        }
        if (known) break;
      }
      if (!known) {
        std::string message = "--map " + source + "=" + target + ": \"" + target +
                              "\" is not a field; write arrays.NAME, calc.NAME, info.NAME or a "
                              "name of the table in docs/fields.md";
        std::vector<std::string> near = NearMisses(target, names);
        if (!near.empty()) message += "; did you mean " + Join(near) + "?";
        return Error{ErrorCode::kInvalidArgument, std::move(message)};
      }
    }
    for (const Entry& other : mapper.entries_) {
      if (other.source == entry.source || (!entry.target.empty() && other.target == entry.target)) {
        return Error{ErrorCode::kInvalidArgument, "--map " + source + "=" + target + " and --map " +
                                                      other.source + "=" + other.target +
                                                      " contradict each other"};
      }
    }
    mapper.entries_.push_back(std::move(entry));
  }
  return mapper;
}

std::string ColumnMapper::Name(std::string_view source, std::string_view canonical) {
  if (entries_.empty()) return std::string(canonical);
  std::lock_guard lock(*mutex_);
  if (seen_.size() < 1000) {
    for (std::string_view name : {source, canonical})
      if (seen_.find(name) == seen_.end()) seen_.emplace(name);
  }
  for (Entry& entry : entries_) {
    if (entry.source == source || entry.source == canonical) {
      entry.used = true;
      return entry.target;
    }
  }
  return std::string(canonical);
}

Result<> ColumnMapper::Apply(FrameBatch& batch) const {
  std::set<std::string_view> names;
  for (Column& column : batch.columns) {
    if (!names.insert(column.name).second) {
      return Error{ErrorCode::kInvalidArgument,
                   "two fields would be called " + column.name +
                       "; give one another name with --map SOURCE=FIELD, or leave it out with "
                       "--map SOURCE="};
    }
    const CanonicalField* canonical = FindCanonical(column.name);
    bool renamed = false;
    for (const Entry& entry : entries_) renamed |= entry.target == column.name;
    // JSON texts are per frame whatever they hold.
    if (renamed && canonical != nullptr && canonical->kind != column.kind &&
        column.dtype != DType::kJson) {
      return Error{ErrorCode::kTypeMismatch,
                   "--map to " + column.name + ": that is one value a" +
                       (canonical->kind == FieldKind::kAtom ? "n atom" : " frame") +
                       ", what the file has is not"};
    }
    if (float_dtype_) ZN_RETURN_IF_ERROR(ConvertFloats(column, *float_dtype_));
  }
  return {};
}

Result<> ColumnMapper::Finish() const {
  std::vector<std::string> missing;
  for (const Entry& entry : entries_)
    if (!entry.used) missing.push_back(entry.source);
  if (missing.empty()) return {};
  std::vector<std::string> known(seen_.begin(), seen_.end());
  std::string message = "--map: the file has no " + Join(missing);
  std::vector<std::string> near = NearMisses(missing[0], known);
  if (!near.empty()) message += "; did you mean " + Join(near) + "?";
  return Error{ErrorCode::kInvalidArgument, std::move(message)};
}

}  // namespace zn::formats

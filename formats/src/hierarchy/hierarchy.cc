#include "hierarchy/hierarchy.h"

#include <cstring>
#include <new>

namespace zn::formats {

Result<Block> Block::Allocate(int64_t rows, int64_t row_bytes) {
  int64_t bytes;
  if (rows < 0 || row_bytes < 0 || __builtin_mul_overflow(rows, row_bytes, &bytes)) {
    return Error{ErrorCode::kTooLarge, "more bytes than can be counted"};
  }
  auto* memory = new (std::nothrow) std::byte[static_cast<size_t>(std::max<int64_t>(bytes, 1))];
  if (memory == nullptr) {
    return Error{ErrorCode::kTooLarge, "no memory for " + std::to_string(bytes) + " bytes"};
  }
  return Block{std::shared_ptr<std::byte[]>(memory), static_cast<size_t>(bytes)};
}

Error Hierarchy::Fail(ErrorCode code, const std::string& object, const std::string& what,
                      const std::string& remedy) const {
  std::string message = path_ + ": ";
  if (!object.empty()) message += object + ": ";
  message += what;
  if (!remedy.empty()) message += "; " + remedy;
  return {code, std::move(message)};
}

bool Consecutive(std::span<const int64_t> rows) {
  for (size_t i = 1; i < rows.size(); ++i)
    if (rows[i] != rows[i - 1] + 1) return false;
  return true;
}

template <class T>
Result<std::vector<T>> Dataset::ReadAll(int64_t limit) const {
  int64_t elements = rows() * row_elements_;
  if (elements > limit) {
    return Fail(ErrorCode::kTooLarge,
                "has " + std::to_string(elements) + " values where at most " +
                    std::to_string(limit) + " are expected",
                "check its shape with " + std::string(file().tool()));
  }
  return ReadRange<T>(0, rows());
}

template <class T>
Result<std::vector<T>> Dataset::ReadRange(int64_t first, int64_t count) const {
  if (!readable_ || text_ || dtype_ == DType::kComplex64 || dtype_ == DType::kComplex128) {
    return Fail(ErrorCode::kTypeMismatch, "does not hold numbers",
                "check it with " + std::string(file().tool()));
  }
  std::vector<int64_t> wanted(static_cast<size_t>(count));
  for (size_t i = 0; i < wanted.size(); ++i) wanted[i] = first + static_cast<int64_t>(i);
  const size_t elements = wanted.size() * static_cast<size_t>(row_elements_);
  std::vector<std::byte> bytes(elements * ItemSize(dtype_));
  ZN_RETURN_IF_ERROR(ReadRows(wanted, bytes.data()));
  std::vector<T> values(elements);
  auto convert = [&](auto kind) {
    using S = decltype(kind);
    for (size_t i = 0; i < values.size(); ++i) {
      S value;
      std::memcpy(&value, bytes.data() + i * sizeof(S), sizeof(S));
      if constexpr (std::is_floating_point_v<S> && std::is_integral_v<T>) {
        // Out of range or NaN would be undefined behaviour.
        values[i] = value >= -9.2e18 && value <= 9.2e18 ? static_cast<T>(value) : T{0};
      } else {
        values[i] = static_cast<T>(value);
      }
    }
  };
  switch (dtype_) {
    case DType::kBool:
    case DType::kInt8:
      convert(int8_t{});
      break;
    case DType::kInt16:
      convert(int16_t{});
      break;
    case DType::kInt32:
      convert(int32_t{});
      break;
    case DType::kInt64:
      convert(int64_t{});
      break;
    case DType::kUInt8:
      convert(uint8_t{});
      break;
    case DType::kUInt16:
      convert(uint16_t{});
      break;
    case DType::kUInt32:
      convert(uint32_t{});
      break;
    case DType::kUInt64:
      convert(uint64_t{});
      break;
    case DType::kFloat32:
      convert(float{});
      break;
    case DType::kFloat64:
      convert(double{});
      break;
    default:
      return Fail(ErrorCode::kTypeMismatch,
                  "holds half-precision numbers where others are expected",
                  "check it with " + std::string(file().tool()));
  }
  return values;
}

template Result<std::vector<int64_t>> Dataset::ReadAll<int64_t>(int64_t) const;
template Result<std::vector<double>> Dataset::ReadAll<double>(int64_t) const;
template Result<std::vector<int64_t>> Dataset::ReadRange<int64_t>(int64_t, int64_t) const;
template Result<std::vector<double>> Dataset::ReadRange<double>(int64_t, int64_t) const;

}  // namespace zn::formats

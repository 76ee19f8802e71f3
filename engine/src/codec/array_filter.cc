#include "codec/array_filter.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

namespace zn {
namespace {

// Elements of unaligned bytes.
template <class T>
T Get(std::span<const std::byte> bytes, size_t i) {
  T value;
  std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
  return value;
}
template <class T>
void Put(std::span<std::byte> bytes, size_t i, T value) {
  std::memcpy(bytes.data() + i * sizeof(T), &value, sizeof(T));
}

// As a C cast, which NumPy's astype is, but with a result where C++ has none: what does not fit becomes the smallest
// integer, as x86-64's conversion instruction gives it.
template <class To, class From>
To Cast(From value) {
  if constexpr (std::is_floating_point_v<From> && std::is_integral_v<To>) {
    using Wide = std::conditional_t<std::is_same_v<To, uint64_t>, uint64_t, int64_t>;
    const From low = std::is_signed_v<Wide> ? static_cast<From>(std::numeric_limits<Wide>::min()) : From{0};
    const From high = std::ldexp(From{1}, std::is_signed_v<Wide> ? 63 : 64);
    if (!(value >= low && value < high)) return static_cast<To>(std::numeric_limits<int64_t>::min());
    return static_cast<To>(static_cast<Wide>(value));
  } else {
    return static_cast<To>(value);
  }
}

// Integers wrap around, as NumPy's do.
template <class T>
T Add(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    using U = std::make_unsigned_t<T>;
    return static_cast<T>(static_cast<U>(static_cast<U>(a) + static_cast<U>(b)));
  } else {
    return a + b;
  }
}
template <class T>
T Subtract(T a, T b) {
  if constexpr (std::is_integral_v<T>) {
    using U = std::make_unsigned_t<T>;
    return static_cast<T>(static_cast<U>(static_cast<U>(a) - static_cast<U>(b)));
  } else {
    return a - b;
  }
}

// Calls f with a value of the dtype's C++ type; false for dtypes that are no plain numbers.
template <class F>
bool WithType(DType dtype, F f) {
  switch (dtype) {
    case DType::kInt8:
      return f(int8_t{}), true;
    case DType::kInt16:
      return f(int16_t{}), true;
    case DType::kInt32:
      return f(int32_t{}), true;
    case DType::kInt64:
      return f(int64_t{}), true;
    case DType::kUInt8:
      return f(uint8_t{}), true;
    case DType::kUInt16:
      return f(uint16_t{}), true;
    case DType::kUInt32:
      return f(uint32_t{}), true;
    case DType::kUInt64:
      return f(uint64_t{}), true;
    case DType::kFloat32:
      return f(float{}), true;
    case DType::kFloat64:
      return f(double{}), true;
    default:
      return false;
  }
}
template <class F>
void WithTypes(DType decoded, DType encoded, F f) {
  WithType(decoded, [&](auto d) { WithType(encoded, [&](auto e) { f(d, e); }); });
}

// The first element, then differences.
class Delta final : public ArrayFilter {
 public:
  using ArrayFilter::ArrayFilter;
  void Decode(std::span<const std::byte> in, std::span<std::byte> out) const override {
    WithTypes(decoded(), encoded(), [&](auto d, auto e) {
      using D = decltype(d);
      D sum{};
      for (size_t i = 0; i < out.size() / sizeof(D); ++i) {
        const D step = Cast<D>(Get<decltype(e)>(in, i));
        sum = i == 0 ? step : Add(sum, step);
        Put(out, i, sum);
      }
    });
  }
  void Encode(std::span<const std::byte> in, std::span<std::byte> out) const override {
    WithTypes(decoded(), encoded(), [&](auto d, auto e) {
      using D = decltype(d);
      D before{};
      for (size_t i = 0; i < in.size() / sizeof(D); ++i) {
        const D value = Get<D>(in, i);
        Put(out, i, Cast<decltype(e)>(i == 0 ? value : Subtract(value, before)));
        before = value;
      }
    });
  }
};

// round((x - offset) * scale), in the precision of float elements and in doubles for integers.
class FixedScaleOffset final : public ArrayFilter {
 public:
  FixedScaleOffset(DType decoded, DType encoded, double scale, double offset)
      : ArrayFilter(decoded, encoded), scale_(scale), offset_(offset) {}
  void Decode(std::span<const std::byte> in, std::span<std::byte> out) const override {
    WithTypes(decoded(), encoded(), [&](auto d, auto e) {
      using Real = std::conditional_t<std::is_same_v<decltype(e), float>, float, double>;
      const Real scale = static_cast<Real>(scale_), offset = static_cast<Real>(offset_);
      for (size_t i = 0; i < out.size() / sizeof d; ++i)
        Put(out, i, Cast<decltype(d)>(static_cast<Real>(Get<decltype(e)>(in, i)) / scale + offset));
    });
  }
  void Encode(std::span<const std::byte> in, std::span<std::byte> out) const override {
    WithTypes(decoded(), encoded(), [&](auto d, auto e) {
      using Real = std::conditional_t<std::is_same_v<decltype(d), float>, float, double>;
      const Real scale = static_cast<Real>(scale_), offset = static_cast<Real>(offset_);
      for (size_t i = 0; i < in.size() / sizeof d; ++i) {
        const Real value = (static_cast<Real>(Get<decltype(d)>(in, i)) - offset) * scale;
        Put(out, i, Cast<decltype(e)>(std::nearbyint(value)));
      }
    });
  }

 private:
  const double scale_, offset_;
};

class AsType final : public ArrayFilter {
 public:
  using ArrayFilter::ArrayFilter;
  void Decode(std::span<const std::byte> in, std::span<std::byte> out) const override {
    WithTypes(decoded(), encoded(), [&](auto d, auto e) {
      for (size_t i = 0; i < out.size() / sizeof d; ++i)
        Put(out, i, Cast<decltype(d)>(Get<decltype(e)>(in, i)));
    });
  }
  void Encode(std::span<const std::byte> in, std::span<std::byte> out) const override {
    WithTypes(decoded(), encoded(), [&](auto d, auto e) {
      for (size_t i = 0; i < in.size() / sizeof d; ++i)
        Put(out, i, Cast<decltype(e)>(Get<decltype(d)>(in, i)));
    });
  }
};

// A NumPy or Zarr name; of the byte order only the `bytes` codec behind needs to know.
Result<DType> TypeOf(const CodecConfig& config, std::string_view key, DType otherwise) {
  if (!config.Has(key)) return otherwise;
  ZN_ASSIGN_OR_RETURN(std::string name, config.Text(key, ""));
  if (!name.empty() && name[0] == '>') name[0] = '<';
  auto dtype = ParseDType(name);
  if (!dtype) return config.Invalid("\"" + std::string(key) + "\": " + dtype.error().message);
  return *dtype;
}

constexpr std::string_view kDelta = "numcodecs.delta", kFixed = "numcodecs.fixedscaleoffset",
                           kAsType = "numcodecs.astype";

}  // namespace

bool IsArrayFilter(std::string_view name) {
  return name == kDelta || name == kFixed || name == kAsType;
}

Result<std::unique_ptr<const ArrayFilter>> MakeArrayFilter(const CodecConfig& config, DType dtype) {
  const bool astype = config.name() == kAsType;
  if (config.name() == kDelta) {
    ZN_RETURN_IF_ERROR(config.CheckKeys({"dtype", "astype"}));
  } else if (astype) {
    ZN_RETURN_IF_ERROR(config.CheckKeys({"encode_dtype", "decode_dtype"}));
  } else {
    ZN_RETURN_IF_ERROR(config.CheckKeys({"dtype", "astype", "scale", "offset"}));
  }
  ZN_ASSIGN_OR_RETURN(const DType decoded, TypeOf(config, astype ? "decode_dtype" : "dtype", dtype));
  ZN_ASSIGN_OR_RETURN(const DType encoded, TypeOf(config, astype ? "encode_dtype" : "astype", decoded));
  if (decoded != dtype)
    return config.Invalid("is for " + std::string(ZarrName(decoded)) + ", but is given " +
                          std::string(ZarrName(dtype)));
  for (const DType type : {decoded, encoded})
    if (!WithType(type, [](auto) {}))
      return Error{ErrorCode::kUnsupported, "codec \"" + config.name() + "\": does not compute with " +
                                                std::string(ZarrName(type))};
  if (config.name() == kDelta) return std::make_unique<const Delta>(decoded, encoded);
  if (astype) return std::make_unique<const AsType>(decoded, encoded);
  ZN_ASSIGN_OR_RETURN(const double scale, config.Number("scale", 1));
  ZN_ASSIGN_OR_RETURN(const double offset, config.Number("offset", 0));
  if (scale == 0 || !std::isfinite(scale) || !std::isfinite(offset))
    return config.Invalid("\"scale\" and \"offset\" must be finite, and \"scale\" not 0");
  return std::make_unique<const FixedScaleOffset>(decoded, encoded, scale, offset);
}

}  // namespace zn

#include "h5md/h5_dataset.h"

#include <algorithm>
#include <cstring>

namespace zn::formats::h5 {
namespace {

// Bytes that a dataset may claim for each byte that the file has for it. Deflate cannot do better
// than 1032.
constexpr int64_t kMaxRatioFiltered = 1100, kMaxRatioPlain = 100;
constexpr int64_t kAlwaysAllowed = 64 << 20;
constexpr int64_t kMaxRowBytes = int64_t{4} << 30, kMaxChunkBytes = int64_t{512} << 20;
constexpr int kMaxRank = 8;

hid_t NativeType(DType dtype) {
  switch (dtype) {
    case DType::kInt8:
      return H5T_NATIVE_INT8;
    case DType::kInt16:
      return H5T_NATIVE_INT16;
    case DType::kInt32:
      return H5T_NATIVE_INT32;
    case DType::kInt64:
      return H5T_NATIVE_INT64;
    case DType::kUInt8:
      return H5T_NATIVE_UINT8;
    case DType::kUInt16:
      return H5T_NATIVE_UINT16;
    case DType::kUInt32:
      return H5T_NATIVE_UINT32;
    case DType::kUInt64:
      return H5T_NATIVE_UINT64;
    case DType::kFloat32:
      return H5T_NATIVE_FLOAT;
    default:
      return H5T_NATIVE_DOUBLE;
  }
}

std::optional<DType> IntegerType(size_t size, bool is_signed) {
  switch (size) {
    case 1:
      return is_signed ? DType::kInt8 : DType::kUInt8;
    case 2:
      return is_signed ? DType::kInt16 : DType::kUInt16;
    case 4:
      return is_signed ? DType::kInt32 : DType::kUInt32;
    case 8:
      return is_signed ? DType::kInt64 : DType::kUInt64;
    default:
      return std::nullopt;
  }
}

bool IsPlainInteger(hid_t type) {
  size_t size = H5Tget_size(type);
  return IntegerType(size, true) && H5Tget_precision(type) == size * 8 && H5Tget_offset(type) == 0;
}

bool IsHalf(hid_t type) {
  size_t sign, exponent, exponent_size, mantissa, mantissa_size;
  return H5Tget_size(type) == 2 &&
         H5Tget_fields(type, &sign, &exponent, &exponent_size, &mantissa, &mantissa_size) >= 0 &&
         sign == 15 && exponent == 10 && exponent_size == 5 && mantissa == 0 &&
         mantissa_size == 10 && H5Tget_ebias(type) == 15;
}

bool IsBoolean(const std::map<int64_t, std::string>& names) {
  return names.size() == 2 && names.count(0) && names.count(1) && names.at(0) == "FALSE" &&
         names.at(1) == "TRUE";
}

// Values and names of an enumeration; empty when it is unreasonably large.
std::map<int64_t, std::string> EnumerationNames(hid_t type) {
  std::map<int64_t, std::string> names;
  int members = H5Tget_nmembers(type);
  if (members < 0 || members > 4096) return names;
  Handle base(H5Tget_super(type), H5Tclose);
  if (!base || H5Tget_size(base.get()) > 8) return names;
  for (int i = 0; i < members; ++i) {
    int64_t value = 0;  // little-endian: the low bytes are filled, then converted in place
    char* name = H5Tget_member_name(type, static_cast<unsigned>(i));
    if (name == nullptr) return {};
    if (H5Tget_member_value(type, static_cast<unsigned>(i), &value) < 0 ||
        H5Tconvert(base.get(), H5T_NATIVE_INT64, 1, &value, nullptr, H5P_DEFAULT) < 0) {
      H5free_memory(name);
      return {};
    }
    names[value] = name;
    H5free_memory(name);
  }
  return names;
}

// {r, i} of equal IEEE little-endian floats without padding, as h5py writes complex numbers.
std::optional<DType> ComplexType(hid_t type) {
  if (H5Tget_nmembers(type) != 2) return std::nullopt;
  Handle first(H5Tget_member_type(type, 0), H5Tclose),
      second(H5Tget_member_type(type, 1), H5Tclose);
  if (!first || !second || H5Tequal(first.get(), second.get()) <= 0) return std::nullopt;
  size_t size = H5Tget_size(first.get());
  if (H5Tget_member_offset(type, 0) != 0 || H5Tget_member_offset(type, 1) != size ||
      H5Tget_size(type) != 2 * size) {
    return std::nullopt;
  }
  char* name = H5Tget_member_name(type, 0);
  bool real_first =
      name != nullptr && (std::string_view(name) == "r" || std::string_view(name) == "re");
  H5free_memory(name);
  if (!real_first) return std::nullopt;
  if (H5Tequal(first.get(), H5T_IEEE_F32LE) > 0) return DType::kComplex64;
  if (H5Tequal(first.get(), H5T_IEEE_F64LE) > 0) return DType::kComplex128;
  return std::nullopt;
}

}  // namespace


Result<std::shared_ptr<Dataset>> Dataset::Open(std::shared_ptr<const File> file,
                                               const Object& object) {
  std::shared_ptr<Dataset> dataset(new Dataset);
  dataset->file_ = std::move(file);
  dataset->object_ = object;
  Lock lock;
  dataset->space_ = Handle(H5Dget_space(Id(object)), H5Sclose);
  dataset->type_ = Handle(H5Dget_type(Id(object)), H5Tclose);
  if (!dataset->space_ || !dataset->type_) {
    return dataset->Fail(ErrorCode::kCorrupt, "is not a readable dataset",
                         "copy the file again from its source", true);
  }
  ZN_RETURN_IF_ERROR(dataset->InspectType());
  ZN_RETURN_IF_ERROR(dataset->InspectStorage());
  return dataset;
}

Result<> Dataset::InspectType() {
  hid_t type = type_.get();
  size_t size = H5Tget_size(type);
  auto integer = [&](hid_t number) {
    auto plain = IntegerType(size, H5Tget_sign(number) != H5T_SGN_NONE);
    if (plain && IsPlainInteger(number)) {
      dtype_ = *plain;
      swap_ = H5Tget_order(number) == H5T_ORDER_BE && size > 1 ? size : 0;
    } else {
      dtype_ = DType::kInt64;
      through_library_ = true;
    }
  };
  readable_ = true;
  switch (H5Tget_class(type)) {
    case H5T_INTEGER:
      integer(type);
      break;
    case H5T_FLOAT:
      if (H5Tequal(type, H5T_IEEE_F32LE) > 0 || H5Tequal(type, H5T_IEEE_F32BE) > 0) {
        dtype_ = DType::kFloat32;
      } else if (H5Tequal(type, H5T_IEEE_F64LE) > 0 || H5Tequal(type, H5T_IEEE_F64BE) > 0) {
        dtype_ = DType::kFloat64;
      } else if (IsHalf(type)) {
        dtype_ = DType::kFloat16;
      } else {
        dtype_ = DType::kFloat64;
        through_library_ = true;
        lossy_ = size > 8;
      }
      if (!through_library_) swap_ = H5Tget_order(type) == H5T_ORDER_BE ? size : 0;
      break;
    case H5T_ENUM: {
      Handle base(H5Tget_super(type), H5Tclose);
      enumeration_ = EnumerationNames(type);
      integer(base.get());
      // libhdf5 converts enumerations by name only; values of odd widths are not worth a table.
      if (through_library_) readable_ = false;
      if (size == 1 && IsBoolean(enumeration_)) {
        dtype_ = DType::kBool;
        enumeration_.clear();
      }
      break;
    }
    case H5T_COMPOUND:
      if (auto complex = ComplexType(type)) {
        dtype_ = *complex;
      } else {
        readable_ = false;
      }
      break;
    case H5T_STRING:
      text_ = true;
      dtype_ = DType::kJson;
      variable_text_ = H5Tis_variable_str(type) > 0;
      text_size_ = variable_text_ ? 0 : size;
      break;
    default:
      readable_ = false;
  }
  // What H5Dread is asked for: numbers of odd widths as common ones, everything else as it is
  // stored.
  memory_type_ = through_library_ ? Handle(H5Tcopy(NativeType(dtype_)), H5Tclose) : type_;
  LastMessage();
  return {};
}

Result<> Dataset::InspectStorage() {
  H5S_class_t kind = H5Sget_simple_extent_type(space_.get());
  int rank = kind == H5S_SIMPLE ? H5Sget_simple_extent_ndims(space_.get()) : 0;
  if (kind != H5S_SIMPLE && kind != H5S_SCALAR) readable_ = false;
  if (rank < 0)
    return Fail(ErrorCode::kCorrupt, "has no shape", "copy the file again from its source", true);
  if (rank > kMaxRank) {
    readable_ = false;
    return {};
  }
  unsigned long long extents[H5S_MAX_RANK] = {};
  if (rank > 0 &&
      H5Sget_simple_extent_dims(space_.get(), reinterpret_cast<hsize_t*>(extents), nullptr) < 0) {
    return Fail(ErrorCode::kCorrupt, "has no shape", "copy the file again from its source", true);
  }
  int64_t elements = 1, logical = 0;
  bool fits = true;
  for (int i = 0; i < rank; ++i) {
    fits = fits && extents[i] <= static_cast<unsigned long long>(INT64_MAX);
    shape_.push_back(static_cast<int64_t>(extents[i]));
    if (!fits) break;
    if (i > 0) fits = !__builtin_mul_overflow(row_elements_, shape_[i], &row_elements_);
    fits = fits && !__builtin_mul_overflow(elements, shape_[i], &elements);
  }
  int64_t item =
      static_cast<int64_t>(through_library_ ? ItemSize(dtype_) : H5Tget_size(type_.get()));
  fits = fits && !__builtin_mul_overflow(elements, item, &logical) &&
         !__builtin_mul_overflow(row_elements_, item, &row_bytes_);
  if (!fits || row_bytes_ > kMaxRowBytes) {
    return Fail(ErrorCode::kTooLarge,
                "claims more than 4 GiB for one row, or more bytes than can be counted",
                "check its shape with h5ls");
  }
  if (text_) row_bytes_ = 0;

  hid_t dataset = Id(object_);
  Handle plan(H5Dget_create_plist(dataset), H5Pclose);
  if (!plan)
    return Fail(ErrorCode::kCorrupt, "has no layout", "copy the file again from its source", true);
  H5D_layout_t layout = H5Pget_layout(plan.get());
  if (layout == H5D_VIRTUAL) {
    return Fail(ErrorCode::kUnsupported, "is a virtual dataset, and other files are not opened",
                "write it out as one with h5repack first");
  }
  if (H5Pget_external_count(plan.get()) > 0) {
    return Fail(ErrorCode::kUnsupported,
                "keeps its values in another file, and other files are not opened",
                "bring them in with h5repack first");
  }
  bool known = true;
  int stages = layout == H5D_CHUNKED ? H5Pget_nfilters(plan.get()) : 0;
  for (int i = 0; i < stages; ++i) {
    unsigned flags = 0, values[8] = {}, config = 0;
    size_t count = std::size(values);
    char name[64] = {};
    H5Z_filter_t id = H5Pget_filter2(plan.get(), static_cast<unsigned>(i), &flags, &count, values,
                                     sizeof name, name, &config);
    filters_.push_back({id, count > 0 ? values[0] : 0});
    known = CanUndo(filters_);
    if (!known &&
        !(id >= H5Z_FILTER_SZIP && id <= H5Z_FILTER_SCALEOFFSET && H5Zfilter_avail(id) > 0)) {
      std::string called = name[0]
                               ? std::string("\"") + name + "\" (filter " + std::to_string(id) + ")"
                               : "filter " + std::to_string(id);
      return Fail(ErrorCode::kUnsupported,
                  "is compressed with " + called + ", which is not read here",
                  "rewrite the file with h5repack -f GZIP=4");
    }
  }
  known = CanUndo(filters_);

  int64_t stored = static_cast<int64_t>(H5Dget_storage_size(dataset));
  LastMessage();
  int64_t ratio = filters_.empty() ? kMaxRatioPlain : kMaxRatioFiltered;
  if (stored < 0 || stored > file_->size()) {
    return Fail(ErrorCode::kCorrupt, "claims more storage than the file has bytes",
                "copy the file again from its source");
  }
  if (logical > kAlwaysAllowed && logical / ratio > stored) {
    return Fail(ErrorCode::kTooLarge,
                "claims " + std::to_string(logical) + " bytes, of which the file holds " +
                    std::to_string(stored),
                "if it is meant to be that empty, cut it to what was written first");
  }
  if (text_ || !readable_) return {};

  H5D_fill_value_t defined;
  if (H5Pfill_value_defined(plan.get(), &defined) >= 0 && defined == H5D_FILL_VALUE_USER_DEFINED) {
    std::vector<std::byte> value(static_cast<size_t>(item));
    if (H5Pget_fill_value(plan.get(), memory_type_.get(), value.data()) >= 0) {
      if (!through_library_) Finish(value.data(), value.size());
      fill_ = std::move(value);
    }
  }
  LastMessage();

  if (through_library_) {
    way_ = Way::kLibrary;
    return {};
  }
  if (layout == H5D_COMPACT) {
    heap_.resize(static_cast<size_t>(logical));
    if (logical > 0 &&
        H5Dread(dataset, memory_type_.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, heap_.data()) < 0) {
      return Fail(ErrorCode::kCorrupt, "cannot be read", "copy the file again from its source",
                  true);
    }
    Finish(heap_.data(), heap_.size());
    way_ = Way::kHeap;
  } else if (layout == H5D_CONTIGUOUS) {
    haddr_t offset = H5Dget_offset(dataset);
    LastMessage();
    if (offset == HADDR_UNDEF) {
      way_ = Way::kFill;
    } else {
      if (offset > static_cast<haddr_t>(file_->size()) ||
          logical > file_->size() - static_cast<int64_t>(offset)) {
        return Fail(ErrorCode::kCorrupt, "runs past the end of the file",
                    "copy the file again from its source");
      }
      offset_ = static_cast<int64_t>(offset);
      way_ = Way::kContiguous;
    }
  } else if (layout == H5D_CHUNKED) {
    hsize_t extent[H5S_MAX_RANK] = {};
    if (H5Pget_chunk(plan.get(), H5S_MAX_RANK, extent) != rank) {
      return Fail(ErrorCode::kCorrupt, "has chunks of another rank",
                  "copy the file again from its source", true);
    }
    chunk_bytes_ = item;
    int64_t row_of_chunks = 1;
    for (int i = 0; i < rank; ++i) {
      int64_t c = static_cast<int64_t>(extent[i]);
      chunk_.push_back(c);
      if (c <= 0 || __builtin_mul_overflow(chunk_bytes_, c, &chunk_bytes_) ||
          chunk_bytes_ > kMaxChunkBytes) {
        return Fail(ErrorCode::kTooLarge, "has chunks of more than 512 MiB",
                    "rewrite it with smaller ones: h5repack -l CHUNK=...");
      }
      if (i > 0) row_of_chunks *= std::max<int64_t>(1, (shape_[i] + c - 1) / c);
    }
    int64_t wanted = 0;
    if (__builtin_mul_overflow(chunk_bytes_, 2 * row_of_chunks, &wanted)) wanted = INT64_MAX;
    cache_limit_ = static_cast<size_t>(std::clamp<int64_t>(wanted, 16 << 20, 256 << 20));
    way_ = known ? Way::kChunks : Way::kLibrary;
  }
  return {};
}

void Dataset::Finish(std::byte* bytes, size_t size) const {
  auto reverse = [&](auto unit) {
    using T = decltype(unit);
    for (size_t i = 0; i + sizeof(T) <= size; i += sizeof(T)) {
      T value;
      std::memcpy(&value, bytes + i, sizeof(T));
      if constexpr (sizeof(T) == 2) value = __builtin_bswap16(value);
      if constexpr (sizeof(T) == 4) value = __builtin_bswap32(value);
      if constexpr (sizeof(T) == 8) value = __builtin_bswap64(value);
      std::memcpy(bytes + i, &value, sizeof(T));
    }
  };
  if (swap_ == 2) reverse(uint16_t{});
  if (swap_ == 4) reverse(uint32_t{});
  if (swap_ == 8) reverse(uint64_t{});
}

}  // namespace zn::formats::h5

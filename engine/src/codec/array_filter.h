// Array -> array steps that change values: numcodecs' delta, fixedscaleoffset and astype, which Zarr v2 calls filters and
// zarr-python writes into v3 metadata as numcodecs.NAME. Computed as numcodecs 0.11 does with NumPy, to the last bit.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "codec/codec_config.h"
#include "zn/engine/dtype.h"
#include "zn/engine/error.h"

namespace zn {

/// Immutable; all members may be called from any thread at once.
class ArrayFilter {
 public:
  ArrayFilter(DType decoded, DType encoded) : decoded_(decoded), encoded_(encoded) {}
  virtual ~ArrayFilter() = default;
  DType decoded() const { return decoded_; }
  DType encoded() const { return encoded_; }
  /// REQUIRES: both spans hold as many elements, of encoded() and decoded().
  virtual void Decode(std::span<const std::byte> in, std::span<std::byte> out) const = 0;
  virtual void Encode(std::span<const std::byte> in, std::span<std::byte> out) const = 0;

 private:
  const DType decoded_, encoded_;
};

/// Is this the name of one?
bool IsArrayFilter(std::string_view name);

/// `dtype` is that of the elements it is given to encode. kInvalidArgument when the configuration says another,
/// kUnsupported for elements that it does not compute with (half, complex, bool).
Result<std::unique_ptr<const ArrayFilter>> MakeArrayFilter(const CodecConfig& config, DType dtype);

}  // namespace zn

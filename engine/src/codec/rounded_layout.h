// What stands where in a chunk of zn.rounded (docs/format.md): the header, and which bytes some of
// its rows need.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "codec/rounding.h"
#include "zn/engine/byte_source.h"

namespace zn {

struct RoundedHeader {
  static constexpr size_t kSize = 32;
  enum class Kind : uint8_t { kPlain = 0, kRounded = 1 };

  Kind kind = Kind::kPlain;
  Rounding rounding;
  uint8_t group_bits = 0;
  bool differences = false;
  uint32_t exceptions = 0;

  /// Rows of a group, less one.
  int64_t row_mask() const { return (int64_t{1} << group_bits) - 1; }
  size_t Groups(int64_t rows) const {
    return (static_cast<size_t>(rows) + (size_t{1} << group_bits) - 1) >> group_bits;
  }
};

/// Reads the first bytes; kCorrupt for a layout that there is not.
Result<RoundedHeader> ReadRoundedHeader(ByteSource& in);
void WriteRoundedHeader(const RoundedHeader& header,
                        std::span<std::byte, RoundedHeader::kSize> out);

/// The groups that hold some rows, and the exceptions of the chunk. Valid as long as the source.
struct RoundedParts {
  size_t first_group = 0;
  std::span<const std::byte> offsets;  // u32 each, of those groups
  std::span<const std::byte> content;  // their blocks, from the first's on
  std::span<const std::byte> indices;  // u32 each, of all exceptions
  std::span<const std::byte> values;

  /// The blocks of a group that is one of them, to the end of what there is; kCorrupt when it
  /// begins elsewhere.
  Result<std::span<const std::byte>> Group(size_t group) const;
};

/// Fetches what rows [first, first + count) of `rows` need and little else.
/// REQUIRES: kRounded; count above 0, within `rows`.
Result<RoundedParts> FetchRoundedParts(ByteSource& in, const RoundedHeader& header,
                                       size_t item_size, int64_t rows, int64_t first,
                                       int64_t count);

}  // namespace zn

#include "codec/rounded_layout.h"

#include <algorithm>
#include <cstring>

#include "base/bytes.h"
#include "codec/bit_packing.h"

namespace zn {
namespace {

Error Corrupt(const char* what) {
  return {ErrorCode::kCorrupt, std::string("zn.rounded: ") + what};
}

size_t OffsetAt(std::span<const std::byte> offsets, size_t i) {
  uint32_t offset;
  std::memcpy(&offset, offsets.data() + i * sizeof offset, sizeof offset);
  return offset;
}

}  // namespace

Result<RoundedHeader> ReadRoundedHeader(ByteSource& in) {
  ZN_ASSIGN_OR_RETURN(const auto bytes,
                      in.Fetch(0, std::min<size_t>(in.size(), RoundedHeader::kSize)));
  RoundedHeader header;
  ByteReader reader(bytes);
  const auto kind = reader.Get<uint8_t>();
  const auto first = reader.Get<uint8_t>(), then = reader.Get<uint8_t>();
  header.group_bits = reader.Get<uint8_t>();
  header.exceptions = reader.Get<uint32_t>();
  header.rounding.a = reader.Get<double>();
  header.rounding.b = reader.Get<double>();
  header.differences = reader.Get<uint64_t>() != 0;
  if (!reader.ok()) return Corrupt("shorter than its header");
  header.kind = static_cast<RoundedHeader::Kind>(kind);
  if (header.kind == RoundedHeader::Kind::kPlain) return header;
  if (header.kind != RoundedHeader::Kind::kRounded || first > 3 || then > 2 ||
      header.group_bits > 31)
    return Corrupt("an unknown layout");
  header.rounding.first = static_cast<Rounding::First>(first);
  header.rounding.then = static_cast<Rounding::Then>(then);
  return header;
}

void WriteRoundedHeader(const RoundedHeader& header,
                        std::span<std::byte, RoundedHeader::kSize> out) {
  std::fill(out.begin(), out.end(), std::byte{});
  out[0] = static_cast<std::byte>(header.kind);
  out[1] = static_cast<std::byte>(header.rounding.first);
  out[2] = static_cast<std::byte>(header.rounding.then);
  out[3] = std::byte{header.group_bits};
  std::memcpy(out.data() + 4, &header.exceptions, sizeof header.exceptions);
  std::memcpy(out.data() + 8, &header.rounding.a, sizeof header.rounding.a);
  std::memcpy(out.data() + 16, &header.rounding.b, sizeof header.rounding.b);
  out[24] = std::byte{header.differences};
}

Result<std::span<const std::byte>> RoundedParts::Group(size_t group) const {
  const size_t begin = OffsetAt(offsets, 0), offset = OffsetAt(offsets, group - first_group);
  if (offset < begin || offset - begin > content.size())
    return Corrupt("a group lies where none can be");
  return content.subspan(offset - begin);
}

Result<RoundedParts> FetchRoundedParts(ByteSource& in, const RoundedHeader& header,
                                       size_t item_size, int64_t rows, int64_t first,
                                       int64_t count) {
  const size_t groups = header.Groups(rows);
  // Products of lengths claimed stay far from overflow: each is checked against what is left first.
  size_t left = in.size() - RoundedHeader::kSize, at = RoundedHeader::kSize;
  if (groups > left / sizeof(uint32_t)) return Corrupt("shorter than its offsets");
  left -= groups * sizeof(uint32_t);
  const size_t exceptions = header.exceptions;
  if (exceptions > left / (sizeof(uint32_t) + item_size))
    return Corrupt("shorter than its exceptions");

  RoundedParts parts;
  parts.first_group = static_cast<size_t>(first >> header.group_bits);
  const size_t end_group = static_cast<size_t>((first + count - 1) >> header.group_bits) + 1;
  // The next group's offset is where these end.
  const size_t known = std::min(end_group + 1, groups) - parts.first_group;
  ZN_ASSIGN_OR_RETURN(
      parts.offsets, in.Fetch(at + parts.first_group * sizeof(uint32_t), known * sizeof(uint32_t)));
  at += groups * sizeof(uint32_t);
  if (exceptions > 0) {
    ZN_ASSIGN_OR_RETURN(parts.indices, in.Fetch(at, exceptions * sizeof(uint32_t)));
    at += exceptions * sizeof(uint32_t);
    ZN_ASSIGN_OR_RETURN(parts.values, in.Fetch(at, exceptions * item_size));
    at += exceptions * item_size;
  }
  const size_t size = in.size() - at, begin = OffsetAt(parts.offsets, 0);
  size_t end = size;
  if (end_group < groups) {
    // Unpacking looks at a few bytes behind a block.
    end = std::min(size, OffsetAt(parts.offsets, end_group - parts.first_group) + kPackingSlack);
  }
  if (begin > end) return Corrupt("a group lies where none can be");
  ZN_ASSIGN_OR_RETURN(parts.content, in.Fetch(at + begin, end - begin));
  return parts;
}

}  // namespace zn

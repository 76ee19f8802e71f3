#include "zn/formats/zip.h"

#include <algorithm>

namespace zn::formats {
namespace {

constexpr uint64_t kZip32 = 0xffffffffu;
constexpr int kZipTime = 0, kZipDate = 0x21;  // 1980-01-01

void PutLittle(std::string& out, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
}

// What local headers and the central directory have in common.
void PutFields(std::string& out, const ZipMember& member, bool wide) {
  PutLittle(out, wide ? 45 : 20, 2);  // version needed
  PutLittle(out, 0x0800, 2);          // names are UTF-8
  PutLittle(out, 0, 2);               // stored
  PutLittle(out, kZipTime, 2);
  PutLittle(out, kZipDate, 2);
  PutLittle(out, member.crc, 4);
  PutLittle(out, std::min(member.size, kZip32), 4);
  PutLittle(out, std::min(member.size, kZip32), 4);
  PutLittle(out, member.name.size(), 2);
}

}  // namespace

std::string ZipLocalHeader(const ZipMember& member) {
  const bool wide = member.size >= kZip32;
  std::string out;
  PutLittle(out, 0x04034b50, 4);
  PutFields(out, member, wide);
  PutLittle(out, wide ? 20 : 0, 2);
  out += member.name;
  if (wide) {
    PutLittle(out, 1, 2);
    PutLittle(out, 16, 2);
    PutLittle(out, member.size, 8);
    PutLittle(out, member.size, 8);
  }
  return out;
}

std::string ZipCentralDirectory(std::span<const ZipMember> members, uint64_t start) {
  std::string out;
  for (const ZipMember& member : members) {
    const bool wide_size = member.size >= kZip32, wide_offset = member.offset >= kZip32;
    std::string extra;
    if (wide_size || wide_offset) {
      PutLittle(extra, 1, 2);
      PutLittle(extra, (wide_size ? 16 : 0) + (wide_offset ? 8 : 0), 2);
      if (wide_size) {
        PutLittle(extra, member.size, 8);
        PutLittle(extra, member.size, 8);
      }
      if (wide_offset) PutLittle(extra, member.offset, 8);
    }
    PutLittle(out, 0x02014b50, 4);
    PutLittle(out, wide_size || wide_offset ? 45 : 20, 2);  // made by
    PutFields(out, member, wide_size || wide_offset);
    PutLittle(out, extra.size(), 2);
    PutLittle(out, 0, 2);  // comment
    PutLittle(out, 0, 2);  // disk
    PutLittle(out, 0, 2);  // internal attributes
    PutLittle(out, 0, 4);  // external attributes
    PutLittle(out, std::min(member.offset, kZip32), 4);
    out += member.name;
    out += extra;
  }
  const uint64_t size = out.size(), count = members.size();
  const bool wide = start + size >= kZip32 || count >= 0xffff;
  if (wide) {
    PutLittle(out, 0x06064b50, 4);
    PutLittle(out, 44, 8);
    PutLittle(out, 45, 2);
    PutLittle(out, 45, 2);
    PutLittle(out, 0, 4);
    PutLittle(out, 0, 4);
    PutLittle(out, count, 8);
    PutLittle(out, count, 8);
    PutLittle(out, size, 8);
    PutLittle(out, start, 8);
    PutLittle(out, 0x07064b50, 4);
    PutLittle(out, 0, 4);
    PutLittle(out, start + size, 8);
    PutLittle(out, 1, 4);
  }
  PutLittle(out, 0x06054b50, 4);
  PutLittle(out, 0, 2);
  PutLittle(out, 0, 2);
  PutLittle(out, std::min<uint64_t>(count, 0xffff), 2);
  PutLittle(out, std::min<uint64_t>(count, 0xffff), 2);
  PutLittle(out, std::min(size, kZip32), 4);
  PutLittle(out, std::min(start, kZip32), 4);
  PutLittle(out, 0, 2);
  return out;
}

}  // namespace zn::formats

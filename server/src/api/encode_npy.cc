#include "api/array_parts.h"
#include "api/encode_arrays.h"

namespace zn::server {
namespace {

// One array of a reply: its header and the part behind it.
struct NpyArray {
  std::string name;
  std::string header;
  std::unique_ptr<Part> data;
};

std::string Ucs4Name(const FieldExtent& extent) {
  return "<U" + std::to_string(std::max<int64_t>(1, extent.longest_text));
}

NpyArray FieldArray(const std::shared_ptr<FrameSource>& source, size_t f,
                    const FieldExtent& extent) {
  const FieldDescriptor& field = source->descriptor(f);
  const FramesQuery& query = source->query();
  NpyArray array;
  array.name = field.name;
  if (field.dtype == DType::kJson) {
    array.header = NpyHeader(Ucs4Name(extent), query.single ? Shape{} : Shape{source->frames()});
    array.data = Ucs4Part(source, f, extent);
    return array;
  }
  Shape shape = field.inner;
  const bool per_row = field.kind != FieldKind::kFrame;
  if (query.single) {
    if (per_row) shape = shape.Behind(extent.rows);
    array.data = JoinedRowsPart(source, f, extent);
  } else if (query.pad) {
    if (per_row) shape = shape.Behind(extent.longest);
    shape = shape.Behind(source->frames());
    array.data = PaddedRowsPart(source, f, extent);
  } else {
    shape = shape.Behind(per_row ? extent.rows : extent.present);
    array.data = JoinedRowsPart(source, f, extent);
  }
  array.header = NpyHeader(NumpyName(field.dtype), shape);
  return array;
}

void PutLittle(std::string& out, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
}

// A member of the zip, stored. 64-bit sizes are written where 32 bits do not hold them.
struct Member {
  std::string name;
  uint64_t size, offset;
  uint32_t crc;
};
constexpr uint64_t kZip32 = 0xffffffffu;
constexpr int kZipTime = 0, kZipDate = 0x21;  // 1980-01-01: replies do not depend on the clock

void PutZipFields(std::string& out, const Member& member, bool wide) {
  PutLittle(out, wide ? 45 : 20, 2);  // version needed
  PutLittle(out, 0x0800, 2);          // names are UTF-8
  PutLittle(out, 0, 2);               // stored
  PutLittle(out, kZipTime, 2);
  PutLittle(out, kZipDate, 2);
  PutLittle(out, member.crc, 4);
  PutLittle(out, member.size >= kZip32 ? kZip32 : member.size, 4);
  PutLittle(out, member.size >= kZip32 ? kZip32 : member.size, 4);
  PutLittle(out, member.name.size(), 2);
}

std::string LocalHeader(const Member& member) {
  const bool wide = member.size >= kZip32;
  std::string out;
  PutLittle(out, 0x04034b50, 4);
  PutZipFields(out, member, wide);
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

std::string CentralDirectory(const std::vector<Member>& members, uint64_t start) {
  std::string out;
  for (const Member& member : members) {
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
    PutZipFields(out, member, wide_size || wide_offset);
    PutLittle(out, extra.size(), 2);
    PutLittle(out, 0, 2);  // comment
    PutLittle(out, 0, 2);  // disk
    PutLittle(out, 0, 2);  // internal attributes
    PutLittle(out, 0, 4);  // external attributes
    PutLittle(out, wide_offset ? kZip32 : member.offset, 4);
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

}  // namespace

std::string NpyHeader(std::string_view descr, const Shape& shape) {
  std::string dictionary = "{'descr': '" + std::string(descr) +
                           "', 'fortran_order': False, 'shape': " + shape.ToString() + ", }";
  const bool long_header = dictionary.size() > 65000;
  const size_t preamble = long_header ? 12 : 10;
  size_t total = (preamble + dictionary.size() + 1 + 63) / 64 * 64;
  dictionary.append(total - preamble - dictionary.size() - 1, ' ');
  dictionary += '\n';
  std::string header = "\x93NUMPY";
  header += long_header ? '\2' : '\1';
  header += '\0';
  PutLittle(header, dictionary.size(), long_header ? 4 : 2);
  return header + dictionary;
}

Answer<std::unique_ptr<BodyStream>> NpyStream(std::shared_ptr<FrameSource> source) {
  const bool text = source->descriptor(0).dtype == DType::kJson;
  ZN_ASSIGN_OR_RETURN(std::vector<FieldExtent> extents, MeasureFields(source.get(), text));
  const FieldExtent& extent = extents[0];
  if (extent.first_absent >= 0) {
    int64_t position = source->query().selection.at(extent.first_absent);
    return BadRequest("frame " + std::to_string(position) + " has no '" +
                      source->descriptor(0).name +
                      "', which npy cannot say: ask for npz or columns, or leave the frame out")
        .With("frame", position);
  }
  NpyArray array = FieldArray(source, 0, extent);
  ZN_RETURN_IF_ERROR(source->CheckReply(array.header.size() + array.data->size().value_or(0)));
  std::vector<std::unique_ptr<Part>> parts;
  parts.push_back(LiteralPart(std::move(array.header)));
  parts.push_back(std::move(array.data));
  return PartsStream(std::move(source), std::move(parts));
}

Answer<std::unique_ptr<BodyStream>> NpzStream(std::shared_ptr<FrameSource> source) {
  ZN_ASSIGN_OR_RETURN(std::vector<FieldExtent> extents, MeasureFields(source.get(), true));
  const int64_t frames = source->frames();
  std::vector<NpyArray> arrays;
  bool counts_given = false;
  for (size_t f = 0; f < extents.size(); ++f) {
    const FieldExtent& extent = extents[f];
    if (source->query().single && extent.present == 0) continue;
    arrays.push_back(FieldArray(source, f, extent));
    const std::string name = arrays.back().name;
    counts_given |= name == "n_atoms";
    if (extent.first_absent >= 0)
      arrays.push_back(
          {name + ".present", NpyHeader("|b1", Shape{frames}), PresentPart(source, f)});
    if (source->descriptor(f).kind == FieldKind::kRagged && !source->query().single)
      arrays.push_back({name + ".lengths", NpyHeader("<i8", Shape{extent.present}),
                        LengthsPart(source, f, extent)});
  }
  if (!counts_given)
    arrays.push_back({"n_atoms", NpyHeader("<i4", source->query().single ? Shape{} : Shape{frames}),
                      FrameArrayPart(source, FrameArray::kAtomCounts)});
  uint64_t total = 0;
  for (const NpyArray& array : arrays)
    total += array.header.size() + array.data->size().value_or(0) + 256 + 2 * array.name.size();
  ZN_RETURN_IF_ERROR(source->CheckReply(total));

  // A zip names each member's CRC before its bytes: they are read twice, the second time mostly
  // from the cache.
  std::vector<std::unique_ptr<Part>> parts;
  std::vector<Member> members;
  uint64_t offset = 0;
  for (NpyArray& array : arrays) {
    auto header = LiteralPart(array.header);
    ZN_ASSIGN_OR_RETURN(uint32_t head_crc, PartCrc(source.get(), header.get()));
    ZN_ASSIGN_OR_RETURN(uint32_t data_crc, PartCrc(source.get(), array.data.get()));
    const uint64_t size = array.data->size().value_or(0);
    Member member{array.name + ".npy", array.header.size() + size, offset,
                  CombineCrc(head_crc, data_crc, size)};
    std::string local = LocalHeader(member);
    offset += local.size() + member.size;
    parts.push_back(LiteralPart(local + array.header));
    parts.push_back(std::move(array.data));
    members.push_back(std::move(member));
  }
  parts.push_back(LiteralPart(CentralDirectory(members, offset)));
  return PartsStream(std::move(source), std::move(parts));
}

}  // namespace zn::server

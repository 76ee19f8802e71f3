#include "api/array_parts.h"
#include "api/encode_arrays.h"
#include "zn/engine/npy.h"
#include "zn/formats/zip.h"

namespace zn::server {

using formats::ZipCentralDirectory;
using formats::ZipLocalHeader;
using formats::ZipMember;

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
    array.header =
        EncodeNpyHeader(Ucs4Name(extent), query.single ? Shape{} : Shape{source->frames()});
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
  array.header = EncodeNpyHeader(NumpyName(field.dtype), shape);
  return array;
}

}  // namespace

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
          {name + ".present", EncodeNpyHeader("|b1", Shape{frames}), PresentPart(source, f)});
    if (source->descriptor(f).kind == FieldKind::kRagged && !source->query().single)
      arrays.push_back({name + ".lengths", EncodeNpyHeader("<i8", Shape{extent.present}),
                        LengthsPart(source, f, extent)});
  }
  if (!counts_given)
    arrays.push_back({"n_atoms",
                      EncodeNpyHeader("<i4", source->query().single ? Shape{} : Shape{frames}),
                      FrameArrayPart(source, FrameArray::kAtomCounts)});
  uint64_t total = 0;
  for (const NpyArray& array : arrays)
    total += array.header.size() + array.data->size().value_or(0) + 256 + 2 * array.name.size();
  ZN_RETURN_IF_ERROR(source->CheckReply(total));

  // A zip names each member's CRC before its bytes: they are read twice, the second time mostly
  // from the cache.
  std::vector<std::unique_ptr<Part>> parts;
  std::vector<ZipMember> members;
  uint64_t offset = 0;
  for (NpyArray& array : arrays) {
    auto header = LiteralPart(array.header);
    ZN_ASSIGN_OR_RETURN(uint32_t head_crc, PartCrc(source.get(), header.get()));
    ZN_ASSIGN_OR_RETURN(uint32_t data_crc, PartCrc(source.get(), array.data.get()));
    const uint64_t size = array.data->size().value_or(0);
    ZipMember member{array.name + ".npy", array.header.size() + size, offset,
                     CombineCrc(head_crc, data_crc, size)};
    std::string local = ZipLocalHeader(member);
    offset += local.size() + member.size;
    parts.push_back(LiteralPart(local + array.header));
    parts.push_back(std::move(array.data));
    members.push_back(std::move(member));
  }
  parts.push_back(LiteralPart(ZipCentralDirectory(members, offset)));
  return PartsStream(std::move(source), std::move(parts));
}

}  // namespace zn::server

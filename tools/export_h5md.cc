// H5MD: what has to be known beforehand is measured in a pass over atom counts and steps.
#include <algorithm>
#include <cstring>

#include "export_source.h"
#include "output.h"
#include "zn/formats/h5md_writer.h"

namespace zn::tools {
namespace {

constexpr int64_t kWindowBytes = 32 << 20;

// The integer at `bytes`, of any width.
int64_t IntegerAt(const std::byte* bytes, DType dtype) {
  uint64_t raw = 0;
  const size_t size = ItemSize(dtype);
  std::memcpy(&raw, bytes, size);
  const int shift = 64 - 8 * static_cast<int>(size);
  return dtype <= DType::kInt64 ? static_cast<int64_t>(raw << shift) >> shift
                                : static_cast<int64_t>(raw);
}

Result<formats::H5mdContent> Measure(const ExportJob& job) {
  formats::H5mdContent content;
  content.frames = job.source.frames();
  content.fields = job.source.fields();
  std::vector<FieldIndex> wanted;
  for (size_t f = 0; f < content.fields.size(); ++f) {
    const FieldDescriptor& field = content.fields[f];
    ZN_ASSIGN_OR_RETURN(const int64_t present,
                        job.source.snapshot().CountPresent(static_cast<FieldIndex>(f)));
    content.present.push_back(present);
    content.fields[f].geometries.clear();
    if (field.name == "step" && present == content.frames && field.kind == FieldKind::kFrame &&
        field.inner.rank() == 0 && IsInteger(field.dtype) && field.dtype != DType::kUInt64) {
      wanted.push_back(static_cast<FieldIndex>(f));
      content.grows_by_step = true;
    }
  }
  ZN_ASSIGN_OR_RETURN(const int64_t window, job.source.FramesFor(wanted, kWindowBytes));
  int64_t before = -1;
  int32_t fewest = INT32_MAX;
  for (int64_t first = 0; first < content.frames; first += window) {
    ZN_ASSIGN_OR_RETURN(const FrameBatch batch,
                        job.source.Read(first, std::min(window, content.frames - first), wanted));
    for (size_t frame = 0; frame < batch.n_atoms.size(); ++frame) {
      content.max_atoms = std::max(content.max_atoms, batch.n_atoms[frame]);
      fewest = std::min(fewest, batch.n_atoms[frame]);
      if (!content.grows_by_step) continue;
      const Column& steps = batch.columns[0];
      const int64_t step =
          IntegerAt(steps.data.data() + frame * ItemSize(steps.dtype), steps.dtype);
      content.grows_by_step = step > before;
      before = step;
    }
    ZN_RETURN_IF_ERROR(job.Step("measuring", 0, 0, 0));
  }
  content.constant_atoms = content.frames == 0 || fewest == content.max_atoms;
  if (auto pbc = job.source.snapshot().FindField("pbc"); pbc && content.frames > 0) {
    ZN_ASSIGN_OR_RETURN(const FrameBatch batch, job.source.Read(0, 1, std::span(&*pbc, 1)));
    const Column& column = batch.columns[0];
    if (column.HasFrame(0) && column.dtype == DType::kBool && column.data.size() == 3)
      for (size_t axis = 0; axis < 3; ++axis)
        content.periodic[axis] = column.data.data()[axis] != std::byte{0};
  }
  return content;
}

}  // namespace

Result<> ExportH5md(const ExportJob& job) {
  const auto fields = job.source.AllFields();
  ZN_ASSIGN_OR_RETURN(const formats::H5mdContent content, Measure(job));
  if (content.frames == 0)
    return Error{ErrorCode::kUnsupported, "H5MD cannot say 'no frames': choose some"};
  ZN_ASSIGN_OR_RETURN(auto file, OutputFile::Create(job.options.out, job.options.force));
  formats::H5mdOptions options;
  options.creator_version = ZN_VERSION;
  options.level = job.options.level;
  options.threads = job.options.threads;
  // By its open descriptor: what stands under the name is not looked up again.
  ZN_ASSIGN_OR_RETURN(auto writer,
                      formats::H5mdWriter::Create(file->library_path(), content, options));
  ZN_ASSIGN_OR_RETURN(const int64_t window, job.source.FramesFor(fields, kWindowBytes));
  int64_t bytes = 0;
  for (int64_t first = 0; first < content.frames; first += window) {
    const int64_t count = std::min(window, content.frames - first);
    ZN_ASSIGN_OR_RETURN(const FrameBatch batch, job.source.Read(first, count, fields));
    ZN_RETURN_IF_ERROR(writer->Append(batch));
    for (const Column& column : batch.columns) bytes += static_cast<int64_t>(column.data.size());
    const int64_t done = first + count;
    ZN_RETURN_IF_ERROR(job.Step(job.options.out,
                                static_cast<double>(done) / static_cast<double>(content.frames),
                                done, bytes));
  }
  ZN_RETURN_IF_ERROR(writer->Finish());
  writer.reset();
  ZN_ASSIGN_OR_RETURN(job.summary.bytes, file->Measure());
  job.summary.files = 1;
  ZN_RETURN_IF_ERROR(job.Syncing(job.options.out));
  return file->Finish();
}

}  // namespace zn::tools

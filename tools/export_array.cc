// NPY and NPZ: an array a field, with the same arrays as the API's npz: per-atom and ragged fields
// padded with the fill value to the largest frame (or their rows joined), n_atoms,
// `<field>.present` where frames lack the field, `<field>.lengths` for ragged ones, texts as
// NumPy's unicode.
#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <functional>

#include "export_source.h"
#include "output.h"
#include "zn/engine/npy.h"
#include "zn/formats/text_writer.h"
#include "zn/formats/zip.h"

namespace zn::tools {
namespace {

using formats::FrameRows;

constexpr int64_t kWindowBytes = 16 << 20;

struct Array {
  std::string name;
  std::string header;
  int64_t data_bytes = 0;
  std::vector<FieldIndex> fields;  // that a window of it needs: one, or none for n_atoms
  /// Appends what a window contributes.
  std::function<void(const FrameBatch&, std::string*)> produce;
};

// What the rows of a field add up to.
struct Extent {
  int64_t present = 0, rows = 0, longest = 0, longest_text = 0;
};

class ArrayPlan {
 public:
  explicit ArrayPlan(const ExportJob& job) : job_(job), frames_(job.source.frames()) {}

  Result<std::vector<Array>> Make() {
    ZN_RETURN_IF_ERROR(MeasureAtoms());
    std::vector<Array> arrays;
    const auto& fields = job_.source.fields();
    for (size_t f = 0; f < fields.size(); ++f)
      ZN_RETURN_IF_ERROR(AddField(fields[f], static_cast<FieldIndex>(f), &arrays));
    arrays.push_back({"n_atoms",
                      EncodeNpyHeader("<i4", Shape{frames_}),
                      frames_ * 4,
                      {},
                      [](const FrameBatch& batch, std::string* out) {
                        out->append(reinterpret_cast<const char*>(batch.n_atoms.data()),
                                    batch.n_atoms.size() * sizeof(int32_t));
                      }});
    return arrays;
  }

 private:
  Result<> ForEachWindow(std::span<const FieldIndex> fields,
                         const std::function<void(const FrameBatch&)>& visit) const {
    ZN_ASSIGN_OR_RETURN(const int64_t window, job_.source.FramesFor(fields, kWindowBytes));
    for (int64_t first = 0; first < frames_; first += window) {
      ZN_ASSIGN_OR_RETURN(const FrameBatch batch,
                          job_.source.Read(first, std::min(window, frames_ - first), fields));
      visit(batch);
      ZN_RETURN_IF_ERROR(job_.Step("measuring", 0, 0, 0));
    }
    return {};
  }

  Result<> MeasureAtoms() {
    return ForEachWindow({}, [&](const FrameBatch& batch) {
      for (const int32_t n : batch.n_atoms) {
        atoms_.rows += n;
        atoms_.longest = std::max<int64_t>(atoms_.longest, n);
      }
    });
  }

  // Fields that every frame has need not be read for it.
  Result<Extent> Measure(const FieldDescriptor& field, FieldIndex index) const {
    ZN_ASSIGN_OR_RETURN(const int64_t present, job_.source.snapshot().CountPresent(index));
    const bool simple = field.dtype != DType::kJson && field.kind != FieldKind::kRagged;
    if (simple && (present == frames_ || field.kind == FieldKind::kFrame)) {
      Extent extent = atoms_;
      extent.present = present;
      if (field.kind == FieldKind::kFrame) extent.rows = present, extent.longest = 1;
      return extent;
    }
    Extent extent;
    ZN_RETURN_IF_ERROR(ForEachWindow(std::span(&index, 1), [&](const FrameBatch& batch) {
      const FrameRows rows(batch);
      for (size_t frame = 0; frame < batch.n_atoms.size(); ++frame) {
        if (!rows.Has(0, frame)) continue;
        ++extent.present;
        if (field.dtype == DType::kJson) {
          extent.longest_text =
              std::max(extent.longest_text,
                       static_cast<int64_t>(formats::PlainText(rows.Text(0, frame)).size()));
          continue;
        }
        const int64_t count = rows.ShapeOf(0, frame)[0];
        extent.rows += count;
        extent.longest = std::max(extent.longest, count);
      }
    }));
    return extent;
  }

  Result<> AddField(const FieldDescriptor& field, FieldIndex index, std::vector<Array>* arrays) {
    ZN_ASSIGN_OR_RETURN(const Extent extent, Measure(field, index));
    Array array;
    array.name = field.name;
    array.fields = {index};
    if (field.dtype == DType::kJson) {
      const int64_t points = std::max<int64_t>(1, extent.longest_text);
      array.header = EncodeNpyHeader("<U" + std::to_string(points), Shape{frames_});
      array.data_bytes = frames_ * points * 4;
      array.produce = [points](const FrameBatch& batch, std::string* out) {
        AppendTexts(batch, static_cast<size_t>(points), out);
      };
    } else {
      int64_t inner_bytes = field.inner.Elements() * static_cast<int64_t>(ItemSize(field.dtype));
      const bool per_row = field.kind != FieldKind::kFrame;
      const bool pad = job_.options.pad;
      Shape shape = field.inner;
      if (pad) {
        const int64_t rows = per_row ? extent.longest : 1;
        if (per_row) shape = shape.Behind(rows);
        shape = shape.Behind(frames_);
        const int64_t frame_bytes = rows * inner_bytes;
        array.data_bytes = frames_ * frame_bytes;
        array.produce = [frame_bytes, dtype = field.dtype](const FrameBatch& batch,
                                                           std::string* out) {
          AppendPadded(batch, static_cast<size_t>(frame_bytes), dtype, out);
        };
      } else {
        const int64_t rows = per_row ? extent.rows : extent.present;
        shape = shape.Behind(rows);
        array.data_bytes = rows * inner_bytes;
        array.produce = [](const FrameBatch& batch, std::string* out) {
          const Buffer& data = batch.columns[0].data;
          out->append(reinterpret_cast<const char*>(data.data()), data.size());
        };
      }
      array.header = EncodeNpyHeader(NumpyName(field.dtype), shape);
    }
    arrays->push_back(std::move(array));
    if (extent.present != frames_) {
      arrays->push_back({field.name + ".present",
                         EncodeNpyHeader("|b1", Shape{frames_}),
                         frames_,
                         {index},
                         [](const FrameBatch& batch, std::string* out) {
                           for (size_t f = 0; f < batch.n_atoms.size(); ++f)
                             out->push_back(batch.columns[0].HasFrame(f) ? 1 : 0);
                         }});
    }
    if (field.kind == FieldKind::kRagged) {
      arrays->push_back({field.name + ".lengths",
                         EncodeNpyHeader("<i8", Shape{extent.present}),
                         extent.present * 8,
                         {index},
                         [](const FrameBatch& batch, std::string* out) {
                           const auto& lengths = batch.columns[0].lengths;
                           out->append(reinterpret_cast<const char*>(lengths.data()),
                                       lengths.size() * sizeof(int64_t));
                         }});
    }
    return {};
  }

  static void AppendTexts(const FrameBatch& batch, size_t points, std::string* out) {
    const FrameRows rows(batch);
    for (size_t frame = 0; frame < batch.n_atoms.size(); ++frame) {
      const size_t end = out->size() + points * 4;
      if (rows.Has(0, frame)) {
        const std::u32string text = formats::PlainText(rows.Text(0, frame));
        out->append(reinterpret_cast<const char*>(text.data()), text.size() * 4);
      }
      out->resize(end, '\0');
    }
  }

  static void AppendPadded(const FrameBatch& batch, size_t frame_bytes, DType dtype,
                           std::string* out) {
    const FrameRows rows(batch);
    std::byte fill[16];
    WriteFillValue(dtype, fill);
    const size_t item = ItemSize(dtype);
    for (size_t frame = 0; frame < batch.n_atoms.size(); ++frame) {
      const size_t end = out->size() + frame_bytes;
      if (rows.Has(0, frame)) {
        const auto bytes = rows.Bytes(0, frame);
        out->append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      }
      while (out->size() < end) out->append(reinterpret_cast<const char*>(fill), item);
    }
  }

  const ExportJob& job_;
  const int64_t frames_;
  Extent atoms_;
};

// Writes header and data behind what the file has; `crc` of both.
Result<> WriteArray(const ExportJob& job, const Array& array, OutputFile* file, int64_t total,
                    int64_t* done, uint32_t* crc) {
  auto append = [&](std::string_view bytes) -> Result<> {
    if (crc != nullptr) {
      *crc = static_cast<uint32_t>(
          crc32_z(*crc, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
    }
    *done += static_cast<int64_t>(bytes.size());
    return file->Append(bytes);
  };
  ZN_RETURN_IF_ERROR(append(array.header));
  const int64_t frames = job.source.frames();
  ZN_ASSIGN_OR_RETURN(int64_t window, job.source.FramesFor(array.fields, kWindowBytes));
  // What is made of a window is bounded, too: padding may make it many times larger.
  window = std::clamp<int64_t>(frames * kWindowBytes / std::max<int64_t>(array.data_bytes, 1), 1,
                               window);
  std::string bytes;
  for (int64_t first = 0; first < frames; first += window) {
    ZN_ASSIGN_OR_RETURN(const FrameBatch batch,
                        job.source.Read(first, std::min(window, frames - first), array.fields));
    bytes.clear();
    array.produce(batch, &bytes);
    ZN_RETURN_IF_ERROR(append(bytes));
    ZN_RETURN_IF_ERROR(job.Step(
        array.name, static_cast<double>(*done) / static_cast<double>(std::max<int64_t>(total, 1)),
        std::min(frames, first + window), *done));
  }
  return {};
}

int64_t TotalBytes(const std::vector<Array>& arrays) {
  int64_t total = 0;
  for (const Array& array : arrays)
    total += static_cast<int64_t>(array.header.size()) + array.data_bytes;
  return total;
}

// Field names may hold what file names cannot.
std::string FileName(const std::string& name) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    if (c == '/' || c == '%' || (i == 0 && c == '.')) {
      out += '%';
      out += kHex[static_cast<unsigned char>(c) >> 4];
      out += kHex[c & 15];
    } else {
      out += c;
    }
  }
  return out + ".npy";
}

}  // namespace

Result<> ExportNpy(const ExportJob& job) {
  ZN_ASSIGN_OR_RETURN(const auto arrays, ArrayPlan(job).Make());
  const std::string identity =
      "{\"format\":\"npy\",\"pad\":" + std::string(job.options.pad ? "true" : "false") +
      ",\"source\":" + job.source.identity() + "}\n";
  ZN_ASSIGN_OR_RETURN(auto directory,
                      OutputDirectory::Open(job.options.out, identity, job.options.force));
  const int64_t total = TotalBytes(arrays);
  int64_t done = 0;
  for (const Array& array : arrays) {
    const std::string name = FileName(array.name);
    const int64_t size = static_cast<int64_t>(array.header.size()) + array.data_bytes;
    // Under its name a file of this export is whole: it was synced before it got the name.
    ZN_ASSIGN_OR_RETURN(auto there, directory->Find(name, array.header.size()));
    if (there && there->size == size && there->head == array.header) {
      ++job.summary.files_kept;
      done += size;
    } else {
      ZN_ASSIGN_OR_RETURN(auto file, directory->Create(name));
      ZN_RETURN_IF_ERROR(WriteArray(job, array, file.get(), total, &done, nullptr));
      ZN_RETURN_IF_ERROR(file->Finish());
      ++job.summary.files;
    }
    job.summary.bytes += size;
  }
  return {};
}

Result<> ExportNpz(const ExportJob& job) {
  ZN_ASSIGN_OR_RETURN(const auto arrays, ArrayPlan(job).Make());
  ZN_ASSIGN_OR_RETURN(auto file, OutputFile::Create(job.options.out, job.options.force));
  const int64_t total = TotalBytes(arrays);
  int64_t done = 0;
  std::vector<formats::ZipMember> members;
  for (const Array& array : arrays) {
    formats::ZipMember member;
    member.name = array.name + ".npy";
    member.size = array.header.size() + static_cast<uint64_t>(array.data_bytes);
    member.offset = static_cast<uint64_t>(file->size());
    ZN_RETURN_IF_ERROR(file->Append(formats::ZipLocalHeader(member)));
    ZN_RETURN_IF_ERROR(WriteArray(job, array, file.get(), total, &done, &member.crc));
    ZN_RETURN_IF_ERROR(
        file->WriteAt(static_cast<int64_t>(member.offset), formats::ZipLocalHeader(member)));
    members.push_back(std::move(member));
  }
  ZN_RETURN_IF_ERROR(
      file->Append(formats::ZipCentralDirectory(members, static_cast<uint64_t>(file->size()))));
  job.summary.bytes = file->size();
  job.summary.files = 1;
  ZN_RETURN_IF_ERROR(job.Syncing(job.options.out));
  return file->Finish();
}

}  // namespace zn::tools

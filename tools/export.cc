#include "export.h"

#include <algorithm>
#include <filesystem>

#include "export_source.h"
#include "zn/formats/fields.h"

namespace zn::tools {
namespace {

namespace fs = std::filesystem;

struct Row {
  ExportFormat format;
  Result<> (*run)(const ExportJob& job);
};

// What its name or ending says; alphabetical.
const std::vector<Row>& Rows() {
  static const std::vector<Row> rows = {
      {{"extxyz", "extended XYZ; .gz is compressed", {".extxyz", ".xyz", ".extxyz.gz", ".xyz.gz"}},
       ExportExtxyz},
      {{"h5md", "H5MD 1.1", {".h5md", ".h5", ".hdf5"}}, ExportH5md},
      {{"kerchunk",
        "references into the store for fsspec: nothing is copied",
        {".kerchunk.json", ".json"}},
       ExportKerchunk},
      {{"npy", "a directory of one .npy file a field", {".npy"}, true}, ExportNpy},
      {{"npz", "one .npz file with an array a field", {".npz"}}, ExportNpz},
      {{"zarr", "a Zarr v3 directory (--zarr 2: v2; 3,2: both)", {".zarr"}, true}, ExportZarr},
      {{"zarr-sharded", "a Zarr v3 directory of few files (shards)", {".sharded.zarr"}, true},
       ExportZarr},
      {{"zarr-zip", "a Zarr v2 zip store (--zarr 3: v3)", {".zarr.zip", ".zip"}}, ExportZarrZip},
  };
  return rows;
}

tl::unexpected<Failure> Fail(Fault fault, Error error) {
  return tl::unexpected<Failure>(Failure{fault, std::move(error)});
}

Result<> CheckOptions(const ExportOptions& options, const ExportFormat& format) {
  auto usage = [](std::string message) {
    return Error{ErrorCode::kInvalidArgument, std::move(message)};
  };
  if (options.store.empty()) return usage("--store DIR says what to export from");
  if (options.room.empty()) return usage("--room NAME or NAME@COMMIT says what to export");
  if (options.out.empty()) return usage("OUT, the file or directory to make, is missing");
  const bool zarr = format.name.starts_with("zarr") || format.name == "kerchunk";
  if (!options.zarr.empty()) {
    if (!zarr) return usage("--zarr is for Zarr, not for " + std::string(format.name));
    if (options.zarr != "2" && options.zarr != "3" && options.zarr != "2,3" &&
        options.zarr != "3,2")
      return usage("--zarr " + options.zarr + ": write 3, 2 or 3,2");
    if (format.name == "zarr-sharded" && options.zarr != "3")
      return usage("--zarr " + options.zarr + ": only v3 has shards");
  }
  // An export into the store would be taken for a part of it.
  std::error_code error;
  const fs::path store = fs::weakly_canonical(options.store, error);
  const fs::path out = fs::weakly_canonical(options.out, error);
  const auto [in_store, in_out] = std::mismatch(store.begin(), store.end(), out.begin(), out.end());
  if (!error && in_store == store.end())
    return usage(options.out + ": lies within the store: name a place outside of it");
  return {};
}

// Whether an error of an exporter is the store's or the target's.
Fault FaultOf(const Error& error) {
  switch (error.code) {
    case ErrorCode::kCorrupt:
    case ErrorCode::kNotFound:
    case ErrorCode::kUnavailable:
      return Fault::kStore;
    default:
      return Fault::kFile;
  }
}

}  // namespace

std::span<const ExportFormat> ExportFormats() {
  static const std::vector<ExportFormat> formats = [] {
    std::vector<ExportFormat> all;
    for (const Row& row : Rows()) all.push_back(row.format);
    return all;
  }();
  return formats;
}

Result<const ExportFormat*> ChooseExportFormat(const ExportOptions& options) {
  const auto formats = ExportFormats();
  std::vector<std::string> names;
  std::string list;
  for (const ExportFormat& format : formats) {
    names.emplace_back(format.name);
    list += (list.empty() ? "" : ", ") + names.back();
    if (format.name == options.format) return &format;
  }
  if (!options.format.empty()) {
    const auto near = formats::NearMisses(options.format, names);
    return Error{ErrorCode::kInvalidArgument,
                 "--format " + options.format + " is none of " + list +
                     (near.empty() ? "" : "; did you mean " + near.front() + "?")};
  }
  // The longest ending wins: .zarr.zip is no .zip of something else.
  std::string path = options.out;
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  const ExportFormat* chosen = nullptr;
  size_t longest = 0;
  for (const ExportFormat& format : formats) {
    for (const std::string_view ending : format.endings) {
      if (path.size() > ending.size() && path.ends_with(ending) && ending.size() > longest) {
        chosen = &format;
        longest = ending.size();
      }
    }
  }
  if (chosen != nullptr) return chosen;
  return Error{
      ErrorCode::kInvalidArgument,
      options.out + ": its ending tells no format: name one of " + list + " with --format"};
}

tl::expected<ExportSummary, Failure> Export(const ExportOptions& options,
                                            const std::atomic<bool>& stop,
                                            const std::function<void(const Progress&)>& progress) {
  auto format = ChooseExportFormat(options);
  if (!format) return Fail(Fault::kUsage, std::move(format).error());
  if (auto checked = CheckOptions(options, **format); !checked)
    return Fail(Fault::kUsage, std::move(checked).error());
  auto source = ExportSource::Open(options);
  if (!source) return tl::unexpected(std::move(source).error());

  ExportSummary summary;
  summary.format = (*format)->name;
  summary.room = (*source)->room();
  summary.commit = (*source)->snapshot().commit().ToString();
  summary.frames = (*source)->frames();
  summary.descriptors = (*source)->fields();
  summary.fields = static_cast<int64_t>(summary.descriptors.size());
  if (options.dry_run) return summary;

  const auto row = std::find_if(Rows().begin(), Rows().end(), [&](const Row& candidate) {
    return candidate.format.name == (*format)->name;
  });
  ExportOptions chosen = options;
  chosen.format = (*format)->name;
  const ExportJob job{chosen, **source, stop, progress, summary};
  if (auto done = row->run(job); !done) {
    const Fault fault = FaultOf(done.error());
    return Fail(fault, std::move(done).error());
  }
  return summary;
}

}  // namespace zn::tools

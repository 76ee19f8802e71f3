// What zn-export does, without its command line and its terminal.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "report.h"
#include "zn/engine/field.h"

namespace zn::tools {

struct ExportOptions {
  std::string store, room;  // directory; "NAME" or "NAME@COMMIT"
  std::string out;
  std::string format;         // a name of ExportFormats(); "": by the ending of `out`
  std::string indices = ":";  // frames, in the API's grammar
  std::string fields;         // names or aliases, separated by commas; "": all
  std::string zarr;           // "3", "2", "3,2": which documents; "": the format's own
  int level = 4;              // of gzip, where the format has it; 0: not compressed
  bool pad = true;            // npy, npz: per-atom fields padded to the largest frame
  bool force = false;         // replaces a file, or another export's directory
  bool dry_run = false;
  int threads = 0;  // 0: one a core
};

/// A format as data.
struct ExportFormat {
  std::string_view name, description;
  std::vector<std::string_view> endings;  // of OUT, by which the format is told
  bool directory = false;
};
/// All formats, in alphabetical order.
std::span<const ExportFormat> ExportFormats();
/// kInvalidArgument, listing what there is, when no format is told by name or ending.
Result<const ExportFormat*> ChooseExportFormat(const ExportOptions& options);

struct ExportSummary {
  std::string format, room, commit;
  int64_t frames = 0, fields = 0;
  int64_t files = 0, files_kept = 0;              // written; of an earlier run, found whole
  int64_t bytes = 0;                              // of all files, those that were kept included
  int64_t chunks_copied = 0, chunks_encoded = 0;  // Zarr: stored bytes as they are; made for this
  std::vector<FieldDescriptor> descriptors;
  std::vector<std::string> warnings;
};

/// The store is only read: nobody's writing to it is disturbed. On failure, and when `stop` becomes
/// true (kCancelled), what stands under its final name is whole; the same call goes on from there
/// where the target is a directory. `progress` is called now and then, from this thread.
tl::expected<ExportSummary, Failure> Export(const ExportOptions& options,
                                            const std::atomic<bool>& stop,
                                            const std::function<void(const Progress&)>& progress);

}  // namespace zn::tools

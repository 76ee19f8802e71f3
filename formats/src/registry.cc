#include <filesystem>
#include <vector>

#include "extxyz/extxyz.h"
#include "h5md/h5md.h"
#include "input/byte_source.h"
#include "zarr/zarr.h"
#include "zn/formats/fields.h"
#include "zn/formats/reader.h"

namespace zn::formats {

std::span<const Format> Formats() {
  static const std::vector<Format> formats = {
      AsebytesH5Format(),
      ExtxyzFormat(),
      H5mdFormat(),
      ZarrFormat(),
  };
  return formats;
}

Result<std::unique_ptr<Reader>> OpenReader(const std::string& path, const ReadOptions& options,
                                           const std::string& format) {
  std::vector<std::string> names;
  std::string listed;
  for (const Format& known : Formats()) {
    if (known.name == format) return known.open(path, options);
    names.push_back(known.name);
    listed += (listed.empty() ? "" : ", ") + known.name;
  }
  if (!format.empty()) {
    std::string message = "unknown format \"" + format + "\"; there are " + listed;
    std::vector<std::string> near = NearMisses(format, names);
    if (!near.empty()) message += "; did you mean " + near[0] + "?";
    return Error{ErrorCode::kInvalidArgument, std::move(message)};
  }
  constexpr size_t kHeadBytes = 64 << 10;
  std::vector<std::byte> head;
  std::error_code none;
  const bool folder = std::filesystem::is_directory(path, none);
  if (!folder) {
    ZN_ASSIGN_OR_RETURN(head, ReadHead(path, kHeadBytes));
  }
  for (const Format& known : Formats())
    if (known.detect(path, head)) return known.open(path, options);
  if (folder)
    return Error{ErrorCode::kUnsupported,
                 path +
                     ": is a folder without Zarr metadata (zarr.json, .zgroup, .zarray); name a "
                     "file, or the folder of a Zarr store"};
  if (head.empty()) return Error{ErrorCode::kCorrupt, path + ": is empty; it holds no frames"};
  return Error{ErrorCode::kUnsupported,
               path + ": is of none of the known formats (" + listed +
                   "); name its format with --format if it is damaged at its beginning"};
}

}  // namespace zn::formats

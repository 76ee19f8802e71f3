// Which of the layouts a Zarr store has: H5MD's tree (zarrtraj), asebytes' ragged columns, or
// arrays of a row a frame.
#include <sys/stat.h>

#include <cstring>

#include "h5md/plan_h5md.h"
#include "h5md/plan_reader.h"
#include "zarr/plan_arrays.h"
#include "zarr/zarr.h"

namespace zn::formats {
namespace {

using zarr::ZarrHierarchy;

bool IsFolder(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

bool IsZip(std::span<const std::byte> head) {
  if (head.size() < 4) return false;
  return std::memcmp(head.data(), "PK\x03\x04", 4) == 0 ||
         std::memcmp(head.data(), "PK\x05\x06", 4) == 0;
}

Result<std::shared_ptr<const zarr::Store>> OpenStore(const std::string& path) {
  return IsFolder(path) ? zarr::OpenDirectory(path) : zarr::OpenZip(path);
}

bool Detect(const std::string& path, std::span<const std::byte> head) {
  if (!IsFolder(path) && !IsZip(head)) return false;
  const auto store = OpenStore(path);
  // A damaged archive is this reader's to complain about.
  return store ? zarr::LooksLikeZarr(**store) : IsZip(head);
}

Result<Plan> MakePlan(const std::shared_ptr<const ZarrHierarchy>& hierarchy,
                      const ReadOptions& options, ColumnMapper& mapper) {
  if (hierarchy->root().is_group) {
    ZN_ASSIGN_OR_RETURN(const auto particles, hierarchy->Find(hierarchy->root(), "particles"));
    if (particles && particles->is_group) return PlanH5md(hierarchy, options, mapper);
    ZN_ASSIGN_OR_RETURN(const auto ragged, AsebytesGroups(*hierarchy));
    if (!ragged.empty()) return PlanAsebytes(hierarchy, options, mapper);
  }
  return zarr::PlanArrays(hierarchy, options, mapper);
}

Result<std::unique_ptr<Reader>> Open(const std::string& path, const ReadOptions& given) {
  ReadOptions options = given;
  if (options.start < 0 || options.step < 1)
    return Error{ErrorCode::kInvalidArgument, "start must not be negative, step must be positive"};
  ZN_ASSIGN_OR_RETURN(ColumnMapper mapper, ColumnMapper::Create(options));
  ZN_ASSIGN_OR_RETURN(auto store, OpenStore(path));
  ZN_ASSIGN_OR_RETURN(auto hierarchy, ZarrHierarchy::Open(std::move(store)));
  if (options.group == hierarchy->root_folder()) options.group.clear();
  ZN_ASSIGN_OR_RETURN(Plan plan, MakePlan(hierarchy, options, mapper));
  return MakePlanReader(std::move(plan), options, std::move(mapper));
}

}  // namespace

const Format& ZarrFormat() {
  static const Format format{
      "zarr",
      "Zarr v2 and v3 (folder or zip): ZnStore, asebytes, zarrtraj, arrays of a row a frame",
      {".zarr", ".zip", ".zarrmd"},
      Detect,
      Open};
  return format;
}

}  // namespace zn::formats

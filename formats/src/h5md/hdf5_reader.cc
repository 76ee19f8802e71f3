// The two formats in HDF5 files.
#include "column_map.h"
#include "h5md/h5_file.h"
#include "h5md/h5md.h"
#include "h5md/plan_h5md.h"
#include "h5md/plan_reader.h"

namespace zn::formats {
namespace {

using MakePlan = Result<Plan> (*)(const std::shared_ptr<const Hierarchy>&, const ReadOptions&,
                                  ColumnMapper&);

Result<std::unique_ptr<Reader>> Open(const std::string& path, const ReadOptions& options,
                                     MakePlan make_plan) {
  if (options.start < 0 || options.step < 1) {
    return Error{ErrorCode::kInvalidArgument, "start must not be negative, step must be positive"};
  }
  ZN_ASSIGN_OR_RETURN(ColumnMapper mapper, ColumnMapper::Create(options));
  ZN_ASSIGN_OR_RETURN(auto file, h5::File::Open(path));
  ZN_ASSIGN_OR_RETURN(Plan plan, make_plan(file, options, mapper));
  return MakePlanReader(std::move(plan), options, std::move(mapper));
}

// An asebytes file's groups, in a file that can be opened.
bool LooksRagged(const std::string& path, std::span<const std::byte> head) {
  if (!h5::HasSignature(head)) return false;
  auto file = h5::File::Open(path);
  if (!file) return false;
  auto particles = (*file)->Find((*file)->root(), "particles");
  if (particles && *particles) return false;
  auto groups = AsebytesGroups(**file);
  return groups && !groups->empty();
}

}  // namespace

const Format& H5mdFormat() {
  static const Format format{"h5md",
                             "H5MD 1.x: ZnH5MD, asebytes, LAMMPS, ESPResSo++, MDAnalysis, HALMD",
                             {".h5md", ".h5", ".hdf5"},
                             [](const std::string& path, std::span<const std::byte> head) {
                               return h5::HasSignature(head) && !LooksRagged(path, head);
                             },
                             [](const std::string& path, const ReadOptions& options) {
                               return Open(path, options, PlanH5md);
                             }};
  return format;
}

const Format& AsebytesH5Format() {
  static const Format format{"asebytes-h5",
                             "asebytes' ragged HDF5 (.h5)",
                             {".h5"},
                             LooksRagged,
                             [](const std::string& path, const ReadOptions& options) {
                               return Open(path, options, PlanAsebytes);
                             }};
  return format;
}

}  // namespace zn::formats

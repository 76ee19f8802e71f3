// asebytes' ragged layout: a group with one flat array a field, `_offsets` and `_lengths` saying
// which rows are whose.
#include <algorithm>
#include <set>

#include "h5md/plan_h5md.h"

namespace zn::formats {
Result<std::vector<std::string>> AsebytesGroups(const Hierarchy& file) {
  std::vector<std::string> groups;
  const auto has = [&](const Object& group) {
    auto offsets = file.Find(group, "_offsets"), lengths = file.Find(group, "_lengths");
    return offsets && *offsets && lengths && *lengths;
  };
  if (has(file.root())) return std::vector<std::string>{""};
  ZN_ASSIGN_OR_RETURN(auto names, file.Names(file.root()));
  for (const std::string& name : names) {
    auto group = file.Find(file.root(), name);
    // What cannot be opened is not one of them; it is not this function's to complain.
    if (!group || !*group || !(*group)->is_group) continue;
    if (has(**group)) groups.push_back(name);
  }
  return groups;
}

Result<Plan> PlanAsebytes(const std::shared_ptr<const Hierarchy>& file, const ReadOptions& options,
                          ColumnMapper& mapper) {
  ZN_ASSIGN_OR_RETURN(auto groups, AsebytesGroups(*file));
  std::string list;
  for (const std::string& name : groups) list += (list.empty() ? "" : ", ") + name;
  if (groups.empty()) {
    return file->Fail(ErrorCode::kUnsupported, "", "has no group with _offsets and _lengths",
                      "is it H5MD? try --format h5md");
  }
  std::string chosen = options.group.empty() ? groups[0] : options.group;
  if (options.group.empty() && groups.size() > 1) {
    return file->Fail(ErrorCode::kInvalidArgument, "", "has several groups",
                      "name one with --group: " + list);
  }
  if (std::find(groups.begin(), groups.end(), chosen) == groups.end()) {
    return file->Fail(ErrorCode::kNotFound, chosen, "there is no such group of frames",
                      "name one of: " + list);
  }

  Plan plan;
  plan.file = file;
  ZN_ASSIGN_OR_RETURN(auto group, chosen.empty() ? std::optional<Object>(file->root())
                                                 : file->Find(file->root(), chosen));
  auto open = [&](const std::string& name) -> Result<std::shared_ptr<Dataset>> {
    ZN_ASSIGN_OR_RETURN(auto object, file->Find(*group, name));
    if (!object || object->is_group) {
      return file->Fail(ErrorCode::kCorrupt, chosen + "/" + name, "is no dataset",
                        "write the file again");
    }
    return file->OpenDataset(*object);
  };
  ZN_ASSIGN_OR_RETURN(auto offsets, open("_offsets"));
  ZN_ASSIGN_OR_RETURN(auto lengths, open("_lengths"));
  if (offsets->shape().size() != 1 || lengths->shape() != offsets->shape()) {
    return file->Fail(ErrorCode::kCorrupt, chosen, "_offsets and _lengths do not agree",
                      "write the file again");
  }
  constexpr int64_t kMaxFrames = 200'000'000;
  ZN_ASSIGN_OR_RETURN(plan.first_rows, offsets->ReadAll<int64_t>(kMaxFrames));
  ZN_ASSIGN_OR_RETURN(auto counts, lengths->ReadAll<int64_t>(kMaxFrames));
  plan.frames = offsets->rows();
  auto stated = file->Integer(*group, "n_frames");
  if (stated && *stated != plan.frames) {
    plan.warnings.push_back({chosen, "says it has " + std::to_string(*stated) +
                                         " frames, its arrays have " +
                                         std::to_string(plan.frames)});
    plan.frames = std::clamp<int64_t>(*stated, 0, plan.frames);
  }
  plan.n_atoms.reserve(static_cast<size_t>(plan.frames));
  for (int64_t frame = 0; frame < plan.frames; ++frame) {
    int64_t first = plan.first_rows[static_cast<size_t>(frame)],
            count = counts[static_cast<size_t>(frame)];
    int64_t end;
    if (first < 0 || count < 0 || count > INT32_MAX || __builtin_add_overflow(first, count, &end)) {
      return file->Fail(ErrorCode::kCorrupt, chosen + "/_offsets",
                        "frame " + std::to_string(frame) + " has " + std::to_string(count) +
                            " atoms from row " + std::to_string(first) + " on",
                        "write the file again");
    }
    plan.n_atoms.push_back(static_cast<int32_t>(count));
  }

  auto listed = file->Strings(*group, "per_atom_columns").value_or(std::vector<std::string>());
  std::set<std::string> per_atom(listed.begin(), listed.end());
  ZN_ASSIGN_OR_RETURN(auto names, file->Names(*group));
  for (const std::string& name : names) {
    if (name.starts_with('_')) continue;
    ZN_ASSIGN_OR_RETURN(auto object, file->Find(*group, name));
    if (!object || object->is_group) continue;
    ZN_ASSIGN_OR_RETURN(auto data, file->OpenDataset(*object));
    if (!data->readable() || data->shape().empty()) {
      plan.warnings.push_back(
          {object->path,
           "has a type or shape that is not an array of numbers or strings: left out"});
      continue;
    }
    Field field;
    field.name = mapper.Name(name, name);
    if (field.name.empty() || !UsableName(field.name, object->path, plan.warnings)) continue;
    field.source = object->path;
    field.data = data;
    field.inner = data->inner();
    field.rows.limit = std::min(plan.frames, data->rows());
    if (per_atom.contains(name) && !data->is_text()) {
      field.role = Role::kAtoms;
      field.flat = true;
      field.nan_is_absent =
          (data->dtype() == DType::kFloat32 || data->dtype() == DType::kFloat64) &&
          name != "arrays.positions";
    } else {
      ZN_RETURN_IF_ERROR(SetAseFrameRole(field));
      // A bare word is no JSON: asebytes hands it back as the string that it is.
      field.plain_text = false;
    }
    field.attributes = UnitAttributes(field.name);
    if (field.attributes == "{}") field.attributes.clear();
    plan.fields.push_back(std::move(field));
  }
  if (plan.fields.empty()) {
    return file->Fail(ErrorCode::kCorrupt, chosen, "has frames and no columns",
                      "write the file again");
  }
  return plan;
}

}  // namespace zn::formats

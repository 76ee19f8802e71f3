// ZnStore's own H5MD files: what `parameters/znstore` lists is read as it was exported; nothing is
// guessed, converted or taken for padding.
#include <algorithm>

#include "h5md/own_layout.h"
#include "h5md/plan_h5md.h"

namespace zn::formats {
namespace {

constexpr int64_t kMaxFrames = 200'000'000;

class OwnPlanner {
 public:
  OwnPlanner(const std::shared_ptr<const Hierarchy>& file, const ReadOptions& options,
             ColumnMapper& mapper, Object group)
      : file_(file), options_(options), mapper_(mapper), group_(std::move(group)) {
    plan_.file = file;
  }

  Result<Plan> Run() {
    ZN_ASSIGN_OR_RETURN(auto counts, Open("n_atoms"));
    if (counts->shape().size() != 1 || !IsInteger(counts->dtype()))
      return Damaged(counts->path(), "is not a list of counts");
    plan_.frames = counts->rows();
    ZN_ASSIGN_OR_RETURN(auto values, counts->ReadAll<int64_t>(kMaxFrames));
    plan_.n_atoms.reserve(values.size());
    for (const int64_t n : values) {
      if (n < 0 || n > INT32_MAX) return Damaged(counts->path(), "has " + std::to_string(n));
      plan_.n_atoms.push_back(static_cast<int32_t>(n));
    }
    ZN_ASSIGN_OR_RETURN(auto fields, file_->Find(group_, "fields"));
    if (fields && fields->is_group) {
      ZN_ASSIGN_OR_RETURN(auto names, file_->Names(*fields));
      for (const std::string& name : names) {
        ZN_ASSIGN_OR_RETURN(auto entry, file_->Find(*fields, name));
        if (entry && entry->is_group) ZN_RETURN_IF_ERROR(AddField(*entry));
      }
    }
    plan_.unwrap = options_.unwrap && plan_.image >= 0 && plan_.positions >= 0 && plan_.cell >= 0;
    return std::move(plan_);
  }

 private:
  Error Damaged(const std::string& path, const std::string& what) const {
    return file_->Fail(ErrorCode::kCorrupt, path, what, "export the room again");
  }

  Result<std::shared_ptr<Dataset>> OpenPath(const Object& from, const std::string& path) {
    ZN_ASSIGN_OR_RETURN(auto object, file_->FindPath(from, path));
    if (!object || object->is_group) return Damaged(path, "is no dataset");
    ZN_ASSIGN_OR_RETURN(auto data, file_->OpenDataset(*object));
    if (!data->readable() || data->shape().empty())
      return Damaged(path, "is no array of numbers or strings");
    return data;
  }
  Result<std::shared_ptr<Dataset>> Open(const std::string& name) {
    return OpenPath(file_->root(), std::string(own::kGroup) + "/" + name);
  }

  // A list of integers in the field's own group; empty when there is none.
  Result<std::optional<std::vector<int64_t>>> List(const Object& entry, const std::string& name) {
    ZN_ASSIGN_OR_RETURN(auto object, file_->Find(entry, name));
    if (!object) return std::optional<std::vector<int64_t>>();
    ZN_ASSIGN_OR_RETURN(auto data, OpenPath(entry, name));
    if (data->shape().size() != 1 || !IsInteger(data->dtype()))
      return Damaged(data->path(), "is no list of integers");
    ZN_ASSIGN_OR_RETURN(auto values, data->ReadAll<int64_t>(kMaxFrames));
    return std::optional(std::move(values));
  }

  Result<> AddField(const Object& entry) {
    const auto name = file_->String(entry, "name"), kind = file_->String(entry, "kind"),
               path = file_->String(entry, "data");
    if (!name || !kind || !path) return Damaged(entry.path, "lacks name, kind or data");
    Field field;
    field.name = mapper_.Name(*name, *name);
    if (field.name.empty()) return {};
    if (!UsableName(field.name, entry.path, plan_.warnings)) return {};
    field.attributes = file_->String(entry, "attributes").value_or("");
    if (field.attributes == "{}") field.attributes.clear();
    ZN_ASSIGN_OR_RETURN(field.data, OpenPath(file_->root(), *path));
    field.source = field.data->path();
    field.inner = field.data->inner();

    int64_t rows = field.data->rows();
    if (*kind == "ragged") {
      field.role = Role::kJoined;
      ZN_ASSIGN_OR_RETURN(auto lengths, List(entry, "lengths"));
      if (!lengths || field.data->is_text()) return Damaged(entry.path, "has no lengths");
      rows = static_cast<int64_t>(lengths->size());
      field.starts.assign(1, 0);
      for (const int64_t length : *lengths) {
        int64_t end;
        if (length < 0 || __builtin_add_overflow(field.starts.back(), length, &end) ||
            end > field.data->rows())
          return Damaged(entry.path + "/lengths", "does not fit its values");
        field.starts.push_back(end);
      }
    } else if (field.data->is_text()) {
      field.role = Role::kText;
    } else if (*kind == "atom") {
      field.role = Role::kAtoms;
      if (field.inner.empty()) return Damaged(field.source, "has no axis of atoms");
      field.atoms = field.inner.front();
      field.inner.erase(field.inner.begin());
    } else {
      field.role = Role::kFrame;
    }

    ZN_ASSIGN_OR_RETURN(auto frames, List(entry, "frames"));
    field.rows.limit = plan_.frames;
    if (frames) {
      field.rows.table.assign(static_cast<size_t>(plan_.frames), -1);
      int64_t row = 0, before = -1;
      for (const int64_t frame : *frames) {
        if (frame <= before || frame >= plan_.frames || row >= rows)
          return Damaged(entry.path + "/frames", "does not fit the values");
        field.rows.table[static_cast<size_t>(frame)] = row++;
        before = frame;
      }
    } else if (rows != plan_.frames) {
      return Damaged(field.source, "has " + std::to_string(rows) + " rows for " +
                                       std::to_string(plan_.frames) + " frames");
    }
    const int index = static_cast<int>(plan_.fields.size());
    if (*name == "arrays.positions" && field.role == Role::kAtoms) {
      plan_.positions = index;
      plan_.atoms = field.atoms;
      plan_.chunk_rows = std::max<int64_t>(1, field.data->chunk_rows());
    } else if (*name == "arrays.image" && field.role == Role::kAtoms) {
      plan_.image = index;
    } else if (*name == "cell" && field.role == Role::kFrame) {
      plan_.cell = index;
    }
    plan_.fields.push_back(std::move(field));
    return {};
  }

  const std::shared_ptr<const Hierarchy>& file_;
  const ReadOptions& options_;
  ColumnMapper& mapper_;
  const Object group_;
  Plan plan_;
};

}  // namespace

Result<std::optional<Plan>> PlanOwn(const std::shared_ptr<const Hierarchy>& file,
                                    const ReadOptions& options, ColumnMapper& mapper) {
  // A damaged file says so when its elements are looked at.
  auto group = file->FindPath(file->root(), own::kGroup);
  if (!group || !*group || !(*group)->is_group) return std::optional<Plan>();
  const auto version = file->Integer(**group, "version");
  if (!version) return std::optional<Plan>();
  if (*version != own::kVersion) {
    return file->Fail(ErrorCode::kUnsupported, own::kGroup,
                      "is of version " + std::to_string(*version) + ", this program knows " +
                          std::to_string(own::kVersion),
                      "import it with a newer zn-import");
  }
  ZN_ASSIGN_OR_RETURN(Plan plan, OwnPlanner(file, options, mapper, **group).Run());
  return std::optional(std::move(plan));
}

}  // namespace zn::formats

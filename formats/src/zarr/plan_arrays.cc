#include "zarr/plan_arrays.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "h5md/plan_h5md.h"
#include "zn/formats/fields.h"

namespace zn::formats::zarr {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kMaxFrames = 500'000'000;

bool EndsWith(std::string_view text, std::string_view ending) {
  return text.size() > ending.size() && text.substr(text.size() - ending.size()) == ending;
}

std::string List(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < names.size() && i < 20; ++i) text += (i ? ", " : "") + names[i];
  return names.size() > 20 ? text + ", ..." : text;
}

/// An array below the chosen group.
struct Source {
  Object object;
  std::string path;  // below the group, for --map: "forces", "md/forces"
  std::string name;  // of the field
  std::shared_ptr<Dataset> data;
  Json attributes;
  std::vector<std::string> dimensions;

  std::string Text(const char* key) const {
    const auto found = attributes.find(key);
    return found != attributes.end() && found->is_string() ? found->get<std::string>() : "";
  }
};

class ArrayPlanner {
 public:
  ArrayPlanner(const std::shared_ptr<const ZarrHierarchy>& file, const ReadOptions& options,
               ColumnMapper& mapper)
      : file_(file), options_(options), mapper_(mapper) {
    plan_.file = file;
  }

  Result<Plan> Run() {
    ZN_ASSIGN_OR_RETURN(Object group, ChooseGroup());
    ZN_RETURN_IF_ERROR(Collect(group, ""));
    ZN_RETURN_IF_ERROR(FindFrames(group));
    ZN_RETURN_IF_ERROR(FindAtoms());
    for (Source& source : sources_) ZN_RETURN_IF_ERROR(Add(source));
    if (plan_.fields.empty())
      return file_->Fail(ErrorCode::kUnsupported, group.path, "has no array with a row a frame",
                         "name its arrays with --map SOURCE=FIELD, or another group with --group");
    if (without_unit_ > 0)
      plan_.warnings.push_back(
          {group.path, "names no units: the values of " + std::to_string(without_unit_) +
                           " of its fields are kept as they are, their unit is null"});
    ChooseBatches();
    return std::move(plan_);
  }

 private:
  Result<bool> HasArrays(const Object& group) const {
    ZN_ASSIGN_OR_RETURN(const auto names, file_->Names(group));
    for (const std::string& name : names) {
      ZN_ASSIGN_OR_RETURN(const auto child, file_->Find(group, name));
      if (child && !child->is_group) return true;
    }
    return false;
  }

  Result<> GroupsWithArrays(const Object& group, std::vector<std::string>& found) const {
    ZN_ASSIGN_OR_RETURN(const bool has, HasArrays(group));
    if (has) {
      found.push_back(group.path);
      return {};  // groups within it belong to it
    }
    ZN_ASSIGN_OR_RETURN(const auto names, file_->Names(group));
    for (const std::string& name : names) {
      ZN_ASSIGN_OR_RETURN(const auto child, file_->Find(group, name));
      if (child && child->is_group) ZN_RETURN_IF_ERROR(GroupsWithArrays(*child, found));
    }
    return {};
  }

  /// The named group, or the only one that holds arrays.
  Result<Object> ChooseGroup() const {
    const Object root = file_->root();
    if (!root.is_group)
      return file_->Fail(ErrorCode::kUnsupported, "", "is a lone array",
                         "name the group that it is in, or import its folder's parent");
    std::vector<std::string> groups;
    ZN_RETURN_IF_ERROR(GroupsWithArrays(root, groups));
    std::string wanted = options_.group;
    if (wanted.empty()) {
      if (groups.empty())
        return file_->Fail(ErrorCode::kCorrupt, "", "has groups, but no arrays",
                           "is the store complete?");
      if (groups.size() > 1)
        return file_->Fail(ErrorCode::kInvalidArgument, "", "has several groups with arrays",
                           "name one with --group: " + List(groups));
      wanted = groups[0];
    }
    if (wanted.empty()) return root;
    ZN_ASSIGN_OR_RETURN(const auto group, file_->FindPath(root, wanted));
    if (!group || !group->is_group)
      return file_->Fail(ErrorCode::kNotFound, wanted, "there is no such group",
                         "name one of: " + List(groups));
    return *group;
  }

  Result<> Collect(const Object& group, const std::string& prefix) {
    ZN_ASSIGN_OR_RETURN(const auto names, file_->Names(group));
    for (const std::string& name : names) {
      ZN_ASSIGN_OR_RETURN(const auto child, file_->Find(group, name));
      if (!child) continue;
      if (child->is_group) {
        ZN_RETURN_IF_ERROR(Collect(*child, prefix + name + "/"));
        continue;
      }
      Source source;
      source.object = *child;
      source.path = prefix + name;
      if (LeftOut(source.path)) {
        (void)mapper_.Name(source.path, source.path);
        continue;
      }
      ZN_ASSIGN_OR_RETURN(source.data, file_->OpenDataset(*child));
      source.attributes =
          Json::parse(file_->Attributes(*child), nullptr, /*allow_exceptions=*/false);
      if (!source.attributes.is_object()) source.attributes = Json::object();
      ZN_ASSIGN_OR_RETURN(const ZarrArrayMetadata metadata, file_->Metadata(*child));
      source.dimensions = metadata.dimension_names;
      if (EndsWith(source.path, kZarrPresent) || EndsWith(source.path, kZarrLengths) ||
          source.path == "n_atoms" || source.path == "_n_atoms") {
        beside_.emplace(source.path, std::move(source));
      } else {
        znstore_ = znstore_ || !source.Text("kind").empty();
        sources_.push_back(std::move(source));
      }
    }
    return {};
  }

  /// --map SOURCE= : an array that cannot be read need not be.
  bool LeftOut(const std::string& path) const {
    return std::any_of(options_.map.begin(), options_.map.end(),
                       [&](const auto& map) { return map.first == path && map.second.empty(); });
  }

  const Source* Counts() const {
    for (const char* name : {"n_atoms", "_n_atoms"})
      if (const auto found = beside_.find(name); found != beside_.end()) return &found->second;
    return nullptr;
  }

  std::string CanonicalName(const Source& source) const {
    if (const std::string field = source.Text("field"); znstore_ && !field.empty()) return field;
    const std::string dotted = [&] {
      std::string text = source.path;
      std::replace(text.begin(), text.end(), '/', '.');
      return text;
    }();
    if (znstore_ || ase_) return dotted;
    for (const char* prefix : {"arrays.", "calc.", "info."})
      if (dotted.starts_with(prefix)) return dotted;
    const std::string last = source.path.substr(source.path.rfind('/') + 1);
    for (const CanonicalField& field : CanonicalFields()) {
      const bool known =
          field.name == last || field.h5md == last ||
          std::find(field.aliases.begin(), field.aliases.end(), last) != field.aliases.end() ||
          std::find(field.extxyz.begin(), field.extxyz.end(), last) != field.extxyz.end();
      if (known) return std::string(field.name);
    }
    for (const char* name : {"step", "time", "connectivity", "constraints"})
      if (last == name) return last;
    return dotted;
  }

  /// How many frames: what says so, else the rows that most arrays have.
  Result<> FindFrames(const Object& group) {
    ase_ = !znstore_ && beside_.contains("_n_atoms");
    const auto stated = file_->Integer(group, "n_frames");
    const auto listed =
        file_->Strings(group, "per_atom_columns").value_or(std::vector<std::string>());
    per_atom_.insert(listed.begin(), listed.end());
    std::map<int64_t, size_t> votes;
    for (Source& source : sources_) {
      source.name = CanonicalName(source);
      if (source.data->shape().empty()) continue;
      // Positions have a row a frame beyond doubt.
      votes[source.data->rows()] +=
          source.name == "arrays.positions" && source.data->shape().size() == 3 ? sources_.size()
                                                                                : 1;
    }
    if (const Source* counts = Counts()) {
      if (counts->data->shape().size() != 1 || !IsInteger(counts->data->dtype()))
        return file_->Fail(ErrorCode::kCorrupt, counts->object.path, "is no list of integers",
                           "write the hierarchy again");
      plan_.frames = counts->data->rows();
    } else if (!votes.empty()) {
      plan_.frames = std::max_element(votes.begin(), votes.end(), [](const auto& a, const auto& b) {
                       return a.second < b.second;
                     })->first;
    }
    if (ase_ && stated && *stated >= 0 && *stated < plan_.frames) {
      plan_.warnings.push_back({group.path, "says it has " + std::to_string(*stated) +
                                                " frames, its arrays have " +
                                                std::to_string(plan_.frames)});
      plan_.frames = *stated;
    }
    if (plan_.frames > kMaxFrames)
      return file_->Fail(
          ErrorCode::kTooLarge, group.path,
          "has " + std::to_string(plan_.frames) + " frames; at most 500,000,000 are read at once",
          "check its shapes, or read parts with --start and --stop");
    return {};
  }

  /// The axis of atoms, and each frame's number of them.
  Result<> FindAtoms() {
    const Source* positions = nullptr;
    for (const Source& source : sources_) {
      const auto& shape = source.data->shape();
      if (source.name == "arrays.positions" && shape.size() == 3) positions = &source;
    }
    if (positions != nullptr) plan_.atoms = positions->data->shape()[1];
    for (const Source& source : sources_) {
      if (positions != nullptr) break;
      const auto& shape = source.data->shape();
      const CanonicalField* field = FindCanonical(source.name);
      const bool per_atom = znstore_ ? source.Text("kind") == "atom"
                            : ase_   ? per_atom_.contains(source.path)
                                     : field != nullptr && field->kind == FieldKind::kAtom;
      if (per_atom && shape.size() >= 2 && shape[0] == plan_.frames)
        plan_.atoms = std::max(plan_.atoms, shape[1]);
    }
    if (plan_.atoms > INT32_MAX)
      return file_->Fail(ErrorCode::kTooLarge, "", "has more atoms than a frame can have",
                         "check its shapes");
    const Source* counts = Counts();
    if (counts == nullptr) {
      // Rows that end in NaN are shorter, where NaN is what stands for nothing.
      if (positions != nullptr && IsFloating(positions->data->dtype()) &&
          positions->data->fill_value()) {
        std::vector<std::byte> nan(ItemSize(positions->data->dtype()));
        WriteFillValue(positions->data->dtype(), nan.data());
        nan_padded_ = *positions->data->fill_value() == nan;
      }
      return {};
    }
    ZN_ASSIGN_OR_RETURN(const auto values, counts->data->ReadRange<int64_t>(0, plan_.frames));
    plan_.n_atoms.reserve(values.size());
    for (size_t frame = 0; frame < values.size(); ++frame) {
      const bool bad = values[frame] < 0 || values[frame] > INT32_MAX ||
                       (positions != nullptr && values[frame] > plan_.atoms);
      if (bad)
        return file_->Fail(ErrorCode::kCorrupt, counts->object.path,
                           "says " + std::to_string(values[frame]) + " atoms for frame " +
                               std::to_string(frame) + " of at most " + std::to_string(plan_.atoms),
                           "write the hierarchy again");
      plan_.n_atoms.push_back(static_cast<int32_t>(values[frame]));
    }
    return {};
  }

  bool IsPerAtom(const Source& source) const {
    const auto& shape = source.data->shape();
    if (znstore_) return source.Text("kind") == "atom" && shape.size() >= 2;
    if (ase_) return per_atom_.contains(source.path) && shape.size() >= 2;
    if (shape.size() < 2 || shape[1] != plan_.atoms || source.data->is_text()) return false;
    if (const CanonicalField* field = FindCanonical(source.name))
      return field->kind == FieldKind::kAtom;
    if (source.dimensions.size() > 1 && source.dimensions[1] == "atom") return true;
    // (frames, 3) of three atoms may as well be a vector.
    return source.name.starts_with("arrays.") ||
           (plan_.atoms > 9 && !source.name.starts_with("info."));
  }

  Result<> Add(Source& source) {
    const auto& shape = source.data->shape();
    const CanonicalField* canonical = FindCanonical(source.name);
    // One row for all frames: species of a trajectory that loses and gains no atoms.
    const bool constant =
        !znstore_ && !ase_ && canonical != nullptr && canonical->kind == FieldKind::kAtom &&
        source.name != "arrays.positions" && shape.size() == 1 && shape[0] == plan_.atoms &&
        plan_.atoms > 0 && (shape[0] != plan_.frames || source.name == "arrays.numbers");
    const bool fits = !shape.empty() && (ase_ || shape[0] == plan_.frames);
    if (!constant && !fits) {
      (void)mapper_.Name(source.path, source.name);
      plan_.warnings.push_back(
          {source.object.path, shape.empty()
                                   ? "has no axes: left out"
                                   : "has " + std::to_string(shape[0]) + " rows where there are " +
                                         std::to_string(plan_.frames) + " frames: left out"});
      return {};
    }
    const bool per_atom = constant || IsPerAtom(source);
    if (!znstore_ && !ase_ && canonical == nullptr && !source.name.starts_with("arrays.") &&
        !source.name.starts_with("calc.") && !source.name.starts_with("info.") &&
        source.name != "step" && source.name != "time" && source.name != "connectivity" &&
        source.name != "constraints")
      source.name = (per_atom ? "arrays." : "info.") + source.name;
    Field field;
    field.name = mapper_.Name(source.path, source.name);
    if (field.name.empty() || !UsableName(field.name, source.object.path, plan_.warnings))
      return {};
    field.source = source.object.path;
    field.data = source.data;
    field.rows.limit = std::min(plan_.frames, source.data->rows());
    field.inner = constant ? shape : source.data->inner();
    ZN_RETURN_IF_ERROR(SetRole(source, per_atom, field));
    if (constant) {
      field.fixed = true;
      ZN_RETURN_IF_ERROR(LoadFixed(field));
    }
    ZN_RETURN_IF_ERROR(ReadPresence(source, field));
    SetUnit(source, field);
    if (source.name == "arrays.positions" && nan_padded_) {
      plan_.padded = true;
      plan_.positions = static_cast<int>(plan_.fields.size());
    }
    plan_.fields.push_back(std::move(field));
    return {};
  }

  Result<> SetRole(const Source& source, bool per_atom, Field& field) {
    const bool numbers = !source.data->is_text();
    if (!numbers) {
      field.role = Role::kText;
      field.plain_text = !znstore_ && !ase_;
      field.empty_is_absent = ase_;
      return {};
    }
    if (per_atom) {
      field.role = Role::kAtoms;
      field.atoms = field.inner[0];
      field.inner.erase(field.inner.begin());
      field.nan_is_absent =
          ase_ && source.name != "arrays.positions" && IsFloating(source.data->dtype());
      return {};
    }
    if (znstore_ && source.Text("kind") == "ragged") return ReadLengths(source, field);
    if (ase_) return SetAseFrameRole(field);
    field.role = Role::kFrame;
    const bool real = source.data->dtype() != DType::kComplex64 &&
                      source.data->dtype() != DType::kComplex128 &&
                      source.data->dtype() != DType::kFloat16;
    if (!znstore_ && field.name == "cell" && real && field.inner == std::vector<int64_t>{3})
      field.role = Role::kCell;
    if (!znstore_ && field.name == "pbc" && real && source.data->dtype() != DType::kBool &&
        field.inner == std::vector<int64_t>{3})
      field.role = Role::kPbc;
    return {};
  }

  Result<> ReadLengths(const Source& source, Field& field) {
    field.role = Role::kRagged;
    const auto found = beside_.find(source.path + std::string(kZarrLengths));
    if (found == beside_.end() || field.inner.empty()) return {};
    const Dataset& data = *found->second.data;
    if (data.shape().size() != 1 || data.rows() < plan_.frames)
      return file_->Fail(ErrorCode::kCorrupt, found->second.object.path,
                         "is no list of a length a frame", "write the hierarchy again");
    ZN_ASSIGN_OR_RETURN(field.lengths, data.ReadRange<int64_t>(0, plan_.frames));
    for (const int64_t length : field.lengths)
      if (length < 0 || length > field.inner[0])
        return file_->Fail(
            ErrorCode::kCorrupt, found->second.object.path,
            "says " + std::to_string(length) + " rows of at most " + std::to_string(field.inner[0]),
            "write the hierarchy again");
    return {};
  }

  Result<> ReadPresence(const Source& source, Field& field) {
    const auto found = beside_.find(source.path + std::string(kZarrPresent));
    if (found == beside_.end() || field.fixed) return {};
    const Dataset& data = *found->second.data;
    if (data.shape().size() != 1 || data.rows() < plan_.frames)
      return file_->Fail(ErrorCode::kCorrupt, found->second.object.path,
                         "is no list of a truth value a frame", "write the hierarchy again");
    ZN_ASSIGN_OR_RETURN(const auto present, data.ReadRange<int64_t>(0, plan_.frames));
    field.rows.table.resize(static_cast<size_t>(plan_.frames));
    for (size_t frame = 0; frame < field.rows.table.size(); ++frame)
      field.rows.table[frame] = present[frame] != 0 ? static_cast<int64_t>(frame) : -1;
    return {};
  }

  void SetUnit(const Source& source, Field& field) {
    if (znstore_) {
      // What the view adds to a field's own attributes is said by the store again.
      Json attributes = source.attributes;
      for (const char* key : {"kind", "field", "encoding", "aliases", "_ARRAY_DIMENSIONS"})
        attributes.erase(key);
      if (!attributes.empty())
        field.attributes = attributes.dump(-1, ' ', false, Json::error_handler_t::replace);
      return;
    }
    const CanonicalField* canonical = FindCanonical(field.name);
    std::string unit = source.Text("unit");
    if (unit.empty()) unit = source.Text("units");
    if (canonical == nullptr) {
      if (!unit.empty())
        field.attributes =
            Json{{"unit", unit}}.dump(-1, ' ', false, Json::error_handler_t::replace);
      return;
    }
    if (canonical->unit.empty() || canonical->unit == "1" || (ase_ && unit.empty())) {
      field.attributes = UnitAttributes(field.name);
      if (field.attributes == "{}") field.attributes.clear();
    } else if (unit.empty()) {
      ++without_unit_;
      field.attributes = UnknownUnit("");
    } else if (const auto factor = UnitFactor(field.name, unit)) {
      field.factor = *factor;
      field.attributes = UnitAttributes(field.name, unit);
    } else {
      plan_.warnings.push_back(
          {source.object.path, "has the unit \"" + unit + "\", which is not known for " +
                                   field.name + ": values are kept as they are, the unit is null"});
      field.attributes = UnknownUnit(unit);
    }
  }

  /// Batches of whole chunks of as many fields as can be, the largest first.
  void ChooseBatches() {
    std::vector<const Field*> fields;
    int64_t frame_bytes = 1;
    for (const Field& field : plan_.fields) {
      if (field.fixed || field.data->is_text()) continue;
      fields.push_back(&field);
      frame_bytes += field.data->row_bytes();
    }
    std::sort(fields.begin(), fields.end(), [](const Field* a, const Field* b) {
      return a->data->row_bytes() > b->data->row_bytes();
    });
    for (const Field* field : fields) {
      const int64_t rows = std::lcm(plan_.chunk_rows, field->data->chunk_rows());
      const bool first = field == fields.front();
      if (rows > 0 &&
          (first || rows <= 2 * std::max<int64_t>(1, options_.batch_bytes / frame_bytes)))
        plan_.chunk_rows = rows;
    }
  }

  const std::shared_ptr<const ZarrHierarchy> file_;
  const ReadOptions& options_;
  ColumnMapper& mapper_;
  Plan plan_;
  std::vector<Source> sources_;
  std::map<std::string, Source> beside_;  // counts, presence, lengths; by path
  std::set<std::string> per_atom_;        // asebytes'
  bool znstore_ = false, ase_ = false, nan_padded_ = false;
  int without_unit_ = 0;
};

}  // namespace

Result<Plan> PlanArrays(const std::shared_ptr<const ZarrHierarchy>& hierarchy,
                        const ReadOptions& options, ColumnMapper& mapper) {
  return ArrayPlanner(hierarchy, options, mapper).Run();
}

}  // namespace zn::formats::zarr

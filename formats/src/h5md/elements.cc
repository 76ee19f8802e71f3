#include "h5md/elements.h"

#include <algorithm>
#include <cctype>
#include <set>
#include <unordered_map>

namespace zn::formats {
namespace {


constexpr int kMaxDepth = 8;
constexpr int64_t kMaxTable = 20'000'000;  // steps held in memory for matching
constexpr int64_t kStepsABlock = 1 << 20;

std::string Lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

Dialect DialectOf(const std::string& creator) {
  std::string name = Lower(creator);
  if (name.starts_with("znh5md")) return Dialect::kZnH5md;
  if (name.starts_with("asebytes")) return Dialect::kAsebytes;
  if (name.starts_with("lammps")) return Dialect::kLammps;
  if (name.starts_with("espresso")) return Dialect::kEspresso;
  if (name.starts_with("mdanalysis")) return Dialect::kMdAnalysis;
  if (name.starts_with("halmd")) return Dialect::kHalmd;
  return Dialect::kGeneric;
}

template <class T>
Result<Axis<T>> ReadAxis(const std::shared_ptr<const Hierarchy>& file, const Object& group,
                         const char* name) {
  Axis<T> axis;
  ZN_ASSIGN_OR_RETURN(auto object, file->Find(group, name));
  if (!object || object->is_group) return axis;
  ZN_ASSIGN_OR_RETURN(auto values, file->OpenDataset(*object));
  if (!values->readable() || values->is_text() || values->shape().size() > 1) {
    return file->Fail(ErrorCode::kUnsupported, object->path,
                      "is neither one number nor a list of numbers",
                      "remove it, or write it as H5MD has it");
  }
  axis.given = true;
  axis.unit = file->String(*object, "unit").value_or("");
  if (values->shape().empty()) {
    ZN_ASSIGN_OR_RETURN(auto increment, values->ReadAll<T>(1));
    axis.increment = increment[0];
    auto offset = file->Numbers(*object, "offset");
    if (offset && offset->size() == 1 && std::abs((*offset)[0]) < 9e18)
      axis.offset = static_cast<T>((*offset)[0]);
  } else {
    axis.values = std::move(values);
  }
  return axis;
}

// Elements below `group`, names joined with '.'. Groups are entered once on a path: hard links may
// make cycles.
Result<> Collect(const std::shared_ptr<const Hierarchy>& file, const Object& group,
                 const std::string& prefix, std::set<unsigned long long>& above,
                 const std::set<std::string>& skip, std::vector<Element>& elements,
                 std::vector<Warning>& warnings) {
  if (above.size() > kMaxDepth || !above.insert(group.address).second) {
    warnings.push_back({group.path, "leads back to a group above it, or too deep: not followed"});
    return {};
  }
  ZN_ASSIGN_OR_RETURN(auto names, file->Names(group));
  for (const std::string& name : names) {
    if (prefix.empty() && skip.contains(name)) continue;
    ZN_ASSIGN_OR_RETURN(auto child, file->Find(group, name));
    if (!child) continue;
    std::string full = prefix.empty() ? name : prefix + "." + name;
    ZN_ASSIGN_OR_RETURN(auto element, ReadElement(file, *child, full, warnings));
    if (element) {
      elements.push_back(std::move(*element));
    } else if (child->is_group) {
      ZN_ASSIGN_OR_RETURN(auto value, file->Find(*child, "value"));
      if (value) continue;  // an element that cannot be read, and was warned of
      ZN_RETURN_IF_ERROR(Collect(file, *child, full, above, {}, elements, warnings));
    }
  }
  above.erase(group.address);
  return {};
}

std::string List(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < names.size() && i < 20; ++i) text += (i ? ", " : "") + names[i];
  if (names.size() > 20) text += ", ...";
  return text;
}

Result<Object> ChooseGroup(const Hierarchy& file, const Object& particles, const std::string& wanted) {
  ZN_ASSIGN_OR_RETURN(auto names, file.Names(particles));
  std::vector<std::string> groups;
  std::optional<Object> chosen;
  for (const std::string& name : names) {
    ZN_ASSIGN_OR_RETURN(auto child, file.Find(particles, name));
    if (!child || !child->is_group) continue;
    groups.push_back(name);
    if (name == wanted || wanted.empty()) chosen = std::move(child);
  }
  if (groups.empty()) {
    return file.Fail(ErrorCode::kUnsupported, "particles", "has no particle group",
                     "nothing can be read from it");
  }
  if (!wanted.empty() && !chosen) {
    return file.Fail(ErrorCode::kNotFound, "particles/" + wanted, "there is no such group",
                     "name one of: " + List(groups));
  }
  if (wanted.empty() && groups.size() > 1) {
    return file.Fail(ErrorCode::kInvalidArgument, "particles", "has several groups",
                     "name one with --group: " + List(groups));
  }
  return std::move(*chosen);
}

Result<> ReadBox(const std::shared_ptr<const Hierarchy>& file, const Object& box, H5mdTree& tree,
                 std::vector<Warning>& warnings) {
  ZN_ASSIGN_OR_RETURN(auto edges, file->Find(box, "edges"));
  if (edges) {
    ZN_ASSIGN_OR_RETURN(tree.edges, ReadElement(file, *edges, "box/edges", warnings));
  }
  if (!tree.edges)
    tree.edges_attribute = file->Numbers(box, "edges").value_or(std::vector<double>());
  ZN_ASSIGN_OR_RETURN(auto pbc, file->Find(box, "pbc"));
  if (pbc) {
    ZN_ASSIGN_OR_RETURN(tree.pbc, ReadElement(file, *pbc, "box/pbc", warnings));
  }
  auto boundary = file->Strings(box, "boundary");
  if (boundary) {
    std::vector<uint8_t> flags;
    for (const std::string& text : *boundary) flags.push_back(Lower(text) == "periodic");
    // H5MD before 1.0 had one word for all directions.
    if (flags.size() == 1) flags.resize(3, flags[0]);
    flags.resize(3, 0);
    tree.boundary = std::move(flags);
  }
  return {};
}

// Elements of /connectivity that are about the group: by their reference, by a group of its name,
// or for want of another.
Result<> ReadConnectivity(const std::shared_ptr<const Hierarchy>& file, H5mdTree& tree,
                          std::vector<Warning>& warnings) {
  ZN_ASSIGN_OR_RETURN(auto root, file->Find(file->root(), "connectivity"));
  if (!root || !root->is_group) return {};
  auto take = [&](const Object& parent, const std::string& name, bool ours) -> Result<> {
    ZN_ASSIGN_OR_RETURN(auto object, file->Find(parent, name));
    if (!object) return {};
    ZN_ASSIGN_OR_RETURN(auto element, ReadElement(file, *object, name, warnings));
    if (!element || element->value->is_text()) return {};
    auto reference = file->Reference(*object, "particles_group");
    if (!reference) reference = file->Reference(element->value->object(), "particles_group");
    if (reference ? *reference != tree.group_object.address : !ours) return {};
    (name == "bond_orders" ? tree.bond_orders : tree.connectivity).push_back(std::move(*element));
    return {};
  };
  ZN_ASSIGN_OR_RETURN(auto names, file->Names(*root));
  ZN_ASSIGN_OR_RETURN(auto own, file->Find(*root, tree.group));
  if (own && own->is_group) {
    ZN_ASSIGN_OR_RETURN(auto value, file->Find(*own, "value"));
    if (!value) {
      ZN_ASSIGN_OR_RETURN(auto own_names, file->Names(*own));
      for (const std::string& name : own_names) ZN_RETURN_IF_ERROR(take(*own, name, true));
    }
  }
  ZN_ASSIGN_OR_RETURN(auto particles, file->Find(file->root(), "particles"));
  size_t groups = 0;
  if (particles) {
    ZN_ASSIGN_OR_RETURN(auto group_names, file->Names(*particles));
    groups = group_names.size();
  }
  for (const std::string& name : names) {
    if (own && name == tree.group) continue;
    ZN_RETURN_IF_ERROR(take(*root, name, groups == 1));
  }
  return {};
}

// Steps [first, first + count) of an axis.
Result<std::vector<int64_t>> Steps(const Axis<int64_t>& axis, int64_t first, int64_t count) {
  std::vector<int64_t> steps(static_cast<size_t>(count));
  if (!axis.values) {
    for (int64_t i = 0; i < count; ++i) {
      steps[static_cast<size_t>(i)] = static_cast<int64_t>(static_cast<uint64_t>(axis.offset) +
                                                           static_cast<uint64_t>(axis.increment) *
                                                               static_cast<uint64_t>(first + i));
    }
    return steps;
  }
  return axis.values->ReadRange<int64_t>(first, count);
}

}  // namespace

Result<std::optional<Element>> ReadElement(const std::shared_ptr<const Hierarchy>& file,
                                           const Object& object, std::string name,
                                           std::vector<Warning>& warnings) {
  Element element;
  element.name = std::move(name);
  element.path = object.path;
  element.fixed = !object.is_group;
  Object value = object;
  if (object.is_group) {
    ZN_ASSIGN_OR_RETURN(auto found, file->Find(object, "value"));
    if (!found || found->is_group) return std::optional<Element>();
    value = std::move(*found);
  }
  ZN_ASSIGN_OR_RETURN(element.value, file->OpenDataset(value));
  if (!element.value->readable() || (!element.fixed && element.value->shape().empty())) {
    warnings.push_back(
        {value.path, "has a type or shape that is not an array of numbers or strings: left out"});
    return std::optional<Element>();
  }
  if (element.value->lossy()) {
    warnings.push_back({value.path, "has numbers of more than 8 bytes: read as float64"});
  }
  if (object.is_group) {
    ZN_ASSIGN_OR_RETURN(element.step, ReadAxis<int64_t>(file, object, "step"));
    ZN_ASSIGN_OR_RETURN(element.time, ReadAxis<double>(file, object, "time"));
  }
  for (const Object* place : std::initializer_list<const Object*>{&value, &object}) {
    if (element.unit.empty()) element.unit = file->String(*place, "unit").value_or("");
    if (element.origin.empty())
      element.origin = file->String(*place, "ASE_ENTRY_ORIGIN").value_or("");
  }
  return std::optional<Element>(std::move(element));
}

Result<H5mdTree> ReadTree(const std::shared_ptr<const Hierarchy>& file, const ReadOptions& options,
                          std::vector<Warning>& warnings) {
  H5mdTree tree;
  ZN_ASSIGN_OR_RETURN(auto header, file->Find(file->root(), "h5md"));
  ZN_ASSIGN_OR_RETURN(auto particles, file->Find(file->root(), "particles"));
  if (!particles || !particles->is_group) {
    ZN_ASSIGN_OR_RETURN(auto names, file->Names(file->root()));
    return file->Fail(
        ErrorCode::kUnsupported, "",
        "is HDF5 but not H5MD: it has no group \"particles\" (it has: " + List(names) + ")",
        "convert it to H5MD or extended XYZ first");
  }
  if (!header || !header->is_group) {
    if (!options.force) {
      return file->Fail(ErrorCode::kUnsupported, "h5md",
                        "the group that every H5MD file must have is missing",
                        "read it all the same with --force");
    }
    warnings.push_back({"h5md", "the group that every H5MD file must have is missing"});
  } else {
    ZN_ASSIGN_OR_RETURN(auto creator, file->FindPath(*header, "creator"));
    if (creator) tree.creator = file->String(*creator, "name").value_or("");
    tree.dialect = DialectOf(tree.creator);
    auto version = file->Numbers(*header, "version");
    if (version && !version->empty() && (*version)[0] != 1) {
      warnings.push_back({"h5md", "has a version other than 1.x, which this reader knows"});
    }
  }

  ZN_ASSIGN_OR_RETURN(tree.group_object, ChooseGroup(*file, *particles, options.group));
  tree.group = tree.group_object.path.substr(tree.group_object.path.rfind('/') + 1);
  ZN_ASSIGN_OR_RETURN(auto names, file->Names(tree.group_object));
  for (const std::string& name : names) {
    ZN_ASSIGN_OR_RETURN(auto child, file->Find(tree.group_object, name));
    if (!child) continue;
    if (name == "box" && child->is_group) {
      ZN_RETURN_IF_ERROR(ReadBox(file, *child, tree, warnings));
      continue;
    }
    size_t known = warnings.size();
    ZN_ASSIGN_OR_RETURN(auto element, ReadElement(file, *child, name, warnings));
    if (element) {
      if (tree.dialect == Dialect::kGeneric && !element->origin.empty())
        tree.dialect = Dialect::kZnH5md;
      tree.particles.push_back(std::move(*element));
    } else if (warnings.size() == known) {
      warnings.push_back(
          {child->path, "is no H5MD element (a dataset, or a group with a value): left out"});
    }
  }

  ZN_ASSIGN_OR_RETURN(auto observables, file->Find(file->root(), "observables"));
  if (observables && observables->is_group) {
    // Below the name of another particle group is what belongs to that.
    ZN_ASSIGN_OR_RETURN(auto group_names, file->Names(*particles));
    std::set<unsigned long long> above;
    ZN_RETURN_IF_ERROR(Collect(file, *observables, "", above,
                               {group_names.begin(), group_names.end()}, tree.global_observables,
                               warnings));
    ZN_ASSIGN_OR_RETURN(auto own, file->Find(*observables, tree.group));
    if (own) {
      above = {observables->address};
      ZN_ASSIGN_OR_RETURN(auto element, ReadElement(file, *own, tree.group, warnings));
      if (element) {
        tree.global_observables.push_back(std::move(*element));
      } else if (own->is_group) {
        ZN_RETURN_IF_ERROR(Collect(file, *own, "", above, {}, tree.observables, warnings));
      }
    }
  }
  ZN_RETURN_IF_ERROR(ReadConnectivity(file, tree, warnings));
  ZN_ASSIGN_OR_RETURN(auto counts,
                      file->FindPath(file->root(), "asebytes/" + tree.group + "/_n_atoms"));
  if (counts && !counts->is_group) {
    ZN_ASSIGN_OR_RETURN(tree.n_atoms, file->OpenDataset(*counts));
  }
  return tree;
}

Result<RowMap> MatchRows(const Hierarchy& file, const Element& element, const Element& axis,
                         int64_t frames, bool by_index, std::vector<Warning>& warnings) {
  RowMap map;
  int64_t rows = element.samples();
  if (&element == &axis) {
    map.limit = std::min(rows, frames);
    return map;
  }
  if (element.step.given && element.step.values && !by_index &&
      element.step.values->rows() != rows) {
    // Which rows the steps belong to is known for the first ones only.
    int64_t common = std::min(rows, element.step.values->rows());
    warnings.push_back({element.path, "has " + std::to_string(rows) + " rows and " +
                                          std::to_string(element.step.values->rows()) +
                                          " steps: the first " + std::to_string(common) +
                                          " are read"});
    rows = common;
  }
  map.limit = std::min(rows, frames);
  if (by_index) return map;
  if (!element.step.given || !axis.step.given) {
    if (rows == frames) return map;
    warnings.push_back({element.path, "has " + std::to_string(rows) + " rows for " +
                                          std::to_string(frames) +
                                          " frames and no steps that would say which: left out"});
    map.limit = 0;
    return map;
  }
  const Axis<int64_t>&mine = element.step, &theirs = axis.step;
  if (mine.values && theirs.values &&
      mine.values->object().address == theirs.values->object().address)
    return map;
  if (!mine.values && !theirs.values && mine.increment == theirs.increment &&
      mine.offset == theirs.offset)
    return map;

  // Usually equal as far as both go.
  bool equal = true;
  for (int64_t first = 0; first < map.limit && equal; first += kStepsABlock) {
    int64_t count = std::min(kStepsABlock, map.limit - first);
    ZN_ASSIGN_OR_RETURN(auto a, Steps(mine, first, count));
    ZN_ASSIGN_OR_RETURN(auto b, Steps(theirs, first, count));
    equal = a == b;
  }
  if (equal) return map;

  if (rows > kMaxTable || frames > kMaxTable) {
    return file.Fail(ErrorCode::kTooLarge, element.path,
                     "has too many steps to match with the positions'",
                     "read a file of fewer frames");
  }
  std::unordered_map<int64_t, int64_t> row_of;
  row_of.reserve(static_cast<size_t>(rows));
  ZN_ASSIGN_OR_RETURN(auto steps, Steps(mine, 0, rows));
  for (int64_t row = 0; row < rows; ++row) row_of.emplace(steps[static_cast<size_t>(row)], row);
  ZN_ASSIGN_OR_RETURN(auto wanted, Steps(theirs, 0, frames));
  map.table.assign(static_cast<size_t>(frames), -1);
  map.limit = frames;
  bool any = false;
  for (size_t frame = 0; frame < wanted.size(); ++frame) {
    auto found = row_of.find(wanted[frame]);
    if (found == row_of.end()) continue;
    map.table[frame] = found->second;
    any = true;
  }
  if (!any && rows > 0) {
    warnings.push_back({element.path, "was sampled at none of the positions' steps: left out"});
  }
  return map;
}

}  // namespace zn::formats

// H5MD's tree as data: elements with their axes of steps and times, particle groups, who wrote the
// file.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hierarchy/hierarchy.h"
#include "h5md/plan.h"

namespace zn::formats {

enum class Dialect { kGeneric, kZnH5md, kAsebytes, kLammps, kEspresso, kMdAnalysis, kHalmd };

/// Steps or times of an element's rows.
template <class T>
struct Axis {
  bool given = false;
  std::shared_ptr<Dataset> values;  // explicit; null: linear
  T increment = 0, offset = 0;
  std::string unit;
};

struct Element {
  std::string name;  // relative: "position", "box/edges", "temperature"
  std::string path;
  bool fixed = false;
  std::shared_ptr<Dataset> value;
  Axis<int64_t> step;
  Axis<double> time;
  std::string unit, origin;  // "": none; origin is ZnH5MD's atoms, arrays, info or calc

  int64_t samples() const { return fixed ? 0 : value->rows(); }
  /// Axes behind the one of frames.
  std::vector<int64_t> inner() const { return fixed ? value->shape() : value->inner(); }
};

struct H5mdTree {
  std::string creator;
  Dialect dialect = Dialect::kGeneric;
  std::string group;  // of particles
  Object group_object;
  std::vector<Element> particles;  // without the box
  std::optional<Element> edges, pbc;
  std::vector<double> edges_attribute;  // where edges are an attribute of the box
  std::optional<std::vector<uint8_t>> boundary;
  std::vector<Element> observables;  // of the group
  std::vector<Element> global_observables;
  std::vector<Element> connectivity, bond_orders;
  std::shared_ptr<Dataset> n_atoms;  // asebytes
};

/// Padding with NaN, origin attributes: what ZnH5MD and asebytes share.
inline bool IsAse(Dialect dialect) {
  return dialect == Dialect::kZnH5md || dialect == Dialect::kAsebytes;
}

/// Finds everything that is read of the group that options name, or of the only one.
Result<H5mdTree> ReadTree(const std::shared_ptr<const Hierarchy>& file, const ReadOptions& options,
                          std::vector<Warning>& warnings);

/// The element at `object`: a dataset, or a group with a `value`; nullopt when it is neither, or
/// (with a warning) holds what has no array type.
Result<std::optional<Element>> ReadElement(const std::shared_ptr<const Hierarchy>& file,
                                           const Object& object, std::string name,
                                           std::vector<Warning>& warnings);

/// Rows of `element` for `frames` frames that were sampled at `axis`: by step where both have
/// steps, else by index when the lengths allow it. `by_index`: ZnH5MD's rule, rows are frames
/// whatever the steps say.
Result<RowMap> MatchRows(const Hierarchy& file, const Element& element, const Element& axis,
                         int64_t frames, bool by_index, std::vector<Warning>& warnings);

}  // namespace zn::formats

#include "h5md/plan_h5md.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "h5md/names.h"
#include "zn/formats/fields.h"
#include "zn/formats/text_writer.h"

namespace zn::formats {
namespace {

// ASE's unit of time is Å·√(u/eV): one fs is this many of it, and v in Å/fs is v in ASE's units
// times it.
constexpr double kFemtosecondInAse = 0.09822694788464065;

bool IsNumeric(const Dataset& data) {
  return !data.is_text() && data.dtype() != DType::kComplex64 &&
         data.dtype() != DType::kComplex128 && data.dtype() != DType::kFloat16;
}

// "{}" says nothing.
std::string NoUnit(std::string attributes) {
  return attributes == "{}" ? std::string() : std::move(attributes);
}

class Planner {
 public:
  Planner(const std::shared_ptr<const Hierarchy>& file, const ReadOptions& options,
          ColumnMapper& mapper)
      : file_(file), options_(options), mapper_(mapper) {
    plan_.file = file;
  }

  Result<Plan> Run() {
    ZN_ASSIGN_OR_RETURN(tree_, ReadTree(file_, options_, plan_.warnings));
    ase_ = IsAse(tree_.dialect);
    ZN_RETURN_IF_ERROR(FindAxis());
    ZN_RETURN_IF_ERROR(FindIds());
    ZN_RETURN_IF_ERROR(AddBox());
    ZN_RETURN_IF_ERROR(AddStepAndTime());
    for (const Element& element : tree_.particles) ZN_RETURN_IF_ERROR(AddParticles(element));
    for (const Element& element : tree_.observables) ZN_RETURN_IF_ERROR(AddObservable(element));
    for (const Element& element : tree_.global_observables)
      ZN_RETURN_IF_ERROR(AddObservable(element));
    ZN_RETURN_IF_ERROR(AddConnectivity());
    ZN_RETURN_IF_ERROR(FindAtomCounts());
    if (without_unit_ > 0) {
      plan_.warnings.push_back({"particles/" + tree_.group,
                                "names no units: the values of " + std::to_string(without_unit_) +
                                    " of its fields are kept as they are, their unit is null"});
    }
    if (options_.unwrap && (plan_.image < 0 || plan_.positions < 0 || plan_.cell < 0)) {
      plan_.warnings.push_back({"particles/" + tree_.group,
                                "has no image and box to unwrap positions with: kept as they are"});
    } else {
      plan_.unwrap = options_.unwrap;
    }
    return std::move(plan_);
  }

 private:
  const Element* Particle(const std::string& name) const {
    for (const Element& element : tree_.particles)
      if (element.name == name) return &element;
    return nullptr;
  }

  // The frames are the positions'; without positions, those of the longest element.
  Result<> FindAxis() {
    const Element* position = Particle("position");
    if (position && position->value->is_text()) position = nullptr;
    axis_ = position && !position->fixed ? position : nullptr;
    if (axis_ == nullptr) {
      auto consider = [&](const Element& element) {
        if (!element.fixed && (axis_ == nullptr || element.samples() > axis_->samples()))
          axis_ = &element;
      };
      for (const Element& element : tree_.particles) consider(element);
      if (axis_ == nullptr && tree_.edges) consider(*tree_.edges);
      if (axis_ == nullptr) {
        for (const Element& element : tree_.observables) consider(element);
      }
    }
    plan_.frames = axis_ ? axis_->samples() : 1;
    if (axis_ && !ase_ && axis_->step.values && axis_->step.values->rows() != plan_.frames) {
      int64_t steps = axis_->step.values->rows();
      Warn(axis_->path, "has " + std::to_string(plan_.frames) + " rows and " +
                            std::to_string(steps) + " steps: the first " +
                            std::to_string(std::min(plan_.frames, steps)) + " frames are read");
      plan_.frames = std::min(plan_.frames, steps);
    }
    if (axis_) ZN_RETURN_IF_ERROR(CheckOrder());
    if (tree_.particles.empty() && !tree_.edges) {
      return file_->Fail(ErrorCode::kUnsupported, "particles/" + tree_.group, "has no elements",
                         "name another group with --group");
    }

    // How many rows of atoms there are: the positions', or what else is certain to have one an
    // atom.
    const Element* counted = position;
    for (const char* name : {"id", "species", "velocity", "force", "image", "mass"}) {
      if (counted) break;
      const Element* candidate = Particle(name);
      if (candidate && !candidate->value->is_text() && !candidate->inner().empty())
        counted = candidate;
    }
    if (counted && !counted->inner().empty()) plan_.atoms = counted->inner()[0];
    if (position && position->inner().size() < 2) {
      return file_->Fail(ErrorCode::kCorrupt, position->path,
                         "is not of shape (atoms, dimensions) behind its frames",
                         "check it with h5ls");
    }
    if (plan_.atoms > INT32_MAX) {
      return file_->Fail(ErrorCode::kTooLarge, counted->path,
                         "has more atoms than a frame can have", "check its shape with h5ls");
    }
    const Element* chunked = position && !position->fixed ? position : axis_;
    if (chunked) plan_.chunk_rows = std::max<int64_t>(1, chunked->value->chunk_rows());
    return {};
  }

  Result<> CheckOrder() {
    const auto& steps = axis_->step.values;
    if (!steps) return {};
    int64_t before = INT64_MIN, reported = 0;
    for (int64_t first = 0; first < plan_.frames; first += 1 << 20) {
      int64_t count = std::min<int64_t>({1 << 20, plan_.frames - first, steps->rows() - first});
      if (count <= 0) break;
      ZN_ASSIGN_OR_RETURN(auto values, steps->ReadRange<int64_t>(first, count));
      for (size_t i = 0; i < values.size(); ++i) {
        if (values[i] < before && reported++ == 0) {
          Warn(steps->path(), "goes back from " + std::to_string(before) + " to " +
                                  std::to_string(values[i]) + " at frame " +
                                  std::to_string(first + static_cast<int64_t>(i)) +
                                  ": frames are kept in the file's order");
        }
        before = values[i];
      }
    }
    return {};
  }

  Result<> FindIds() {
    const Element* id = Particle("id");
    if (id == nullptr || ase_ || !IsNumeric(*id->value) || !IsInteger(id->value->dtype()))
      return {};
    auto inner = id->inner();
    if (inner.size() == 2 && inner[1] == 1) inner.pop_back();
    if (inner.size() != 1 || inner[0] != plan_.atoms) return {};
    plan_.ids = id->value;
    plan_.ids_fixed = id->fixed || IsOneRow(*id);
    if (id->value->fill_value()) {
      // Of 8 bytes at most, little-endian; sign does not matter for the comparison with what is
      // read alike.
      ZN_ASSIGN_OR_RETURN(plan_.absent_id, AsInteger(*id->value, *id->value->fill_value()));
    }
    if (plan_.ids_fixed) {
      ZN_ASSIGN_OR_RETURN(plan_.fixed_ids, ReadConstant(*id));
    } else {
      ZN_ASSIGN_OR_RETURN(plan_.id_rows,
                          MatchRows(*file_, *id, *axis_, plan_.frames, false, plan_.warnings));
    }
    return {};
  }

  static Result<int64_t> AsInteger(const Dataset& data, const std::vector<std::byte>& bytes) {
    uint64_t raw = 0;
    std::memcpy(&raw, bytes.data(), std::min<size_t>(bytes.size(), 8));
    int shift = 64 - 8 * static_cast<int>(ItemSize(data.dtype()));
    bool is_signed = data.dtype() <= DType::kInt64;
    return is_signed ? static_cast<int64_t>(raw << shift) >> shift : static_cast<int64_t>(raw);
  }

  // What does not change is often written once, as one row (LAMMPS): it holds for all frames.
  bool IsOneRow(const Element& element) const {
    static const std::set<std::string> constant = {"species", "type",      "mass",   "charge",
                                                   "id",      "box/edges", "box/pbc"};
    return !ase_ && !element.fixed && element.samples() == 1 && plan_.frames > 1 &&
           constant.contains(element.name);
  }

  Result<Buffer> ReadConstant(const Element& element) {
    std::vector<int64_t> rows(static_cast<size_t>(element.fixed ? element.value->rows() : 1));
    for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<int64_t>(i);
    return element.value->ReadRows(rows);
  }

  // Rows of a field, or its constant bytes. False: it is never there.
  Result<bool> Place(const Element& element, Field& field) {
    field.data = element.value;
    field.source = element.value->path();
    field.inner = element.inner();
    field.fixed = element.fixed || IsOneRow(element);
    if (element.fixed) {
      ZN_RETURN_IF_ERROR(LoadFixed(field));
      return true;
    }
    if (field.fixed) {
      if (!element.value->is_text()) {
        ZN_ASSIGN_OR_RETURN(field.fixed_bytes, ReadConstant(element));
      }
      return true;
    }
    ZN_ASSIGN_OR_RETURN(field.rows,
                        MatchRows(*file_, element, *axis_, plan_.frames, ase_, plan_.warnings));
    return field.rows.limit > 0;
  }

  void SetUnit(const Element& element, Field& field) {
    const CanonicalField* canonical = FindCanonical(field.name);
    if (tree_.dialect == Dialect::kZnH5md && field.name == "arrays.velocities") {
      field.factor = kFemtosecondInAse;
      field.attributes = UnitAttributes(field.name, "√(eV/u)");
      return;
    }
    if (canonical == nullptr) {
      if (element.unit.empty()) return;
      field.attributes = "{\"unit\":";
      AppendJsonString(element.unit, field.attributes);
      field.attributes += '}';
      return;
    }
    if (canonical->unit.empty() || canonical->unit == "1" || (ase_ && element.unit.empty())) {
      field.attributes = NoUnit(UnitAttributes(field.name));
      return;
    }
    if (element.unit.empty()) {
      ++without_unit_;
      field.attributes = UnknownUnit("");
      return;
    }
    if (auto factor = UnitFactor(field.name, element.unit)) {
      field.factor = *factor;
      field.attributes = UnitAttributes(field.name, element.unit);
    } else {
      Warn(element.path, "has the unit \"" + element.unit + "\", which is not known for " +
                             field.name + ": values are kept as they are, the unit is null");
      field.attributes = UnknownUnit(element.unit);
    }
  }

  // Takes the field into the plan under the name it is to have; false when it is left out.
  bool Add(const Element& element, Field field) {
    if (!UsableName(field.name, field.source, plan_.warnings)) return false;
    SetUnit(element, field);
    names_.insert(field.name);
    plan_.fields.push_back(std::move(field));
    return true;
  }

  int Last() const { return static_cast<int>(plan_.fields.size()) - 1; }

  Result<> AddBox() {
    if (tree_.edges || !tree_.edges_attribute.empty()) {
      Field field;
      field.name = mapper_.Name("box/edges", "cell");
      field.role = Role::kCell;
      Element none;
      const Element& element = tree_.edges ? *tree_.edges : none;
      if (field.name.empty()) {
        // --map box/edges= : not wanted
      } else if (tree_.edges) {
        if (!IsNumeric(*element.value)) {
          return file_->Fail(ErrorCode::kCorrupt, element.path, "does not hold numbers",
                             "check it with h5dump");
        }
        auto inner = element.inner();
        if (inner.size() == 2 && inner[0] == 1) inner.erase(inner.begin());
        bool square = inner.size() == 2 && inner[0] == inner[1];
        if (inner.empty() || inner[0] > 3 || inner[0] < 1 || (inner.size() != 1 && !square)) {
          return file_->Fail(ErrorCode::kCorrupt, element.path,
                             "is neither of shape (D) nor (D,D) behind its frames",
                             "check it with h5ls");
        }
        ZN_ASSIGN_OR_RETURN(bool placed, Place(element, field));
        field.inner = inner;
        field.nan_is_absent = ase_;
        if (placed && Add(element, std::move(field))) plan_.cell = Last();
      } else if (tree_.edges_attribute.size() == 9 || tree_.edges_attribute.size() <= 3) {
        size_t n = tree_.edges_attribute.size();
        double cell[9] = {};
        for (size_t i = 0; i < n; ++i) cell[n == 9 ? i : i * 4] = tree_.edges_attribute[i];
        field.role = Role::kConstant;
        field.dtype = DType::kFloat64;
        field.inner = {3, 3};
        field.source = tree_.group_object.path + "/box";
        field.constant.assign(reinterpret_cast<const std::byte*>(cell),
                              reinterpret_cast<const std::byte*>(cell) + sizeof cell);
        if (Add(element, std::move(field))) plan_.cell = Last();
      }
    }
    Field field;
    field.name = mapper_.Name("box/pbc", "pbc");
    if (field.name.empty()) return {};
    if (tree_.pbc && IsNumeric(*tree_.pbc->value) && tree_.pbc->inner().size() == 1 &&
        tree_.pbc->inner()[0] <= 3) {
      field.role = Role::kPbc;
      ZN_ASSIGN_OR_RETURN(bool placed, Place(*tree_.pbc, field));
      if (placed) Add(*tree_.pbc, std::move(field));
    } else if (tree_.boundary) {
      field.role = Role::kConstant;
      field.dtype = DType::kBool;
      field.inner = {3};
      field.source = tree_.group_object.path + "/box";
      for (uint8_t flag : *tree_.boundary) field.constant.push_back(std::byte{flag});
      Add(Element(), std::move(field));
    }
    return {};
  }

  Result<> AddStepAndTime() {
    if (axis_ == nullptr) return {};
    auto add = [&](const char* name, Role role, const auto& given) -> Result<> {
      if (!given.given) return {};
      Field field;
      field.name = mapper_.Name(name, name);
      if (field.name.empty()) return {};
      field.role = role;
      field.dtype = role == Role::kStep ? DType::kInt64 : DType::kFloat64;
      field.data = given.values;
      field.source = axis_->path + "/" + name;
      field.increment = static_cast<double>(given.increment);
      field.offset = static_cast<double>(given.offset);
      if constexpr (std::is_integral_v<decltype(given.increment + 0)>) {
        field.step_increment = given.increment;
        field.step_offset = given.offset;
      }
      field.rows.limit = plan_.frames;
      if (given.values && given.values->rows() < plan_.frames) ZN_RETURN_IF_ERROR(Continue(field));
      Element unit;
      unit.path = field.source;
      unit.unit = given.unit;
      Add(unit, std::move(field));
      return {};
    };
    ZN_RETURN_IF_ERROR(add("step", Role::kStep, axis_->step));
    return add("time", Role::kTime, axis_->time);
  }

  // ZnH5MD with store="time" writes the steps of the last call of extend() only when the next one
  // comes.
  Result<> Continue(Field& field) {
    int64_t known = field.data->rows();
    field.rows.limit = known;
    if (!ase_ || known == 0 || known > 20'000'000) return {};
    ZN_ASSIGN_OR_RETURN(auto values, field.data->ReadRange<double>(0, known));
    double increment = known > 1 ? values[1] - values[0] : values[0];
    for (size_t i = 1; i < values.size(); ++i) {
      if (std::abs(values[i] - values[i - 1] - increment) > 1e-9 * std::abs(values[i])) return {};
    }
    field.extrapolate_from = known;
    field.increment = increment;
    field.offset = values[0];
    field.step_increment = static_cast<int64_t>(std::llround(increment));
    field.step_offset = static_cast<int64_t>(std::llround(values[0]));
    field.rows.limit = plan_.frames;
    Warn(field.source, "has " + std::to_string(known) + " entries for " +
                           std::to_string(plan_.frames) + " frames: continued with its increment");
    return {};
  }

  bool PerAtom(const Element& element, const std::string& name) const {
    auto inner = element.inner();
    if (inner.empty()) return false;
    const CanonicalField* canonical = FindCanonical(name);
    if (canonical && canonical->kind == FieldKind::kFrame) return false;
    if (ase_ && !element.fixed) return element.origin != "info" && inner[0] <= plan_.atoms;
    return inner[0] == plan_.atoms;
  }

  Result<> AddParticles(const Element& element) {
    std::string canonical = ParticleFieldName(element, PerAtom(element, ""));
    if (canonical == "arrays.numbers") {
      return AddSpecies(element);
    }
    Field field;
    field.name = mapper_.Name(element.name, canonical);
    if (field.name.empty()) return {};
    if (element.value->is_text() || !PerAtom(element, field.name))
      return AddFrameField(element, std::move(field));
    return AddAtoms(element, std::move(field));
  }

  Result<> AddAtoms(const Element& element, Field field) {
    ZN_ASSIGN_OR_RETURN(bool placed, Place(element, field));
    if (!placed) return {};
    field.role = Role::kAtoms;
    field.atoms = field.inner[0];
    field.inner.erase(field.inner.begin());
    // ESPResSo++ gives scalars a last axis of one.
    static const std::set<std::string> scalars = {"id",     "species", "type",   "mass",
                                                  "charge", "state",   "res_id", "lambda_adr"};
    if (field.inner.size() == 1 && field.inner[0] == 1 && !ase_ &&
        (tree_.dialect == Dialect::kEspresso || scalars.contains(element.name))) {
      field.inner.clear();
    }
    static const std::set<std::string> vectors = {"position", "velocity", "force", "image"};
    field.widen = field.inner.size() == 1 && field.inner[0] < 3 && field.inner[0] > 0 &&
                  vectors.contains(element.name);
    if (field.widen)
      Warn(element.path,
           "has " + std::to_string(field.inner[0]) + " dimensions: the others are zero");
    DType dtype = element.value->dtype();
    field.nan_is_absent = ase_ && (dtype == DType::kFloat32 || dtype == DType::kFloat64) &&
                          element.name != "position";
    bool position = element.name == "position", image = element.name == "image";
    if (position && !IsNumeric(*element.value)) {
      return file_->Fail(ErrorCode::kUnsupported, element.path,
                         "has a type that positions cannot have", "check it with h5dump -H");
    }
    if (Add(element, std::move(field))) {
      if (position) plan_.positions = Last();
      if (image) plan_.image = Last();
    }
    return {};
  }

  // Atomic numbers, or types that only the simulation knows (docs/h5md.md, "Species").
  Result<> AddSpecies(const Element& element) {
    if (element.value->is_text() || !IsNumeric(*element.value) || !PerAtom(element, "")) {
      Field field;
      field.name = mapper_.Name(element.name, "arrays.species");
      if (field.name.empty()) return {};
      return AddFrameField(element, std::move(field));
    }
    Field field;
    bool numbers = ase_;
    if (!ase_ && !element.value->enumeration().empty()) {
      numbers = true;
      for (const auto& [value, name] : element.value->enumeration()) {
        auto number = AtomicNumber(name);
        if (!number) numbers = false;
        field.values[value] = number.value_or(0);
      }
      if (!numbers) field.values.clear();
    } else if (tree_.dialect == Dialect::kGeneric || tree_.dialect == Dialect::kMdAnalysis) {
      ZN_ASSIGN_OR_RETURN(numbers, LooksLikeNumbers(element));
    }
    field.name = mapper_.Name(element.name, numbers ? "arrays.numbers" : "arrays.type");
    if (field.name.empty()) return {};
    bool floating = IsFloating(element.value->dtype());
    field.integral = floating;
    int before = Last();
    ZN_RETURN_IF_ERROR(AddAtoms(element, std::move(field)));
    if (Last() > before) plan_.species = Last();
    return {};
  }

  // Whole numbers of 1 to 118 that are not merely 0..k or 1..k, as labels would be.
  Result<bool> LooksLikeNumbers(const Element& element) {
    if (element.value->rows() == 0) return false;
    int64_t count = element.fixed ? element.value->rows() : 1;
    ZN_ASSIGN_OR_RETURN(auto values, element.value->ReadRange<double>(0, count));
    std::set<double> distinct;
    for (double value : values) {
      if (!(value >= 1 && value <= 118) || value != std::floor(value)) return false;
      distinct.insert(value);
    }
    return !distinct.empty() && *distinct.rbegin() > static_cast<double>(distinct.size());
  }

  Result<> AddObservable(const Element& element) {
    std::string canonical = ObservableFieldName(element, tree_.dialect);
    // The same observable of the group and of everything: the group's has the plain name.
    if (names_.contains(canonical)) canonical = "info.observables." + element.name;
    Field field;
    field.name = mapper_.Name(element.name, canonical);
    if (field.name.empty()) return {};
    return AddFrameField(element, std::move(field));
  }

  Result<> AddFrameField(const Element& element, Field field) {
    ZN_ASSIGN_OR_RETURN(bool placed, Place(element, field));
    if (!placed) return {};
    field.plain_text = !ase_;
    if (ase_ && !field.fixed) {
      ZN_RETURN_IF_ERROR(SetAseFrameRole(field));
    } else {
      field.role = element.value->is_text() ? Role::kText : Role::kFrame;
    }
    if (field.role == Role::kFrame && field.name == "calc.stress" &&
        field.inner == std::vector<int64_t>{3, 3}) {
      field.voigt = IsFloating(element.value->dtype());
    }
    Add(element, std::move(field));
    return {};
  }

  Result<> AddConnectivity() {
    const Element* bonds = nullptr;
    for (const Element& element : tree_.connectivity) {
      auto inner = element.inner();
      if (inner.size() == 2 && inner[1] == 2 && (bonds == nullptr || element.name == "bonds"))
        bonds = &element;
    }
    for (const Element& element : tree_.connectivity) {
      auto inner = element.inner();
      if (inner.size() != 2 || inner[1] < 1 || inner[1] > 8 || !IsInteger(element.value->dtype())) {
        Warn(element.path, "is no list of tuples of atoms: left out");
        continue;
      }
      Field field;
      field.name =
          mapper_.Name("connectivity/" + element.name,
                       &element == bonds ? "connectivity" : "info.connectivity." + element.name);
      if (field.name.empty()) continue;
      if (&element == bonds && tree_.bond_orders.size() == 1) {
        const Element& orders = tree_.bond_orders[0];
        auto shape = orders.inner();
        if (orders.fixed == element.fixed && shape.size() == 1 && shape[0] == inner[0] &&
            IsNumeric(*orders.value) && (orders.fixed || orders.samples() >= element.samples())) {
          field.orders = orders.value;
        } else {
          Warn(orders.path, "does not fit the bonds: left out");
        }
      }
      ZN_ASSIGN_OR_RETURN(bool placed, Place(element, field));
      if (!placed) continue;
      field.role = Role::kBonds;
      Add(element, std::move(field));
    }
    return {};
  }

  Result<> FindAtomCounts() {
    if (!ase_) return {};
    if (tree_.n_atoms && tree_.n_atoms->shape().size() == 1 &&
        tree_.n_atoms->rows() >= plan_.frames) {
      ZN_ASSIGN_OR_RETURN(auto counts, tree_.n_atoms->ReadAll<int64_t>(INT32_MAX));
      plan_.n_atoms.reserve(static_cast<size_t>(plan_.frames));
      for (int64_t frame = 0; frame < plan_.frames; ++frame) {
        int64_t count = counts[static_cast<size_t>(frame)];
        if (count < 0 || count > plan_.atoms) {
          return file_->Fail(ErrorCode::kCorrupt, tree_.n_atoms->path(),
                             "says " + std::to_string(count) + " atoms for frame " +
                                 std::to_string(frame) + " of at most " +
                                 std::to_string(plan_.atoms),
                             "write the file again");
        }
        plan_.n_atoms.push_back(static_cast<int32_t>(count));
      }
      return {};
    }
    plan_.padded = plan_.species >= 0 || plan_.positions >= 0;
    return {};
  }

  void Warn(const std::string& place, const std::string& message) {
    plan_.warnings.push_back({place, message});
  }

  const std::shared_ptr<const Hierarchy>& file_;
  const ReadOptions& options_;
  ColumnMapper& mapper_;
  Plan plan_;
  H5mdTree tree_;
  bool ase_ = false;
  const Element* axis_ = nullptr;  // of tree_
  std::set<std::string> names_;
  int without_unit_ = 0;
};

}  // namespace

Result<Plan> PlanH5md(const std::shared_ptr<const Hierarchy>& file, const ReadOptions& options,
                      ColumnMapper& mapper) {
  ZN_ASSIGN_OR_RETURN(auto own, PlanOwn(file, options, mapper));
  if (own) return std::move(*own);
  return Planner(file, options, mapper).Run();
}

}  // namespace zn::formats

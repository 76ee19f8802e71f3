#include "h5md/names.h"

#include <map>

#include "zn/formats/fields.h"

namespace zn::formats {
namespace {

// Names that ZnH5MD and asebytes give ASE's.
std::string AseName(const std::string& h5md) {
  static const std::map<std::string, std::string> names = {
      {"position", "positions"},     {"force", "forces"},    {"mass", "masses"},
      {"charge", "charges"},         {"species", "numbers"}, {"velocity", "velocities"},
      {"potential_energy", "energy"}};
  auto found = names.find(h5md);
  return found == names.end() ? h5md : found->second;
}

}  // namespace

std::string ParticleFieldName(const Element& element, bool per_atom) {
  const std::string& name = element.name;
  if (!element.origin.empty()) {
    bool scalar = element.inner().empty();
    // `charge` of rank 1 cannot be ASE's charges: a key of info that happens to have H5MD's name.
    std::string ase =
        element.origin == "info" && scalar && name != "potential_energy" ? name : AseName(name);
    if (element.origin == "calc") return "calc." + ase;
    if (element.origin == "info") return "info." + ase;
    return "arrays." + ase;
  }
  if (name == "potential_energy" && per_atom) return "calc.energies";
  for (const CanonicalField& field : CanonicalFields()) {
    if (field.kind == FieldKind::kAtom && !field.h5md.empty() && field.h5md == name)
      return std::string(field.name);
  }
  if (element.value->is_text() || per_atom) return "arrays." + name;
  return "info." + name;
}

std::string ObservableFieldName(const Element& element, Dialect dialect) {
  const std::string& name = element.name;
  auto inner = element.inner();
  if (!element.origin.empty()) {
    if (name == "constraints") return name;
    std::string ase = AseName(name);
    if (element.origin == "calc") return "calc." + ase;
    if (element.origin == "arrays") return "arrays." + ase;
    return "info." + (name == "potential_energy" ? ase : name);
  }
  // HALMD's is the energy per particle, in units of its own.
  if (name == "potential_energy" && inner.empty() && dialect != Dialect::kHalmd)
    return "calc.energy";
  if (name == "stress" && dialect != Dialect::kHalmd &&
      (inner == std::vector<int64_t>{6} || inner == std::vector<int64_t>{3, 3})) {
    return "calc.stress";
  }
  return "info." + name;
}

}  // namespace zn::formats

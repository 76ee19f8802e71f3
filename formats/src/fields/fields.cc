#include "zn/formats/fields.h"

#include <algorithm>
#include <cctype>

#include "zn/formats/text_writer.h"

namespace zn::formats {
namespace {

constexpr FieldKind kFrame = FieldKind::kFrame;
constexpr FieldKind kAtom = FieldKind::kAtom;
constexpr FieldKind kRagged = FieldKind::kRagged;

// docs/fields.md shows this table; `extxyz` lists the name that is written first.
const std::vector<CanonicalField>& Table() {
  static const std::vector<CanonicalField> table = {
      {"arrays.positions", kAtom, "Å", {"positions", "pos"}, "position", {"pos", "positions"}},
      {"arrays.numbers", kAtom, "1", {"species", "numbers", "Z"}, "species", {"species", "Z"}},
      {"cell", kFrame, "Å", {"box", "lattice"}, "box/edges", {"Lattice"}},
      {"pbc", kFrame, "", {"pbc"}, "boundary", {"pbc"}},
      {"arrays.momenta", kAtom, "√(eV·u)", {"momenta"}, "", {"momenta"}},
      {"arrays.velocities", kAtom, "Å/fs", {"velocities"}, "velocity", {"velo", "velocities"}},
      {"arrays.masses", kAtom, "u", {"masses"}, "mass", {"masses", "mass"}},
      {"arrays.tags", kAtom, "1", {"tags"}, "", {"tags"}},
      {"arrays.initial_charges", kAtom, "e", {"initial_charges"}, "", {"initial_charges"}},
      {"arrays.initial_magmoms", kAtom, "μB", {"initial_magmoms"}, "", {"initial_magmoms"}},
      {"arrays.type", kAtom, "", {"type"}, "", {}},
      {"calc.charges", kAtom, "e", {"charges"}, "charge", {"charge", "charges"}},
      {"calc.magmoms", kAtom, "μB", {"magmoms"}, "", {"magmoms"}},
      {"calc.magmom", kFrame, "μB", {"magmom"}, "", {"magmom"}},
      {"calc.energy", kFrame, "eV", {"energy"}, "potential_energy", {"energy"}},
      {"calc.free_energy", kFrame, "eV", {"free_energy"}, "", {"free_energy"}},
      {"calc.energies", kAtom, "eV", {"energies"}, "", {"energies"}},
      {"calc.forces", kAtom, "eV/Å", {"forces"}, "force", {"forces", "force"}},
      {"calc.stress", kFrame, "eV/Å³", {"stress"}, "stress", {"stress"}},
      {"calc.stresses", kAtom, "eV/Å³", {"stresses"}, "", {"stresses"}},
      {"calc.dipole", kFrame, "e·Å", {"dipole"}, "", {"dipole"}},
      {"constraints", kFrame, "", {}, "", {"move_mask"}},
      {"connectivity", kRagged, "", {}, "connectivity", {}},
      {"n_atoms", kFrame, "1", {}, "", {}},
      {"step", kFrame, "1", {}, "step", {}},
      {"time", kFrame, "fs", {}, "time", {}},
  };
  return table;
}

bool Has(std::span<const FieldDescriptor> fields, std::string_view name) {
  return std::any_of(fields.begin(), fields.end(),
                     [&](const FieldDescriptor& field) { return field.name == name; });
}

std::string Quoted(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < names.size(); ++i) {
    if (i > 0) text += i + 1 == names.size() ? " or " : ", ";
    text += "\"" + names[i] + "\"";
  }
  return text;
}

// Exact, alias, bare: the names that `name` may mean, of the first of these that any fits.
std::vector<std::string> Candidates(std::string_view name,
                                    std::span<const FieldDescriptor> fields) {
  std::vector<std::string> found;
  if (Has(fields, name)) return {std::string(name)};
  for (const CanonicalField& field : Table()) {
    if (std::find(field.aliases.begin(), field.aliases.end(), name) != field.aliases.end() &&
        Has(fields, field.name)) {
      found.emplace_back(field.name);
    }
  }
  if (!found.empty()) return found;
  for (std::string_view prefix : {"calc.", "arrays.", "info."}) {
    std::string full = std::string(prefix) + std::string(name);
    if (Has(fields, full)) found.push_back(std::move(full));
  }
  return found;
}

// Levenshtein distance, letters' case not counted; stops caring beyond `limit`.
size_t EditDistance(std::string_view a, std::string_view b, size_t limit) {
  if (a.size() > b.size()) std::swap(a, b);
  if (b.size() - a.size() > limit) return limit + 1;
  std::vector<size_t> row(a.size() + 1);
  for (size_t i = 0; i <= a.size(); ++i) row[i] = i;
  for (size_t j = 1; j <= b.size(); ++j) {
    size_t diagonal = row[0];
    row[0] = j;
    for (size_t i = 1; i <= a.size(); ++i) {
      bool same = std::tolower(static_cast<unsigned char>(a[i - 1])) ==
                  std::tolower(static_cast<unsigned char>(b[j - 1]));
      size_t substituted = diagonal + (same ? 0 : 1);
      diagonal = row[i];
      row[i] = std::min({row[i] + 1, row[i - 1] + 1, substituted});
    }
  }
  return row[a.size()];
}

}  // namespace

std::span<const CanonicalField> CanonicalFields() { return Table(); }

const CanonicalField* FindCanonical(std::string_view name) {
  for (const CanonicalField& field : Table())
    if (field.name == name) return &field;
  return nullptr;
}

std::vector<std::string> NearMisses(std::string_view name, std::span<const std::string> known) {
  // Long names are not compared: the cost is the product of the lengths, and `name` may come from a
  // stranger.
  if (name.size() > 256) return {};
  size_t limit = std::max<size_t>(1, std::min<size_t>(3, name.size() / 3));
  std::vector<std::pair<size_t, std::string_view>> ranked;
  for (const std::string& candidate : known) {
    if (candidate.size() > 256) continue;
    size_t distance = EditDistance(name, candidate, limit);
    size_t dot = candidate.find('.');
    if (dot != std::string::npos) {
      distance = std::min(distance,
                          EditDistance(name, std::string_view(candidate).substr(dot + 1), limit));
    }
    if (distance <= limit) ranked.emplace_back(distance, candidate);
  }
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::string> best;
  for (const auto& [distance, candidate] : ranked) {
    if (best.size() == 3) break;
    if (std::find(best.begin(), best.end(), candidate) == best.end()) best.emplace_back(candidate);
  }
  return best;
}

std::vector<std::string> NearFields(std::string_view name, std::span<const FieldDescriptor> fields) {
  std::vector<std::string> known;
  for (const FieldDescriptor& field : fields) {
    known.push_back(field.name);
    if (const CanonicalField* canonical = FindCanonical(field.name)) {
      for (std::string_view alias : canonical->aliases) known.emplace_back(alias);
    }
  }
  return NearMisses(name, known);
}

Result<ResolvedName> ResolveName(std::string_view name, std::span<const FieldDescriptor> fields) {
  ResolvedName resolved;
  std::string_view bare = name;
  constexpr std::string_view kSymbolSuffix = ":symbol";
  std::vector<std::string> found = Candidates(name, fields);
  if (found.empty() && name.ends_with(kSymbolSuffix)) {
    bare.remove_suffix(kSymbolSuffix.size());
    found = Candidates(bare, fields);
    if (found.size() == 1) {
      if (found[0] != "arrays.numbers") {
        return Error{ErrorCode::kInvalidArgument, "\"" + std::string(name) +
                                                      "\": only species can be asked for as "
                                                      "symbols (species:symbol)"};
      }
      resolved.as_symbols = true;
    }
  }
  if (found.size() == 1) {
    resolved.field = std::move(found[0]);
    return resolved;
  }
  if (found.size() > 1) {
    return Error{ErrorCode::kInvalidArgument,
                 "\"" + std::string(name) + "\" may mean several fields: ask for " + Quoted(found)};
  }
  std::string message = "no field \"" + std::string(name) + "\"";
  std::vector<std::string> near = NearFields(bare, fields);
  if (!near.empty()) message += "; did you mean " + Quoted(near) + "?";
  return Error{ErrorCode::kNotFound, std::move(message)};
}

std::string UnitAttributes(std::string_view field, std::string_view source_unit) {
  const CanonicalField* canonical = FindCanonical(field);
  std::string text = "{";
  if (canonical != nullptr && !canonical->unit.empty() && canonical->unit != "1") {
    text += "\"unit\":";
    AppendJsonString(canonical->unit, text);
  }
  if (!source_unit.empty()) {
    text += text.size() > 1 ? ",\"source_unit\":" : "\"source_unit\":";
    AppendJsonString(source_unit, text);
  }
  return text + "}";
}

}  // namespace zn::formats

// Canonical field names, aliases and units: one table for readers, server and tools (docs/fields.md).
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "zn/engine/error.h"
#include "zn/engine/field.h"

namespace zn::formats {

/// One row of the table.
struct CanonicalField {
  std::string_view name;                       // "arrays.positions"
  FieldKind kind;
  std::string_view unit;                       // "Å", "eV", ...; "" for none
  std::vector<std::string_view> aliases;       // "positions", "pos"
  std::string_view h5md;                       // element name, "" when it has none
  std::vector<std::string_view> extxyz;        // column or key names
};
std::span<const CanonicalField> CanonicalFields();
const CanonicalField* FindCanonical(std::string_view name);

/// What a name in a request means among the fields that a room has.
struct ResolvedName {
  std::string field;       // canonical name
  bool as_symbols = false; // "species:symbol"
};
/// Exact, then alias, then a bare x as calc.x, arrays.x, info.x. kInvalidArgument listing the candidates when several fit,
/// kNotFound with near misses when none does.
Result<ResolvedName> ResolveName(std::string_view name, std::span<const FieldDescriptor> fields);

/// Names and aliases of the fields that `name` may have meant, best first, at most 3.
std::vector<std::string> NearFields(std::string_view name, std::span<const FieldDescriptor> fields);

/// Names within a small edit distance of `name`, best first, at most 3.
std::vector<std::string> NearMisses(std::string_view name, std::span<const std::string> known);

/// "H" -> 1, case as written or capitalised; 0 for "X", nullopt when it is none.
std::optional<int> AtomicNumber(std::string_view symbol);
/// 1 -> "H"; "X" for 0 and what is beyond the table.
std::string_view ChemicalSymbol(int64_t atomic_number);

/// A JSON object with the canonical unit of `field`, e.g. {"unit":"Å"}; "{}" when the table has
/// none. `source_unit` is added when it is given and was converted from.
std::string UnitAttributes(std::string_view field, std::string_view source_unit = "");

/// The factor from `unit` to the canonical unit of `field` (1 for equal or equivalent spellings: "Angstrom", "A");
/// nullopt when the unit or the field's is unknown. "nm" -> Å is 10, "kJ mol-1" -> eV is 0.0103642..., CODATA 2014 as ASE 3.22.
std::optional<double> UnitFactor(std::string_view field, std::string_view unit);

}  // namespace zn::formats

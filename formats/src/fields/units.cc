#include <array>
#include <cctype>
#include <cmath>
#include <numbers>

#include "zn/formats/fields.h"

namespace zn::formats {
namespace {

// CODATA 2014 and the derivations of ase.units (3.22), so that a converted value is the one ASE
// would give.
constexpr double kC = 299792458.0, kPlanck = 6.626070040e-34, kE = 1.6021766208e-19;
constexpr double kElectronMass = 9.10938356e-31, kAvogadro = 6.022140857e23, kAmu = 1.660539040e-27;
constexpr double kPi = std::numbers::pi;
constexpr double kMu0 = 4.0e-7 * kPi;
constexpr double kEps0 = 1 / kMu0 / (kC * kC);
constexpr double kHbar = kPlanck / (2 * kPi);
constexpr double kBohr = 4e10 * kPi * kEps0 * (kHbar * kHbar) / kElectronMass / (kE * kE);
constexpr double kHartree =
    kElectronMass * (kE * kE * kE) / 16 / (kPi * kPi) / (kEps0 * kEps0) / (kHbar * kHbar);
constexpr double kKiloJoule = 1000.0 / kE;
constexpr double kPascal = (1 / kE) / 1e30;
constexpr double kDebye = 1.0 / 1e11 / kE / kC;
// 1 eV in u Å² fs⁻².
constexpr double kElectronVolt = kE / kAmu * 1e-10;

// Exponents of length, energy, mass, time, charge, Bohr magnetons, kelvin.
using Dimension = std::array<int, 7>;
constexpr Dimension kNone{}, kLength{1}, kEnergy{0, 1}, kMass{0, 0, 1}, kTime{0, 0, 0, 1};
constexpr Dimension kCharge{0, 0, 0, 0, 1}, kMagneton{0, 0, 0, 0, 0, 1};
constexpr Dimension kTemperature{0, 0, 0, 0, 0, 0, 1};

struct Quantity {
  double factor = 1;  // in Å, eV, u, fs, e, μB, K
  Dimension dimension{};
};

struct Unit {
  std::string_view name;
  double factor;
  Dimension dimension;
};

// Exact spellings first; what is not found is looked for again in lower case.
constexpr Unit kUnits[] = {
    {"Å", 1, kLength},
    {"\u212B", 1, kLength},  // ANGSTROM SIGN
    {"A", 1, kLength},
    {"AA", 1, kLength},
    {"ang", 1, kLength},
    {"angstrom", 1, kLength},
    {"angstroms", 1, kLength},
    {"angstroem", 1, kLength},
    {"ångström", 1, kLength},
    {"Ångström", 1, kLength},
    {"nm", 10, kLength},
    {"nanometer", 10, kLength},
    {"nanometers", 10, kLength},
    {"nanometre", 10, kLength},
    {"pm", 0.01, kLength},
    {"um", 1e4, kLength},
    {"μm", 1e4, kLength},
    {"µm", 1e4, kLength},
    {"mm", 1e7, kLength},
    {"cm", 1e8, kLength},
    {"m", 1e10, kLength},
    {"meter", 1e10, kLength},
    {"bohr", kBohr, kLength},
    {"a0", kBohr, kLength},
    {"a_0", kBohr, kLength},

    {"eV", 1, kEnergy},
    {"ev", 1, kEnergy},
    {"electronvolt", 1, kEnergy},
    {"meV", 1e-3, kEnergy},
    {"keV", 1e3, kEnergy},
    {"kJ", kKiloJoule, kEnergy},
    {"kj", kKiloJoule, kEnergy},
    {"kcal", 4.184 * kKiloJoule, kEnergy},
    {"cal", 4.184 * kKiloJoule / 1000, kEnergy},
    {"J", kKiloJoule / 1000, kEnergy},
    {"joule", kKiloJoule / 1000, kEnergy},
    {"Ha", kHartree, kEnergy},
    {"ha", kHartree, kEnergy},
    {"Eh", kHartree, kEnergy},
    {"E_h", kHartree, kEnergy},
    {"hartree", kHartree, kEnergy},
    {"hartrees", kHartree, kEnergy},
    {"Ry", 0.5 * kHartree, kEnergy},
    {"ry", 0.5 * kHartree, kEnergy},
    {"rydberg", 0.5 * kHartree, kEnergy},

    {"u", 1, kMass},
    {"amu", 1, kMass},
    {"Da", 1, kMass},
    {"da", 1, kMass},
    {"dalton", 1, kMass},
    {"g", 1e-3 / kAmu, kMass},
    {"gram", 1e-3 / kAmu, kMass},
    {"grams", 1e-3 / kAmu, kMass},
    {"kg", 1 / kAmu, kMass},
    {"m_e", kElectronMass / kAmu, kMass},

    {"fs", 1, kTime},
    {"femtosecond", 1, kTime},
    {"femtoseconds", 1, kTime},
    {"ps", 1e3, kTime},
    {"picosecond", 1e3, kTime},
    {"picoseconds", 1e3, kTime},
    {"ns", 1e6, kTime},
    {"nanosecond", 1e6, kTime},
    {"nanoseconds", 1e6, kTime},
    {"us", 1e9, kTime},
    {"μs", 1e9, kTime},
    {"µs", 1e9, kTime},
    {"microsecond", 1e9, kTime},
    {"microseconds", 1e9, kTime},
    {"ms", 1e12, kTime},
    {"s", 1e15, kTime},
    {"second", 1e15, kTime},
    {"seconds", 1e15, kTime},
    {"as", 1e-3, kTime},

    {"e", 1, kCharge},
    {"|e|", 1, kCharge},
    {"C", 1 / kE, kCharge},
    {"coulomb", 1 / kE, kCharge},
    {"D", kDebye, {1, 0, 0, 0, 1}},
    {"debye", kDebye, {1, 0, 0, 0, 1}},

    {"Pa", kPascal, {-3, 1}},
    {"pa", kPascal, {-3, 1}},
    {"pascal", kPascal, {-3, 1}},
    {"kPa", 1e3 * kPascal, {-3, 1}},
    {"MPa", 1e6 * kPascal, {-3, 1}},
    {"GPa", 1e9 * kPascal, {-3, 1}},
    {"gpa", 1e9 * kPascal, {-3, 1}},
    {"bar", 1e5 * kPascal, {-3, 1}},
    {"kbar", 1e8 * kPascal, {-3, 1}},
    {"kB", 1e8 * kPascal, {-3, 1}},  // VASP's kilobar
    {"atm", 101325 * kPascal, {-3, 1}},

    {"N", kKiloJoule / 1000 / 1e10, {-1, 1}},
    {"newton", kKiloJoule / 1000 / 1e10, {-1, 1}},
    {"nN", 1e-9 * (kKiloJoule / 1000 / 1e10), {-1, 1}},
    {"pN", 1e-12 * (kKiloJoule / 1000 / 1e10), {-1, 1}},

    {"μB", 1, kMagneton},
    {"µB", 1, kMagneton},
    {"uB", 1, kMagneton},
    {"mu_B", 1, kMagneton},
    {"muB", 1, kMagneton},
    {"K", 1, kTemperature},
    {"kelvin", 1, kTemperature},
    {"mol", kAvogadro, kNone},
    {"mole", kAvogadro, kNone},
    {"1", 1, kNone},
};

const Unit* FindUnit(std::string_view name) {
  for (const Unit& unit : kUnits)
    if (unit.name == name) return &unit;
  if (name.size() < 3) return nullptr;  // one and two letters mean other things in another case
  std::string lower(name);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  for (const Unit& unit : kUnits)
    if (unit.name == lower) return &unit;
  return nullptr;
}

void Multiply(Quantity& product, const Quantity& factor, int exponent) {
  // Divides step by step, as ase.units does: kJ / mol, not kJ * (1 / mol).
  for (int i = 0; i < std::abs(exponent); ++i) {
    exponent > 0 ? product.factor *= factor.factor : product.factor /= factor.factor;
  }
  for (size_t d = 0; d < factor.dimension.size(); ++d)
    product.dimension[d] += factor.dimension[d] * exponent;
}

// expression = factor { [ "*" | "·" | "." | " " | "/" ] factor }, factor = ( name | "(" expression
// ")" ) [ exponent ], exponent = [ "^" | "**" ] [ sign ] digits | "²" | "³" | "⁻¹".
class UnitParser {
 public:
  explicit UnitParser(std::string_view text) : text_(text) {}

  std::optional<Quantity> Parse() {
    std::optional<Quantity> result = Expression(0);
    if (!result || at_ != text_.size()) return std::nullopt;
    return result;
  }

 private:
  static constexpr int kMaxDepth = 8;

  bool Take(std::string_view token) {
    if (text_.substr(at_, token.size()) != token) return false;
    at_ += token.size();
    return true;
  }
  void SkipSpace() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '_'))
      ++at_;
  }

  std::optional<Quantity> Expression(int depth) {
    if (depth > kMaxDepth) return std::nullopt;
    Quantity product;
    bool any = false;
    int sign = 1;
    while (true) {
      SkipSpace();
      if (at_ == text_.size() || text_[at_] == ')') break;
      if (any) {
        sign = 1;
        if (Take("/"))
          sign = -1;
        else if (!Take("**") && !Take("*") && !Take("·") && !Take("."))
          Take("×");
        SkipSpace();
      }
      std::optional<Quantity> factor = Factor(depth);
      if (!factor) return std::nullopt;
      std::optional<int> exponent = Exponent();
      if (!exponent) return std::nullopt;
      Multiply(product, *factor, sign * *exponent);
      any = true;
    }
    if (!any) return std::nullopt;
    return product;
  }

  std::optional<Quantity> Factor(int depth) {
    if (Take("(")) {
      std::optional<Quantity> inner = Expression(depth + 1);
      if (!inner || !Take(")")) return std::nullopt;
      return inner;
    }
    size_t end = at_;
    while (end < text_.size() && IsNameByte(end)) ++end;
    // The longest prefix that is a unit: "a0", but "nm2" is nm with an exponent.
    for (size_t length = end - at_; length > 0; --length) {
      if (const Unit* unit = FindUnit(text_.substr(at_, length))) {
        size_t rest = at_ + length;
        if (rest < end && !std::isdigit(static_cast<unsigned char>(text_[rest])) &&
            !IsSuperscript(rest)) {
          continue;
        }
        at_ = rest;
        return Quantity{unit->factor, unit->dimension};
      }
    }
    return std::nullopt;
  }

  bool IsNameByte(size_t i) const {
    unsigned char c = static_cast<unsigned char>(text_[i]);
    if (c == 0xC2 && i + 1 < text_.size() && static_cast<unsigned char>(text_[i + 1]) == 0xB7)
      return false;  // ·
    return std::isalnum(c) || c == '_' || c == '|' || c >= 0x80;
  }
  bool IsSuperscript(size_t i) const {
    std::string_view rest = text_.substr(i);
    return rest.starts_with("²") || rest.starts_with("³") || rest.starts_with("⁻");
  }

  std::optional<int> Exponent() {
    if (Take("²")) return 2;
    if (Take("³")) return 3;
    if (Take("⁻¹")) return -1;
    if (Take("⁻²")) return -2;
    if (Take("⁻³")) return -3;
    size_t start = at_;
    bool marked = Take("^") || Take("**");
    bool parenthesis = marked && Take("(");
    int sign = 1;
    if (Take("-"))
      sign = -1;
    else if (Take("−"))
      sign = -1;
    else
      Take("+");
    if (at_ == text_.size() || !std::isdigit(static_cast<unsigned char>(text_[at_]))) {
      if (at_ != start) return std::nullopt;
      return 1;
    }
    int value = text_[at_++] - '0';
    if (at_ < text_.size() && std::isdigit(static_cast<unsigned char>(text_[at_])))
      return std::nullopt;
    if (parenthesis && !Take(")")) return std::nullopt;
    return sign * value;
  }

  std::string_view text_;
  size_t at_ = 0;
};

// Energy written out as mass · length² · time⁻².
Quantity Mechanical(Quantity q) {
  int e = q.dimension[1];
  q.factor *= std::pow(kElectronVolt, e);
  q.dimension[0] += 2 * e;
  q.dimension[2] += e;
  q.dimension[3] -= 2 * e;
  q.dimension[1] = 0;
  return q;
}

std::optional<Quantity> CanonicalQuantity(std::string_view unit) {
  if (unit.empty()) return std::nullopt;
  // The only unit with a root: ASE's momentum.
  if (unit == "√(eV·u)") return Quantity{std::sqrt(kElectronVolt), {1, 0, 1, -1}};
  return UnitParser(unit).Parse();
}

}  // namespace

std::optional<double> UnitFactor(std::string_view field, std::string_view unit) {
  const CanonicalField* canonical = FindCanonical(field);
  if (canonical == nullptr || unit.size() > 128) return std::nullopt;
  if (!unit.empty() && unit == canonical->unit) return 1.0;
  std::optional<Quantity> to = CanonicalQuantity(canonical->unit);
  std::optional<Quantity> from = UnitParser(unit).Parse();
  if (!to || !from) return std::nullopt;
  if (from->dimension != to->dimension) {
    from = Mechanical(*from);
    to = Mechanical(*to);
    if (from->dimension != to->dimension) return std::nullopt;
  }
  double factor = from->factor / to->factor;
  // g/mol is u but for the last digits of CODATA; nobody wants masses scaled by them.
  if (std::abs(factor - 1) < 1e-9) return 1.0;
  return factor;
}

}  // namespace zn::formats

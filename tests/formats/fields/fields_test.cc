#include "zn/formats/fields.h"

#include <cctype>
#include <set>

#include "gtest/gtest.h"

namespace zn::formats {
namespace {

std::vector<FieldDescriptor> Fields(std::initializer_list<const char*> names) {
  std::vector<FieldDescriptor> fields;
  for (const char* name : names) {
    FieldDescriptor field;
    field.name = name;
    fields.push_back(field);
  }
  return fields;
}

// Users would see a field under two names, or one name for two fields.
TEST(CanonicalFields, NamesAndAliasesAreUnique) {
  std::set<std::string_view> names, aliases;
  for (const CanonicalField& field : CanonicalFields()) {
    EXPECT_TRUE(names.insert(field.name).second) << field.name;
    for (std::string_view alias : field.aliases) EXPECT_TRUE(aliases.insert(alias).second) << alias;
  }
  for (const char* name : {"cell", "pbc", "constraints", "n_atoms", "step", "time", "connectivity"})
    EXPECT_NE(FindCanonical(name), nullptr) << name;
}

TEST(CanonicalFields, EveryUnitIsUnderstood) {
  for (const CanonicalField& field : CanonicalFields()) {
    if (field.unit.empty()) continue;
    EXPECT_EQ(UnitFactor(field.name, field.unit), 1.0) << field.name << " " << field.unit;
  }
}

TEST(ResolveName, TakesExactThenAliasThenBare) {
  auto fields =
      Fields({"arrays.positions", "arrays.numbers", "cell", "calc.energy", "info.foo", "pbc"});
  EXPECT_EQ(ResolveName("arrays.positions", fields)->field, "arrays.positions");
  EXPECT_EQ(ResolveName("pos", fields)->field, "arrays.positions");
  EXPECT_EQ(ResolveName("box", fields)->field, "cell");
  EXPECT_EQ(ResolveName("Z", fields)->field, "arrays.numbers");
  EXPECT_EQ(ResolveName("energy", fields)->field, "calc.energy");
  EXPECT_EQ(ResolveName("foo", fields)->field, "info.foo");
  EXPECT_EQ(ResolveName("pbc", fields)->field, "pbc");
}

TEST(ResolveName, FallsBackToBareWhenTheAliasIsNotThere) {
  auto fields = Fields({"info.energy"});
  EXPECT_EQ(ResolveName("energy", fields)->field, "info.energy");
}

TEST(ResolveName, ListsCandidates) {
  auto fields = Fields({"calc.foo", "arrays.foo", "info.foo"});
  auto result = ResolveName("foo", fields);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kInvalidArgument);
  for (const char* name : {"calc.foo", "arrays.foo", "info.foo"})
    EXPECT_NE(result.error().message.find(name), std::string::npos) << result.error().message;
  EXPECT_EQ(ResolveName("calc.foo", fields)->field, "calc.foo");
}

TEST(ResolveName, SuggestsNearMisses) {
  auto fields = Fields({"arrays.positions", "calc.energy"});
  auto result = ResolveName("postions", fields);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kNotFound);
  EXPECT_NE(result.error().message.find("positions"), std::string::npos) << result.error().message;
  EXPECT_FALSE(ResolveName("", fields));
  EXPECT_FALSE(ResolveName(std::string(100000, 'a'), fields));
}

TEST(ResolveName, GivesSymbolsOfSpeciesOnly) {
  auto fields = Fields({"arrays.numbers", "arrays.positions"});
  auto symbols = ResolveName("species:symbol", fields);
  ASSERT_TRUE(symbols);
  EXPECT_TRUE(symbols->as_symbols);
  EXPECT_EQ(symbols->field, "arrays.numbers");
  EXPECT_FALSE(ResolveName("species", fields)->as_symbols);
  auto wrong = ResolveName("positions:symbol", fields);
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(ResolveName("nothing:symbol", fields).error().code, ErrorCode::kNotFound);
}

TEST(NearMisses, BestFirstAndAtMostThree) {
  std::vector<std::string> known = {"energx", "enargx", "energy_", "eneryg", "forces"};
  auto near = NearMisses("energy", known);
  ASSERT_LE(near.size(), 3U);
  ASSERT_FALSE(near.empty());
  EXPECT_TRUE(near[0] == "energx" || near[0] == "energy_");
  EXPECT_TRUE(NearMisses("zzzzzz", known).empty());
}

// A wrong element is a wrong molecule.
TEST(Elements, NumbersAndSymbolsAreInverse) {
  for (int z = 0; z <= 118; ++z) {
    std::string symbol(ChemicalSymbol(z));
    EXPECT_EQ(AtomicNumber(symbol), z);
    for (char& c : symbol) c = static_cast<char>(std::tolower(c));
    EXPECT_EQ(AtomicNumber(symbol), z);
    for (char& c : symbol) c = static_cast<char>(std::toupper(c));
    EXPECT_EQ(AtomicNumber(symbol), z);
  }
  EXPECT_EQ(AtomicNumber("Og"), 118);
  EXPECT_EQ(AtomicNumber("Fe"), 26);
  EXPECT_EQ(ChemicalSymbol(119), "X");
  EXPECT_EQ(ChemicalSymbol(-1), "X");
  for (const char* none : {"", "Xx", "J", "CA1", "1", "H ", "é"})
    EXPECT_EQ(AtomicNumber(none), std::nullopt) << none;
}

struct UnitCase {
  const char* field;
  const char* unit;
  double factor;
};

// The figures are printed by Debian's ase.units (3.22, CODATA 2014) with repr().
TEST(UnitFactor, EqualsAse) {
  const UnitCase cases[] = {
      {"arrays.positions", "Angstrom", 1},
      {"arrays.positions", "A", 1},
      {"arrays.positions", "angstroms", 1},
      {"arrays.positions", "Å", 1},
      {"arrays.positions", "nm", 10},
      {"arrays.positions", "nanometer", 10},
      {"arrays.positions", "Bohr", 0.5291772105638411},
      {"arrays.positions", "a0", 0.5291772105638411},
      {"cell", "nm", 10},
      {"calc.energy", "eV", 1},
      {"calc.energy", "meV", 1e-3},
      {"calc.energy", "Hartree", 27.211386024367243},
      {"calc.energy", "Ha", 27.211386024367243},
      {"calc.energy", "Ry", 13.605693012183622},
      {"calc.energy", "kJ mol-1", 0.010364269574711572},
      {"calc.energy", "kJ/mol", 0.010364269574711572},
      {"calc.energy", "kJ mol^-1", 0.010364269574711572},
      {"calc.energy", "kcal mol-1", 0.04336410390059322},
      {"calc.energy", "kcal/mol", 0.04336410390059322},
      {"calc.forces", "eV/Angstrom", 1},
      {"calc.forces", "eV Angstrom-1", 1},
      {"calc.forces", "eV/A", 1},
      {"calc.forces", "eV Å⁻¹", 1},
      {"calc.forces", "kJ mol-1 nm-1", 0.0010364269574711573},
      {"calc.forces", "kJ mol-1 Angstrom-1", 0.010364269574711572},
      {"calc.forces", "kJ/(mol*nm)", 0.0010364269574711573},
      {"calc.forces", "kcal/mol/Angstrom", 0.04336410390059322},
      {"calc.forces", "Hartree/Bohr", 51.422067090480645},
      {"arrays.velocities", "Angstrom ps-1", 1e-3},
      {"arrays.velocities", "Angstrom/fs", 1},
      {"arrays.velocities", "Angstrom fs-1", 1},
      {"arrays.velocities", "nm ps-1", 1e-2},
      {"arrays.velocities", "nm/ps", 1e-2},
      {"arrays.momenta", "u Angstrom fs-1", 10.180505671156725},
      {"arrays.masses", "u", 1},
      {"arrays.masses", "amu", 1},
      {"arrays.masses", "g mol-1", 1},
      {"calc.charges", "e", 1},
      {"calc.charges", "C", 6.241509125883258e18},
      {"time", "fs", 1},
      {"time", "ps", 1000},
      {"time", "ns", 1e6},
      {"calc.stress", "eV/Angstrom^3", 1},
      {"calc.stress", "eV/A^3", 1},
      {"calc.stress", "eV Å-3", 1},
      {"calc.stress", "GPa", 0.006241509125883258},
      {"calc.stress", "bar", 6.241509125883258e-07},
      {"calc.stress", "kbar", 6.241509125883258e-04},
      {"calc.dipole", "Debye", 0.20819433442462576},
      {"calc.dipole", "D", 0.20819433442462576},
      {"calc.dipole", "e Angstrom", 1},
      {"calc.dipole", "e*Angstrom", 1},
      {"calc.dipole", "e·Å", 1},
  };
  for (const UnitCase& c : cases) {
    auto factor = UnitFactor(c.field, c.unit);
    ASSERT_TRUE(factor) << c.field << " in " << c.unit;
    EXPECT_NEAR(*factor / c.factor, 1, 4e-15) << c.field << " in " << c.unit << ": " << *factor;
  }
}

// A guess would scale somebody's data by a wrong factor.
TEST(UnitFactor, RefusesWhatItDoesNotKnow) {
  for (const char* unit :
       {"", " ", "lj", "parsec", "eV", "Angstrom2", "Angstrom^", "Angstrom-", "nm/", "/nm", "(nm",
        "nm)", "nm^99", "nm^x", "((((((((((nm))))))))))", "1/nm", "a"})
    EXPECT_EQ(UnitFactor("arrays.positions", unit), std::nullopt) << unit;
  EXPECT_EQ(UnitFactor("info.something", "eV"), std::nullopt);
  EXPECT_EQ(UnitFactor("pbc", "1"), std::nullopt);
  EXPECT_EQ(UnitFactor("calc.energy", std::string(1000, '(')), std::nullopt);
}

}  // namespace
}  // namespace zn::formats

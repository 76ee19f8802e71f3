#include <array>

#include "zn/formats/fields.h"

namespace zn::formats {
namespace {

constexpr std::array<std::string_view, 119> kSymbols = {
    "X",  "H",  "He", "Li", "Be", "B",  "C",  "N",  "O",  "F",  "Ne", "Na", "Mg", "Al", "Si",
    "P",  "S",  "Cl", "Ar", "K",  "Ca", "Sc", "Ti", "V",  "Cr", "Mn", "Fe", "Co", "Ni", "Cu",
    "Zn", "Ga", "Ge", "As", "Se", "Br", "Kr", "Rb", "Sr", "Y",  "Zr", "Nb", "Mo", "Tc", "Ru",
    "Rh", "Pd", "Ag", "Cd", "In", "Sn", "Sb", "Te", "I",  "Xe", "Cs", "Ba", "La", "Ce", "Pr",
    "Nd", "Pm", "Sm", "Eu", "Gd", "Tb", "Dy", "Ho", "Er", "Tm", "Yb", "Lu", "Hf", "Ta", "W",
    "Re", "Os", "Ir", "Pt", "Au", "Hg", "Tl", "Pb", "Bi", "Po", "At", "Rn", "Fr", "Ra", "Ac",
    "Th", "Pa", "U",  "Np", "Pu", "Am", "Cm", "Bk", "Cf", "Es", "Fm", "Md", "No", "Lr", "Rf",
    "Db", "Sg", "Bh", "Hs", "Mt", "Ds", "Rg", "Cn", "Nh", "Fl", "Mc", "Lv", "Ts", "Og"};

// A symbol is one or two letters: index (first letter, second letter or none).
struct SymbolTable {
  std::array<int16_t, 26 * 27> number;
  constexpr SymbolTable() : number() {
    for (int16_t& n : number) n = -1;
    for (size_t z = 0; z < kSymbols.size(); ++z) {
      std::string_view s = kSymbols[z];
      size_t second = s.size() == 2 ? static_cast<size_t>(s[1] - 'a') + 1 : 0;
      number[static_cast<size_t>(s[0] - 'A') * 27 + second] = static_cast<int16_t>(z);
    }
  }
};
constexpr SymbolTable kTable;

int LetterIndex(char c) {
  if (c >= 'a' && c <= 'z') return c - 'a';
  if (c >= 'A' && c <= 'Z') return c - 'A';
  return -1;
}

}  // namespace

std::optional<int> AtomicNumber(std::string_view symbol) {
  if (symbol.empty() || symbol.size() > 2) return std::nullopt;
  int first = LetterIndex(symbol[0]);
  int second = symbol.size() == 2 ? LetterIndex(symbol[1]) : -1;
  if (first < 0 || (symbol.size() == 2 && second < 0)) return std::nullopt;
  int number = kTable.number[static_cast<size_t>(first * 27 + second + 1)];
  if (number < 0) return std::nullopt;
  return number;
}

std::string_view ChemicalSymbol(int64_t atomic_number) {
  if (atomic_number < 0 || atomic_number >= static_cast<int64_t>(kSymbols.size())) return "X";
  return kSymbols[static_cast<size_t>(atomic_number)];
}

}  // namespace zn::formats

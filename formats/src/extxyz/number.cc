#include "extxyz/number.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <string>

namespace zn::formats {
namespace {

constexpr double kPowersOfTen[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                   1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                   1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool EndsWord(char c) { return IsBlank(c) || c == '\n'; }

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

bool EqualsFolded(std::string_view word, std::string_view lower) {
  return word.size() == lower.size() && std::equal(word.begin(), word.end(), lower.begin(),
                                                   [](char a, char b) { return Lower(a) == b; });
}

}  // namespace

std::optional<double> ParseDouble(std::string_view word) {
  if (word.empty() || word.size() > 4096) return std::nullopt;
  bool negative = word[0] == '-';
  if (negative || word[0] == '+') word.remove_prefix(1);
  if (word.empty()) return std::nullopt;
  if (!IsDigit(word[0]) && word[0] != '.') {
    if (EqualsFolded(word, "nan")) return negative ? -std::nan("") : std::nan("");
    if (EqualsFolded(word, "inf") || EqualsFolded(word, "infinity"))
      return negative ? -HUGE_VAL : HUGE_VAL;
    return std::nullopt;
  }
  // from_chars does not know Fortran's d.
  char small[64];
  std::string large;
  size_t exponent = word.find_first_of("dD");
  if (exponent != std::string_view::npos) {
    if (word.size() < sizeof small) {
      std::copy(word.begin(), word.end(), small);
      small[exponent] = 'e';
      word = std::string_view(small, word.size());
    } else {
      large = word;
      large[exponent] = 'e';
      word = large;
    }
  }
  double value = 0;
  auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (end != word.data() + word.size()) return std::nullopt;
  if (error == std::errc::result_out_of_range) {
    value = std::strtod(std::string(word).c_str(), nullptr);  // tells overflow from underflow
  } else if (error != std::errc()) {
    return std::nullopt;
  }
  return negative ? -value : value;
}

std::optional<int64_t> ParseInt(std::string_view word) {
  if (!word.empty() && word[0] == '+') {
    word.remove_prefix(1);
    if (word.empty() || !IsDigit(word[0])) return std::nullopt;
  }
  int64_t value = 0;
  auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc() || end != word.data() + word.size()) return std::nullopt;
  return value;
}

std::optional<bool> ParseBool(std::string_view word) {
  for (std::string_view yes : {"T", "True", "true", "TRUE"})
    if (word == yes) return true;
  for (std::string_view no : {"F", "False", "false", "FALSE"})
    if (word == no) return false;
  return std::nullopt;
}

std::optional<bool> ParseBoolFolded(std::string_view word) {
  if (EqualsFolded(word, "t") || EqualsFolded(word, "true")) return true;
  if (EqualsFolded(word, "f") || EqualsFolded(word, "false")) return false;
  return std::nullopt;
}

bool ReadDouble(const char*& at, double& value) {
  const char* p = at;
  bool negative = *p == '-';
  if (negative || *p == '+') ++p;
  uint64_t mantissa = 0;
  const char* first = p;
  while (IsDigit(*p)) mantissa = mantissa * 10 + static_cast<uint64_t>(*p++ - '0');
  int64_t digits = p - first;
  int64_t exponent = 0;
  if (*p == '.') {
    const char* fraction = ++p;
    while (IsDigit(*p)) mantissa = mantissa * 10 + static_cast<uint64_t>(*p++ - '0');
    exponent = fraction - p;
    digits -= exponent;
  }
  // A number of up to 19 digits has not overflowed; one below 2^53 times or over an exact power of
  // ten is rounded once.
  if (digits > 0 && digits <= 19 && mantissa <= (uint64_t{1} << 53)) {
    if ((*p | 0x20) == 'e' || (*p | 0x20) == 'd') {
      const char* e = p + 1;
      bool down = *e == '-';
      if (down || *e == '+') ++e;
      const char* start = e;
      int64_t power = 0;
      while (IsDigit(*e) && e - start < 5) power = power * 10 + (*e++ - '0');
      if (e != start) {
        exponent += down ? -power : power;
        p = e;
      }
    }
    if (EndsWord(*p) && exponent >= -22 && exponent <= 22) {
      double result = static_cast<double>(mantissa);
      result = exponent < 0 ? result / kPowersOfTen[-exponent] : result * kPowersOfTen[exponent];
      value = negative ? -result : result;
      at = p;
      return true;
    }
  }
  const char* end = at;
  while (!EndsWord(*end)) ++end;
  std::optional<double> parsed = ParseDouble(std::string_view(at, static_cast<size_t>(end - at)));
  if (!parsed) return false;
  value = *parsed;
  at = end;
  return true;
}

bool ReadInt(const char*& at, int64_t& value) {
  const char* end = at;
  while (!EndsWord(*end)) ++end;
  std::optional<int64_t> parsed = ParseInt(std::string_view(at, static_cast<size_t>(end - at)));
  if (!parsed) return false;
  value = *parsed;
  at = end;
  return true;
}

}  // namespace zn::formats

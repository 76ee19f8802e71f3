// Numbers as extended XYZ files spell them. Everything Python's float() and int() take but
// underscores and spaces, and Fortran's d and D exponents.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace zn::formats {

/// The double nearest to the decimal, ties to even; overflow is infinite, underflow zero. nullopt
/// when `word` is no number as a whole. "nan", "inf", "infinity" in any case, with a sign.
std::optional<double> ParseDouble(std::string_view word);

/// nullopt when `word` is no integer as a whole, or beyond int64.
std::optional<int64_t> ParseInt(std::string_view word);

/// T, True, true, TRUE and the same of false.
std::optional<bool> ParseBool(std::string_view word);
/// t, f, true, false in any case: where nothing but a boolean may stand.
std::optional<bool> ParseBoolFolded(std::string_view word);

/// Space, tab, and the carriage return of CRLF files; not the newline.
inline bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v'; }

/// Reads the number that starts at `at` and ends before a blank or newline; moves `at` behind it.
/// REQUIRES: a newline follows somewhere. False, `at` unmoved, when it is no number.
bool ReadDouble(const char*& at, double& value);
bool ReadInt(const char*& at, int64_t& value);

}  // namespace zn::formats

// Retention as text.

#include <charconv>
#include <limits>

#include "zn/engine/room.h"

namespace zn {
namespace {

struct Unit {
  char letter;
  int64_t seconds;
};
// From the largest, so that durations are written in as few digits as they need.
constexpr Unit kUnits[] = {{'w', 604800}, {'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};
constexpr int64_t kSecond = 1'000'000'000;

}  // namespace

Result<Retention> ParseRetention(std::string_view text) {
  const Error wrong{
      ErrorCode::kInvalidArgument,
      "'" + std::string(text.substr(0, 40)) +
          "' says not what to keep; write all, a number of commits (100) or a duration (36h, 30d)"};
  Retention retention;
  if (text == "all") return retention;
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || number < 1) return wrong;
  const std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  if (unit.empty()) {
    retention.commits = number;
    return retention;
  }
  for (const Unit& u : kUnits) {
    if (unit.size() != 1 || unit[0] != u.letter) continue;
    if (number > std::numeric_limits<int64_t>::max() / kSecond / u.seconds) return wrong;
    retention.nanoseconds = number * u.seconds * kSecond;
    return retention;
  }
  return wrong;
}

std::string FormatRetention(const Retention& retention) {
  if (retention.keeps_all()) return "all";
  if (retention.commits > 0) return std::to_string(retention.commits);
  const int64_t seconds = std::max<int64_t>(1, retention.nanoseconds / kSecond);
  for (const Unit& u : kUnits)
    if (seconds % u.seconds == 0) return std::to_string(seconds / u.seconds) + u.letter;
  return "all";
}

}  // namespace zn

#include "backup/keep_rules.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <string>

namespace zn::backup {
namespace {

std::string SourceOf(const SnapshotDocument& snapshot) {
  if (snapshot.kind == SourceKind::kStore)
    return "store " +
           std::string(reinterpret_cast<const char*>(snapshot.store.data()), snapshot.store.size());
  return "directory " + snapshot.host + ":" + snapshot.source;
}

/// Periods as numbers that grow with time.
struct Period {
  int KeepRules::*rule;
  int64_t (*of)(std::chrono::sys_days day);
};

const Period kPeriods[] = {
    {&KeepRules::daily,
     [](std::chrono::sys_days day) -> int64_t { return day.time_since_epoch().count(); }},
    // 1970-01-01 was a Thursday; weeks begin on Mondays.
    {&KeepRules::weekly,
     [](std::chrono::sys_days day) -> int64_t {
       return (day.time_since_epoch().count() + 3 + 7 * 1'000'000) / 7;
     }},
    {&KeepRules::monthly,
     [](std::chrono::sys_days day) -> int64_t {
       const std::chrono::year_month_day date(day);
       return static_cast<int>(date.year()) * 12 +
              static_cast<int64_t>(static_cast<unsigned>(date.month()));
     }},
    {&KeepRules::yearly,
     [](std::chrono::sys_days day) -> int64_t {
       return static_cast<int>(std::chrono::year_month_day(day).year());
     }},
};

}  // namespace

std::vector<bool> ChooseKept(std::span<const SnapshotDocument> snapshots, const KeepRules& rules) {
  std::vector<bool> kept(snapshots.size(), rules.empty());
  std::map<std::string, std::vector<size_t>> sources;  // newest first
  for (size_t i = snapshots.size(); i-- > 0;) sources[SourceOf(snapshots[i])].push_back(i);
  for (const auto& [source, newest_first] : sources) {
    for (size_t k = 0; k < newest_first.size() && k < static_cast<size_t>(rules.last); ++k)
      kept[newest_first[k]] = true;
    for (const Period& period : kPeriods) {
      int left = rules.*period.rule;
      int64_t last = INT64_MAX;
      for (const size_t i : newest_first) {
        if (left == 0) break;
        const auto day =
            std::chrono::floor<std::chrono::days>(std::chrono::sys_time<std::chrono::nanoseconds>(
                std::chrono::nanoseconds(snapshots[i].time_ns)));
        const int64_t number = period.of(day);
        if (number == last) continue;
        last = number;
        kept[i] = true;
        --left;
      }
    }
    for (const size_t i : newest_first)
      for (const std::string& tag : rules.tags)
        if (std::find(snapshots[i].tags.begin(), snapshots[i].tags.end(), tag) !=
            snapshots[i].tags.end())
          kept[i] = true;
  }
  return kept;
}

}  // namespace zn::backup

#include "zn/formats/selection.h"

#include <algorithm>
#include <charconv>
#include <limits>

namespace zn::formats {
namespace {

Error BadItem(std::string_view item) {
  return {ErrorCode::kInvalidArgument,
          "indices: '" + std::string(item) +
              "' is neither an index nor a slice (as 7, -1, 0:100 or 0:100:10)"};
}

Error Beyond(std::string_view item, int64_t frames) {
  return {ErrorCode::kOutOfRange, "indices: there is no frame " + std::string(item) +
                                      "; the room has " + std::to_string(frames)};
}

Result<Run> ParseSlice(std::string_view item, int64_t frames) {
  std::string_view parts[3];
  int count = 0;
  for (std::string_view rest = item;;) {
    size_t colon = rest.find(':');
    if (count == 3) return BadItem(item);
    parts[count++] = rest.substr(0, colon);
    if (colon == std::string_view::npos) break;
    rest.remove_prefix(colon + 1);
  }
  int64_t step = 1, begin = 0, end = 0;
  if (count == 3 && !parts[2].empty() && !ParseInteger(parts[2], &step)) return BadItem(item);
  if (step == 0)
    return Error{ErrorCode::kInvalidArgument,
                 "indices: the step of '" + std::string(item) + "' is 0"};
  // Python's slice.indices().
  const int64_t low = step > 0 ? 0 : -1, high = step > 0 ? frames : frames - 1;
  auto bound = [&](std::string_view text, int64_t fallback, int64_t* value) {
    *value = fallback;
    if (text.empty()) return true;
    if (!ParseInteger(text, value)) return false;
    if (*value < 0) *value += frames;
    *value = std::clamp(*value, low, high);
    return true;
  };
  if (!bound(parts[0], step > 0 ? low : high, &begin) ||
      !bound(parts[1], step > 0 ? high : low, &end))
    return BadItem(item);
  Run run{begin, 0, step};
  if (step > 0 && begin < end) run.count = (end - begin - 1) / step + 1;
  if (step < 0 && begin > end) run.count = (begin - end - 1) / -step + 1;
  return run;
}

}  // namespace

bool ParseInteger(std::string_view text, int64_t* value) {
  bool negative = !text.empty() && text.front() == '-';
  if (negative) text.remove_prefix(1);
  if (text.empty() || text.size() > 17) return false;
  int64_t n = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return false;
    n = n * 10 + (c - '0');
  }
  *value = negative ? -n : n;
  return true;
}

Selection Selection::All(int64_t frames) {
  Selection selection;
  selection.Add({0, frames, 1});
  return selection;
}

void Selection::Add(Run run) {
  if (run.count <= 0) return;
  size_ += run.count;
  if (!runs_.empty()) {
    Run& last = runs_.back();
    int64_t step = last.count == 1 ? run.begin - last.begin : last.step;
    bool fits = (run.count == 1 || run.step == step) && run.begin == last.at(last.count - 1) + step;
    // Two single indices are joined only as neighbours: "0,5,9" stays a list.
    if (fits && step != 0 && (last.count > 1 || step == 1)) {
      last.step = step;
      last.count += run.count;
      return;
    }
  }
  starts_.push_back(size_ - run.count);
  runs_.push_back(run);
}

int64_t Selection::at(int64_t k) const {
  auto next = std::upper_bound(starts_.begin(), starts_.end(), k);
  auto run = static_cast<size_t>(next - starts_.begin()) - 1;
  return runs_[run].at(k - starts_[run]);
}

std::vector<Run> Selection::Window(int64_t first, int64_t count) const {
  std::vector<Run> window;
  count = std::min(count, size_ - first);
  if (count <= 0) return window;
  auto next = std::upper_bound(starts_.begin(), starts_.end(), first);
  auto run = static_cast<size_t>(next - starts_.begin()) - 1;
  int64_t offset = first - starts_[run];
  while (count > 0) {
    int64_t take = std::min(count, runs_[run].count - offset);
    window.push_back({runs_[run].at(offset), take, runs_[run].step});
    count -= take;
    offset = 0;
    ++run;
  }
  return window;
}

Result<int64_t> ParseIndex(std::string_view text, int64_t frames) {
  int64_t index = 0;
  if (!ParseInteger(text, &index)) return BadItem(text);
  int64_t position = index < 0 ? index + frames : index;
  if (position < 0 || position >= frames) return Beyond(text, frames);
  return position;
}

Result<Selection> ParseSelection(std::string_view text, int64_t frames) {
  Selection selection;
  if (text.empty()) return selection;
  for (;;) {
    size_t comma = text.find(',');
    std::string_view item = text.substr(0, comma);
    if (item.find(':') != std::string_view::npos) {
      ZN_ASSIGN_OR_RETURN(Run run, ParseSlice(item, frames));
      selection.Add(run);
    } else {
      ZN_ASSIGN_OR_RETURN(int64_t position, ParseIndex(item, frames));
      selection.Add({position, 1, 1});
    }
    if (comma == std::string_view::npos) return selection;
    text.remove_prefix(comma + 1);
  }
}

Result<Selection> SelectIndices(const std::vector<int64_t>& indices, int64_t frames) {
  Selection selection;
  for (int64_t index : indices) {
    int64_t position = index < 0 ? index + frames : index;
    if (position < 0 || position >= frames) return Beyond(std::to_string(index), frames);
    selection.Add({position, 1, 1});
  }
  return selection;
}

Result<std::vector<FrameId>> SelectedIds(const Snapshot& snapshot, const Selection& selection,
                                         int64_t first, int64_t count) {
  std::vector<FrameId> ids;
  ids.reserve(static_cast<size_t>(count));
  for (const Run& run : selection.Window(first, count)) {
    if (run.step == 1 && run.count > 1) {
      ZN_ASSIGN_OR_RETURN(std::vector<FrameId> part, snapshot.IdsAt(run.begin, run.count));
      ids.insert(ids.end(), part.begin(), part.end());
    } else {
      for (int64_t k = 0; k < run.count; ++k) {
        ZN_ASSIGN_OR_RETURN(FrameId id, snapshot.IdAt(run.at(k)));
        ids.push_back(id);
      }
    }
  }
  return ids;
}

}  // namespace zn::formats

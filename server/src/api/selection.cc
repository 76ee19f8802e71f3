#include "api/selection.h"

#include <algorithm>

namespace zn::server {
namespace {

// A problem of the grammar's; a frame that is not there says how many there are.
template <class T>
Answer<T> WithFrameCount(Result<T> parsed, int64_t frames) {
  if (parsed) return std::move(*parsed);
  Error error = std::move(parsed).error();
  if (error.code == ErrorCode::kOutOfRange)
    return NotFound(std::move(error.message)).With("frameCount", frames);
  return error;
}

}  // namespace

Answer<int64_t> ParseIndex(std::string_view text, int64_t frames) {
  return WithFrameCount(formats::ParseIndex(text, frames), frames);
}

Answer<Selection> ParseSelection(std::string_view text, int64_t frames) {
  return WithFrameCount(formats::ParseSelection(text, frames), frames);
}

Answer<Selection> SelectIndices(const std::vector<int64_t>& indices, int64_t frames) {
  return WithFrameCount(formats::SelectIndices(indices, frames), frames);
}

AtomRange AtomSlice::In(int64_t n) const {
  AtomRange range;
  range.begin = std::clamp<int64_t>(begin < 0 ? begin + n : begin, 0, n);
  range.end = std::clamp<int64_t>(end < 0 ? end + n : end, range.begin, n);
  range.step = step;
  return range;
}

Answer<AtomSlice> ParseAtoms(std::string_view text) {
  AtomSlice slice;
  int64_t* const values[3] = {&slice.begin, &slice.end, &slice.step};
  int part = 0;
  std::string_view rest = text;
  bool good = text.find(':') != std::string_view::npos;
  for (; good; ++part) {
    size_t colon = rest.find(':');
    std::string_view number = rest.substr(0, colon);
    good = part < 3 && (number.empty() || formats::ParseInteger(number, values[part]));
    if (colon == std::string_view::npos) break;
    rest.remove_prefix(colon + 1);
  }
  if (!good || slice.step <= 0)
    return BadRequest("atoms: '" + std::string(text) +
                      "' is not a slice of atoms (as 0:100, -5: or 0:100:2, with a positive step)");
  return slice;
}

}  // namespace zn::server

// The grammars of `indices` and `atoms`, query strings and the body of select: whatever text comes,
// positions lie within the room and nothing is allocated beyond what the text is long.
#include <cstdlib>

#include "api/select_body.h"
#include "api/selection.h"
#include "http/query.h"

namespace {
void Check(bool good) {
  if (!good) std::abort();
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  for (int64_t frames : {int64_t{0}, int64_t{1}, int64_t{1000}, int64_t{1} << 52}) {
    auto selection = zn::server::ParseSelection(text, frames);
    if (!selection) continue;
    Check(selection->runs().size() <= size + 1);
    for (const zn::server::Run& run : selection->runs()) {
      Check(run.count > 0);
      Check(run.at(0) >= 0 && run.at(0) < frames);
      Check(run.at(run.count - 1) >= 0 && run.at(run.count - 1) < frames);
    }
    if (selection->size() > 0) Check(selection->at(0) == selection->runs().front().begin);
  }
  if (auto atoms = zn::server::ParseAtoms(text)) {
    for (int64_t n : {int64_t{0}, int64_t{5}, int64_t{1} << 31}) {
      zn::AtomRange range = atoms->In(n);
      Check(0 <= range.begin && range.begin <= range.end && range.end <= n && range.step > 0);
    }
  }
  (void)zn::server::ParseQuery(text);
  if (auto decoded = zn::server::PercentDecode(text, true)) Check(decoded->size() <= size);
  (void)zn::server::ParseSelectBody("application/json", text);
  (void)zn::server::ParseSelectBody("application/msgpack", text);
  return 0;
}

// RoomImpl::Compact: windows of the chunk grid that edits and appends left in many pieces become one chunk again.

#include <algorithm>
#include <cstring>

#include "room/reader.h"
#include "room/room_impl.h"

namespace zn::internal {
namespace {

/// A window of a field's grid and what its ids refer to now.
struct Window {
  uint32_t field = 0;
  uint64_t first = 0, span = 0;
  std::vector<FieldTree::Found> runs;  // clipped to the window
};

// Fewer pieces than this cost reads little; more are merged. Windows of short chunks alone (appends) are merged at two.
constexpr size_t kManyRuns = 8;

bool WorthMerging(const Window& window, const Geometry& grid) {
  size_t present = 0;
  bool all_short = true;
  for (const auto& run : window.runs) {
    if (!run.entry.present()) continue;
    ++present;
    all_short &= run.entry.chunk_rows < static_cast<uint64_t>(grid.frames_per_chunk);
  }
  return present >= kManyRuns || (present >= 2 && all_short);
}

}  // namespace

Result<int64_t> RoomImpl::Compact(int64_t max_chunks) {
  ZN_RETURN_IF_ERROR(CheckWritable({}));
  ZN_ASSIGN_OR_RETURN(const StatePtr state, Tip());
  const RowReader reader(*core_, *state);
  std::vector<Window> windows;
  for (uint32_t field = 0; field < state->rows.size(); ++field) {
    const FieldInfo& info = *state->table->all[field];
    // The grid is that of the newest geometry of the field's own dtype.
    const FieldDescriptor& d = info.descriptor;
    const auto grid_of = [&](const Geometry& g) { return g.dtype == d.dtype && g.kind == d.kind; };
    const auto grid = std::find_if(d.geometries.rbegin(), d.geometries.rend(), grid_of);
    if (grid == d.geometries.rend()) continue;
    const auto f = static_cast<uint64_t>(grid->frames_per_chunk);
    Window window;
    const auto close = [&] {
      // The last window waits until its ids are all given out.
      if (window.first + f <= static_cast<uint64_t>(state->next_id) && WorthMerging(window, *grid) &&
          windows.size() < static_cast<size_t>(max_chunks)) {
        window.field = field;
        window.span = f;
        windows.push_back(std::move(window));
      }
      window = Window();
    };
    ZN_RETURN_IF_ERROR(state->rows[field].ForEach(*core_, 0, state->rows[field].span(),
                                                  [&](uint64_t start, uint64_t span, const FieldEntry& entry) {
      FieldEntry rest = entry;
      while (span > 0) {
        const uint64_t grid_start = start / f * f;
        if (!window.runs.empty() && window.first != grid_start) close();
        const uint64_t n = std::min(span, grid_start + f - start);
        // Whole windows in one run are as they should be.
        if (n < f) {
          window.first = grid_start;
          window.runs.push_back({start, n, rest});
        }
        start += n;
        span -= n;
        rest = rest.SliceFrom(n);
      }
      return windows.size() < static_cast<size_t>(max_chunks);
    }));
    if (!window.runs.empty()) close();
  }
  if (windows.empty()) return 0;

  struct Merged {
    Window window;
    PreparedChunk chunk;
  };
  std::vector<Merged> merged;
  for (Window& window : windows) {
    const FieldInfo& info = *state->table->all[window.field];
    const FieldDescriptor& d = info.descriptor;
    size_t index = d.geometries.size();
    while (index-- > 0)
      if (d.geometries[index].dtype == d.dtype && d.geometries[index].kind == d.kind) break;
    const Geometry& g = d.geometries[index];
    std::vector<SourceRow> rows(window.span);
    std::vector<std::string> texts(g.dtype == DType::kJson ? window.span : 0);
    std::vector<Row> keep(window.span);
    size_t element = ItemSize(g.dtype);
    for (int64_t extent : g.inner) element *= static_cast<size_t>(extent);
    static constexpr std::byte kNothing{};
    for (const auto& run : window.runs) {
      if (!run.entry.present()) continue;
      for (uint64_t id = run.start; id < run.start + run.span; ++id) {
        ZN_ASSIGN_OR_RETURN(auto row, reader.Read(window.field, static_cast<FrameId>(id), {}));
        if (!row) continue;
        const size_t at = id - window.first;
        keep[at] = std::move(*row);
        if (g.dtype == DType::kJson) {
          texts[at] = std::move(keep[at].text);
        } else {
          const int64_t count = g.kind == FieldKind::kFrame ? 1 : keep[at].shape[0];
          rows[at] = {keep[at].bytes.empty() ? &kNothing : keep[at].bytes.data(), count};
        }
      }
    }
    Result<PreparedChunk> chunk =
        g.dtype == DType::kJson
            ? PrepareTextChunk(*core_, g, static_cast<uint16_t>(index), *info.pipelines[index], texts)
            : PrepareChunk(*core_, g, static_cast<uint16_t>(index), *info.pipelines[index], rows);
    if (!chunk) return std::move(chunk).error().Context("field " + d.name);
    merged.push_back({std::move(window), std::move(*chunk)});
  }
  bool put = false;
  for (Merged& m : merged) {
    ZN_ASSIGN_OR_RETURN(const bool any, PutBlocks(*core_, m.chunk, kPackThreshold));
    put |= any;
  }
  if (put) ZN_RETURN_IF_ERROR(core_->packs->Sync());

  int64_t rewritten = 0;
  ZN_ASSIGN_OR_RETURN(auto info, TryCommit(Operation::kMaintenance, {}, [&](const RoomState& tip) -> Result<bool> {
    if (tip.table != state->table) return false;
    // Windows that somebody wrote to meanwhile are left for the next time.
    for (auto m = merged.begin(); m != merged.end();) {
      size_t i = 0;
      bool same = true;
      ZN_RETURN_IF_ERROR(tip.rows[m->window.field].ForEach(
          *core_, m->window.runs.front().start, m->window.runs.back().start + m->window.runs.back().span,
          [&](uint64_t start, uint64_t span, const FieldEntry& entry) {
            same = i < m->window.runs.size() && m->window.runs[i].start == start && m->window.runs[i].span == span &&
                   m->window.runs[i].entry.SameRow(entry);
            ++i;
            return same;
          }));
      m = same && i == m->window.runs.size() ? m + 1 : merged.erase(m);
    }
    return !merged.empty();
  }, [&](CommitDraft& draft, CommitInfo&) -> Result<> {
    for (Merged& m : merged) {
      AppendBlocks(m.chunk, draft.append());
      const FieldEntry entry = m.chunk.Entry();
      for (size_t i = 0; i < m.window.runs.size();) {
        if (!m.window.runs[i].entry.present()) {
          ++i;
          continue;
        }
        const uint64_t start = m.window.runs[i].start;
        uint64_t end = start;
        while (i < m.window.runs.size() && m.window.runs[i].entry.present()) {
          end = m.window.runs[i].start + m.window.runs[i].span;
          ++i;
        }
        ZN_RETURN_IF_ERROR(draft.Apply(FieldSpliceOp{m.window.field, static_cast<FrameId>(start), end - start,
                                                     entry.SliceFrom(start - m.window.first)}));
      }
      ++rewritten;
    }
    return {};
  }));
  if (!info) return 0;
  for (const Merged& m : merged) RememberBlocks(*core_, m.chunk);
  return rewritten;
}

}  // namespace zn::internal

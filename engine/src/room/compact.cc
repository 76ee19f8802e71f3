// RoomImpl::Compact: windows of the chunk grid that edits and appends left in many pieces become one chunk again.

#include <algorithm>
#include <cstring>

#include "room/reader.h"
#include "room/room_impl.h"

namespace zn::internal {

/// A window of a field's grid and what its ids refer to now.
struct RoomImpl::Window {
  uint32_t field = 0;
  uint64_t first = 0, span = 0;
  std::vector<FieldTree::Found> runs;  // clipped to the window
};

namespace {

// Fewer pieces than this cost reads little; more are merged. Windows of short chunks alone (appends) are merged at two.
constexpr size_t kManyRuns = 8;

bool WorthMerging(const std::vector<FieldTree::Found>& runs, const Geometry& grid) {
  size_t present = 0;
  bool all_short = true;
  for (const auto& run : runs) {
    if (!run.entry.present()) continue;
    ++present;
    all_short &= run.entry.chunk_rows < static_cast<uint64_t>(grid.frames_per_chunk);
  }
  return present >= kManyRuns || (present >= 2 && all_short);
}

/// The grid that a field's rows are merged to: its newest geometry of its own dtype and kind.
const Geometry* GridOf(const FieldDescriptor& field, uint16_t* index = nullptr) {
  for (size_t i = field.geometries.size(); i-- > 0;) {
    if (field.geometries[i].dtype != field.dtype || field.geometries[i].kind != field.kind) continue;
    if (index) *index = static_cast<uint16_t>(i);
    return &field.geometries[i];
  }
  return nullptr;
}

}  // namespace

Result<int64_t> RoomImpl::Compact(int64_t max_chunks) {
  ZN_RETURN_IF_ERROR(CheckWritable({}));
  ZN_ASSIGN_OR_RETURN(const StatePtr state, Tip());
  std::vector<Window> windows;
  const auto enough = [&] { return windows.size() >= static_cast<size_t>(max_chunks); };
  for (uint32_t field = 0; field < state->rows.size(); ++field) {
    const Geometry* grid = GridOf(state->table->all[field]->descriptor);
    if (grid == nullptr) continue;
    const auto f = static_cast<uint64_t>(grid->frames_per_chunk);
    Window window{field, 0, f, {}};
    const auto close = [&] {
      // The last window waits until its ids are all given out.
      if (window.first + f <= static_cast<uint64_t>(state->next_id) && WorthMerging(window.runs, *grid) && !enough())
        windows.push_back(std::move(window));
      window = Window{field, 0, f, {}};
    };
    ZN_RETURN_IF_ERROR(state->rows[field].ForEach(*core_, 0, state->rows[field].span(),
                                                  [&](uint64_t start, uint64_t span, FieldEntry entry) {
      while (span > 0) {
        const uint64_t grid_start = start / f * f;
        if (!window.runs.empty() && window.first != grid_start) close();
        const uint64_t n = std::min(span, grid_start + f - start);
        // Whole windows in one run are as they should be.
        if (n < f) {
          window.first = grid_start;
          window.runs.push_back({start, n, entry});
        }
        start += n;
        span -= n;
        entry = entry.SliceFrom(n);
      }
      return !enough();
    }));
    if (!window.runs.empty()) close();
  }
  return Merge(state, std::move(windows));
}

size_t RoomImpl::touched_rows() const {
  const std::lock_guard lock(touched_mutex_);
  return touched_.size();
}

Result<int64_t> RoomImpl::CompactTouched(int64_t max_chunks) {
  ZN_RETURN_IF_ERROR(CheckWritable({}));
  ZN_ASSIGN_OR_RETURN(const StatePtr state, Tip());
  std::vector<Window> windows;
  while (windows.size() < static_cast<size_t>(max_chunks)) {
    std::pair<uint32_t, FrameId> row;
    uint64_t f = 1;
    const Geometry* grid = nullptr;
    {
      const std::lock_guard lock(touched_mutex_);
      if (touched_.empty()) break;
      row = *touched_.begin();
      if (row.first < state->rows.size()) grid = GridOf(state->table->all[row.first]->descriptor);
      if (grid) f = static_cast<uint64_t>(grid->frames_per_chunk);
      const uint64_t end = static_cast<uint64_t>(row.second) / f * f + f;
      // All of one window's rows are looked at together. A window at the end comes again when it has filled.
      touched_.erase(touched_.begin(), touched_.lower_bound({row.first, static_cast<FrameId>(end)}));
    }
    if (grid == nullptr) continue;
    Window window{row.first, static_cast<uint64_t>(row.second) / f * f, f, {}};
    if (window.first + f > static_cast<uint64_t>(state->next_id)) continue;
    ZN_RETURN_IF_ERROR(state->rows[row.first].ForEach(*core_, window.first, window.first + f,
                                                      [&](uint64_t start, uint64_t span, const FieldEntry& entry) {
                                                        window.runs.push_back({start, span, entry});
                                                        return true;
                                                      }));
    if (WorthMerging(window.runs, *grid)) windows.push_back(std::move(window));
  }
  return Merge(state, std::move(windows));
}

Result<int64_t> RoomImpl::Merge(const StatePtr& state, std::vector<Window> windows) {
  if (windows.empty()) return 0;
  const WriteScopes::Scope scope(core_->writes);
  const RowReader reader(*core_, *state);

  struct Merged {
    Window window;
    PreparedChunk chunk;
  };
  std::vector<Merged> merged;
  for (Window& window : windows) {
    const FieldInfo& info = *state->table->all[window.field];
    const FieldDescriptor& d = info.descriptor;
    uint16_t index = 0;
    const Geometry& g = *GridOf(d, &index);
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
            ? PrepareTextChunk(*core_, g, index, *info.pipelines[index], texts)
            : PrepareChunk(*core_, g, index, *info.pipelines[index], rows);
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

// BulkAppender: frames stream in, chunks stream out to packs, one commit at the end.
//
// Each field gathers rows in *windows* of F frames, aligned to the grid of frame ids, holding on to the batches' buffers
// instead of copying. A full window is padded, encoded, hashed and put on the pool; its place in the field tree is
// remembered in order. Frames without the field leave fill values in the chunk and a gap in the tree.

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <unordered_map>

#include "room/column_merger.h"
#include "room/room_impl.h"

namespace zn::internal {
namespace {

class BulkAppenderImpl final : public BulkAppender {
 public:
  BulkAppenderImpl(std::shared_ptr<RoomImpl> room, const Options& options)
      : room_(std::move(room)), core_(*room_->core()), options_(options) {}
  ~BulkAppenderImpl() override { Drain(); }

  Result<> Append(const FrameBatch& batch) override;
  Result<CommitInfo> Finish(const CommitContext& context) override;
  Stats stats() const override {
    const std::lock_guard lock(mutex_);
    return stats_;
  }

 private:
  /// A stretch of frames of one batch within a window.
  struct Piece {
    Buffer owner;  // keeps the rows alive
    std::vector<SourceRow> rows;
    std::vector<std::string> texts;
  };
  /// Rows on their way into one chunk.
  struct Window {
    uint64_t first = 0;  // frame, relative to the first appended
    uint16_t geometry_index = 0;
    Geometry geometry;
    std::shared_ptr<const CodecPipeline> pipeline;
    std::vector<Piece> pieces;
    std::vector<uint8_t> present;  // by frame since `first`
    std::vector<EncodedChunk> encoded;  // of these very frames, where the source has them
    int64_t bytes = 0;
  };
  /// What became of a window: filled in by the pool.
  struct Stored {
    uint64_t first = 0;
    std::vector<uint8_t> present;
    FieldEntry entry;
  };
  struct FieldStream {
    Window window;
    bool open = false;
    std::deque<Stored> stored;  // stable addresses
  };

  Result<> Start();
  Result<> AppendMerged(const FrameBatch& batch);
  Result<> AddColumn(const ColumnMerger::Merged& merged, std::span<const int32_t> n_atoms);
  void Close(FieldStream& stream);
  void Encode(Window& window, Stored& stored);
  void Drain();
  void Fail(Error error);
  uint64_t WindowEnd(uint64_t frame, int64_t frames_per_chunk) const;

  const std::shared_ptr<RoomImpl> room_;
  StoreCore& core_;
  const WriteScopes::Scope scope_{core_.writes};
  const Options options_;

  StatePtr base_;
  std::unique_ptr<ColumnMerger> merger_;
  std::vector<FrameBatch> sample_;  // held back until the layout is chosen
  int64_t sample_frames_ = 0, sample_bytes_ = 0;
  std::unordered_map<uint32_t, FieldStream> streams_;
  int64_t frames_ = 0;
  bool finished_ = false;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  int64_t in_flight_bytes_ = 0;  // guarded by mutex_
  int64_t tasks_ = 0;            // guarded by mutex_
  std::optional<Error> error_;   // guarded by mutex_: the first
  Stats stats_;                  // guarded by mutex_
};

int64_t BytesOf(const FrameBatch& batch) {
  int64_t bytes = static_cast<int64_t>(batch.n_atoms.size() * sizeof(int32_t));
  for (const Column& column : batch.columns) {
    bytes += static_cast<int64_t>(column.data.size());
    for (const std::string& text : column.text) bytes += static_cast<int64_t>(text.size());
  }
  return bytes;
}

/// The sample's batches as one, as far as the layout needs them: counts and types of each field's first batch.
void JoinCounts(const std::vector<FrameBatch>& sample, FrameBatch& joined) {
  for (const FrameBatch& batch : sample)
    joined.n_atoms.insert(joined.n_atoms.end(), batch.n_atoms.begin(), batch.n_atoms.end());
}

Result<> BulkAppenderImpl::Start() {
  ZN_ASSIGN_OR_RETURN(base_, room_->Tip());
  merger_ = std::make_unique<ColumnMerger>(core_, base_->table, options_.layout,
                                           options_.strict ? MergeMode::kStrict : MergeMode::kWiden);
  // New per-atom fields get their layout from the whole sample, not from its first batch.
  FrameBatch all;
  JoinCounts(sample_, all);
  std::vector<int64_t> counts(all.n_atoms.begin(), all.n_atoms.end());
  merger_->UseCounts(std::move(counts));
  std::vector<FrameBatch> sample = std::move(sample_);
  sample_.clear();
  for (const FrameBatch& batch : sample) ZN_RETURN_IF_ERROR(AppendMerged(batch));
  return {};
}

Result<> BulkAppenderImpl::Append(const FrameBatch& batch) {
  if (finished_) return Error{ErrorCode::kInvalidArgument, "the bulk append is finished"};
  ZN_RETURN_IF_ERROR(ValidateBatch(batch));
  if (batch.frames() == 0) return {};
  {
    const std::lock_guard lock(mutex_);
    if (error_) return *error_;
    stats_.frames += batch.frames();
    for (const int32_t n : batch.n_atoms) stats_.atoms += n;
    stats_.raw_bytes += BytesOf(batch);
  }
  if (merger_) return AppendMerged(batch);
  sample_.push_back(batch);
  sample_frames_ += batch.frames();
  sample_bytes_ += BytesOf(batch);
  if (sample_frames_ < options_.histogram_frames && sample_bytes_ < options_.max_bytes_in_flight / 4) return {};
  return Start();
}

Result<> BulkAppenderImpl::AppendMerged(const FrameBatch& batch) {
  ZN_ASSIGN_OR_RETURN(const auto counts, merger_->Counts(batch));
  ZN_RETURN_IF_ERROR(AddColumn(counts, batch.n_atoms));
  for (const Column& column : batch.columns) {
    auto merged = merger_->Merge(batch, column);
    if (!merged) return std::move(merged).error();
    ZN_RETURN_IF_ERROR(AddColumn(*merged, batch.n_atoms));
    if (merged->lengths >= 0) {
      ZN_ASSIGN_OR_RETURN(const auto lengths, merger_->Lengths(*merged));
      ZN_RETURN_IF_ERROR(AddColumn(lengths, batch.n_atoms));
    }
  }
  frames_ += batch.frames();
  const std::lock_guard lock(mutex_);
  stats_.warnings = merger_->warnings();
  if (error_) return *error_;
  return {};
}

uint64_t BulkAppenderImpl::WindowEnd(uint64_t frame, int64_t frames_per_chunk) const {
  // Aligned to the grid of ids, as far as can be known before Finish gives them.
  const auto f = static_cast<uint64_t>(frames_per_chunk);
  const auto first_id = static_cast<uint64_t>(base_->next_id);
  return (first_id + frame) / f * f + f - first_id;
}

Result<> BulkAppenderImpl::AddColumn(const ColumnMerger::Merged& merged, std::span<const int32_t> n_atoms) {
  FieldStream& stream = streams_[merged.field];
  const Column& column = merged.column;
  const bool is_text = merged.geometry.dtype == DType::kJson;
  size_t element = ItemSize(column.dtype);
  for (int64_t extent : column.inner) element *= static_cast<size_t>(extent);
  static constexpr std::byte kNothing{};
  const std::byte* at = column.data.data() ? column.data.data() : &kNothing;
  size_t nth = 0;
  Piece piece;
  const auto end_piece = [&] {
    if (piece.rows.empty() && piece.texts.empty()) return;
    piece.owner = column.data;
    stream.window.pieces.push_back(std::move(piece));
    piece = {};
  };
  for (size_t i = 0; i < n_atoms.size(); ++i) {
    const uint64_t frame = static_cast<uint64_t>(frames_) + i;
    if (stream.open &&
        (frame >= WindowEnd(stream.window.first, stream.window.geometry.frames_per_chunk) ||
         stream.window.geometry_index != merged.geometry_index)) {
      end_piece();
      Close(stream);
    }
    const bool present = column.HasFrame(i);
    if (!stream.open) {
      if (!present) continue;  // a gap needs no chunk
      stream.open = true;
      stream.window = Window();
      stream.window.first = frame;
      // A window that begins behind its grid line still keeps the grid: rows before it are absent.
      const auto f = static_cast<uint64_t>(merged.geometry.frames_per_chunk);
      const uint64_t end = WindowEnd(frame, merged.geometry.frames_per_chunk);
      const uint64_t taken = stream.stored.empty() ? 0 : stream.stored.back().first + stream.stored.back().present.size();
      if (end >= f && end - f >= taken && end - f < frame) stream.window.first = end - f;
      stream.window.geometry = merged.geometry;
      stream.window.geometry_index = merged.geometry_index;
      stream.window.pipeline = merged.pipeline;
      if (column.grid && *column.grid == merged.geometry) {
        for (const EncodedChunk& chunk : column.encoded) {
          if (static_cast<uint64_t>(frames_ + chunk.first) != stream.window.first) continue;
          stream.window.encoded.push_back(chunk);
          stream.window.bytes += static_cast<int64_t>(chunk.encoded.size());
        }
      }
    }
    // Frames since the window's last one, without the field.
    while (stream.window.first + stream.window.present.size() < frame) {
      stream.window.present.push_back(0);
      if (is_text) {
        piece.texts.emplace_back();
      } else {
        piece.rows.emplace_back();
      }
    }
    stream.window.present.push_back(present);
    if (is_text) {
      piece.texts.push_back(present ? column.text[nth] : std::string());
      if (present) stream.window.bytes += static_cast<int64_t>(column.text[nth].size());
    } else {
      SourceRow row;
      if (present) {
        int64_t count = 1;
        if (merged.geometry.kind == FieldKind::kAtom) count = n_atoms[i];
        if (merged.geometry.kind == FieldKind::kRagged) count = column.lengths[nth];
        row = {at, count};
        const size_t bytes = element * static_cast<size_t>(count);
        if (column.data.data()) at += bytes;
        stream.window.bytes += static_cast<int64_t>(bytes);
      }
      piece.rows.push_back(row);
    }
    if (present) ++nth;
  }
  end_piece();
  return {};
}

void BulkAppenderImpl::Close(FieldStream& stream) {
  stream.open = false;
  // Trailing frames without the field are a gap.
  Stored& stored = stream.stored.emplace_back();
  auto window = std::make_shared<Window>(std::move(stream.window));
  stored.first = window->first;
  stored.present = std::move(window->present);
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return in_flight_bytes_ < options_.max_bytes_in_flight || tasks_ == 0; });
    in_flight_bytes_ += window->bytes;
    ++tasks_;
  }
  core_.pool->Submit([this, window, &stored] {
    const int64_t bytes = window->bytes;
    Encode(*window, stored);
    window->pieces.clear();
    const std::lock_guard lock(mutex_);
    in_flight_bytes_ -= bytes;
    --tasks_;
    changed_.notify_all();
  });
}

void BulkAppenderImpl::Encode(Window& window, Stored& stored) {
  {
    const std::lock_guard lock(mutex_);
    if (error_) return;
  }
  Result<PreparedChunk> chunk = Error{};
  if (window.geometry.dtype == DType::kJson) {
    std::vector<std::string> texts;
    for (Piece& piece : window.pieces)
      std::move(piece.texts.begin(), piece.texts.end(), std::back_inserter(texts));
    chunk = PrepareTextChunk(core_, window.geometry, window.geometry_index, *window.pipeline, texts);
  } else {
    std::vector<SourceRow> rows;
    for (const Piece& piece : window.pieces) rows.insert(rows.end(), piece.rows.begin(), piece.rows.end());
    chunk = PrepareChunk(core_, window.geometry, window.geometry_index, *window.pipeline, rows, window.encoded);
  }
  if (!chunk) return Fail(std::move(chunk).error());
  int64_t written = 0;
  for (const PreparedBlock& block : chunk->blocks) written += static_cast<int64_t>(block.payload.size());
  if (auto put = PutBlocks(core_, *chunk, 0); !put) return Fail(std::move(put).error());
  RememberBlocks(core_, *chunk);
  stored.entry = chunk->Entry();
  const std::lock_guard lock(mutex_);
  ++stats_.chunks;
  stats_.stored_bytes += written;
  stats_.deduplicated_bytes += chunk->deduplicated_bytes;
}

void BulkAppenderImpl::Fail(Error error) {
  const std::lock_guard lock(mutex_);
  if (!error_) error_ = std::move(error);
}

void BulkAppenderImpl::Drain() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return tasks_ == 0; });
}

Result<CommitInfo> BulkAppenderImpl::Finish(const CommitContext& context) {
  if (finished_) return Error{ErrorCode::kInvalidArgument, "the bulk append is finished"};
  if (!merger_) ZN_RETURN_IF_ERROR(Start());
  finished_ = true;
  for (auto& [field, stream] : streams_)
    if (stream.open) Close(stream);
  Drain();
  {
    const std::lock_guard lock(mutex_);
    if (error_) return *error_;
  }
  if (frames_ == 0) {
    ZN_ASSIGN_OR_RETURN(auto unchanged, room_->LeaveUnchanged({}, context, nullptr));
    return std::move(*unchanged);
  }
  ZN_RETURN_IF_ERROR(core_.packs->Sync());

  uint64_t place = 0;
  const auto check = [&](const RoomState& tip) -> Result<bool> {
    ZN_ASSIGN_OR_RETURN(place, FindPlace(core_, tip, options_.place, frames_));
    if (tip.table != base_->table)
      return Error{ErrorCode::kConflict,
                   "the room's fields were changed while frames were imported; import again"};
    return true;
  };
  ZN_ASSIGN_OR_RETURN(auto info, room_->TryCommit(options_.operation, context, check, [&](CommitDraft& draft, CommitInfo& made) -> Result<> {
    const FrameId first = draft.state().next_id;
    for (const FieldDefineOp& define : merger_->Definitions()) ZN_RETURN_IF_ERROR(draft.Apply(define));
    ZN_RETURN_IF_ERROR(draft.Apply(NextIdOp{first + frames_}));
    for (const auto& [field, stream] : streams_) {
      std::vector<FieldTree::Run> runs;
      uint64_t at = 0;
      for (const Stored& stored : stream.stored) {
        for (size_t begin = 0; begin < stored.present.size();) {
          size_t end = begin + 1;
          while (end < stored.present.size() && stored.present[end] == stored.present[begin]) ++end;
          const uint64_t start = stored.first + begin;
          if (stored.present[begin]) {
            if (start > at) runs.push_back({start - at, FieldEntry::Absent()});
            runs.push_back({end - begin, stored.entry.SliceFrom(begin)});
            at = stored.first + end;
          }
          begin = end;
        }
      }
      if (!runs.empty()) ZN_RETURN_IF_ERROR(draft.AppendRuns(field, first, std::move(runs)));
    }
    for (int64_t i = 0; i < frames_; ++i) made.ids.push_back(first + i);
    made.versions.assign(static_cast<size_t>(frames_), 1);
    made.first_position = static_cast<int64_t>(place);
    return draft.Apply(OrderSpliceOp{place, 0, {{static_cast<uint64_t>(frames_), {first}}}});
  }));
  return std::move(*info);
}

}  // namespace

std::unique_ptr<BulkAppender> MakeBulkAppender(std::shared_ptr<RoomImpl> room, const BulkAppender::Options& options) {
  return std::make_unique<BulkAppenderImpl>(std::move(room), options);
}

}  // namespace zn::internal

// Batches of a Plan, each made on its own: any number of threads may make different ones at once.
#pragma once

#include <mutex>
#include <optional>
#include <vector>

#include "h5md/plan.h"

namespace zn::formats {

struct BuiltBatch {
  FrameBatch batch;
  std::vector<Warning> warnings;
};

class BatchBuilder {
 public:
  BatchBuilder(Plan plan, const ReadOptions& options);

  int64_t frames() const { return wanted_; }  // of the file, within start:stop:step
  size_t batches() const { return starts_.size() - 1; }
  Result<BuiltBatch> Build(size_t index) const;

 private:
  struct Context;
  void DivideFrames();

  Result<> CountAtoms(Context& context) const;
  Result<> SortAtoms(Context& context) const;
  /// The column of a field; nullopt when none of the frames has it.
  Result<std::optional<Column>> Make(int index, Context& context) const;
  Result<bool> MakeAtoms(int index, Context& context, Column& column) const;
  Result<bool> MakeFrames(const Field& field, Context& context, Column& column) const;
  Result<bool> MakeText(const Field& field, Context& context, Column& column) const;
  Result<bool> MakeBox(const Field& field, Context& context, Column& column) const;
  Result<bool> MakeAxis(const Field& field, Context& context, Column& column) const;
  Result<bool> MakeJoined(const Field& field, Context& context, Column& column) const;
  Result<bool> MakeBonds(const Field& field, Context& context, Column& column) const;
  Result<> Finish(const Field& field, const Context& context, Column& column) const;
  Result<> Unwrap(Context& context, FrameBatch& batch) const;
  /// Rows of the frames that have one, with `present` filled in.
  Result<Buffer> Rows(const Field& field, Context& context, std::vector<uint8_t>& present) const;
  /// Gives the column its source's chunk grid, and the chunks of it that were read whole.
  void AddChunks(const Field& field, const Context& context, std::vector<SourceChunk> chunks,
                 Column& column) const;
  /// `frame` repeated for `frames` frames; one buffer serves all batches.
  Result<Buffer> Repeat(const Field& field, const Buffer& frame, size_t frames) const;
  Error Fail(ErrorCode code, const Field& field, const std::string& what,
             const std::string& remedy) const {
    return plan_.file->Fail(code, field.source, what, remedy);
  }

  // Constant after construction.
  Plan plan_;
  ReadOptions options_;
  int64_t wanted_ = 0;
  std::vector<int64_t> starts_;  // first wanted frame of each batch, and the end

  mutable std::mutex mutex_;
  mutable std::vector<Buffer> repeated_;  // by field; guarded by mutex_
};

}  // namespace zn::formats

// What every reader does to its columns before it hands them on: --map, --dtype, and the frames
// that are wanted.
#pragma once

#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "zn/formats/fields.h"
#include "zn/formats/reader.h"

namespace zn::formats {

/// True when frame `frame` of the file is among start:stop:step.
inline bool Wanted(const ReadOptions& options, int64_t frame) {
  return frame >= options.start && frame < options.stop &&
         (frame - options.start) % options.step == 0;
}

/// How many of a file's `total` frames are wanted.
int64_t CountWanted(const ReadOptions& options, int64_t total);

/// Names and dtypes of a reader's columns as the user asked for them.
///
/// A reader asks Name() for every field it finds, once a batch or once a file, gives columns the
/// names it got, passes each batch through Apply() and calls Finish() at the end of the file.
class ColumnMapper {
 public:
  /// kInvalidArgument when --map is not SOURCE=FIELD, names a source or a field twice, or --dtype
  /// is not a float.
  static Result<ColumnMapper> Create(const ReadOptions& options);

  /// The name for a field that the file calls `source` ("dft_energy", "observables/all/energy") and
  /// that would be `canonical` ("info.dft_energy"): the target of --map for either, else
  /// `canonical`. Empty: leave it out (--map SOURCE=). From any thread.
  std::string Name(std::string_view source, std::string_view canonical);

  /// Converts floating columns to --dtype. kTypeMismatch when a renamed column cannot be what it is
  /// renamed to (per-atom against per-frame), kInvalidArgument when two columns have one name (by
  /// --map, or in the file).
  Result<> Apply(FrameBatch& batch) const;

  /// At the end of the file: kInvalidArgument naming the sources of --map that the file did not
  /// have.
  Result<> Finish() const;

 private:
  struct Entry {
    std::string source, target;
    bool used = false;
  };
  std::unique_ptr<std::mutex> mutex_ = std::make_unique<std::mutex>();  // of used and seen_
  std::vector<Entry> entries_;
  std::set<std::string, std::less<>> seen_;  // names of fields met, for near misses
  std::optional<DType> float_dtype_;
};

/// The same numbers as another floating dtype (float16, 32, 64; complex64 for complex): rounded to
/// nearest.
Result<> ConvertFloats(Column& column, DType to);

}  // namespace zn::formats

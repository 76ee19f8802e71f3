// Finds frames in text without reading them: the atom count, the comment, so many lines.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "zn/engine/error.h"

namespace zn::formats {

/// Where a frame lies in a text; offsets from the text's beginning.
struct FrameSpan {
  int64_t index = 0;  // in the file, from 0
  int64_t line = 0;   // of its atom count, from 1
  int64_t n_atoms = 0;
  size_t comment = 0;  // offset of the comment line
  size_t atoms = 0;    // offset of the first atom line
  size_t end = 0;      // behind the newline of the last line
};

/// Fed with a text that grows at its end. Keeps its place within an unfinished frame, so that
/// nothing is looked at twice.
class FrameScanner {
 public:
  static constexpr int64_t kMaxAtoms = INT32_MAX;

  /// `remaining_bound`: at most so many bytes may still come behind the text (INT64_MAX when nobody
  /// knows), so that an absurd atom count is refused at once. Appends the frames that end within
  /// `text` to `frames`, and stops after the frame that takes `frames` to `max_frames`. `last`:
  /// nothing comes behind. Errors are kCorrupt, "frame 3, line 88: ...".
  Result<> Scan(std::string_view text, bool last, int64_t remaining_bound, size_t max_frames,
                std::vector<FrameSpan>& frames);

  /// Bytes of the text that belong to finished frames, or to no frame.
  size_t consumed() const { return begin_; }
  /// The caller dropped the first `bytes` of the text. REQUIRES: bytes <= consumed().
  void Drop(size_t bytes);

  int64_t frames_found() const { return next_index_; }
  /// Blank lines met between frames: not quite the format.
  int64_t blank_lines_between() const { return blank_lines_between_; }

 private:
  enum class State : uint8_t { kCount, kComment, kAtoms };
  State state_ = State::kCount;
  size_t begin_ = 0;     // of the unfinished frame
  size_t at_ = 0;        // start of the line that comes next
  size_t searched_ = 0;  // no newline in [at_, searched_)
  int64_t line_ = 1;
  int64_t atoms_left_ = 0;
  FrameSpan frame_;
  int64_t next_index_ = 0;
  int64_t blank_lines_ = 0;
  int64_t blank_lines_between_ = 0;
  bool start_of_file_ = true;
};

}  // namespace zn::formats

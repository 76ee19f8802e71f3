// Parses frames of extended XYZ text into the columns of a batch.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "column_map.h"
#include "extxyz/frame_scanner.h"
#include "extxyz/info_columns.h"
#include "extxyz/layout.h"
#include "extxyz/raw_array.h"
#include "zn/engine/batch.h"

namespace zn::formats {

/// One thread at a time; several builders may share a mapper.
class XyzBatchBuilder {
 public:
  explicit XyzBatchBuilder(ColumnMapper& mapper) : mapper_(mapper) {}

  /// Parses `frame` of `text`, whose last byte must be a newline. False, and nothing added, when
  /// one of its columns has another type or width than in the frames before: Take() first. Errors
  /// are kCorrupt, "frame 3, line 88: ..."; the frames before stay good. Throws std::bad_alloc.
  Result<bool> Add(std::string_view text, const FrameSpan& frame);

  int64_t frames() const { return static_cast<int64_t>(n_atoms_.size()); }
  FrameBatch Take();

  std::vector<Warning>& warnings() { return warnings_; }

 private:
  struct AtomColumn {
    std::string field;
    WordType type = WordType::kReal;
    int64_t count = 1;
    RawArray<double> reals;
    RawArray<int64_t> integers;  // kSymbol too
    RawArray<uint8_t> flags;
    std::vector<std::string> texts;
    std::vector<int64_t> frames;  // that have it
  };
  struct Cursor {
    const LayoutColumn* column = nullptr;
    AtomColumn* target = nullptr;  // null: skipped
    double* real = nullptr;
    int64_t* integer = nullptr;
    uint8_t* flag = nullptr;
    std::string text;
  };

  Result<const Layout*> LayoutOf(std::string_view properties);
  Result<bool> Columns(const Layout& layout);
  Result<> ReadAtoms(std::string_view text, const FrameSpan& frame, const Layout& layout);
  Result<> ReadWord(Cursor& cursor, const char*& at, int64_t atom, int64_t word);
  void ReadLabels(std::string_view text, const FrameSpan& frame, const Layout& layout);
  void AddConstraints(const std::vector<uint8_t>& mask, int64_t count);
  void RevertAtoms();

  Result<> SetKey(KeyValue pair, const FrameSpan& frame);
  void Derive(const FrameSpan& frame);
  void Warn(const FrameSpan& frame, std::string message);

  ColumnMapper& mapper_;
  std::vector<int32_t> n_atoms_;
  std::vector<std::unique_ptr<AtomColumn>> atoms_;
  InfoColumns info_;
  std::vector<Warning> warnings_;

  std::string layout_text_;
  std::unique_ptr<Layout> layout_;
  std::vector<Cursor> cursors_;

  // Of the frame at hand.
  std::optional<std::array<double, 9>> cell_, virial_;
  bool has_pbc_ = false;
  bool odd_species_ = false;
};

}  // namespace zn::formats

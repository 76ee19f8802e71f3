// Arrays over the selected frames as parts of a body, each of a size that is known before it is
// produced.
//
// A plan (encode_columns, encode_npy) measures its fields, then lists parts: literal bytes, arrays
// of indices, ids, versions and atom counts, and the fields' rows, joined or padded. PartsStream
// produces them window by window.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/frame_source.h"
#include "http/body.h"

namespace zn::server {

/// What the rows of one field in the selection add up to.
struct FieldExtent {
  int64_t rows =
      0;  // frames for kFrame, atoms or ragged rows otherwise; of frames that have the field
  int64_t longest = 0;        // rows of the longest frame; 1 for kFrame
  int64_t present = 0;        // frames that have the field
  int64_t first_absent = -1;  // index within the selection
  bool uniform = true;        // every frame has `longest` rows
  int64_t longest_text = 0;   // kJson: code points
};

/// Measures all fields. Reads rows only of fields that are absent from some frames, ragged or text.
Result<std::vector<FieldExtent>> MeasureFields(FrameSource* source, bool measure_text);

/// A part of a body.
class Part {
 public:
  virtual ~Part() = default;
  /// nullopt where only producing it tells.
  virtual std::optional<uint64_t> size() const = 0;
  /// Appends what window `w` contributes.
  virtual Result<> Produce(int64_t w, PieceWriter* out) = 0;
  /// Bytes that window w contributes, where that is known without producing it.
  virtual std::optional<uint64_t> WindowBytes(int64_t w) const = 0;
  /// A literal contributes to one window only.
  virtual bool literal() const { return false; }
};

std::unique_ptr<Part> LiteralPart(std::string bytes);

enum class FrameArray { kIndices, kIds, kVersions, kAtomCounts };
std::unique_ptr<Part> FrameArrayPart(std::shared_ptr<FrameSource> source, FrameArray which);

/// The field's rows, joined.
std::unique_ptr<Part> JoinedRowsPart(std::shared_ptr<FrameSource> source, size_t field,
                                     const FieldExtent& extent);
/// The field's rows, each frame's padded with the fill value to the longest; absent frames are all
/// fill.
std::unique_ptr<Part> PaddedRowsPart(std::shared_ptr<FrameSource> source, size_t field,
                                     const FieldExtent& extent);
/// One byte a frame.
std::unique_ptr<Part> PresentPart(std::shared_ptr<FrameSource> source, size_t field);
/// int64 rows of each frame that has the field (kRagged).
std::unique_ptr<Part> LengthsPart(std::shared_ptr<FrameSource> source, size_t field,
                                  const FieldExtent& extent);
/// Texts as msgpack values, of the frames that have them.
std::unique_ptr<Part> MsgpackTextsPart(std::shared_ptr<FrameSource> source, size_t field);
/// Texts as NumPy's UCS-4 of `extent.longest_text` code points a frame.
std::unique_ptr<Part> Ucs4Part(std::shared_ptr<FrameSource> source, size_t field,
                               const FieldExtent& extent);

/// crc32 (zlib's) of what a part will produce: reads it once.
Result<uint32_t> PartCrc(FrameSource* source, Part* part);
/// The CRC of both, of which the second has `size` bytes.
uint32_t CombineCrc(uint32_t first, uint32_t second, uint64_t size);

/// All parts, one after the other.
std::unique_ptr<BodyStream> PartsStream(std::shared_ptr<FrameSource> source,
                                        std::vector<std::unique_ptr<Part>> parts);

}  // namespace zn::server

// Codec pipelines, as Zarr has them: array -> bytes (bytes, vlen-utf8, with transpose before it), then bytes -> bytes.
//
// A chunk's life: a geometry names its pipeline by Zarr v3 `codecs` JSON; CodecPipeline::Create parses it once;
// Encode turns the raw chunk (C order, little-endian) into the bytes that are stored and named by their sha256;
// Decode and DecodeRows write straight into the destination. Encoding is deterministic: the same raw bytes give
// the same encoded bytes on every machine with these library versions, whatever the number of threads.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "zn/engine/byte_source.h"
#include "zn/engine/dtype.h"
#include "zn/engine/error.h"
#include "zn/engine/shape.h"

namespace zn {

/// Immutable after Create; every const member may be called from any thread at once.
class CodecPipeline {
 public:
  /// `codecs` is a Zarr v3 codec list: transpose, bytes (endian little|big), vlen-utf8, sharding_indexed (read only),
  /// blosc (lz4, lz4hc, zstd, zlib; blosclz and snappy read only), zstd, lz4, gzip, crc32c, and by the names that
  /// zarr-python gives them numcodecs.zlib, .shuffle, .delta, .fixedscaleoffset, .astype (docs/zarr-import.md); zn.rounded alone. `dtype` is the
  /// elements'; `fill` one element, for the chunks that a shard leaves out (none given: the dtype's own fill value).
  /// kInvalidArgument names the codec at fault.
  static Result<std::shared_ptr<const CodecPipeline>> Create(std::string_view codecs, DType dtype,
                                                             std::span<const std::byte> fill = {});

  virtual ~CodecPipeline() = default;

  /// `raw` is a chunk of `shape` in C order. For kJson `raw` is the vlen-utf8 form (see EncodeText).
  virtual Result<std::vector<std::byte>> Encode(std::span<const std::byte> raw, const Shape& shape) const = 0;

  /// Fills `out`, whose size must be that of a chunk of `shape`; kCorrupt when the bytes say otherwise. Nothing is
  /// allocated from a length that the encoded bytes claim before it is checked against `out`.
  virtual Result<> Decode(std::span<const std::byte> encoded, const Shape& shape,
                          std::span<std::byte> out) const = 0;

  /// Rows [first, first + count) of the first axis only; with blosc in blocks, or without compression, fetches and
  /// decodes just what holds them.
  virtual Result<> DecodeRows(ByteSource& encoded, const Shape& shape, int64_t first, int64_t count,
                              std::span<std::byte> out) const = 0;
  Result<> DecodeRows(std::span<const std::byte> encoded, const Shape& shape, int64_t first, int64_t count,
                      std::span<std::byte> out) const {
    SpanSource source(encoded);
    return DecodeRows(source, shape, first, count, out);
  }

  /// kJson: the decoded vlen-utf8 bytes, at most `limit` of them (kTooLarge beyond).
  virtual Result<std::vector<std::byte>> DecodeVariable(std::span<const std::byte> encoded,
                                                        size_t limit) const = 0;

  /// True when encoded bytes are the raw bytes (only `bytes` little-endian): they can be served from where they lie.
  virtual bool IsIdentity() const = 0;

  /// False for what is read but never written (sharding_indexed, blosclz, snappy): Encode is kUnsupported.
  virtual bool CanEncode() const = 0;
};

/// The JSON of the default pipeline for a dtype: blosc lz4 with shuffle and 16 KiB blocks; for kJson vlen-utf8 and zstd.
std::string DefaultCodecs(DType dtype);

/// The JSON of zn.rounded, for float32 and float64: each chunk whose values are multiples of a power of ten (as in XTC, GRO and PDB
/// files, and in text with so many decimals) becomes bit-packed whole numbers, any other plain blosc. Exact for all values. Not of Zarr:
/// views give its chunks in DefaultCodecs.
std::string RoundedCodecs();

/// Codecs from a command line: "blosc:zstd:5", "zstd:3", "lz4", "gzip:6", "rounded" (the default for other types than
/// float32 and float64), "none", or Zarr v3 JSON.
/// kInvalidArgument lists what is known.
Result<std::string> ParseCodecs(std::string_view text, DType dtype);

/// Zarr's vlen-utf8: u32 count, then (u32 length, bytes) for each text, little-endian.
std::vector<std::byte> EncodeText(std::span<const std::string> texts);
/// Views into `encoded`; kCorrupt when counts or lengths run past its end.
Result<std::vector<std::string_view>> DecodeText(std::span<const std::byte> encoded);

}  // namespace zn

// What Zarr says of an array, whatever its version, and its printing as Zarr v2 and v3 documents.
//
// Sources: Zarr v2 (zarr-specs.readthedocs.io/en/latest/v2/v2.0.html) and v3 (.../v3/core/), the v3
// codecs and chunk key encodings of github.com/zarr-developers/zarr-extensions, consolidated
// metadata as zarr-python 2 and 3 write it, and `_ARRAY_DIMENSIONS` as xarray does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "zn/engine/dtype.h"
#include "zn/engine/error.h"
#include "zn/engine/shape.h"

namespace zn {

/// The outer grid of a sharded array (v3's sharding_indexed).
struct ZarrSharding {
  Shape shard;               // a multiple of ZarrArrayMetadata::chunks along every axis
  std::string index_codecs;  // a v3 codec list for the index: (chunks per shard..., 2) of uint64
  bool index_at_end = true;
  friend bool operator==(const ZarrSharding&, const ZarrSharding&) = default;
};

/// An array, read from either version. Plain data; nothing is checked until it is used.
struct ZarrArrayMetadata {
  enum class Keys : uint8_t {
    kDefault,  // "c/0/1/2" ("c" for rank 0)
    kV2,       // "0.1.2" ("0" for rank 0)
  };

  int format = 3;  // 2 or 3: what it was read from
  Shape shape;
  Shape chunks;  // of the chunks that `codecs` encode; those within a shard where there are shards
  DType dtype = DType::kFloat64;  // of the decoded elements
  /// One element (ItemSize bytes, little-endian), or the text of a kJson array; nullopt: v2's null.
  std::optional<std::vector<std::byte>> fill;
  /// Everything between a chunk's elements and its bytes, as a Zarr v3 codec list. v2's order "F"
  /// stands here as transpose, its byte order in bytes, its filters and its compressor as codecs by
  /// their v3 names ("numcodecs.delta").
  std::string codecs;
  std::optional<ZarrSharding> sharding;
  std::vector<std::string> dimension_names;  // one an axis, "" where it has none; empty: none given
  Keys keys = Keys::kV2;
  char separator = '.';           // '.' or '/'
  std::string attributes = "{}";  // a JSON object, without _ARRAY_DIMENSIONS

  friend bool operator==(const ZarrArrayMetadata&, const ZarrArrayMetadata&) = default;
};

/// The key of a chunk (of a shard where there are shards) below its array.
std::string ZarrChunkKey(const ZarrArrayMetadata& array, std::span<const int64_t> chunk);

/// kUnsupported, saying why, unless chunks of such an array are read alike through v2 and v3
/// metadata, by readers that know the codecs of zarr-python 2.13 and zarrita: one compressor
/// (blosc, zstd, lz4, gzip, zlib), C or F order.
Result<> CheckPortableCodecs(std::string_view codecs, DType dtype, size_t rank);

/// `.zarray`. kUnsupported for what v2 cannot say: shards, other key encodings, other codecs.
Result<std::string> FormatZarrV2(const ZarrArrayMetadata& array);
/// `.zattrs`: its attributes and, where it has names, `_ARRAY_DIMENSIONS`.
Result<std::string> FormatZarrV2Attributes(const ZarrArrayMetadata& array);
/// `zarr.json`. kInvalidArgument when attributes or codecs are no JSON.
Result<std::string> FormatZarrV3(const ZarrArrayMetadata& array);

/// Endings of the arrays that stand beside a field's: which frames have it, and a ragged field's
/// row counts.
inline constexpr std::string_view kZarrPresent = ".__present__";
inline constexpr std::string_view kZarrLengths = ".__lengths__";

/// A field's name as that of a Zarr node: bytes other than letters, digits, '.', '_' and '-' become
/// ~XX, and so does the first or last byte of what would otherwise mean something else (".x",
/// "__x", "zarr.json", "x.__present__"). '~' needs no escape in URLs and files, so nobody in
/// between escapes it again.
std::string ZarrNodeName(std::string_view field);
/// The reverse; nullopt unless ZarrNodeName of the result is `node`.
std::optional<std::string> FieldOfZarrNode(std::string_view node);

/// A metadata document: its key ("arrays.positions/.zarray"; for v3 groups the node's path,
/// "arrays.positions") and text.
using ZarrDocument = std::pair<std::string, std::string>;

/// `.zgroup`.
std::string FormatZarrV2Group();
/// `.zmetadata` over the documents of a hierarchy, `.zgroup` and `.zattrs` included.
Result<std::string> FormatZarrV2Consolidated(std::span<const ZarrDocument> documents);
/// A group's `zarr.json`; `members`, unless nullptr, as its consolidated metadata.
Result<std::string> FormatZarrV3Group(std::string_view attributes,
                                      const std::vector<ZarrDocument>* members);

// Parsing. Documents are hostile: every error names the key at fault, nothing is taken that is not understood. kCorrupt for
// what is no such document, kUnsupported for what is well-formed and not read here, kTooLarge for sizes that overflow or
// chunks above 1 GiB. Whoever calls adds the name of the array.

/// `.zarray`, and `.zattrs` or "" where there is none. v2's filters and compressor become v3 codecs.
Result<ZarrArrayMetadata> ParseZarrArrayV2(std::string_view zarray, std::string_view zattrs);
/// An array's `zarr.json`. sharding_indexed stands in `sharding` when it is the only codec, else within `codecs`.
Result<ZarrArrayMetadata> ParseZarrArrayV3(std::string_view document);

/// Is this `zarr.json` an array's?
Result<bool> IsZarrV3Array(std::string_view document);
/// Attributes (a JSON object) of a group's `zarr.json`.
Result<std::string> ParseZarrGroupV3(std::string_view document);
/// Attributes (a JSON object) of a group's `.zgroup` and `.zattrs` ("" where there is none).
Result<std::string> ParseZarrGroupV2(std::string_view zgroup, std::string_view zattrs);

/// The documents in `.zmetadata`, by key ("a/.zarray").
Result<std::vector<ZarrDocument>> ParseZarrV2Consolidated(std::string_view zmetadata);
/// Those in the root group's `zarr.json`, by path ("a"); none when it has no consolidated metadata.
Result<std::vector<ZarrDocument>> ParseZarrV3Consolidated(std::string_view document);

}  // namespace zn

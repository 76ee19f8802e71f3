// Readers of trajectory files: each streams frames in batches of columns, in canonical names and units.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "zn/engine/batch.h"
#include "zn/engine/error.h"

namespace zn::formats {

/// What a reader is told. Plain; parsed only in main.
struct ReadOptions {
  std::string group;                 // H5MD particle group, asebytes group; "": the only one, else an error that lists them
  bool unwrap = false;               // absolute positions from images
  bool force = false;                // read past what a format forbids (a missing h5md group) with a warning
  std::optional<DType> float_dtype;  // --dtype: converts floating fields
  std::vector<std::pair<std::string, std::string>> map;  // --map source=canonical
  int64_t start = 0, stop = INT64_MAX, step = 1;         // frames wanted; step > 0, start and stop >= 0
  int threads = 0;                   // for parsing and inflating; 0: one a core
  int64_t batch_bytes = 16 << 20;    // raw bytes a batch aims at
};

struct Warning {
  std::string place;    // "frame 3", "particles/all/step"
  std::string message;
  int64_t count = 1;    // the same warning is given once and counted
};

/// A source of frames. One thread at a time; it may use threads of its own. Errors name file, place (frame, line, object)
/// and remedy.
class Reader {
 public:
  virtual ~Reader() = default;
  /// The next frames, or nullopt at the end. Memory is bounded by a small multiple of batch_bytes or of one frame if
  /// that is larger.
  virtual Result<std::optional<FrameBatch>> Next() = 0;
  /// Frames in all, when the format knows before reading them.
  virtual std::optional<int64_t> total_frames() const = 0;
  /// Of [0, 1], for progress; by bytes of the file where frames are not known.
  virtual double progress() const = 0;
  virtual const std::vector<Warning>& warnings() const = 0;
};

/// A format as data: what it is called, how it is recognised, what it can do.
struct Format {
  std::string name;         // "extxyz", "h5md", "asebytes-h5"
  std::string description;  // one line for --help
  std::vector<std::string> endings;  // for messages only: formats are told by content
  /// Looks at the first bytes (at most 64 KiB, decompressed) and the path; true when the file is of this format.
  bool (*detect)(const std::string& path, std::span<const std::byte> head);
  Result<std::unique_ptr<Reader>> (*open)(const std::string& path, const ReadOptions& options);
};

/// All formats, in alphabetical order: an explicit list (formats/src/registry.cc).
std::span<const Format> Formats();

/// Opens a file by its content; `format` forces one by name (unknown: kInvalidArgument with near misses).
/// kUnsupported names what was looked for when no format fits.
Result<std::unique_ptr<Reader>> OpenReader(const std::string& path, const ReadOptions& options,
                                           const std::string& format = "");

}  // namespace zn::formats

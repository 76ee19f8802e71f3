// H5MD 1.1 files (nongnu.org/h5md/h5md.html), written so that any reader of H5MD finds what it
// knows where it belongs, and that zn-import gets back every field exactly (docs/h5md.md, "What
// zn-export writes").
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "zn/engine/batch.h"
#include "zn/engine/error.h"

namespace zn::formats {

/// What has to be known before the first frame is written.
struct H5mdContent {
  int64_t frames = 0;
  int32_t max_atoms = 0;
  bool constant_atoms = true;           // every frame has max_atoms
  std::vector<FieldDescriptor> fields;  // in the order of the batches' columns
  std::vector<int64_t> present;         // frames that have each field; those of none are left out
  /// The field `step` is integral, in every frame, and grows: it is the steps of all elements.
  /// Otherwise they are counted, and `step` is kept as a field like others.
  bool grows_by_step = false;
  std::vector<bool> periodic = {false, false, false};  // of the first frame
};

struct H5mdOptions {
  std::string creator_version;
  int level = 4;                      // of deflate, behind shuffle; 0: neither
  int64_t chunk_bytes = 1024 * 1024;  // raw, at least one row
  int threads = 0;                    // that compress; 0: one a core
};

/// Writes frames in order. One thread at a time. Dropped before Finish, it leaves a file that is no
/// H5MD.
class H5mdWriter {
 public:
  /// `path` is created or overwritten.
  static Result<std::unique_ptr<H5mdWriter>> Create(const std::string& path,
                                                    const H5mdContent& content,
                                                    const H5mdOptions& options);
  virtual ~H5mdWriter() = default;
  /// Columns are content.fields, in their order; a frame has at most max_atoms atoms.
  virtual Result<> Append(const FrameBatch& batch) = 0;
  virtual Result<> Finish() = 0;
};

}  // namespace zn::formats

// A body of new frames as batches, so that a long one is never in memory at once as columns.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/decode_frames.h"
#include "api/write_request.h"

namespace zn::server {

class FrameBatches {
 public:
  virtual ~FrameBatches() = default;
  /// The next frames, fitted to the room's fields and to those of the batches before; nullopt at the end.
  Result<std::optional<FrameBatch>> Next();

 protected:
  FrameBatches(std::vector<FieldDescriptor> fields, bool cast) : fields_(std::move(fields)), cast_(cast) {}
  virtual Result<std::optional<FrameBatch>> Read(const FitOptions& options) = 0;

 private:
  std::vector<FieldDescriptor> fields_;  // the room's, and what earlier batches brought
  const bool cast_;
};

/// By the body's format; npy needs the field's name in `data`. 400 and 415 for what cannot be frames.
Answer<std::unique_ptr<FrameBatches>> OpenFrameBatches(const Write& write, BodyFormat format, const NativeBody& body);

/// The one frame of a body (PUT, npy with data=): 400 when it holds another number.
Answer<BodyFrame> ReadOneFrame(const Write& write, BodyFormat format, const NativeBody& body);

}  // namespace zn::server

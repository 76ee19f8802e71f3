// Frames one after the other: msgpack (a list of maps), JSON and extended XYZ.
#pragma once

#include <memory>

#include "api/frame_source.h"
#include "http/body.h"

namespace zn::server {

/// For the formats kMsgpack, kJson and kExtxyz. The source is cut by all fields.
std::unique_ptr<BodyStream> FrameListStream(std::shared_ptr<FrameSource> source);

/// One frame's map of the msgpack format; `rows` are its values, one a column of `batch`.
void AppendMsgpackFrame(const FrameBatch& batch, std::span<const RowView> rows,
                        msgpack::KeyKind keys, PieceWriter* out);

}  // namespace zn::server

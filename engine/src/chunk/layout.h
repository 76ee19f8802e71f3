// How a new field's chunks are laid out: the choice of F, A and codecs.
#pragma once

#include <cstdint>
#include <span>

#include "zn/engine/batch.h"
#include "zn/engine/room.h"

namespace zn {

/// `counts` are the rows (atoms, or a ragged field's own) of the sample's frames; they decide A so that little is
/// padded, and F so that a raw chunk is near options.target_chunk_bytes. Unused for kFrame.
Result<Geometry> ChooseGeometry(const Column& sample, std::span<const int64_t> counts,
                                const LayoutOptions& options);

}  // namespace zn

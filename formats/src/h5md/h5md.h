// The two formats of this folder, for the registry: H5MD with its dialects, and asebytes' ragged
// HDF5.
#pragma once

#include "zn/formats/reader.h"

namespace zn::formats {

/// H5MD 1.0 and 1.1 (docs/h5md.md). Claims every HDF5 file, so that one that is not H5MD is told
/// why.
const Format& H5mdFormat();

/// asebytes' `.h5`: groups of flat arrays with `_offsets` and `_lengths`.
const Format& AsebytesH5Format();

}  // namespace zn::formats

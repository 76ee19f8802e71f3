// The format "zarr".
#pragma once

#include "zn/formats/reader.h"

namespace zn::formats {

const Format& ZarrFormat();

}  // namespace zn::formats

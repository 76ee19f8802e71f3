// Extended XYZ and plain xyz, also in gzip, bzip2 or xz. docs/fields.md says what becomes of
// columns and keys.
#pragma once

#include "zn/formats/reader.h"

namespace zn::formats {

const Format& ExtxyzFormat();

}  // namespace zn::formats

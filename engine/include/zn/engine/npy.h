// NPY files, as numpy.load reads them: a header, then the elements in C order.
// Source: numpy.org/doc/stable/reference/generated/numpy.lib.format.html
#pragma once

#include <string>
#include <string_view>

#include "zn/engine/shape.h"

namespace zn {

/// A header of version 1.0 (2.0 where it is long), padded so that the elements start at a multiple
/// of 64 bytes. `descr` as NumPy writes it: NumpyName(dtype), or "<U12".
std::string EncodeNpyHeader(std::string_view descr, const Shape& shape);

}  // namespace zn
